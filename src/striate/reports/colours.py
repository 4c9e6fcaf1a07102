"""Colours of maps: from numbers to pixels, so that equal steps of a value look like equal steps of light.

Dark is nothing in both scales, so that a map can be laid over a dimmed picture and read on a light and on a dark page.
`heat` is "inferno" (Smith and van der Walt 2015, CC0), made for even steps of perceived lightness; `signed` is made
here in OKLab (Ottosson 2020): blue and orange, which people with any kind of colour blindness tell apart, and equal
values of either sign are equally light. Legend: H W pixels.
"""

from __future__ import annotations

from functools import cache

import numpy as np

STEPS = 256
# Ten evenly spaced colours of it; between them straight lines are within two levels of the whole table.
INFERNO = (
    *("000004", "1b0c42", "4b0c6b", "781c6d", "a52c60"),
    *("cf4446", "ed6925", "fb9a06", "f7d03c", "fcffa4"),
)
# OKLab lightness at nothing and at the most, then hue (degrees) and chroma of either end.
DARKEST, LIGHTEST = 0.16, 0.77
FOR, AGAINST = (60.0, 0.16), (245.0, 0.125)
DIMMED = 0.62  # of a picture's brightness, below a map
MOST_COVER = 0.88  # of the picture that the strongest value hides
FAINT = 0.7  # exponent: weak values can still be seen over the picture


def heat(values: np.ndarray) -> np.ndarray:
    """Values (...) in [0, 1], nothing to most -> colours (..., 3) `uint8`."""
    return _looked_up(_heat_table(), np.clip(values, 0, 1))


def signed(values: np.ndarray) -> np.ndarray:
    """Values (...) in [-1, 1], against to for -> colours (..., 3) `uint8`: blue, dark at 0, orange."""
    return _looked_up(_signed_table(), (np.clip(values, -1, 1) + 1) / 2)


def strength(values: np.ndarray) -> float:
    """The largest magnitude of maps (...), by which they are scaled; 0 where all are 0.

    Single pixels may stick out by far: of more than 200 values the most extreme one in a hundred do not count.
    """
    magnitude = np.abs(np.nan_to_num(np.asarray(values, dtype=np.float64)))
    largest = float(magnitude.max(initial=0.0))
    return float(np.quantile(magnitude, 0.99)) or largest if magnitude.size > 200 else largest


def scaled(values: np.ndarray, largest: float) -> np.ndarray:
    """Maps (...) by a magnitude, cut to [-1, 1]; all zero where it is 0.

    Nothing is shifted: 0 stays 0, so that what has no influence is dark.
    """
    clean = np.nan_to_num(np.asarray(values, dtype=np.float64))
    return np.clip(clean / largest, -1, 1) if largest > 0 else np.zeros_like(clean)


def alone(values: np.ndarray, largest: float) -> np.ndarray:
    """A map (H, W) as a picture (H, W, 3) `uint8`: by `signed` where it has negative values, else by `heat`."""
    shown = scaled(values, largest)
    return signed(shown) if shown.min(initial=0.0) < 0 else heat(shown)


def over(values: np.ndarray, picture: np.ndarray, largest: float) -> np.ndarray:
    """A map (H, W) over a picture (H, W, 1 or 3) `uint8`, which is made grey and dim: (H, W, 3) `uint8`."""
    shown = scaled(values, largest)
    grey = picture.astype(np.float64).mean(axis=2, keepdims=True) * DIMMED
    cover = MOST_COVER * np.abs(shown)[..., None] ** FAINT
    colour = (signed(shown) if shown.min(initial=0.0) < 0 else heat(shown)).astype(np.float64)
    drawn: np.ndarray = np.rint(grey * (1 - cover) + colour * cover).astype(np.uint8)
    return drawn


def scale_strip(is_signed: bool, width: int = 128, height: int = 8) -> np.ndarray:
    """The scale itself, as a picture (height, width, 3) `uint8`, for a legend."""
    line = signed(np.linspace(-1, 1, width)) if is_signed else heat(np.linspace(0, 1, width))
    return np.broadcast_to(line, (height, width, 3)).copy()


def _looked_up(table: np.ndarray, places: np.ndarray) -> np.ndarray:
    """The colours of a table (STEPS, 3) at `places` in [0, 1]."""
    found: np.ndarray = table[np.rint(places * (STEPS - 1)).astype(np.int64)]
    return found


@cache
def _heat_table() -> np.ndarray:
    known = np.array([[int(code[at : at + 2], 16) for at in (0, 2, 4)] for code in INFERNO], dtype=np.float64)
    places = np.linspace(0, len(known) - 1, STEPS)
    columns = [np.interp(places, np.arange(len(known)), known[:, channel]) for channel in range(3)]
    return np.rint(np.stack(columns, axis=1)).astype(np.uint8)


@cache
def _signed_table() -> np.ndarray:
    places = np.linspace(-1, 1, STEPS)
    strength = np.abs(places)
    hue = np.deg2rad(np.where(places < 0, AGAINST[0], FOR[0]))
    chroma = strength * np.where(places < 0, AGAINST[1], FOR[1])
    lightness = DARKEST + (LIGHTEST - DARKEST) * strength
    return from_oklab(np.stack([lightness, chroma * np.cos(hue), chroma * np.sin(hue)], axis=-1))


def from_oklab(mixed: np.ndarray) -> np.ndarray:
    """OKLab (..., 3) -> sRGB (..., 3) `uint8`; what no screen has is brought to the nearest by each channel."""
    lightness, a, b = mixed[..., 0], mixed[..., 1], mixed[..., 2]
    long = (lightness + 0.3963377774 * a + 0.2158037573 * b) ** 3
    medium = (lightness - 0.1055613458 * a - 0.0638541728 * b) ** 3
    short = (lightness - 0.0894841775 * a - 1.2914855480 * b) ** 3
    linear = np.stack(
        [
            4.0767416621 * long - 3.3077115913 * medium + 0.2309699292 * short,
            -1.2684380046 * long + 2.6097574011 * medium - 0.3413193965 * short,
            -0.0041960863 * long - 0.7034186147 * medium + 1.7076147010 * short,
        ],
        axis=-1,
    ).clip(0, 1)
    curved = np.where(linear <= 0.0031308, 12.92 * linear, 1.055 * linear ** (1 / 2.4) - 0.055)
    colours: np.ndarray = np.rint(255 * curved).astype(np.uint8)
    return colours
