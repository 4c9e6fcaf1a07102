"""Picture files: unmutated they load exactly; whatever is done to them, they load or raise InputError, and soon."""

from __future__ import annotations

import io

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from mutations import fuzz_settings, mutated, within_memory
from PIL import Image

from striate.data.decode import decode, probe
from striate.data.jpeg import compressed_checksum, read_frame
from striate.errors import InputError

HEIGHT, WIDTH = 12, 16
RNG = np.random.default_rng(3)
COLOUR = np.kron(RNG.integers(0, 256, (3, 4, 3)), np.ones((4, 4, 1))).astype(np.uint8)
DEEP = RNG.integers(0, 65536, (HEIGHT, WIDTH), dtype=np.uint16)


def saved(kind: str, image: Image.Image, **options: object) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, kind, **options)
    return buffer.getvalue()


def valid_files() -> dict[str, tuple[bytes, np.ndarray, int]]:
    """Name -> (file, its pixels, tolerance)."""
    picture = Image.fromarray(COLOUR)
    exif = Image.Exif()
    exif[0x0112] = 3
    exif[0x010E] = "a picture of blocks"
    upside_down = COLOUR[::-1, ::-1]
    palette = picture.quantize(16)
    deep = (DEEP / 257.0).astype(np.float32)[..., None]
    frames = [picture, picture.rotate(180)]
    text = "P3\n# blocks\n16 12\n255\n" + " ".join(str(value) for value in COLOUR.ravel())
    return {
        "jpeg": (saved("JPEG", picture, quality=100, subsampling=0, exif=exif), upside_down, 4),
        "jpeg progressive": (saved("JPEG", picture, quality=100, subsampling=0, progressive=True), COLOUR, 4),
        "jpeg cmyk": (saved("JPEG", picture.convert("CMYK"), quality=100), COLOUR, 8),
        "png": (saved("PNG", picture, exif=exif), upside_down, 0),
        "png deep": (saved("PNG", Image.fromarray(DEEP)), deep, 1e-4),
        "png palette": (saved("PNG", palette, transparency=bytes(range(0, 160, 10))), None, 0),
        "png animation": (saved("PNG", picture, save_all=True, append_images=frames[1:]), COLOUR, 0),
        "webp": (saved("WEBP", picture, lossless=True, exif=exif), upside_down, 0),
        "webp animation": (saved("WEBP", picture, lossless=True, save_all=True, append_images=frames[1:]), COLOUR, 0),
        "gif": (saved("GIF", palette, save_all=True, append_images=[palette.rotate(90)]), None, 0),
        "bmp": (saved("BMP", picture), COLOUR, 0),
        "bmp palette": (saved("BMP", palette), None, 0),
        "dib": (saved("DIB", picture), COLOUR, 0),
        "tiff": (saved("TIFF", picture), COLOUR, 0),
        "tiff deep": (saved("TIFF", Image.fromarray(DEEP)), deep, 1e-4),
        "tiff deflate": (saved("TIFF", picture, compression="tiff_adobe_deflate"), COLOUR, 0),
        "tiff lzw": (saved("TIFF", picture, compression="tiff_lzw"), COLOUR, 0),
        "tiff jpeg": (saved("TIFF", picture, compression="jpeg", quality=100), COLOUR, 12),
        "tiff group4": (saved("TIFF", picture.convert("1"), compression="group4"), None, 0),
        "ppm": (saved("PPM", picture), COLOUR, 0),
        "ppm plain": (text.encode(), COLOUR, 0),
        "pgm deep": (saved("PPM", Image.fromarray(DEEP)), deep, 1e-4),
        "pbm": (saved("PPM", picture.convert("1")), None, 0),
    }


FILES = valid_files()


@pytest.mark.parametrize("name", FILES)
def test_unmutated_files_load_exactly(name: str) -> None:
    data, expected, tolerance = FILES[name]
    pixels = decode(data)
    header = probe(data)
    assert (header.height, header.width) == pixels.shape[:2] == (HEIGHT, WIDTH)
    if expected is not None:
        assert np.abs(pixels.astype(float) - expected.astype(float)).max() <= tolerance


@fuzz_settings
@given(data=st.sampled_from(sorted(FILES)).flatmap(lambda name: mutated(FILES[name][0])))
def test_only_input_errors_come_out(data: bytes) -> None:
    with within_memory():
        try:
            header = probe(data)
        except InputError:
            header = None
        frame = read_frame(data)
        if frame is not None:
            assert 0 <= compressed_checksum(data, frame, 1) < 2**64
        try:
            small = decode(data, at_least=5)
        except InputError:
            small = None
        try:
            pixels = decode(data)
        except InputError:
            return
    assert header is not None
    assert pixels.shape[2] in (1, 3)
    assert pixels.dtype in (np.uint8, np.float32)
    assert np.isfinite(pixels).all()
    if small is not None:
        assert small.shape[2] in (1, 3)
        assert min(5, *pixels.shape[:2]) <= min(small.shape[:2]) <= min(pixels.shape[:2])
    assert pixels.min() >= 0
    assert pixels.max() <= 255
