"""Bytes of a picture file -> its pixels, as a person sees them, at their full depth.

(H, W, C): C is 1 where the content is grey (R = G = B everywhere), else 3. `uint8`; `float32` in [0, 255] where a
channel has more than 8 bits (16-bit values are divided by 257). The EXIF orientation is applied, transparency is
composited on white, of an animation the first frame is taken; colour profiles are not applied.

Limits: an allow-list of formats, pixels (checked in the header, before anything is decoded), bytes of the file.
Pillow decodes; what its colour modes lose (the low byte of 16-bit colour) is read here.
"""

from __future__ import annotations

import io
import re
import struct
import threading
import warnings
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
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

from striate.data.pnm import read_binary, read_plain
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

# What Pillow and its codecs are known to raise on files that are damaged or hostile (found by fuzzing).
DAMAGED = (
    OSError,
    SyntaxError,
    ValueError,
    EOFError,
    IndexError,
    KeyError,
    TypeError,
    AttributeError,
    AssertionError,
    OverflowError,
    ZeroDivisionError,
    RuntimeError,
    struct.error,
    zlib.error,
    Image.DecompressionBombError,
)

ORIENTATION = 0x0112
BITS_PER_SAMPLE, PHOTOMETRIC, TILE_SIDES = 258, 262, (322, 323)
WHITE_IS_ZERO = 0
EXIF_KEYS = ("exif", "Raw profile type exif", "Raw profile type APP1")
DEEP_COLOUR = {name: bands for bands in ("RGB", "RGBA", "RGBa", "RGBX") for name in (f"{bands};16L", f"{bands};16B")}


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
    with _quiet():
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


def decode(data: bytes, limits: Limits | None = None) -> np.ndarray:
    """The picture (H, W, C) that these bytes encode; C is 1 or 3, `uint8`, or `float32` in [0, 255].

    Raises InputError with the reason alone: unknown format, damaged or cut short, over the limits.
    May be called from several threads at once.
    """
    with _quiet():
        image = _open(data, limits or Limits())
        pixels = _pixels(image, data)
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
            with _readable():
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


def _pixels(image: ImageFile.ImageFile, data: bytes) -> np.ndarray:
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
    with _readable():
        image.load()
        return _as_array(image)


def _converted(image: ImageFile.ImageFile, mode: str) -> np.ndarray:
    with _readable():
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
    with _readable():
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
    with _readable():
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


@contextmanager
def _readable() -> Iterator[None]:
    """What a damaged file makes Pillow raise, as InputError."""
    try:
        yield
    except MemoryError as error:
        raise InputError("there is not enough memory to decode it") from error
    except DAMAGED as error:
        reason = " ".join(str(error).split())[:200]
        raise InputError(f"the picture is damaged or cut short ({reason or type(error).__name__})") from error


# Pillow warns of damaged metadata, which is no concern of a person who trains a network, and of sizes below our own
# limit. `warnings.catch_warnings` is not safe in threads: these filters are put in front while any thread decodes, and
# taken away after the last.
_FILTERS = [
    ("ignore", None, category, re.compile(r"PIL\."), 0) for category in (UserWarning, Image.DecompressionBombWarning)
]
_lock = threading.Lock()
_decoding = 0


@contextmanager
def _quiet() -> Iterator[None]:
    global _decoding
    filters: Any = warnings.filters
    with _lock:
        _decoding += 1
        # Someone else's `catch_warnings` may have put another list in place meanwhile.
        if _FILTERS[0] not in filters:
            filters[:0] = _FILTERS
    try:
        yield
    finally:
        with _lock:
            _decoding -= 1
            if _decoding == 0 and _FILTERS[0] in filters:
                for one in _FILTERS:
                    filters.remove(one)
