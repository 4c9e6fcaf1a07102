"""What is refused, what is limited, what a damaged file does, and that threads do not disturb each other."""

from __future__ import annotations

import io
import struct
import warnings
import zlib
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from PIL import Image, ImageFile

from striate.data.decode import Limits, as_pixels, decode, grey_if_grey, probe, turned
from striate.errors import InputError

RNG = np.random.default_rng(1)
COLOUR = RNG.integers(0, 256, (40, 50, 3), dtype=np.uint8)


def saved(kind: str, picture: np.ndarray = COLOUR, **options: object) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(picture).save(buffer, kind, **options)
    return buffer.getvalue()


def png(width: int, height: int, *chunks: tuple[bytes, bytes], rows: bytes = b"") -> bytes:
    parts = [(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)), *chunks]
    parts += [(b"IDAT", zlib.compress(rows)), (b"IEND", b"")]
    return b"\x89PNG\r\n\x1a\n" + b"".join(
        struct.pack(">I", len(body)) + name + body + struct.pack(">I", zlib.crc32(name + body)) for name, body in parts
    )


@pytest.mark.parametrize("side", [9_500, 20_000, 60_000])
def test_too_many_pixels_are_refused_in_the_header_without_a_warning(side: int) -> None:
    with pytest.raises(InputError, match="pixels are more than the limit of 1,000,000"):
        decode(png(side, side), Limits(pixels=1_000_000))
    with pytest.raises(InputError, match="pixels are more than the limit"):
        probe(png(side, side), Limits(pixels=90_000_000))


def test_the_default_limit_refuses_20000_by_20000() -> None:
    with pytest.raises(InputError, match="20,000 x 20,000 pixels are more than the limit of 100,000,000"):
        decode(png(20_000, 20_000))


@pytest.mark.parametrize("kind", ["WEBP", "TIFF", "GIF"])
def test_few_bytes_that_hold_many_pixels_are_a_bomb(kind: str) -> None:
    options = {"compression": "group4"} if kind == "TIFF" else {"lossless": True} if kind == "WEBP" else {}
    blank = Image.new("1" if kind == "TIFF" else "L", (3000, 2000), 255)
    buffer = io.BytesIO()
    blank.save(buffer, kind, **options)
    assert decode(buffer.getvalue()).shape == (2000, 3000, 1)
    with pytest.raises(InputError, match=r"3,000 x 2,000 pixels in [\d,]+ bytes: a decompression bomb"):
        decode(buffer.getvalue(), Limits(bomb_pixels=1_000_000, pixels_a_byte=100))


def test_the_limit_on_encoded_bytes() -> None:
    data = saved("PNG")
    assert np.array_equal(decode(data, Limits(encoded_bytes=len(data))), COLOUR)
    with pytest.raises(InputError, match="bytes are more than the limit"):
        decode(data, Limits(encoded_bytes=len(data) - 1))


@pytest.mark.parametrize("name", [b"zTXt", b"iTXt"])
def test_a_bomb_in_the_texts_of_a_png_is_refused(name: bytes) -> None:
    bomb = zlib.compress(bytes(80_000_000), 9)
    body = b"k\0\0" + bomb if name == b"zTXt" else b"k\0\1\0\0\0" + bomb
    with pytest.raises(InputError, match="damaged"):
        decode(png(1, 1, (name, body), rows=b"\0\1\2\3"))


def test_a_huge_colour_profile_is_refused_or_ignored_within_memory() -> None:
    bomb = b"k\0\0" + zlib.compress(bytes(80_000_000), 9)
    try:
        pixels = decode(png(1, 1, (b"iCCP", bomb), rows=b"\0\1\2\3"))
    except InputError:
        return
    assert pixels.tolist() == [[[1, 2, 3]]]


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP", "GIF", "BMP", "TIFF", "PPM"])
def test_pictures_that_are_cut_short_are_refused(kind: str) -> None:
    data = saved(kind)
    assert decode(data).shape == COLOUR.shape
    for share in (0.02, 0.3, 0.6, 0.9):
        with pytest.raises(InputError):
            decode(data[: int(share * len(data))])


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"", "the file is empty"),
        (b"hello, this is text", "not a picture in a known format"),
        (b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n", "not a picture in a known format"),
        (b"<svg></svg>", "not a picture in a known format"),
        (b"\xff\xd8\xff", "damaged"),
        (b"\x89PNG\r\n\x1a\n", "damaged"),
        (b"P5 0 5 255\n", "damaged"),
    ],
)
def test_no_pictures(data: bytes, reason: str) -> None:
    with pytest.raises(InputError, match=reason):
        decode(data)
    with pytest.raises(InputError, match=reason):
        probe(data)


def test_formats_outside_the_list_are_refused_though_pillow_reads_them() -> None:
    for kind in ("TGA", "PCX", "ICO", "SGI"):
        with pytest.raises(InputError, match="not a picture in a known format"):
            decode(saved(kind))


def test_the_first_frame_of_an_animation() -> None:
    frames = [Image.fromarray(np.full((8, 8, 3), value, dtype=np.uint8)) for value in (10, 200, 90)]
    for kind, options in (("GIF", {}), ("PNG", {}), ("WEBP", {"lossless": True}), ("TIFF", {})):
        buffer = io.BytesIO()
        frames[0].save(buffer, kind, save_all=True, append_images=frames[1:], **options)
        assert (decode(buffer.getvalue()) == 10).all()


def test_several_jpegs_in_one_file_give_the_first() -> None:
    buffer = io.BytesIO()
    first, second = Image.new("RGB", (16, 16), (200, 30, 30)), Image.new("RGB", (16, 16), (10, 200, 10))
    first.save(buffer, "MPO", save_all=True, append_images=[second])
    assert np.abs(decode(buffer.getvalue()).astype(int) - (200, 30, 30)).max() < 6


def test_damaged_metadata_is_no_reason_to_refuse_and_warns_nobody() -> None:
    broken = saved("JPEG", exif=b"Exif\0\0MM\0*\0\0\0\x08\0\x05\x01\x12\0\x03\xff\xff\xff\xff\0\x06")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert decode(broken).shape == COLOUR.shape
        before = list(warnings.filters)
        probe(broken)
        assert warnings.filters == before


@pytest.mark.parametrize("value", [0, 9, 255, 65535])
def test_an_orientation_that_is_none_counts_as_1(value: int) -> None:
    exif = Image.Exif()
    exif[0x0112] = value
    assert np.array_equal(decode(saved("PNG", exif=exif)), COLOUR)


def test_threads_give_what_one_thread_gives() -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    files = [
        saved(kind, COLOUR + i, **({"exif": exif} if i % 2 else {})) for i in range(20) for kind in ("JPEG", "PNG")
    ]
    files += [b"broken", saved("JPEG")[:300]] * 5

    def outcome(data: bytes) -> bytes | str:
        try:
            return decode(data).tobytes()
        except InputError as error:
            return str(error)

    with warnings.catch_warnings():
        warnings.simplefilter("error")
        before = list(warnings.filters)
        with ThreadPoolExecutor(8) as pool:
            together = list(pool.map(outcome, files * 4))
        assert warnings.filters == before
    assert together == [outcome(data) for data in files] * 4


def test_no_global_setting_of_pillow_is_changed() -> None:
    before = Image.MAX_IMAGE_PIXELS, ImageFile.LOAD_TRUNCATED_IMAGES
    decode(saved("PNG"))
    assert before == (Image.MAX_IMAGE_PIXELS, ImageFile.LOAD_TRUNCATED_IMAGES)


def test_one_coloured_pixel_keeps_a_picture_in_colour() -> None:
    grey = np.full((64, 64, 3), 77, dtype=np.uint8)
    assert decode(saved("PNG", grey)).shape == (64, 64, 1)
    for row, column, channel in ((0, 0, 0), (63, 63, 2), (31, 17, 1)):
        spot = grey.copy()
        spot[row, column, channel] = 78
        assert decode(saved("PNG", spot)).shape == (64, 64, 3)
        assert grey_if_grey(spot) is spot


def test_arrays_become_what_files_are() -> None:
    assert as_pixels(COLOUR) is COLOUR
    assert as_pixels(COLOUR[..., 0]).shape == (40, 50, 1)
    assert as_pixels(np.repeat(COLOUR[..., :1], 3, axis=2)).shape == (40, 50, 1)
    deep = as_pixels(COLOUR / 2)
    assert deep.dtype == np.float32
    assert as_pixels(COLOUR[::-1, ::2]).flags.c_contiguous
    for wrong in (
        np.zeros((4, 4, 2), np.uint8),
        np.zeros((0, 4), np.uint8),
        np.zeros(4, np.uint8),
        np.full((4, 4), 256.0),
        np.full((4, 4), np.nan),
        np.full((4, 4), -1),
        np.full((4, 4), "a"),
    ):
        with pytest.raises(InputError, match="a picture"):
            as_pixels(wrong)


def test_turning_twice_the_other_way_gives_the_picture_back() -> None:
    for orientation, back in ((1, 1), (2, 2), (3, 3), (4, 4), (5, 5), (6, 8), (7, 7), (8, 6)):
        assert np.array_equal(turned(turned(COLOUR, orientation), back), COLOUR)


@pytest.mark.parametrize(("low", "high"), [(-0.5, 1.0), (0.0, 256.0), (0.0, float("nan"))])
def test_fractions_outside_both_ranges_are_refused(low: float, high: float) -> None:
    buffer = io.BytesIO()
    Image.fromarray(np.array([[low, high]], dtype=np.float32)).save(buffer, "TIFF")
    with pytest.raises(InputError, match=r"neither in \[0, 1\] nor in \[0, 255\]"):
        decode(buffer.getvalue())


def test_a_gif_whose_frame_is_larger_than_its_screen_counts_with_the_frame() -> None:
    """90 million pixels, of which Pillow itself only warns: within our limit, then cut short; above it, refused."""
    data = b"GIF89a" + struct.pack("<HHBBB", 1, 1, 0x80, 0, 0) + bytes(6)
    data += b"," + struct.pack("<HHHHB", 0, 0, 9_500, 9_500, 0) + b"\2\0;"
    with pytest.raises(InputError, match="9,500 x 9,500 pixels are more than the limit"):
        decode(data, Limits(pixels=1_000_000))
    with pytest.raises(InputError, match="a decompression bomb"):
        probe(data)
    assert probe(data, Limits(bomb_pixels=100_000_000)).width == 9_500
