"""Bytes of a picture file -> its pixels, as a person sees them, at their full depth.

(H, W, C): C is 1 where the content is grey (R = G = B everywhere), else 3. `uint8`; `float32` in [0, 255] where a
channel has more than 8 bits (16-bit values are divided by 257). The EXIF orientation is applied, transparency is
composited on white, of an animation the first frame is taken; colour profiles are not applied.

Limits: an allow-list of formats, pixels (checked in the header, before anything is decoded), bytes of the file.
Pillow decodes; what its colour modes lose is read in `modes.py`.
"""

from __future__ import annotations

import io
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from PIL import (
    BmpImagePlugin,
    GifImagePlugin,
    Image,
    ImageFile,
    JpegImagePlugin,
    PngImagePlugin,
    PpmImagePlugin,
    TiffImagePlugin,
    WebPImagePlugin,
)

from striate.data.damaged import DAMAGED, quiet, readable
from striate.data.modes import BITS_PER_SAMPLE, pixels_of
from striate.errors import InputError, require

FORMATS: dict[str, type[ImageFile.ImageFile]] = {
    "JPEG": JpegImagePlugin.JpegImageFile,
    "PNG": PngImagePlugin.PngImageFile,
    "WEBP": WebPImagePlugin.WebPImageFile,
    "GIF": GifImagePlugin.GifImageFile,
    "BMP": BmpImagePlugin.BmpImageFile,
    "TIFF": TiffImagePlugin.TiffImageFile,
    "PPM": PpmImagePlugin.PpmImageFile,
    "DIB": BmpImagePlugin.DibImageFile,
}
# Formats that Pillow has in some builds only, or after an extension has registered itself.
OPTIONAL = ("AVIF", "HEIF")
KNOWN = "JPEG, PNG, WebP, GIF, BMP, TIFF, PNM, AVIF"

ORIENTATION = 0x0112
TILE_SIDES = (322, 323)
SCALES = (8, 4, 2)  # at which Pillow lets a JPEG be decoded, the smallest picture first
EXIF_KEYS = ("exif", "Raw profile type exif", "Raw profile type APP1")


@dataclass(frozen=True, kw_only=True)
class Limits:
    """What a picture may cost before it is refused."""

    pixels: int = 100_000_000  # width x height
    encoded_bytes: int = 1 << 29
    # A file that holds more pixels than `bomb_pixels`, and more than `pixels_a_byte` for each of its bytes, is a
    # decompression bomb. JPEG reaches about 100 a byte, PNG 1,032 where every byte of it is equal.
    bomb_pixels: int = 20_000_000
    pixels_a_byte: int = 1000


@dataclass(frozen=True, kw_only=True)
class Header:
    """What a file says of its picture. `width` and `height` are those after `orientation` (EXIF, 1-8) is applied."""

    width: int
    height: int
    mode: str  # Pillow's name: "L", "RGB", "I;16", ...
    format: str
    orientation: int
    bits: int  # a channel


def probe(data: bytes, limits: Limits | None = None) -> Header:
    """The header alone; pixels are not decoded. Raises InputError with the reason alone."""
    with quiet():
        image = _open(data, limits or Limits())
        orientation = _orientation(image)
        width, height = image.size
        # Pillow turns the size of a TIFF by itself.
        if orientation >= 5 and image.format != "TIFF":
            width, height = height, width
        return Header(
            width=width,
            height=height,
            mode=image.mode,
            format=image.format or "",
            orientation=orientation,
            bits=_bits(image, data),
        )


def decode(data: bytes, limits: Limits | None = None, *, at_least: int | None = None) -> np.ndarray:
    """The picture (H, W, C) that these bytes encode; C is 1 or 3, `uint8`, or `float32` in [0, 255].

    `at_least`: a JPEG is decoded at 1/2, 1/4 or 1/8 of its size, whichever is the smallest that leaves the shorter side
    so long; a point (x, y) then lies at (x / k, y / k). Other formats are not changed by it.
    Raises InputError with the reason alone: unknown format, damaged or cut short, over the limits.
    May be called from several threads at once.
    """
    with quiet():
        image = _open(data, limits or Limits())
        if at_least is not None:
            _choose_scale(image, at_least)
        pixels = pixels_of(image, data)
        if image.format != "TIFF":  # Pillow turns a TIFF by itself
            pixels = turned(pixels, _orientation(image))
    pixels = grey_if_grey(np.ascontiguousarray(pixels))
    # Pillow's own buffer is read-only, of which torch warns.
    return pixels if pixels.flags.writeable else pixels.copy()


def as_pixels(array: np.ndarray) -> np.ndarray:
    """An array from a source, (H, W) or (H, W, 1 or 3), as `decode` would give it.

    `uint8`, or numbers in [0, 255] that become `float32`. Raises InputError with the reason alone.
    """
    pixels = array[..., None] if array.ndim == 2 else array
    require(
        pixels.ndim == 3 and pixels.shape[2] in (1, 3) and pixels.size > 0,
        f"a picture must be (H, W) or (H, W, 1 or 3), got shape {array.shape}",
    )
    if pixels.dtype != np.uint8:
        require(pixels.dtype.kind in "fiub", f"a picture must hold numbers, got {array.dtype}")
        pixels = pixels.astype(np.float32)
        low, high = float(pixels.min()), float(pixels.max())
        require(low >= 0 and high <= 255, f"a picture's values must be in [0, 255], got {low:g} to {high:g}")
    return pixels if pixels.shape[2] == 1 and pixels.flags.c_contiguous else grey_if_grey(np.ascontiguousarray(pixels))


def as_row(array: np.ndarray) -> np.ndarray:
    """The fields of a row of a table of numbers, (F,), as a picture of one pixel: (1, 1, F) `float32`, any numbers.

    Raises InputError with the reason alone.
    """
    require(array.size > 0 and array.dtype.kind in "fiub", f"a row must hold numbers, got {array.dtype}")
    row = array.astype(np.float32).reshape(1, 1, -1)
    require(bool(np.isfinite(row).all()), "a row must hold finite numbers")
    return row


def grey_if_grey(pixels: np.ndarray) -> np.ndarray:
    """(H, W, C) -> (H, W, 1) where all channels are equal everywhere, else unchanged."""
    if pixels.shape[2] == 1:
        return pixels
    # A coarse grid settles nearly every colour picture.
    step = max(1, min(pixels.shape[:2]) // 16)
    for seen in (pixels[::step, ::step], pixels):
        red, green, blue = seen[..., 0], seen[..., 1], seen[..., 2]
        if not (np.array_equal(red, green) and np.array_equal(green, blue)):
            return pixels
    return np.ascontiguousarray(pixels[..., :1])


def turned(pixels: np.ndarray, orientation: int) -> np.ndarray:
    """(H, W, C) as it is stored -> as it is to be shown (EXIF 2.32, tag 0x0112, values 1-8)."""
    if orientation >= 5:
        pixels = pixels.transpose(1, 0, 2)
    # After the transposition, which of the two axes runs backwards.
    if orientation in (3, 4, 7, 8):
        pixels = pixels[::-1]
    if orientation in (2, 3, 6, 7):
        pixels = pixels[:, ::-1]
    return pixels


def _open(data: bytes, limits: Limits) -> ImageFile.ImageFile:
    """The picture with its header read. Image.open is not used: its own limit on pixels warns instead of refusing,
    is one setting for the whole process, and MPO files (several JPEGs in one) are one more format there."""
    require(len(data) > 0, "the file is empty")
    require(
        len(data) <= limits.encoded_bytes,
        f"{len(data):,} bytes are more than the limit of {limits.encoded_bytes:,}",
    )
    for name, kind in _formats():
        if _accepts(name, data):
            with readable():
                image: ImageFile.ImageFile = kind(io.BytesIO(data))
            width, height = image.size
            require(width > 0 and height > 0, "the picture has no pixels")
            require(
                width * height <= limits.pixels,
                f"{width:,} x {height:,} pixels are more than the limit of {limits.pixels:,}",
            )
            require(
                width * height <= max(limits.bomb_pixels, limits.pixels_a_byte * len(data)),
                f"{width:,} x {height:,} pixels in {len(data):,} bytes: a decompression bomb",
            )
            _check_tiles(image, limits)
            return image
    raise InputError(f"not a picture in a known format ({KNOWN})")


def _choose_scale(image: ImageFile.ImageFile, at_least: int) -> None:
    """Let a JPEG decoder leave out what a smaller picture does not show: most of the inverse transform."""
    width, height = image.size
    if image.format == "JPEG":
        scale = next((k for k in SCALES if min(width, height) // k >= max(1, at_least)), 1)
        if scale > 1:
            image.draft(None, (width // scale, height // scale))


def _check_tiles(image: ImageFile.ImageFile, limits: Limits) -> None:
    """A TIFF may say that its tiles are larger than itself; each is decoded whole."""
    if isinstance(image, TiffImagePlugin.TiffImageFile):
        sides = [image.tag_v2.get(tag, 0) for tag in TILE_SIDES]
        if all(isinstance(side, int) for side in sides):
            require(
                sides[0] * sides[1] <= limits.pixels,
                f"tiles of {sides[0]:,} x {sides[1]:,} pixels are more than the limit of {limits.pixels:,}",
            )


def _formats() -> Iterator[tuple[str, Any]]:
    yield from FORMATS.items()
    Image.preinit()
    for name in OPTIONAL:
        if name not in Image.OPEN and name == "AVIF":
            from PIL import AvifImagePlugin

            if not AvifImagePlugin.SUPPORTED:
                continue
        if name in Image.OPEN:
            yield name, Image.OPEN[name][0]


def _accepts(name: str, data: bytes) -> bool:
    test = Image.OPEN[name][1]
    # A text in place of a bool says that this build of Pillow cannot read the format.
    try:
        return test is not None and test(data[:16]) is True
    except DAMAGED:
        return False  # too few bytes to tell


def _orientation(image: ImageFile.ImageFile) -> int:
    """1-8; 1 where nothing is said, or what is said cannot be read: viewers show such a picture as it is stored."""
    if image.format == "TIFF":
        value = image.tag_v2.get(ORIENTATION, 1) if hasattr(image, "tag_v2") else 1
    elif any(key in image.info for key in EXIF_KEYS):
        try:
            value = image.getexif().get(ORIENTATION, 1)
        except (*DAMAGED, MemoryError):
            return 1
    else:
        return 1
    return value if isinstance(value, int) and 1 <= value <= 8 else 1


def _bits(image: ImageFile.ImageFile, data: bytes) -> int:
    """Bits a channel, as the file stores them."""
    if image.format == "PNG":
        return data[24]
    if image.format == "TIFF" and isinstance(image, TiffImagePlugin.TiffImageFile):
        bits = image.tag_v2.get(BITS_PER_SAMPLE, (1,))
        return int(max(bits)) if isinstance(bits, tuple) and bits else 8
    if image.format == "PPM" and image.tile and isinstance(image.tile[0].args, tuple):
        return int(image.tile[0].args[-1]).bit_length() if len(image.tile[0].args) == 2 else 32
    if image.format == "PPM" and image.mode == "I":
        return 16
    return {"1": 1, "F": 32, "I": 32}.get(image.mode, 16 if image.mode.startswith("I;16") else 8)
