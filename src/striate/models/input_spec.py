"""What a network takes: size, channels, how a picture is brought to the size, mean and deviation.

Fitted on the training split only, stored with the model, applied by the model.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, replace
from functools import lru_cache
from typing import TYPE_CHECKING, Any

import numpy as np

from striate.data.pieces import pieces
from striate.data.pixel_store import Pixels
from striate.data.resample import bring
from striate.errors import InputError, require
from striate.models.fields import Fields, fit_fields
from striate.models.mean_picture import MeanPicture

if TYPE_CHECKING:
    import torch

FITS = ("squash", "crop", "pad")
MEAN_PICTURE = "mean_picture"
INTERPOLATIONS = ("bilinear", "bicubic")
LARGEST_SIDE = 4096

SMALL = 96  # pictures up to this side keep their size
SMALLEST = 8  # smaller ones are enlarged: the networks halve their maps several times
STRIDE = 32  # larger sizes are multiples of it, as the networks for photographs halve five times
LONGEST_SQUASHED = 2.0  # sides in this ratio may still be squashed; beyond, padding distorts less
LARGEST_ASPECT = 4.0  # of an input that takes over the shape of its pictures
LEAST_DEVIATION = 1 / 255  # pictures of one colour are not blown up


@dataclass(frozen=True, kw_only=True)
class InputSpec:
    """How pictures enter a network.

    `fit`: "squash" (both sides to the size, the aspect ratio is given up), "crop" (the shorter side
    to size / `crop_share`, then the centre), "pad" (the longer side to the size, the rest filled with
    the mean). `mean` and `deviation` are in [0, 1] units, one a channel. `mean_picture`, where there is one, is taken
    off in the place of `mean`, which then only fills what is outside of a picture.

    With `fields` the inputs are no pictures but rows of a table of numbers: one pixel with a channel for each field,
    mean and deviation in the table's own units.
    """

    channels: int
    height: int
    width: int
    fit: str = "squash"
    crop_share: float = 1.0
    interpolation: str = "bilinear"
    mean: tuple[float, ...]
    deviation: tuple[float, ...]
    mean_picture: MeanPicture | None = None
    fields: Fields | None = None

    def __post_init__(self) -> None:
        if self.fields is None:
            allowed, sound = "1 or 3", self.channels in (1, 3)
        else:
            allowed, sound = f"one a field ({len(self.fields.names)})", self.channels == len(self.fields.names)
            require((self.height, self.width) == (1, 1), "a row of numbers has no height and width")
        require(type(self.channels) is int and sound, f"input channels must be {allowed}, got {self.channels!r}")
        for side in (self.height, self.width):
            require(
                type(side) is int and 1 <= side <= LARGEST_SIDE,
                f"input size must be 1 to {LARGEST_SIDE} pixels, got {side!r}",
            )
        require(self.fit in FITS, f"fit must be one of {', '.join(FITS)}, got {self.fit!r}")
        require(
            self.interpolation in INTERPOLATIONS,
            f"interpolation must be one of {', '.join(INTERPOLATIONS)}, got {self.interpolation!r}",
        )
        require(0.1 <= self.crop_share <= 1.0, f"crop_share must be in [0.1, 1], got {self.crop_share!r}")
        for name, values in (("mean", self.mean), ("deviation", self.deviation)):
            require(len(values) == self.channels, f"{name} needs {self.channels} values, got {len(values)}")
            require(bool(np.isfinite(values).all()), f"{name} must be finite, got {values}")
        if self.fields is not None:
            require(min(self.deviation) > 0, f"deviation must be positive, got {self.deviation}")
            return
        require(max(abs(value) for value in self.mean) <= 100, f"mean must be in units of [0, 1], got {self.mean}")
        require(
            min(self.deviation) >= 1e-6,
            f"deviation must be positive, in units of [0, 1], got {self.deviation}",
        )
        if self.mean_picture is not None:
            shape, wanted = self.mean_picture.values.shape, (self.channels, self.height, self.width)
            require(shape == wanted, f"a mean picture of {shape} cannot be taken off inputs of {wanted}")

    def prepare(self, pixels: np.ndarray) -> torch.Tensor:
        """(H, W, C) pixels, `uint8` or `float32` in [0, 255] -> (channels, height, width), same type.

        With `fields` a row of the table, (1, 1, F). Raises InputError for pictures in place of rows, and the other way
        round.
        """
        if self.fields is not None:
            return self.fields.prepare(pixels)
        require(pixels.shape[-1] in (1, 3), "the network takes pictures, not rows of numbers")
        return bring(pixels, self).contiguous()

    def normalize(self, prepared: torch.Tensor) -> torch.Tensor:
        """(B, C, H, W) in [0, 255], any type -> `float32`, (value / 255 - mean) / deviation. With a mean picture, H and
        W are those of the input. Rows of a table: see `Fields`."""
        if self.fields is not None:
            return self.fields.normalize(prepared, self.mean, self.deviation)
        factor, shift = self.line(prepared.device)
        scaled = prepared.float() * factor
        scaled -= shift
        return scaled

    def line(self, device: torch.device | str) -> tuple[torch.Tensor, torch.Tensor]:
        """What `normalize` multiplies by, (1, C, 1, 1), and what it then takes off, the same or (1, C, H, W)."""
        import torch

        return _line(tuple(self.mean), tuple(self.deviation), self.mean_picture, torch.device(device))

    def to_json(self) -> dict[str, Any]:
        """Plain values for `config.json`. Of a mean picture only that there is one: it is a file of its own."""
        plain = asdict(replace(self, mean_picture=None))
        plain = {name: list(value) if isinstance(value, tuple) else value for name, value in plain.items()}
        del plain["mean_picture"]
        if self.fields is None:
            del plain["fields"]
        return plain if self.mean_picture is None else {**plain, MEAN_PICTURE: True}

    @classmethod
    def from_json(
        cls, values: Mapping[str, Any], read: Callable[[tuple[int, int, int]], MeanPicture] | None = None
    ) -> InputSpec:
        """What `to_json` wrote; `read` gives the mean picture of this shape (C, h, w), where there is one. Raises
        InputError where it is none."""
        try:
            fields: dict[str, Any] = {
                name: tuple(value) if isinstance(value, list) else value
                for name, value in values.items()
                if name != MEAN_PICTURE
            }
            if "fields" in fields:
                fields["fields"] = Fields.from_json(fields["fields"])
            spec = cls(**fields)
            if values.get(MEAN_PICTURE, False) is False:
                return spec
            require(values[MEAN_PICTURE] is True and read is not None, f"{MEAN_PICTURE} must be true or false")
            assert read is not None
            return replace(spec, mean_picture=read((spec.channels, spec.height, spec.width)))
        except (TypeError, ValueError, AttributeError, OverflowError) as error:
            raise InputError(f"the input specification cannot be read: {error}") from error


@lru_cache(maxsize=16)
def _line(
    mean: tuple[float, ...], deviation: tuple[float, ...], picture: MeanPicture | None, device: torch.device
) -> tuple[torch.Tensor, torch.Tensor]:
    """What values are multiplied by, (1, C, 1, 1), and what is then taken off, the same or (1, C, h, w): made once, not
    at every step."""
    import torch

    with torch.inference_mode(False):  # whoever asks first may be answering, and the next one training
        levels = 255 * torch.tensor(deviation).view(1, -1, 1, 1)
        taken_off = torch.tensor(mean).view(1, -1, 1, 1) if picture is None else torch.from_numpy(picture.values)[None]
        shift = 255 * taken_off / levels
        return (1 / levels).to(device), shift.to(device)


def pixel_statistics(pictures: Pixels, channels: int) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Mean and (population) deviation of every pixel of these pictures, one a channel, in [0, 1] units.

    Pictures of 8 bits are counted value by value and the sums are whole numbers: exact, whatever the
    order. Deeper ones are added in float64, and the sums of the pictures with `math.fsum`.
    """
    counts = np.zeros((channels, 256), dtype=np.int64)
    number, sums, squares = 0, [], []
    for values in pieces(pictures, channels):
        if values.dtype == np.uint8:
            for channel in range(channels):
                counts[channel] += np.bincount(values[:, channel], minlength=256)
        else:
            wide = values.astype(np.float64)
            number += len(wide)
            sums.append(wide.sum(axis=0))
            squares.append(np.square(wide).sum(axis=0))
    means, deviations = [], []
    for channel in range(channels):
        count = number + int(counts[channel].sum())
        require(count > 0, "there are no training pictures to fit mean and deviation on")
        levels = [int(level) for level in counts[channel]]
        total = math.fsum([sum(i * level for i, level in enumerate(levels)), *(float(s[channel]) for s in sums)])
        square = math.fsum(
            [sum(i * i * level for i, level in enumerate(levels)), *(float(s[channel]) for s in squares)]
        )
        mean = total / count
        means.append(mean / 255)
        deviations.append(max(math.sqrt(max(square / count - mean * mean, 0.0)) / 255, LEAST_DEVIATION))
    return tuple(means), tuple(deviations)


def fit_input_spec(
    pictures: Pixels,
    *,
    sizes: np.ndarray | None = None,
    size: int | tuple[int, int] | None = None,
    fit: str | None = None,
    channels: int | None = None,
    mean: tuple[float, ...] | None = None,
    deviation: tuple[float, ...] | None = None,
    crop_share: float = 1.0,
    interpolation: str = "bilinear",
    largest: int = 224,
) -> tuple[InputSpec, str]:
    """The input specification for these training pictures, and the sentence for the log.

    What is None is fitted: `channels` (1 where every picture is grey), `size` (a side, or height and
    width; at most `largest` squared pixels), `fit`, `mean` and `deviation` ([0, 1] units; pretrained
    weights bring their own). `sizes` (N, 2): heights and widths before the pictures were reduced on
    reading, where they were. Raises InputError without pictures, and where a value cannot be used.
    """
    require(len(pictures) > 0, "there are no training pictures to fit the input on")
    shapes = np.asarray(pictures.shapes)
    heights, widths = np.asarray(shapes[:, :2] if sizes is None else sizes, dtype=np.float64)[:, :2].T
    if channels is None:
        channels = 1 if bool((shapes[:, 2] == 1).all()) else 3
    if isinstance(size, int):
        size = (size, size)
    height, width = size or _size(heights, widths, largest)
    chosen, why = _fit(heights, widths, height, width)
    if fit is not None:
        chosen, why = fit, "as asked"
    if mean is None or deviation is None:
        fitted_mean, fitted_deviation = pixel_statistics(pictures, channels)
        mean, deviation = mean or fitted_mean, deviation or fitted_deviation
    spec = InputSpec(
        channels=channels,
        height=height,
        width=width,
        fit=chosen,
        crop_share=crop_share,
        interpolation=interpolation,
        mean=mean,
        deviation=deviation,
    )
    return spec, f"{_sizes_in_words(heights, widths)}; the network's input is {width}x{height}, {why}"


def fit_row_spec(rows: Pixels, names: tuple[str, ...]) -> tuple[InputSpec, str]:
    """The input specification for these training rows of a table, (1, 1, F) each, and the sentence for the log."""
    require(len(rows) > 0, "there are no training rows to fit the input on")
    fields, mean, deviation, words = fit_fields(rows.block(np.arange(len(rows)))[:, 0, 0], names)
    spec = InputSpec(channels=len(names), height=1, width=1, mean=mean, deviation=deviation, fields=fields)
    return spec, words


def _size(heights: np.ndarray, widths: np.ndarray, largest: int) -> tuple[int, int]:
    """Height and width of the input: small pictures keep theirs, a shape that all share is kept."""
    aspects = widths / heights
    height, width = float(np.median(heights)), float(np.median(widths))
    if aspects.max() <= 1.02 * aspects.min():
        aspect = float(np.clip(np.median(aspects), 1 / LARGEST_ASPECT, LARGEST_ASPECT))
        if aspect != float(np.median(aspects)):
            height, width = math.sqrt(height * width / aspect), math.sqrt(height * width * aspect)
    else:
        height = width = float(np.median(np.sqrt(heights * widths)))
    if max(height, width) <= SMALL:
        factor = max(1.0, SMALLEST / min(height, width))
        return round(height * factor), round(width * factor)
    factor = min(1.0, largest / math.sqrt(height * width))
    sides = (STRIDE * max(1, round(side * factor / STRIDE)) for side in (height, width))
    tall, wide = sides
    return min(tall, LARGEST_SIDE), min(wide, LARGEST_SIDE)


def _fit(heights: np.ndarray, widths: np.ndarray, height: int, width: int) -> tuple[str, str]:
    """Squash while that distorts little, for it keeps all of the picture and fills the input; else pad."""
    if bool((heights == height).all() and (widths == width).all()):
        return "squash", "as they are"
    stretch = (widths / heights) * (height / width)
    worst = float(np.quantile(np.maximum(stretch, 1 / stretch), 0.95))
    if worst <= 1.02:
        return "squash", "resized in their own shape"
    if worst <= LONGEST_SQUASHED:
        return "squash", f"squashed to it (19 of 20 are distorted by {worst:.2g} or less, and all of each is kept)"
    return "pad", f"padded to it, for 1 in 20 would be distorted by more than {worst:.2g}"


def _sizes_in_words(heights: np.ndarray, widths: np.ndarray) -> str:
    if heights.min() == heights.max() and widths.min() == widths.max():
        return f"all pictures are {int(widths[0])}x{int(heights[0])}"
    return (
        f"pictures are {int(widths.min())} to {int(widths.max())} pixels wide "
        f"and {int(heights.min())} to {int(heights.max())} high"
    )
