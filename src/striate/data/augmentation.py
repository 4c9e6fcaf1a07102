"""What may vary in training pictures, and how strongly: the settings, checked."""

from __future__ import annotations

import math
from dataclasses import dataclass, fields

from striate.errors import require


@dataclass(frozen=True, kw_only=True)
class Augmentation:
    """Strengths; 0 (False, 1 for `random_resized_crop`) is off, and everything is off by default.

    What comes from outside of a picture is its reflection, or the mean where the input's fit is "pad".

    - `pad_crop`: moved by up to so many whole pixels of the network's input, each way: padding and a
      random crop (Krizhevsky 2012, section 4.1; He et al. 2016, section 4.2).
    - `random_resized_crop`: the smallest share of the area that a random box keeps, which then fills the
      input; its aspect ratio, as the input shows it, is log-uniform within `crop_aspect` of the input's
      (Szegedy et al. 2015, section 6). The whole share of 1 is off.
    - `flip_horizontal`, `flip_vertical`: half of the pictures in each epoch (Krizhevsky 2012), the other half in the
      next one (alternating flips: Jordan 2024, arXiv:2404.00498, section 3.6).
    - `rotation`, `shear`: up to so many degrees; `translation`: up to this share of each side (whole
      pixels unless the picture is resampled anyway); `scale`: a factor, log-uniform in [1 / scale,
      scale], about the centre (affine distortions: Simard et al. 2003, section 2).
    - `brightness`, `contrast`, `saturation`: factors uniform in 1 +- strength; `hue`: turned by up to
      this share of the circle, in YIQ (colour jitter: Howard 2013, section 2; see `colour.py`).
    - `erasing`: the probability that a rectangle of `erasing_smallest` to `erasing_largest` of the area
      becomes the mean (Zhong et al. 2020).
    - `mixup`: alpha of Beta(alpha, alpha), the share of a picture that is mixed with the next one of the
      epoch (Zhang et al. 2018); `cutmix`: the same for the area outside of a pasted rectangle (Yun et
      al. 2019). With both, each picture has one of them, by a coin.
    - `elastic`: alpha, by which a field of displacements is multiplied: a uniform number in [-1, 1) for each
      pixel and axis, smoothed by a Gaussian of deviation `elastic_sigma`, both in pixels of the input (Simard et al.
      2003, section 2; theirs for digits: 34 and 4).
    - `pca_colour`: a shift of the whole picture along the principal axes of the training pictures' colours: the
      deviation of the normal numbers that the eigenvalues are multiplied by (Krizhevsky 2012, section 4.1: 0.1).
      `pca_axes`: those axes, out of `principal.colour_axes`.
    - `rand_augment`: so many operations out of fourteen, at strength `rand_magnitude` of 30 (Cubuk et al. 2020);
      `trivial_augment`: one of them at any strength (Müller and Hutter 2021). See `policy.py`.
    - `blur`: a Gaussian, its deviation uniform up to so many pixels of the input; `noise`: normal numbers added to each
      value, their deviation uniform up to this share of 255; `jpeg`: compressed and read again, the quality uniform
      from 100 downwards by up to so much (corruptions that photographs suffer on their way: Hendrycks and Dietterich
      2019).

    Raises InputError where a strength is out of its range.
    """

    pad_crop: int = 0
    random_resized_crop: float = 1.0
    crop_aspect: float = 4 / 3
    flip_horizontal: bool = False
    flip_vertical: bool = False
    rotation: float = 0.0
    scale: float = 0.0
    shear: float = 0.0
    translation: float = 0.0
    brightness: float = 0.0
    contrast: float = 0.0
    saturation: float = 0.0
    hue: float = 0.0
    erasing: float = 0.0
    erasing_smallest: float = 0.02
    erasing_largest: float = 0.33
    mixup: float = 0.0
    cutmix: float = 0.0
    elastic: float = 0.0
    elastic_sigma: float = 4.0
    pca_colour: float = 0.0
    pca_axes: tuple[float, ...] = ()
    rand_augment: int = 0
    rand_magnitude: float = 9.0
    trivial_augment: bool = False
    blur: float = 0.0
    noise: float = 0.0
    jpeg: int = 0

    def __post_init__(self) -> None:
        for name, (low, high) in RANGES.items():
            value = getattr(self, name)
            number = isinstance(value, (int, float)) and not isinstance(value, bool)
            require(number and low <= value <= high, f"augment.{name} must be in [{low:g}, {high:g}], got {value!r}")
        for name, of in (("pad_crop", " of pixels"), ("rand_augment", " of operations"), ("jpeg", "")):
            value = getattr(self, name)
            require(type(value) is int, f"augment.{name} must be a whole number{of}, got {value!r}")
        for name in ("flip_horizontal", "flip_vertical", "trivial_augment"):
            value = getattr(self, name)
            require(isinstance(value, bool), f"augment.{name} must be true or false, got {value!r}")
        require(
            self.scale == 0 or self.scale >= 1,
            f"augment.scale must be 0 (off) or a factor of at least 1, such as 1.1, got {self.scale!r}",
        )
        require(
            self.erasing_smallest <= self.erasing_largest,
            f"augment.erasing_smallest must not exceed erasing_largest, got {self.erasing_smallest!r}"
            f" and {self.erasing_largest!r}",
        )
        require(
            not (self.rand_augment and self.trivial_augment),
            "augment.rand_augment and augment.trivial_augment cannot both be given: they draw from the same operations",
        )
        most = FOLDING * self.elastic_sigma**2
        require(
            self.elastic <= most,
            f"augment.elastic must be at most {most:g} where augment.elastic_sigma is {self.elastic_sigma:g} (beyond, "
            f"pictures fold), got {self.elastic!r}",
        )
        given = self.pca_axes
        axes = tuple(given) if isinstance(given, list | tuple) else (given,) * 2  # of no length that there is
        sound = len(axes) in (0, 1, 9) and all(type(one) in (int, float) and math.isfinite(one) for one in axes)
        require(sound, f"augment.pca_axes must hold the axes of 1 or 3 channels, got {given!r}")
        object.__setattr__(self, "pca_axes", axes)  # TOML has lists only

    @property
    def bends(self) -> bool:
        """Whether the parts of a picture move by themselves."""
        return self.elastic > 0

    @property
    def has_policy(self) -> bool:
        """Whether operations are drawn from those of RandAugment and TrivialAugment."""
        return self.rand_augment > 0 or self.trivial_augment

    @property
    def by_processor(self) -> tuple[str, ...]:
        """The names of what is on that only a processor does; a batch with any of it is made there."""
        return tuple(name for name in ("rand_augment", "trivial_augment", "jpeg") if getattr(self, name))

    @property
    def crops(self) -> bool:
        """Whether a random box of the picture fills the input."""
        return self.random_resized_crop < 1

    @property
    def turns(self) -> bool:
        """Whether the axes of the picture may leave those of the input."""
        return self.rotation > 0 or self.shear > 0

    @property
    def scales(self) -> bool:
        """Whether the size of things may change."""
        return self.scale > 1

    @property
    def moves(self) -> bool:
        """Whether pictures are moved in any way."""
        return (
            self.crops
            or self.turns
            or self.scales
            or self.pad_crop > 0
            or self.translation > 0
            or self.bends
            or self.has_policy
            or self.flip_horizontal
            or self.flip_vertical
        )

    @property
    def colours(self) -> bool:
        """Whether colours change."""
        return self.brightness > 0 or self.contrast > 0 or self.saturation > 0 or self.hue > 0

    @property
    def corrupts(self) -> bool:
        """Whether pictures are blurred, made noisy or compressed."""
        return self.blur > 0 or self.noise > 0 or self.jpeg > 0

    @property
    def mixes(self) -> bool:
        """Whether pictures are mixed with others."""
        return self.mixup > 0 or self.cutmix > 0

    def in_words(self) -> str:
        """What is on, for the log: "pad_crop 4, flip_horizontal", or "none"."""
        changed = [(item.name, getattr(self, item.name)) for item in fields(self) if item.name not in FITTED]
        on = {item.name for item in fields(self) if getattr(self, item.name) != item.default}
        return (
            ", ".join(name if value is True else f"{name} {value:g}" for name, value in changed if name in on) or "none"
        )


# Alpha for each square pixel of sigma: the slopes of the field then have a deviation of 0.46, and where one is below -1
# the picture folds over. Simard's own is half of it.
FOLDING = 4.0
FITTED = ("pca_axes",)  # on the training pictures, and not asked for

RANGES: dict[str, tuple[float, float]] = {
    "pad_crop": (0, 512),
    "random_resized_crop": (0.001, 1),
    "crop_aspect": (1, 10),
    "rotation": (0, 180),
    "scale": (0, 4),
    "shear": (0, 60),
    "translation": (0, 1),
    "brightness": (0, 1),
    "contrast": (0, 1),
    "saturation": (0, 1),
    "hue": (0, 0.5),
    "erasing": (0, 1),
    "erasing_smallest": (0, 1),
    "erasing_largest": (0, 1),
    "mixup": (0, 1000),
    "cutmix": (0, 1000),
    "elastic": (0, 10_000),
    "elastic_sigma": (0.5, 64),
    "pca_colour": (0, 10),
    "rand_augment": (0, 10),
    "rand_magnitude": (0, 30),
    "blur": (0, 20),
    "noise": (0, 1),
    "jpeg": (0, 99),
}
