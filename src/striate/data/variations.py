"""The parts of augmentation by name: settings that show each, what it needs, what it is good for, whose it is.

`striate inspect --augment` draws a row of examples of each, and the docs have a row of each. What they do is said at
`Augmentation`, whose fields they are.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from striate.data.augmentation import RANGES

AFFINE = "Simard et al. 2003, section 2"


@dataclass(frozen=True, kw_only=True)
class Variation:
    """One part. `strength`: of its field, so that it shows; `details`: fields that shape it, likewise; `by`: who does
    it where training is on a GPU."""

    says: str
    strength: Any
    details: Mapping[str, Any] = field(default_factory=dict)
    needs: str = ""
    good_for: str
    paper: str
    by: str = "GPU"
    needs_colour: bool = False


VARIATIONS: dict[str, Variation] = {
    "pad_crop": Variation(
        says="moved by whole pixels",
        strength=4,
        good_for="small pictures",
        paper="He et al. 2016, section 4.2",
    ),
    "random_resized_crop": Variation(
        says="a random box fills the input",
        strength=0.35,
        details={"crop_aspect": 4 / 3},
        good_for="photographs",
        paper="Szegedy et al. 2015, section 6",
    ),
    "flip_horizontal": Variation(
        says="mirrored",
        strength=True,
        needs="classes that a mirror keeps",
        good_for="photographs",
        paper="Krizhevsky et al. 2012; by turns: Jordan 2024",
    ),
    "flip_vertical": Variation(
        says="upside down",
        strength=True,
        needs="pictures without an up: microscopes, satellites",
        good_for="few of those",
        paper="Krizhevsky et al. 2012",
    ),
    "rotation": Variation(says="turned", strength=15.0, good_for="digits, letters, specimens", paper=AFFINE),
    "scale": Variation(says="larger or smaller", strength=1.3, good_for="digits, letters, specimens", paper=AFFINE),
    "shear": Variation(says="slanted", strength=15.0, good_for="handwriting", paper=AFFINE),
    "translation": Variation(
        says="moved by shares of the side", strength=0.12, good_for="digits, letters", paper=AFFINE
    ),
    "elastic": Variation(
        says="bent by a smooth field (elastic distortion)",
        strength=34.0,
        details={"elastic_sigma": 4.0},
        needs="shapes that may bend; alpha at most four times sigma squared",
        good_for="handwriting, tissue",
        paper="Simard et al. 2003, section 2",
        by="GPU; the field by the processor",
    ),
    "brightness": Variation(
        says="brighter or darker", strength=0.5, good_for="several cameras or lights", paper="Howard 2013, section 2"
    ),
    "contrast": Variation(
        says="more or less contrast", strength=0.5, good_for="several cameras or lights", paper="Howard 2013, section 2"
    ),
    "saturation": Variation(
        says="more or less colour",
        strength=0.8,
        needs="colour",
        needs_colour=True,
        good_for="several cameras or lights",
        paper="Howard 2013, section 2",
    ),
    "hue": Variation(
        says="colours turned",
        strength=0.1,
        needs="colour that does not tell the class",
        needs_colour=True,
        good_for="several cameras or lights",
        paper="Howard 2013, section 2",
    ),
    "pca_colour": Variation(
        says="all of it shifted along the principal axes of colour",
        strength=0.3,
        needs="axes, which are fitted on the training pictures",
        good_for="photographs in different light",
        paper="Krizhevsky et al. 2012, section 4.1",
    ),
    "rand_augment": Variation(
        says="two operations of fourteen (RandAugment)",
        strength=2,
        details={"rand_magnitude": 9.0},
        needs="many epochs; classes that colours, turns and slants keep",
        good_for="long runs on few photographs",
        paper="Cubuk et al. 2020",
        by="processor",
    ),
    "trivial_augment": Variation(
        says="one operation of fourteen, of any strength (TrivialAugment)",
        strength=True,
        needs="many epochs; classes that colours, turns and slants keep",
        good_for="long runs, without anything to tune",
        paper="Müller and Hutter 2021",
        by="processor",
    ),
    "blur": Variation(
        says="out of focus",
        strength=1.0,
        good_for="pictures that may be blurred where the network will work",
        paper="Hendrycks and Dietterich 2019",
    ),
    "noise": Variation(
        says="noise in every pixel",
        strength=0.2,
        good_for="pictures taken in the dark where the network will work",
        paper="Hendrycks and Dietterich 2019",
        by="GPU; the numbers by the processor",
    ),
    "jpeg": Variation(
        says="compressed as JPEG",
        strength=95,
        good_for="files from the web and from messengers",
        paper="Hendrycks and Dietterich 2019",
        by="processor",
    ),
    "erasing": Variation(
        says="a rectangle becomes the mean (random erasing)",
        strength=1.0,
        details={"erasing_smallest": 0.02, "erasing_largest": 0.33},
        good_for="things that may be covered",
        paper="Zhong et al. 2020",
    ),
    "mixup": Variation(
        says="blended with another picture, and so is its label (mixup)",
        strength=1.0,
        needs="many epochs",
        good_for="long runs; probabilities that are not too sure",
        paper="Zhang et al. 2018",
    ),
    "cutmix": Variation(
        says="a part of another picture pasted in, with its share of the label (CutMix)",
        strength=1.0,
        needs="many epochs",
        good_for="long runs on photographs",
        paper="Yun et al. 2019",
    ),
}


SIDE = 28  # pixels of the input that strengths in pixels are meant for
# Strengths in pixels: by which power of the side they grow. A field that is smoother by a factor moves as far at
# alpha times the factor, and should move farther by the factor.
IN_PIXELS = {"pad_crop": 1, "elastic": 2, "elastic_sigma": 1, "blur": 1}


def settings_for(name: str, side: int = SIDE) -> dict[str, Any]:
    """The settings of `Augmentation` that show this part, and nothing else, on inputs of so many pixels a side."""
    part = VARIATIONS[name]
    factor = max(1, round(min(side, 512) / SIDE))
    found = {name: part.strength, **part.details}
    return {
        key: min(value * factor ** IN_PIXELS[key], RANGES[key][1]) if key in IN_PIXELS else value
        for key, value in found.items()
    }


def as_flags(settings: Mapping[str, Any]) -> str:
    """The same on the command line: "--augment.elastic 34 --augment.elastic-sigma 4"."""
    return " ".join(
        f"--augment.{key.replace('_', '-')}" + ("" if value is True else f" {value:.4g}")
        for key, value in settings.items()
    )
