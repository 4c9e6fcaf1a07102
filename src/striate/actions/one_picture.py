"""The one picture that a command is about: a file that is named, or an array; fully decoded."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from striate.errors import InputError, require


@dataclass(frozen=True, kw_only=True, eq=False)
class OnePicture:
    """Its name, its file where it has one, its pixels (H, W, C) `uint8` or `float32` in [0, 255], and the checksum of
    its content (see `data.reading`)."""

    name: str
    path: Path | None
    pixels: np.ndarray
    checksum: int


def one_picture(picture: str | Path | np.ndarray) -> OnePicture:
    """A file, or an array (H, W) or (H, W, C) of `uint8`, or of `float32` in [0, 255].

    Raises InputError: what is no picture, and a name that stands for several.
    """
    from striate.data.reading import checksum, picture_of
    from striate.data.sources.pictures import find_pictures
    from striate.models.model import pixels_of

    if isinstance(picture, np.ndarray):
        pixels = pixels_of(picture)
        return OnePicture(name="an array", path=None, pixels=pixels, checksum=checksum(pixels))
    samples = find_pictures([picture])
    require(len(samples) == 1, f"{picture}: {len(samples):,} pictures; one at a time, so name one of them")
    try:
        read = picture_of(samples.pictures.load(int(samples.index[0])))
    except InputError as error:
        raise InputError(f"{samples.names[0]}: {error}") from error
    return OnePicture(name=samples.names[0], path=Path(picture), pixels=read.pixels, checksum=read.checksum)
