"""Every colour mode, in every format that carries it, in all eight EXIF orientations, against a plain NumPy oracle."""

from __future__ import annotations

import io
import struct
import zlib
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from PIL import Image, ImageCms, TiffImagePlugin, features

from striate.data.decode import decode, probe
from striate.errors import InputError

HEIGHT, WIDTH = 6, 9
RNG = np.random.default_rng(0)
GREY = RNG.integers(0, 256, (HEIGHT, WIDTH), dtype=np.uint8)
COLOUR = RNG.integers(0, 256, (HEIGHT, WIDTH, 3), dtype=np.uint8)
OPACITY = RNG.integers(0, 256, (HEIGHT, WIDTH), dtype=np.uint8)
OPACITY[0, :3] = (0, 255, 128)
DEEP = RNG.integers(0, 65536, (HEIGHT, WIDTH), dtype=np.uint16)
DEEP[0, :3] = (0, 65535, 257)
BITS = RNG.integers(0, 2, (HEIGHT, WIDTH)).astype(bool)
INDEX = RNG.integers(0, 16, (HEIGHT, WIDTH), dtype=np.uint8)
PALETTE = RNG.integers(0, 256, (16, 3), dtype=np.uint8)
CLEAR = RNG.integers(0, 256, 16, dtype=np.uint8)

Pixels = np.ndarray


def turn(pixels: Pixels, orientation: int) -> Pixels:
    """EXIF's own words: where the stored picture's row 0 and column 0 are to be shown."""
    rows, columns = {
        1: ("top", "left"),
        2: ("top", "right"),
        3: ("bottom", "right"),
        4: ("bottom", "left"),
        5: ("left", "top"),
        6: ("right", "top"),
        7: ("right", "bottom"),
        8: ("left", "bottom"),
    }[orientation]
    shown = pixels.copy() if rows in ("top", "bottom") else np.moveaxis(pixels, 0, 1).copy()
    if "bottom" in (rows, columns):
        shown = np.flip(shown, 0)
    if "right" in (rows, columns):
        shown = np.flip(shown, 1)
    return shown


def over_white(colour: Pixels, opacity: Pixels, largest: int = 255) -> Pixels:
    alpha = opacity.astype(np.float64)[..., None] / largest
    return np.rint(colour.astype(np.float64) * alpha + largest * (1 - alpha))


def palette_picture(transparency: bytes | int | None = None) -> tuple[Image.Image, dict[str, Any]]:
    image = Image.frombytes("P", (WIDTH, HEIGHT), INDEX.tobytes())
    image.putpalette(PALETTE.tobytes())
    return image, ({} if transparency is None else {"transparency": transparency})


def plain(array: Pixels, mode: str) -> tuple[Image.Image, dict[str, Any]]:
    return Image.frombytes(mode, (array.shape[1], array.shape[0]), np.ascontiguousarray(array).tobytes()), {}


def with_key(array: Pixels, mode: str, key: Any) -> tuple[Image.Image, dict[str, Any]]:
    return plain(array, mode)[0], {"transparency": key}


def keyed(array: Pixels, key: Any, white: int) -> Pixels:
    clear = (array.reshape(HEIGHT, WIDTH, -1) == np.array(key)).all(axis=2)
    shown = array.reshape(HEIGHT, WIDTH, -1).copy()
    shown[clear] = white
    return shown


GREY3 = GREY[..., None]
SIXTEEN = (DEEP.astype(np.float64) / 257)[..., None]
CMYK = RNG.integers(0, 256, (HEIGHT, WIDTH, 4), dtype=np.uint8)
CMYK_RGB = np.rint((255.0 - CMYK[..., :3]) * (255.0 - CMYK[..., 3:]) / 255)
FLOAT = RNG.random((HEIGHT, WIDTH), dtype=np.float32)

# name: (what makes the Pillow picture and save options, expected (H, W, C), largest difference allowed)
MODES: dict[str, tuple[Callable[[], tuple[Image.Image, dict[str, Any]]], Pixels, float]] = {
    "1": (lambda: (Image.fromarray(BITS), {}), BITS[..., None] * 255, 0),
    "L": (lambda: plain(GREY, "L"), GREY3, 0),
    "L key": (lambda: with_key(GREY, "L", int(GREY[2, 2])), keyed(GREY, int(GREY[2, 2]), 255), 0),
    "LA": (lambda: plain(np.dstack([GREY, OPACITY]), "LA"), over_white(GREY3, OPACITY), 0),
    "P": (lambda: palette_picture(), PALETTE[INDEX], 0),
    "P bytes": (lambda: palette_picture(CLEAR.tobytes()), over_white(PALETTE[INDEX], CLEAR[INDEX]), 0),
    "P one": (lambda: palette_picture(3), np.where((INDEX == 3)[..., None], 255, PALETTE[INDEX]), 0),
    "RGB": (lambda: plain(COLOUR, "RGB"), COLOUR, 0),
    "RGB grey": (lambda: plain(np.dstack([GREY] * 3), "RGB"), GREY3, 0),
    "RGB key": (
        lambda: with_key(COLOUR, "RGB", tuple(COLOUR[1, 1].tolist())),
        keyed(COLOUR, COLOUR[1, 1], 255),
        0,
    ),
    "RGBA": (lambda: plain(np.dstack([COLOUR, OPACITY]), "RGBA"), over_white(COLOUR, OPACITY), 0),
    "RGBX": (lambda: plain(np.dstack([COLOUR, OPACITY]), "RGBX"), COLOUR, 0),
    "CMYK": (lambda: plain(CMYK, "CMYK"), CMYK_RGB, 1),
    "I;16": (lambda: plain(DEEP, "I;16"), SIXTEEN, 1e-4),
    "I;16 key": (lambda: with_key(DEEP, "I;16", int(DEEP[2, 2])), keyed(DEEP, int(DEEP[2, 2]), 65535) / 257, 1e-4),
    "I;16B": (lambda: plain(DEEP.astype(">u2"), "I;16B"), SIXTEEN, 1e-4),
    "I": (lambda: plain(DEEP.astype(np.int32), "I"), SIXTEEN, 1e-4),
    "F unit": (lambda: plain(FLOAT, "F"), FLOAT[..., None] * 255, 1e-4),
    "F 255": (lambda: plain(FLOAT * 255, "F"), FLOAT[..., None] * 255, 1e-4),
}
CARRIED = {
    "PNG": ["1", "L", "L key", "LA", "P", "P bytes", "P one", "RGB", "RGB grey", "RGB key", "RGBA", "I;16", "I;16 key"],
    "WEBP": ["RGB", "RGB grey", "RGBA"],
    "TIFF": ["1", "L", "LA", "P", "RGB", "RGB grey", "RGBA", "RGBX", "CMYK", "I;16", "I;16B", "I", "F unit", "F 255"],
    "TIFF deflate": ["1", "L", "LA", "P", "RGB", "RGBA", "CMYK", "I;16", "F unit"],
    "GIF": ["1", "L", "P", "P one"],
    "BMP": ["1", "L", "P", "RGB"],
    "DIB": ["L", "RGB"],
    "PPM": ["1", "L", "RGB", "RGB grey", "I;16", "I"],
}
LOSSY = [("JPEG", "L"), ("JPEG", "RGB"), ("JPEG", "CMYK")]
if features.check("avif"):
    LOSSY += [("AVIF", "L"), ("AVIF", "RGB")]
ORIENTED = ("PNG", "WEBP", "TIFF", "TIFF deflate")
CASES = [
    (kind, mode, orientation)
    for kind, modes in CARRIED.items()
    for mode in modes
    for orientation in (range(1, 9) if kind in ORIENTED else (1,))
]


def encoded(image: Image.Image, kind: str, orientation: int, options: dict[str, Any]) -> bytes:
    name, _, compression = kind.partition(" ")
    buffer = io.BytesIO()
    exif = Image.Exif()
    exif[0x0112] = orientation
    if name == "TIFF":
        tags = TiffImagePlugin.ImageFileDirectory_v2()
        tags[0x0112] = orientation
        image.save(buffer, "TIFF", tiffinfo=tags, **({"compression": "tiff_adobe_deflate"} if compression else {}))
    elif name in ("PNG", "JPEG", "AVIF"):
        image.save(buffer, name, exif=exif, **options)
    elif name == "WEBP":
        image.save(buffer, name, exif=exif, lossless=True, exact=True, **options)
    else:
        image.save(buffer, name, **options)
    return buffer.getvalue()


def check(pixels: Pixels, expected: Pixels, tolerance: float, deep: bool) -> None:
    assert pixels.shape == expected.shape
    assert pixels.dtype == (np.float32 if deep else np.uint8)
    assert pixels.flags.c_contiguous
    assert np.abs(pixels.astype(np.float64) - expected.astype(np.float64)).max() <= tolerance


@pytest.mark.parametrize(("kind", "mode", "orientation"), CASES)
def test_lossless_pictures_are_exact(kind: str, mode: str, orientation: int) -> None:
    make, expected, tolerance = MODES[mode]
    image, options = make()
    data = encoded(image, kind, orientation, options)
    shown = turn(expected, orientation)
    check(decode(data), shown, tolerance, deep=mode[0] in "IF")
    header = probe(data)
    assert (header.height, header.width) == shown.shape[:2]
    assert header.orientation == orientation
    assert header.format == kind.split()[0]


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize(("kind", "mode"), LOSSY)
def test_lossy_pictures_are_near(kind: str, mode: str, orientation: int) -> None:
    slope = np.linspace(0, 255, 48 * 32).reshape(48, 32)
    colour = np.dstack([slope, slope[::-1], np.full_like(slope, 90)]).astype(np.uint8)
    if mode == "L":
        image, expected = Image.fromarray(slope.astype(np.uint8)), slope.astype(np.uint8)[..., None]
    elif mode == "RGB":
        image, expected = Image.fromarray(colour), colour
    else:
        # Pillow writes CMYK with Adobe's mark and inverted, as Photoshop does
        four = np.dstack([colour, np.full_like(slope, 40)]).astype(np.uint8)
        image = plain(four, "CMYK")[0]
        expected = np.rint((255.0 - four[..., :3]) * (255.0 - four[..., 3:]) / 255)
    options = {"quality": 100} if kind == "AVIF" else {"quality": 98, "subsampling": 0}
    check(decode(encoded(image, kind, orientation, options)), turn(expected, orientation), 8, deep=False)


def chunk(name: bytes, body: bytes) -> bytes:
    return struct.pack(">I", len(body)) + name + body + struct.pack(">I", zlib.crc32(name + body))


def filtered(values: Pixels) -> bytes:
    """The rows of a 16-bit picture with filters 0 to 4 in turn (PNG specification, 9.2)."""
    height, width, channels = values.shape
    raw, step = values.astype(">u2").tobytes(), channels * 2
    stride = width * step
    lines, before = [], bytes(stride)
    for row in range(height):
        line, kind = raw[row * stride : (row + 1) * stride], row % 5
        out = bytearray()
        for i, value in enumerate(line):
            left, up = (line[i - step] if i >= step else 0), before[i]
            corner = before[i - step] if i >= step else 0
            near = min((left, up, corner), key=lambda c: abs(left + up - corner - c))
            out.append((value - (0, left, up, (left + up) // 2, near)[kind]) & 255)
        lines.append(bytes([kind]) + bytes(out))
        before = line
    return b"".join(lines)


ADAM7 = [(0, 0, 8, 8), (0, 4, 8, 8), (4, 0, 8, 4), (0, 2, 4, 4), (2, 0, 4, 2), (0, 1, 2, 2), (1, 0, 2, 1)]


def deep_png(values: Pixels, *, interlaced: bool = False, before_data: bytes = b"") -> bytes:
    """A PNG of 16 bits a channel, which Pillow itself does not write with colour or opacity."""
    height, width, channels = values.shape
    kind = {1: 0, 2: 4, 3: 2, 4: 6}[channels]
    passes = [values[y::dy, x::dx] for y, x, dy, dx in ADAM7] if interlaced else [values]
    rows = b"".join(filtered(part) for part in passes if part.size)
    header = struct.pack(">IIBBBBB", width, height, 16, kind, 0, 0, int(interlaced))
    parts = [chunk(b"IHDR", header), before_data, chunk(b"IDAT", zlib.compress(rows)), chunk(b"IEND", b"")]
    return b"\x89PNG\r\n\x1a\n" + b"".join(parts)


@pytest.mark.parametrize("interlaced", [False, True])
@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("channels", [1, 2, 3, 4])
def test_deep_png(channels: int, orientation: int, interlaced: bool) -> None:
    values = RNG.integers(0, 65536, (HEIGHT, WIDTH, channels), dtype=np.uint16)
    expected = values / 257.0
    if channels in (2, 4):
        expected = over_white(values[..., :-1], values[..., -1], 65535) / 257
    exif = Image.Exif()
    exif[0x0112] = orientation
    data = deep_png(values, interlaced=interlaced, before_data=chunk(b"eXIf", exif.tobytes()[6:]))
    check(decode(data), turn(expected, orientation), 1e-4, deep=True)
    assert probe(data).bits == 16


def test_deep_png_with_a_transparent_colour() -> None:
    values = RNG.integers(0, 65536, (HEIGHT, WIDTH, 3), dtype=np.uint16)
    values[3, 3] = values[1, 1]
    # equal in the high bytes alone: not the transparent colour
    values[2, 2] = values[1, 1] ^ 1
    key = chunk(b"tRNS", values[1, 1].astype(">u2").tobytes())
    expected = values.copy()
    expected[1, 1] = expected[3, 3] = 65535
    check(decode(deep_png(values, before_data=key)), expected / 257.0, 1e-4, deep=True)


def test_the_transparent_grey_of_a_png_with_few_bits_is_in_the_files_units() -> None:
    nibbles = RNG.integers(0, 16, (4, 6), dtype=np.uint8)
    nibbles[0, 0] = 5
    packed = nibbles[:, 0::2] << 4 | nibbles[:, 1::2]
    rows = b"".join(b"\0" + row.tobytes() for row in packed)
    header = chunk(b"IHDR", struct.pack(">IIBBBBB", 6, 4, 4, 0, 0, 0, 0)) + chunk(b"tRNS", struct.pack(">H", 5))
    data = b"\x89PNG\r\n\x1a\n" + header + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b"")
    check(decode(data), np.where(nibbles == 5, 255, nibbles * 17)[..., None], 0, deep=False)


def tiff(values: Pixels, photometric: int, *, order: str = "<", extra: int | None = None, orientation: int = 1,
         compressed: bool = False, tile: int = 0) -> bytes:  # fmt: skip
    """One strip of whole numbers (TIFF 6.0), in either byte order."""
    height, width, channels = values.shape
    kind = values.dtype.newbyteorder(order)
    strip = values.astype(kind).tobytes()
    strip = zlib.compress(strip) if compressed else strip
    size = values.dtype.itemsize * 8
    tags: list[tuple[int, str, list[int]]] = [
        (256, "H", [width]), (257, "H", [height]), (258, "H", [size] * channels), (259, "H", [8 if compressed else 1]),
        (262, "H", [photometric]), (273, "I", [8]), (274, "H", [orientation]), (277, "H", [channels]),
        (278, "H", [height]), (279, "I", [len(strip)]),
    ]  # fmt: skip
    if tile:
        tags = [tag for tag in tags if tag[0] not in (273, 278, 279)]
        tags += [(322, "I", [tile]), (323, "I", [tile]), (324, "I", [8]), (325, "I", [len(strip)])]
    if extra is not None:
        tags.append((338, "H", [extra]))
    padded = strip + b"\0" * (len(strip) % 2)
    directory, later = 8 + len(padded), b""
    tail = directory + 2 + 12 * len(tags) + 4
    entries = b""
    for number, code, numbers in tags:
        body = struct.pack(f"{order}{len(numbers)}{code}", *numbers)
        if len(body) > 4:
            body, later = struct.pack(f"{order}I", tail + len(later)), later + body
        entries += struct.pack(f"{order}HHI", number, {"H": 3, "I": 4}[code], len(numbers)) + body.ljust(4, b"\0")
    start = struct.pack(f"{order}2sHI", b"II" if order == "<" else b"MM", 42, directory)
    return start + padded + struct.pack(f"{order}H", len(tags)) + entries + struct.pack(f"{order}I", 0) + later


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("compressed", [False, True])
@pytest.mark.parametrize("order", ["<", ">"])
@pytest.mark.parametrize("extra", [None, 0, 1, 2])
def test_deep_colour_tiff(extra: int | None, order: str, compressed: bool, orientation: int) -> None:
    values = RNG.integers(0, 65536, (HEIGHT, WIDTH, 3 if extra is None else 4), dtype=np.uint16)
    expected = values[..., :3].astype(np.float64)
    if extra == 1:
        values[..., :3] = np.minimum(values[..., :3], values[..., 3:])  # premultiplied: no channel is above opacity
        expected = values[..., :3] + 65535.0 - values[..., 3:]
    elif extra == 2:
        expected = over_white(values[..., :3], values[..., 3], 65535)
    data = tiff(values, 2, order=order, extra=extra, orientation=orientation, compressed=compressed)
    check(decode(data), turn(expected / 257, orientation), 1e-4, deep=True)


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("order", ["<", ">"])
def test_other_tiffs(order: str, orientation: int) -> None:
    two = np.dstack([GREY, OPACITY])
    two[..., 0] = np.minimum(two[..., 0], two[..., 1])
    premultiplied = (two[..., :1].astype(int) + 255 - two[..., 1:]).astype(np.uint8)
    data = tiff(two, 1, order=order, extra=1, orientation=orientation)
    check(decode(data), turn(premultiplied, orientation), 0, deep=False)
    inverted = tiff(GREY3, 0, order=order, orientation=orientation)
    check(decode(inverted), turn(255 - GREY3, orientation), 0, deep=False)
    if order == "<":  # Pillow knows it in this order only
        deep = tiff(DEEP[..., None], 0, order=order, orientation=orientation)
        check(decode(deep), turn((65535 - DEEP[..., None]) / 257, orientation), 1e-4, deep=True)


@pytest.mark.parametrize("orientation", range(1, 9))
def test_tiff_in_other_colour_spaces(orientation: int) -> None:
    lab = RNG.integers(0, 256, (HEIGHT, WIDTH, 3), dtype=np.uint8)
    # littlecms as the oracle, where the colour can be shown at all: a and b (signed bytes) are kept near grey
    lab[..., 0] = 60 + lab[..., 0] // 2
    lab[..., 1:] = ((lab[..., 1:] // 13).astype(np.int8) - 10).view(np.uint8)
    image = Image.frombytes("LAB", (WIDTH, HEIGHT), lab.tobytes())
    transform = ImageCms.buildTransform(ImageCms.createProfile("LAB"), ImageCms.createProfile("sRGB"), "LAB", "RGB")
    expected = np.asarray(ImageCms.applyTransform(image, transform))
    check(decode(encoded(image, "TIFF", orientation, {})), turn(expected, orientation), 2, deep=False)

    luma = plain(COLOUR, "YCbCr")[0]
    y, blue, red = (COLOUR[..., i].astype(np.float64) - (128 if i else 0) for i in range(3))
    shown = np.dstack([y + 1.402 * red, y - 0.344136 * blue - 0.714136 * red, y + 1.772 * blue])
    data = encoded(luma, "TIFF", orientation, {})
    check(decode(data), turn(np.clip(shown, 0, 255), orientation), 1.1, deep=False)


@pytest.mark.parametrize("largest", [1, 15, 100, 255, 1000, 65535])
@pytest.mark.parametrize("magic", ["P2", "P3", "P5", "P6"])
def test_netpbm_of_any_depth(magic: str, largest: int) -> None:
    channels = 3 if magic in ("P3", "P6") else 1
    values = RNG.integers(0, largest + 1, (HEIGHT, WIDTH, channels))
    header = f"{magic}\n# a comment\n{WIDTH} {HEIGHT}\n{largest}\n".encode()
    if magic in ("P2", "P3"):
        body = ("# 1 2 3\n" + " ".join(str(value) for value in values.ravel()) + "\n").encode()
    else:
        body = values.astype(np.uint8 if largest < 256 else ">u2").tobytes()
    deep = largest > 255
    check(decode(header + body), values * 255.0 / largest, 1e-4 if deep else 0.5, deep=deep)


def test_plain_bitmap() -> None:
    text = b"P1\n3 2\n0 1 0 # end of the line\n111\n"
    check(decode(text), np.array([[255, 0, 255], [0, 0, 0]])[..., None], 0, deep=False)


def test_tiles_count_with_their_size_not_with_the_pictures() -> None:
    values = np.zeros((64, 64, 1), dtype=np.uint8)
    values[:HEIGHT, :WIDTH] = GREY3
    check(decode(tiff(values, 1, tile=64)), values, 0, deep=False)
    with pytest.raises(InputError, match="tiles of 40,000 x 40,000 pixels are more than the limit"):
        decode(tiff(values, 1, tile=40_000))
