"""What is to be done: one frozen dataclass whose fields are the flags, the keys of `recipe.toml`, the
arguments of `striate.train` and the page in the docs.

None means: chosen from the data and this machine. What was chosen is written under `[resolved]`.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Literal

from striate.errors import require
from striate.machine.allocator import ALLOCATORS, PLAIN
from striate.machine.precision import CONTIGUOUS, LAYOUTS, PRECISIONS
from striate.tasks import TASKS
from striate.training.part_settings import AugmentSettings, OptimizerSettings, RegularizerSettings, ScheduleSettings
from striate.training.settings import check, setting, shown

# What `reference` stands for; the number of threads is 1 unless it is named.
REFERENCE: dict[str, Any] = {"precision": "float32", "layout": CONTIGUOUS, "compile": False, "allocator": PLAIN}


@dataclass(frozen=True, kw_only=True)
class Recipe:
    """What is to be done with a source of pictures. Raises InputError where a value cannot be used."""

    network: str | None = setting(None, "name of the network; striate networks lists them")
    pretrained: bool | None = setting(None, "start from published weights")
    weights: str | None = setting(None, "start from the weights in FILE (safetensors, or .pth with weights only)")
    from_run: str | None = setting(None, "go on from the weights of an earlier RUN: its network and preprocessing")
    width: int | None = setting(None, "channels of the first stage, for networks that have a width", at_least=1)
    epochs: int | None = setting(None, "passes over the training pictures", at_least=1, at_most=100_000)
    minutes: float | None = setting(None, "plan the whole run for so many minutes", above=0, at_most=100_000)
    patience: int | None = setting(None, "stop after so many epochs without a better validation", at_least=1)
    batch_size: int | Literal["auto"] | None = setting(
        None, "pictures a step; auto: as many as make it faster", words=("auto",), at_least=1, at_most=65_536
    )
    accumulate: int = setting(1, "batches whose gradients add up to one step", at_least=1, at_most=4096)
    learning_rate: float | None = setting(None, "highest learning rate", above=0, at_most=1000)
    optimizer: OptimizerSettings = field(default_factory=OptimizerSettings)
    schedule: ScheduleSettings = field(default_factory=ScheduleSettings)
    # The names are those of `tasks.losses.LOSSES`; a test holds them equal.
    loss: str | None = setting(
        None,
        "how wrong an answer is",
        choices=(
            "cross-entropy",
            "focal",
            "hinge",
            "hinge-one-versus-rest",
            "binary-cross-entropy",
            "focal-sigmoid",
            "squared",
            "absolute",
            "huber",
        ),
    )
    label_smoothing: float | None = setting(None, "share of the target given to all classes", at_least=0, at_most=0.9)
    class_weights: str = setting("none", "balanced: rare classes count more", choices=("none", "balanced"))
    balance: bool = setting(False, "draw pictures so that every class comes equally often")
    regularizer: RegularizerSettings = field(default_factory=RegularizerSettings)
    dropout: float | None = setting(
        None, "share of what comes into the head that is left away", at_least=0, at_most=0.99
    )
    freeze: str | None = setting(None, "keep the weights of these layers (names with commas), or of the backbone")
    clip: float | None = setting(None, "longest gradient (its norm); longer ones are scaled down", above=0)
    averaging: float | None = setting(None, "decay of the average of the weights (0: off)", at_least=0, at_most=0.99999)
    swa: float | None = setting(
        None, "average the weights at the ends of this last share of the epochs", above=0, at_most=1
    )
    augment: AugmentSettings = field(default_factory=AugmentSettings)
    size: int | None = setting(None, "side of the network's input, in pixels", at_least=1, at_most=2048)
    fit: str | None = setting(
        None, "how pictures that are not square are brought to the size", choices=("squash", "crop", "pad")
    )
    task: str = setting(
        "auto",
        "what is learned of each picture: one class, several labels or numbers; auto: what the source looks like",
        choices=("auto", *TASKS),
    )
    targets: str | None = setting(None, "columns of the table to learn, separated by commas: building,tree")
    mean: str = setting(
        "channel",
        "what is taken off the inputs: the mean of each channel, or the mean picture",
        choices=("channel", "picture"),
    )
    angles: str | None = setting(
        None, "numbers that are degrees, counter-clockwise, separated by commas: they turn with their pictures"
    )
    labels: str | None = setting(None, "where the labels are: folders, or a table FILE")
    root: str | None = setting(None, "folder to which the paths of a table are relative, or of a copy of a public set")
    stream: bool | None = setting(
        None, "read the training pictures again in every epoch, for sets that memory and disk cannot hold decoded"
    )
    keep_epochs: int | None = setting(
        None, "keep the weights after every so many epochs in checkpoints/, to see how features form", at_least=1
    )
    fold: str | None = setting(None, "test on part K of N, drawn by class, and learn from the others: K/N")
    share: float | None = setting(
        None, "learn from this share of the training pictures, the same of each class", above=0, at_most=1
    )
    strict: bool = setting(False, "refuse a source with pictures that cannot be read")
    seed: int = setting(0, "number from which everything random is drawn", at_least=0, at_most=2**63 - 1)
    device: str = setting("auto", "auto, cpu, cuda, cuda:1, mps")
    precision: str = setting("auto", "number format of training", choices=PRECISIONS)
    layout: str = setting("auto", "memory layout of maps in training", choices=("auto", *LAYOUTS))
    threads: int | None = setting(None, "threads of the processor, for each process", at_least=1, at_most=1024)
    processes: int | str = setting(
        1,
        "processes that share each batch; auto: one for each GPU",
        words=("auto",),
        at_least=1,
        at_most=4096,
    )
    compile: bool | None = setting(None, "compile the network (torch.compile)")
    allocator: str = setting("auto", "keep large blocks of memory between steps, or not", choices=("auto", *ALLOCATORS))
    reference: bool = setting(False, "compute for comparison: float32, contiguous, one thread, deterministic")

    @property
    def task_asked(self) -> str | None:
        """The task by name; None where the source is to say."""
        return None if self.task == "auto" else self.task

    @property
    def angle_names(self) -> tuple[str, ...]:
        """The names in `angles`."""
        return tuple(name for one in (self.angles or "").split(",") if (name := one.strip()))

    def __post_init__(self) -> None:
        check(self)
        if self.fold is not None:
            from striate.data.parts import read_fold

            read_fold(self.fold)
        require(
            self.epochs is None or self.minutes is None,
            "epochs and minutes cannot both be given: say how often, or how long",
        )
        require(
            self.weights is None or self.network is not None,
            "weights needs to know whose they are; add --network NAME",
        )
        for name in ("pretrained", "weights", "width"):
            require(
                self.from_run is None or not getattr(self, name),
                f"{name} and from (an earlier run) cannot both be given: the run brings its network and its weights",
            )
        brings = {"pretrained": self.pretrained, "weights": self.weights, "from (an earlier run)": self.from_run}
        for name, value in brings.items():
            require(
                self.mean == "channel" or not value,
                f"mean picture and {name} cannot both be given: weights that learned before know their own mean",
            )
        require(
            not (self.balance and self.class_weights != "none"),
            "balance and class_weights cannot both be given: the rare classes would count twice",
        )
        require(
            not (self.swa and self.averaging),
            "swa and averaging cannot both be given: average over the ends of epochs, or over steps",
        )
        if self.optimizer.name == "lbfgs":
            self._check_whole_batches()
        if self.reference:
            for name, plain in REFERENCE.items():
                value = getattr(self, name)
                require(
                    value in ("auto", None, plain),
                    f"reference means {name} {shown(plain)}, so not {name} {shown(value)}; leave one of them away",
                )

    def _check_whole_batches(self) -> None:
        """L-BFGS learns the curvature of one function, by small differences of it."""
        for name, plain in (
            ("batch_size", None),
            ("accumulate", 1),
            ("clip", None),
            ("augment", AugmentSettings()),
            ("stream", None),
        ):
            value = getattr(self, name)
            same = value == plain or value is False or (name == "augment" and value.name == "none")
            require(
                same,
                f"optimizer lbfgs takes all pictures at once, as they are, so {name} cannot be given; leave it away",
            )
        drawn = [name for name in ("balance", "dropout") if getattr(self, name)]
        require(
            not drawn,
            f"optimizer lbfgs learns the curvature of one function, and {' and '.join(drawn)} would draw another one "
            "for each step; leave it away",
        )
        require(
            self.precision in ("auto", "float32"),
            f"optimizer lbfgs compares losses to the last digit, so not in {self.precision}; leave precision away",
        )
        require(
            self.optimizer.layer_decay == 1,
            "optimizer lbfgs searches one length for all weights, so optimizer.layer_decay cannot be given",
        )
