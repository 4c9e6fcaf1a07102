"""What is to be done: one frozen dataclass whose fields are the flags, the keys of `recipe.toml`, the
arguments of `striate.train` and the page in the docs.

None means: chosen from the data and this machine. What was chosen is written under `[resolved]`.
"""

from __future__ import annotations

import contextlib
import os
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from striate.errors import InputError, require
from striate.machine.allocator import ALLOCATORS, PLAIN
from striate.machine.precision import CONTIGUOUS, LAYOUTS, PRECISIONS
from striate.tasks import TASKS
from striate.training.settings import check, from_mapping, setting, shown, to_mapping

SCHEMA = 1
RESOLVED, SOURCE, STARTED_IN = "resolved", "source", "started_in"
BYTES = "bytes"
LARGEST = 2**20  # bytes of a recipe
# What `reference` stands for; the number of threads is 1 unless it is named.
REFERENCE: dict[str, Any] = {"precision": "float32", "layout": CONTIGUOUS, "compile": False, "allocator": PLAIN}


@dataclass(frozen=True, kw_only=True)
class OptimizerSettings:
    """How a gradient becomes a step."""

    # The names are those of `optimizers.OPTIMIZERS`, which imports torch; a test holds them equal.
    name: str | None = setting(
        None, "the rule by which weights move", choices=("sgd", "adamw", "adam", "rmsprop", "adagrad", "lbfgs", "muon")
    )
    momentum: float | None = setting(
        None, "share of the last step that is kept (sgd, rmsprop, muon)", at_least=0, at_most=0.9999
    )
    nesterov: bool = setting(True, "look ahead by the momentum (Nesterov; sgd, muon)")
    weight_decay: float | None = setting(None, "L2 on weights, not on biases and norms", at_least=0)
    beta1: float = setting(0.9, "decay of the mean of gradients (adam, adamw, muon)", at_least=0, at_most=0.9999)
    beta2: float | None = setting(
        None, "decay of the mean of squared gradients (adam, adamw, rmsprop, muon)", at_least=0, at_most=0.99999
    )
    layer_decay: float = setting(
        1.0, "rate of each block as a share of that of the block after it, up to the head", above=0, at_most=1
    )
    history: int = setting(10, "steps that the curvature is learned from (lbfgs)", at_least=1, at_most=1000)
    iterations: int = setting(20, "moves a step, each with its line search (lbfgs)", at_least=1, at_most=10_000)

    def __post_init__(self) -> None:
        check(self, "optimizer.")


@dataclass(frozen=True, kw_only=True)
class ScheduleSettings:
    """How the learning rate moves through the run."""

    # The names are those of `schedules.SCHEDULES`; a test holds them equal.
    name: str | None = setting(
        None,
        "shape of the learning rate",
        choices=("one-cycle", "cosine", "constant", "step", "polynomial", "plateau"),
    )
    warmup: float = setting(0.2, "share of the run in which the rate rises", at_least=0, at_most=0.9)
    final: float = setting(0.0, "rate at the end, or the lowest one, as a share of the highest", at_least=0, at_most=1)
    drops: int = setting(3, "how often the rate is divided (step)", at_least=1, at_most=100)
    divide_by: float = setting(5.0, "what the rate is divided by (step, plateau)", at_least=1, at_most=1000)
    power: float = setting(0.9, "of what is left of the run (polynomial)", above=0, at_most=100)
    wait: int = setting(
        2, "validations without a better one after which the rate is divided (plateau)", at_least=1, at_most=1000
    )

    def __post_init__(self) -> None:
        check(self, "schedule.")


@dataclass(frozen=True, kw_only=True)
class RegularizerSettings:
    """What is added to the loss so that weights stay small."""

    l1: float = setting(0.0, "of the sum of absolute weights", at_least=0)
    l2: float = setting(0.0, "of half the sum of squared weights", at_least=0)
    biases: bool = setting(False, "biases and norms too, not weights alone")

    def __post_init__(self) -> None:
        check(self, "regularizer.")


@dataclass(frozen=True, kw_only=True)
class AugmentSettings:
    """How training pictures vary; the fields are those of `striate.data.augmentation.Augmentation`."""

    name: str | None = setting(None, "none turns every variation off", choices=("auto", "none"))
    pad_crop: int | None = setting(None, "pad by so many pixels and crop at random", at_least=0, at_most=512)
    random_resized_crop: float | None = setting(
        None, "smallest share of the area that a random crop keeps (1: off)", at_least=0.001, at_most=1
    )
    crop_aspect: float | None = setting(
        None, "how much longer than wide, or wider than long, a random crop may be", at_least=1, at_most=10
    )
    flip_horizontal: bool | None = setting(None, "mirror half of the pictures")
    flip_vertical: bool | None = setting(None, "turn half of the pictures upside down")
    rotation: float | None = setting(None, "rotate by up to so many degrees", at_least=0, at_most=180)
    scale: float | None = setting(None, "scale by up to this factor, and its inverse (0: off)", at_least=0, at_most=4)
    shear: float | None = setting(None, "shear by up to so many degrees", at_least=0, at_most=60)
    translation: float | None = setting(None, "move by up to this share of the side", at_least=0, at_most=1)
    brightness: float | None = setting(None, "strength of brightness changes", at_least=0, at_most=1)
    contrast: float | None = setting(None, "strength of contrast changes", at_least=0, at_most=1)
    saturation: float | None = setting(None, "strength of saturation changes", at_least=0, at_most=1)
    hue: float | None = setting(None, "strength of hue changes, in turns of the wheel", at_least=0, at_most=0.5)
    erasing: float | None = setting(None, "probability that a rectangle is erased", at_least=0, at_most=1)
    erasing_smallest: float | None = setting(None, "smallest share of the area that is erased", at_least=0, at_most=1)
    erasing_largest: float | None = setting(None, "largest share of the area that is erased", at_least=0, at_most=1)
    mixup: float | None = setting(
        None, "mix pairs of pictures: alpha of the Beta distribution", at_least=0, at_most=1000
    )
    cutmix: float | None = setting(
        None, "paste a part of another picture: alpha of the Beta distribution", at_least=0, at_most=1000
    )
    elastic: float | None = setting(
        None, "strength (alpha) of elastic distortion, in pixels of the input", at_least=0, at_most=10_000
    )
    elastic_sigma: float | None = setting(
        None, "smoothness of elastic distortion, in pixels of the input", at_least=0.5, at_most=64
    )
    pca_colour: float | None = setting(
        None, "shift along the principal axes of colour (AlexNet's is 0.1)", at_least=0, at_most=10
    )
    rand_augment: int | None = setting(None, "so many operations of RandAugment", at_least=0, at_most=10)
    rand_magnitude: float | None = setting(None, "strength of RandAugment's operations, of 30", at_least=0, at_most=30)
    trivial_augment: bool | None = setting(None, "one operation of any strength (TrivialAugment)")
    blur: float | None = setting(
        None, "blur by a Gaussian of up to so many pixels of the input", at_least=0, at_most=20
    )
    noise: float | None = setting(None, "noise of up to this share of the full scale", at_least=0, at_most=1)
    jpeg: int | None = setting(None, "compress as JPEG, of quality 100 down by up to so much", at_least=0, at_most=99)

    def __post_init__(self) -> None:
        check(self, "augment.")
        require(
            self.scale is None or self.scale == 0 or self.scale >= 1,
            f"augment.scale must be 0 (off) or a factor of at least 1, such as 1.1, got {self.scale!r}",
        )
        smallest, largest = self.erasing_smallest, self.erasing_largest
        require(
            smallest is None or largest is None or smallest <= largest,
            f"augment.erasing_smallest must not exceed erasing_largest, got {smallest!r} and {largest!r}",
        )


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
        require(
            self.precision in ("auto", "float32"),
            f"optimizer lbfgs compares losses to the last digit, so not in {self.precision}; leave precision away",
        )
        require(
            self.optimizer.layer_decay == 1,
            "optimizer lbfgs searches one length for all weights, so optimizer.layer_decay cannot be given",
        )


def read_recipe(path: Path) -> tuple[Recipe, dict[str, Any]]:
    """The recipe in a TOML file, and what stands under `[resolved]` (empty where nothing does).

    Raises InputError where the file is missing, does not parse, or holds what no recipe has.
    """
    values = _read_toml(path)
    resolved = values.pop(RESOLVED, {})
    require(isinstance(resolved, dict), f"{path}: [resolved] must be a table")
    schema = values.pop("schema", SCHEMA)
    require(
        type(schema) is int and 1 <= schema <= SCHEMA,
        f"{path}: recipe of schema {shown(schema)}, this version reads up to {SCHEMA}; update striate",
    )
    for name in (SOURCE, STARTED_IN):
        values.pop(name, None)
    return from_mapping(Recipe, values, str(path)), resolved


def read_source(path: Path) -> str:
    """The source that a run's `recipe.toml` names. Raises InputError where it names none."""
    source = _read_toml(path).get(SOURCE)
    if not isinstance(source, str):
        raise InputError(f"{path}: names no source, so there is nothing to go on with")
    return source


def read_started_in(path: Path) -> str | None:
    """The folder from which the relative names in a run's `recipe.toml` start; None where it does not say."""
    folder = _read_toml(path).get(STARTED_IN)
    return folder if isinstance(folder, str) and os.path.isabs(folder) else None  # noqa: PTH117 - any text


def _read_toml(path: Path) -> dict[str, Any]:
    try:
        text = path.read_bytes()
    except OSError as error:
        raise InputError(f"{path}: the recipe cannot be read ({error.strerror})") from error
    require(len(text) <= LARGEST, f"{path}: too large to be a recipe")
    try:
        values: dict[str, Any] = _from_plain(tomllib.loads(text.decode("utf-8")))
        return values
    except ValueError as error:  # of the encoding, of TOML, and of numbers with thousands of digits
        raise InputError(f"{path}: not a recipe in TOML: {error}") from error
    except RecursionError as error:
        raise InputError(f"{path}: not a recipe in TOML: nested too deeply") from error


def recipe_text(recipe: Recipe, resolved: Mapping[str, Any], source: str) -> str:
    """The TOML text of `recipe.toml`: what was asked, and under `[resolved]` what was decided.

    Names stay as they were given; where one is relative, the folder that it starts from (the working one) is noted,
    so that the run can be resumed from anywhere.
    """
    import tomli_w

    asked: dict[str, Any] = {"schema": SCHEMA, SOURCE: source}
    if not all(map(os.path.isabs, filter(None, (source, recipe.labels, recipe.root, recipe.weights)))):
        with contextlib.suppress(FileNotFoundError):  # a working folder that was removed cannot be named
            asked[STARTED_IN] = os.getcwd()  # noqa: PTH109
    asked.update(to_mapping(recipe))
    return tomli_w.dumps(_to_plain({**asked, **({RESOLVED: dict(resolved)} if resolved else {})}))


def _to_plain(value: Any) -> Any:
    """Names of files that are no Unicode, which TOML cannot hold, as {bytes = "hexadecimal"}."""
    if isinstance(value, str):
        try:
            value.encode("utf-8")
        except UnicodeEncodeError:
            return {BYTES: os.fsencode(value).hex()}
    if isinstance(value, Mapping):
        return {key: _to_plain(one) for key, one in value.items()}
    if isinstance(value, list | tuple):
        return [_to_plain(one) for one in value]
    return value


def _from_plain(value: Any) -> Any:
    """What `_to_plain` was given."""
    if isinstance(value, dict):
        if list(value) == [BYTES] and isinstance(value[BYTES], str):
            return os.fsdecode(bytes.fromhex(value[BYTES]))
        return {key: _from_plain(one) for key, one in value.items()}
    return [_from_plain(one) for one in value] if isinstance(value, list) else value
