"""Pillow's colour modes -> (H, W, C), C 1 or 3: `uint8`, or `float32` in [0, 255] where a channel has more than 8 bits.

What these modes lose (the low byte of 16-bit colour, the scale of whole numbers) is read here; transparency is laid
on white.
"""

from __future__ import annotations

import io
from typing import Any

import numpy as np
from PIL import Image, ImageFile, TiffImagePlugin

from striate.data.damaged import readable
from striate.data.pnm import read_binary, read_plain
from striate.errors import InputError, require

BITS_PER_SAMPLE, PHOTOMETRIC = 258, 262
WHITE_IS_ZERO = 0
DEEP_COLOUR = {name: bands for bands in ("RGB", "RGBA", "RGBa", "RGBX") for name in (f"{bands};16L", f"{bands};16B")}


def pixels_of(image: ImageFile.ImageFile, data: bytes) -> np.ndarray:
    """(H, W, C) before it is turned."""
    decoder = image.tile[0].codec_name if image.tile else ""
    if image.format == "PPM" and decoder in ("ppm", "ppm_plain"):
        return _netpbm(image, data)
    raw = _rawmode(image)
    if image.format in ("PNG", "TIFF"):
        if raw == "LA;16B":
            return _deep_grey_with_alpha(image)
        if raw.replace("16N", "16L") in DEEP_COLOUR:
            return _deep_colour(image, data, raw)
    stored = _loaded(image)
    mode = image.mode
    if mode in ("L", "RGB") and "transparency" not in image.info:
        return stored
    if mode == "1":
        return _keyed(_converted(image, "L"), image.info.get("transparency"))
    if mode in ("L", "RGB"):
        return _keyed(stored, _key(image, data))
    if mode in ("P", "PA"):
        # Pillow gives each entry of the palette its own opacity, or makes one entry clear.
        return on_white(_converted(image, "RGBA"))
    if mode in ("LA", "RGBA"):
        return on_white(stored)
    if mode in ("La", "RGBa"):
        pixels = stored.astype(np.uint16)
        return np.asarray(np.minimum(pixels[..., :-1] + (255 - pixels[..., -1:]), 255), dtype=np.uint8)
    if mode.startswith("I;16"):
        return _deep_grey(image, stored)
    if mode in ("I", "F"):
        return _numbers(image, stored)
    if mode == "LAB":
        return _lab_to_rgb(stored)
    if mode in ("CMYK", "YCbCr", "HSV", "RGBX"):
        return _converted(image, "RGB")
    raise InputError(f"its colour mode {mode} is not known")


def _loaded(image: ImageFile.ImageFile) -> np.ndarray:
    with readable():
        image.load()
        return _as_array(image)


def _converted(image: ImageFile.ImageFile, mode: str) -> np.ndarray:
    with readable():
        return _as_array(image.convert(mode))


def _as_array(image: Image.Image) -> np.ndarray:
    pixels: np.ndarray = np.asarray(image)
    return pixels[..., None] if pixels.ndim == 2 else pixels


def on_white(pixels: np.ndarray) -> np.ndarray:
    """(H, W, C + 1), the last channel opacity, `uint8` or `uint16` -> (H, W, C), over white, exactly rounded."""
    largest = int(np.iinfo(pixels.dtype).max)
    if bool((pixels[..., -1] == largest).all()):
        return pixels[..., :-1]
    wide: np.ndarray = pixels.astype(np.uint32 if largest == 255 else np.uint64)
    colour, opacity = wide[..., :-1], wide[..., -1:]
    # Half of an odd number is never reached, so that adding its floor rounds exactly.
    mixed: np.ndarray = (colour * opacity + largest * (largest - opacity) + largest // 2) // largest
    return mixed.astype(pixels.dtype)


def _key(image: ImageFile.ImageFile, data: bytes) -> Any:
    """The transparent grey or colour in the units of the decoded pixels; PNG gives it in those of the file."""
    key = image.info.get("transparency")
    if image.format == "PNG" and isinstance(key, int) and data[24] < 8:
        return key * 255 // ((1 << data[24]) - 1)
    return key


def _keyed(pixels: np.ndarray, key: Any) -> np.ndarray:
    """The pixels that equal the transparent grey or colour become white."""
    values = (key,) if isinstance(key, int) else key
    if not isinstance(values, tuple) or len(values) != pixels.shape[2]:
        return pixels
    clear = (pixels == np.array(values)).all(axis=2)
    white = int(np.iinfo(pixels.dtype).max)
    return np.asarray(np.where(clear[..., None], white, pixels), dtype=pixels.dtype)


def _scaled(pixels: np.ndarray, largest: int = 65535) -> np.ndarray:
    """Integers in [0, largest] -> `float32` in [0, 255]."""
    scaled: np.ndarray = pixels.astype(np.float32)
    scaled /= np.float32(largest / 255)
    return scaled


def _deep_grey(image: ImageFile.ImageFile, stored: np.ndarray) -> np.ndarray:
    pixels = stored.astype(np.uint16, copy=False)
    largest = 65535
    if isinstance(image, TiffImagePlugin.TiffImageFile):
        bits = image.tag_v2.get(BITS_PER_SAMPLE, (16,))[0]
        largest = (1 << bits) - 1 if 8 < bits <= 16 else 65535
        if image.tag_v2.get(PHOTOMETRIC) == WHITE_IS_ZERO:
            pixels = largest - pixels
    return _scaled(_keyed(pixels, image.info.get("transparency")), largest)


def _deep_grey_with_alpha(image: ImageFile.ImageFile) -> np.ndarray:
    """A PNG of 16-bit grey and opacity: its four bytes a pixel, read as if they were four channels."""
    _set_rawmode(image, "RGBA")
    parts = _loaded(image).astype(np.uint16)
    return _scaled(on_white(parts[..., 0::2] << 8 | parts[..., 1::2]))


def _deep_colour(image: ImageFile.ImageFile, data: bytes, raw: str) -> np.ndarray:
    """16 bits a channel, of which Pillow keeps the high byte: decoded twice, as if in either byte order."""
    bands, order = raw.split(";16")
    little = order == "L" or (order == "N" and np.little_endian)
    # Premultiplied colour is taken as it is: dividing each byte by the opacity would mean nothing.
    stored = {"RGBa": "RGBA"}.get(bands, bands)
    with readable():
        low_image = type(image)(io.BytesIO(data))
    _set_rawmode(image, f"{stored};16{'L' if little else 'B'}")
    _set_rawmode(low_image, f"{stored};16{'B' if little else 'L'}")
    pixels = _loaded(image).astype(np.uint16) << 8 | _loaded(low_image)
    if bands == "RGBa":
        wide = pixels.astype(np.uint32)
        return _scaled(np.minimum(wide[..., :-1] + (65535 - wide[..., -1:]), 65535))
    if pixels.shape[2] == 4:
        pixels = on_white(pixels)
    return _scaled(_keyed(pixels, image.info.get("transparency")))


def _rawmode(image: ImageFile.ImageFile) -> str:
    """How the first tile lies in the file ("RGB;16B"), or ""."""
    if not image.tile:
        return ""
    arguments = image.tile[0].args
    first = arguments[0] if isinstance(arguments, tuple) and arguments else arguments
    return first if isinstance(first, str) else ""


def _set_rawmode(image: ImageFile.ImageFile, raw: str) -> None:
    image.tile = [
        tile._replace(args=(raw, *tile.args[1:]) if isinstance(tile.args, tuple) else raw) for tile in image.tile
    ]


def _numbers(image: ImageFile.ImageFile, pixels: np.ndarray) -> np.ndarray:
    """Modes I and F. Whole numbers are 16-bit values in a wider type; fractions are in [0, 1] or in [0, 255]."""
    low, high = float(pixels.min()), float(pixels.max())
    if image.mode == "I":
        require(low >= 0 and high <= 65535, f"its whole numbers, {low:g} to {high:g}, are not in [0, 65535]")
        return _scaled(pixels)
    largest = 1 if low >= 0 and high <= 1 else 255
    require(low >= 0 and high <= largest, f"its numbers, {low:g} to {high:g}, are neither in [0, 1] nor in [0, 255]")
    return pixels * np.float32(255 / largest)


def _netpbm(image: ImageFile.ImageFile, data: bytes) -> np.ndarray:
    tile = image.tile[0]
    width, height = image.size
    plain = tile.codec_name == "ppm_plain"
    channels = 3 if image.mode == "RGB" else 1
    largest = 1 if image.mode == "1" else int(tile.args[-1])  # type: ignore[index]
    read = read_plain if plain else read_binary
    with readable():
        values = read(data[tile.offset :], height, width, channels, largest)
    if image.mode == "1":
        return ((1 - values) * 255).astype(np.uint8)  # a 1 is black
    if largest > 255:
        return _scaled(values, largest)
    return ((values.astype(np.uint32) * 510 + largest) // (2 * largest)).astype(np.uint8)  # rounded, halves up


def _lab_to_rgb(pixels: np.ndarray) -> np.ndarray:
    """CIE L*a*b* under D50 (TIFF: L in 0-255 for 0-100, a and b signed) -> sRGB, both of them rounded.

    CIE 15:2004; D50 to D65 by Bradford and sRGB by IEC 61966-2-1, as one matrix (Lindbloom).
    """
    lightness = pixels[..., 0] * (100 / 255)
    a, b = (pixels[..., i].view(np.int8).astype(np.float64) for i in (1, 2))
    y = (lightness + 16) / 116
    f = np.stack([y + a / 500, y, y - b / 200], axis=-1)
    white = np.array([0.96422, 1.0, 0.82521])
    xyz = white * np.where(f > 6 / 29, f**3, 3 * (6 / 29) ** 2 * (f - 4 / 29))
    matrix = np.array(
        [[3.1338561, -1.6168667, -0.4906146], [-0.9787684, 1.9161415, 0.0334540], [0.0719453, -0.2289914, 1.4052427]]
    )
    linear = np.clip(xyz @ matrix.T, 0, 1)
    encoded = np.where(linear <= 0.0031308, 12.92 * linear, 1.055 * linear ** (1 / 2.4) - 0.055)
    return np.asarray(np.rint(255 * encoded), dtype=np.uint8)
