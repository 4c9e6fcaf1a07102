"""The settings of the parts of a recipe: each is a table of its own in `recipe.toml`, and flags such as
`--optimizer.momentum`.

None means: chosen from the data and this machine. Nothing here imports torch; what the settings are for is made in
files of its own.
"""

from __future__ import annotations

from dataclasses import dataclass

from striate.errors import require
from striate.training.settings import check, setting


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
    weight_decay: float | None = setting(
        None,
        "how weights shrink, not biases and norms: by L2 in the gradient, or beside it (adamw, muon)",
        at_least=0,
    )
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
    power: float = setting(
        0.9, "power of what is left of the run, by which the rate falls (polynomial)", above=0, at_most=100
    )
    wait: int = setting(
        2, "validations without a better one after which the rate is divided (plateau)", at_least=1, at_most=1000
    )

    def __post_init__(self) -> None:
        check(self, "schedule.")


@dataclass(frozen=True, kw_only=True)
class RegularizerSettings:
    """What is added to the loss so that weights stay small."""

    l1: float = setting(0.0, "L1: what the sum of absolute weights counts in the loss", at_least=0)
    l2: float = setting(0.0, "L2: what half the sum of squared weights counts in the loss", at_least=0)
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
