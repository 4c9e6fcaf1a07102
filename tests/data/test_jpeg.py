"""Large JPEGs: the checksum of their compressed data against their pixels, and decoding at a reduced scale against
the mean of the fully decoded picture.
"""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import pytest
import torch
from listed import table
from PIL import Image, ImageFilter

from striate.data.decode import decode
from striate.data.jpeg import LARGE, compressed_checksum, large_frame, read_frame
from striate.data.preparing import prepare_all
from striate.data.reading import checksum, picture_of, read_pictures, reduced
from striate.errors import InputError

RNG = np.random.default_rng(3)
ORIENTATION = 0x0112


def photo(height: int, width: int, seed: int = 0) -> Image.Image:
    """Smooth shapes with edges and some noise, in colour."""
    draws = np.random.default_rng(seed)
    small = draws.integers(0, 256, (height // 50 + 2, width // 50 + 2, 3), dtype=np.uint8)
    image = Image.fromarray(small).resize((width, height), Image.Resampling.BICUBIC)
    image = image.filter(ImageFilter.GaussianBlur(2))
    noisy = np.asarray(image).astype(np.int16) + draws.integers(-6, 7, (height, width, 1))
    noisy[height // 3 : height // 2, width // 4 : width // 2] //= 2
    return Image.fromarray(np.clip(noisy, 0, 255).astype(np.uint8))


def jpeg(image: Image.Image, orientation: int = 1, **options: object) -> bytes:
    buffer = io.BytesIO()
    if orientation != 1:
        exif = Image.Exif()
        exif[ORIENTATION] = orientation
        options["exif"] = exif
    image.save(buffer, "JPEG", **{"quality": 90, **options})
    return buffer.getvalue()


def segment(marker: int, body: bytes) -> bytes:
    return bytes((0xFF, marker)) + (len(body) + 2).to_bytes(2, "big") + body


def with_segment(data: bytes, marker: int, body: bytes) -> bytes:
    return data[:2] + segment(marker, body) + data[2:]


def without(data: bytes, *markers: int) -> bytes:
    """The JPEG without its segments of these kinds."""
    at, kept = 2, data[:2]
    while data[at + 1] != 0xDA:
        end = at + 2 + int.from_bytes(data[at + 2 : at + 4], "big")
        kept += b"" if data[at + 1] in markers else data[at:end]
        at = end
    return kept + data[at:]


def value(data: bytes) -> int:
    return picture_of(data).checksum


PLAIN = photo(1100, 2000)


def test_the_same_compressed_data_are_the_same_picture_and_only_they() -> None:
    """Whatever changes metadata alone changes neither pixels nor checksum; whatever changes pixels changes it."""
    data = jpeg(PLAIN)
    assert large_frame(data) is not None
    same = [
        with_segment(data, 0xFE, b"a comment"),
        with_segment(data, 0xE1, b"http://ns.adobe.com/xap/1.0/\0<x/>"),
        with_segment(data, 0xED, b"Photoshop 3.0\0"),
        without(data, 0xE0),
        data + b"what a camera appends" * 9,
        jpeg(PLAIN, icc_profile=b"p" * 70_000),
        jpeg(PLAIN, dpi=(300, 300), comment=b"made today"),
    ]
    pixels = decode(data)
    for other in same:
        assert other != data
        assert np.array_equal(decode(other), pixels)
        assert value(other) == value(data)
    changed = PLAIN.copy()
    changed.putpixel((1500, 900), (255, 0, 255))
    different = [
        jpeg(changed),
        jpeg(PLAIN, quality=91),
        jpeg(PLAIN.transpose(Image.Transpose.ROTATE_90)),
        jpeg(PLAIN.convert("L")),
        *(jpeg(PLAIN, orientation) for orientation in range(2, 9)),
    ]
    values = [value(data), *map(value, different)]
    assert len(set(values)) == len(values)
    assert not any(np.array_equal(decode(other), pixels) for other in different)


def test_orientation_counts_and_other_exif_does_not() -> None:
    turned = jpeg(PLAIN, 6)
    exif = Image.Exif()
    exif[ORIENTATION], exif[0x010F], exif[0x0132] = 6, "a camera", "2026:01:01 00:00:00"
    assert value(turned) == value(jpeg(PLAIN, exif=exif)) != value(jpeg(PLAIN))
    del exif[ORIENTATION]
    assert value(jpeg(PLAIN, exif=exif)) == value(jpeg(PLAIN))


@pytest.mark.parametrize("mode", ["RGB", "CMYK"])
def test_what_the_channels_mean_counts(mode: str) -> None:
    """An Adobe marker that is taken away, or says something else, changes the colours."""
    data = jpeg(PLAIN.convert(mode), **({"keep_rgb": True} if mode == "RGB" else {}))
    transform = data.index(b"Adobe") + 11
    other = data[:transform] + bytes([2 if mode == "CMYK" else 1]) + data[transform + 1 :]
    assert not np.array_equal(decode(data), decode(other))
    assert value(data) != value(other)
    bare = without(data, 0xEE)
    assert np.array_equal(decode(data), decode(bare)) == (value(data) == value(bare))


def test_progressive_and_restart_markers() -> None:
    for options in ({"progressive": True}, {"restart_marker_rows": 4}, {"optimize": True}, {"subsampling": 0}):
        data = jpeg(PLAIN, **options)
        frame = read_frame(data)
        assert frame is not None
        assert (frame.width, frame.height, frame.colours) == (2000, 1100, "ycc")
        assert value(with_segment(data, 0xFE, b"x")) == value(data)
        # of the compressed data every byte counts
        for at in (frame.scan, len(data) - 1000, len(data) - 3):
            assert compressed_checksum(data[:at] + bytes([data[at] ^ 1]) + data[at + 1 :], frame, 1) != value(data)


def test_small_ones_and_other_formats_are_known_by_their_pixels() -> None:
    small = jpeg(photo(300, 400))
    assert large_frame(small) is None
    buffer = io.BytesIO()
    Image.fromarray(decode(small)).save(buffer, "PNG")
    assert value(small) == value(buffer.getvalue()) == checksum(decode(small))
    edge = photo(1000, LARGE // 1000)
    assert large_frame(jpeg(edge)) is not None
    assert large_frame(jpeg(edge.crop((0, 0, LARGE // 1000 - 1, 1000)))) is None


def test_no_header_breaks_the_reader() -> None:
    data = jpeg(photo(20, 30), 3, comment=b"c")
    assert [read_frame(data[:end]) for end in range(0, data.index(b"\xff\xda") + 2, 3)].count(None) > 100
    head = data.index(b"\xff\xda") + 14
    for _ in range(3000):
        broken = bytearray(data)
        for at in RNG.integers(2, head, 3):
            broken[at] = RNG.integers(0, 256)
        frame = read_frame(bytes(broken))
        if frame is not None:
            assert 0 <= compressed_checksum(bytes(broken), frame, 1) < 2**64


@pytest.mark.parametrize("options", [{}, {"subsampling": 0}, {"progressive": True}])
@pytest.mark.parametrize(
    ("size", "at_least", "scale"), [((1100, 2000), 137, 8), ((1101, 1999), 256, 4), ((2001, 1007), 500, 2)]
)
def test_a_reduced_scale_is_nearly_the_mean_of_boxes(
    size: tuple[int, int], at_least: int, scale: int, options: dict[str, object]
) -> None:
    data = jpeg(photo(*size), **options)
    small, full = decode(data, at_least=at_least), decode(data)
    assert small.shape == (-(-size[0] // scale), -(-size[1] // scale), 3)
    assert min(small.shape[:2]) >= at_least
    assert min(size) // (2 * scale) < at_least or scale == 8
    rows, columns = (side // scale * scale for side in size)
    boxes = full[:rows, :columns].reshape(rows // scale, scale, columns // scale, scale, 3).mean(axis=(1, 3))
    error = np.abs(small[: rows // scale, : columns // scale] - boxes)
    assert error.mean() < 1
    assert np.quantile(error, 0.999) < 12


def test_a_scale_that_leaves_too_little_is_not_taken() -> None:
    data = jpeg(photo(1100, 2000))
    assert decode(data, at_least=551).shape == (1100, 2000, 3)
    assert decode(data, at_least=550).shape == (550, 1000, 3)
    assert decode(data, at_least=1).shape == (138, 250, 3)
    buffer = io.BytesIO()
    PLAIN.save(buffer, "PNG")
    assert decode(buffer.getvalue(), at_least=1).shape == (1100, 2000, 3)


@pytest.mark.parametrize("orientation", range(1, 9))
def test_a_reduced_picture_is_turned_and_grey_as_the_full_one(orientation: int) -> None:
    for mode in ("L", "RGB"):
        data = jpeg(PLAIN.convert(mode), orientation)
        small, full = decode(data, at_least=250), reduced(decode(data), 275)
        assert small.shape == full.shape
        assert np.abs(small.astype(float) - full).mean() < 1


def test_damage_is_told_at_a_reduced_scale_too() -> None:
    data = jpeg(PLAIN)
    for share in (0.05, 0.5, 0.95):
        with pytest.raises(InputError, match="damaged or cut short"):
            decode(data[: int(share * len(data))], at_least=200)


def test_checksums_are_the_same_however_a_picture_is_read() -> None:
    """In every split and at every setting; and what answers are given to is the fully decoded picture (law 3)."""
    data = [jpeg(PLAIN), jpeg(photo(300, 400)), jpeg(photo(1000, 2100, 1), 5)]
    samples = table(data)

    def prepare(pixels: np.ndarray) -> torch.Tensor:
        return torch.from_numpy(np.resize(pixels, (1, 4, 4)).copy())

    prepared = prepare_all(samples, range(3), prepare)
    for row in range(3):
        assert torch.equal(prepared.pictures[row], prepare(decode(data[row])))
    for shrink, scaled in ((None, False), (200, False), (200, True), (900, True)):
        reads = list(read_pictures(samples, range(3), shrink=shrink, scaled=scaled))
        assert [read.checksum for read in reads] == prepared.checksums.tolist()
        assert [read.size for read in reads] == [decode(one).shape[:2] for one in data]
    scaled_down = [read.pixels for read in read_pictures(samples, range(3), shrink=200, scaled=True)]
    plain = [read.pixels for read in read_pictures(samples, range(3), shrink=200)]
    assert isinstance(scaled_down[0], np.ndarray)
    assert isinstance(plain[1], np.ndarray)
    assert isinstance(plain[0], np.ndarray)
    assert np.array_equal(plain[0], reduced(decode(data[0]), 200))
    assert scaled_down[0].shape == (275, 500, 3)
    assert np.array_equal(scaled_down[1], plain[1])  # it is not large, so all of it is decoded for its checksum


def test_photographs_are_read_alike_at_a_reduced_scale(shared_data: Path) -> None:
    """Real ones, enlarged to what a camera makes: the reduced picture against the fully decoded one, reduced."""
    paths = sorted((shared_data / "caltech101-20").rglob("*.jpg"))[::97][:6]
    assert paths
    for path in paths:
        with Image.open(path) as small:
            image = small.convert("RGB").resize((2000, 1500), Image.Resampling.BICUBIC)
        data = jpeg(image)
        full, scaled = reduced(decode(data), 187), reduced(decode(data, at_least=187), 187)
        assert full.shape == scaled.shape
        assert np.abs(full.astype(float) - scaled).mean() < 0.7
