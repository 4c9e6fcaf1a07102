"""Pictures read and decoded by threads, in the order of the rows, each with a checksum of its content.

Every result is the same whatever the number of threads.
Law 3: only training pictures may be reduced (`shrink`), and only augmented ones come from a JPEG decoded at a reduced
scale (`scaled`); whatever is answered comes from the fully decoded picture.

Legend: H W pixels, C channels (1 grey, 3 colour; values in [0, 255], `uint8` or `float32`).
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np

from striate.data.decode import Limits, as_pixels, as_row, decode, probe
from striate.data.in_order import in_order
from striate.data.jpeg import compressed_checksum, large_frame
from striate.data.samples import Arrays, Samples
from striate.errors import InputError
from striate.observer import SILENT, Observer


class Picture(NamedTuple):
    """The pixels of a picture, and what it was before any reduction."""

    pixels: np.ndarray  # (H, W, C)
    size: tuple[int, int]  # height, width
    checksum: int  # 64 bits: of all pixels, or of the compressed data of a large JPEG (see `jpeg.py`)


class Read(NamedTuple):
    """One picture that was read, or why it was not."""

    row: int
    pixels: np.ndarray | InputError  # (H, W, C)
    size: tuple[int, int]  # as in `Picture`, as is the next; zeros where it was not read
    checksum: int
    digest: bytes = b""  # see `digest_of`


def load_pixels(samples: Samples, row: int, limits: Limits | None = None, *, at_least: int | None = None) -> np.ndarray:
    """The picture of one row (H, W, C), fully decoded. Raises InputError with the reason alone.

    `at_least`: see `decode`; for pictures that are only shown.
    """
    return decoded(samples.pictures.load(int(samples.index[row])), limits, at_least)


def decoded(loaded: bytes | np.ndarray, limits: Limits | None = None, at_least: int | None = None) -> np.ndarray:
    """What a source loads -> (H, W, C). `at_least`: see `decode`. Raises InputError with the reason alone."""
    if isinstance(loaded, np.ndarray):
        pixels = as_row(loaded) if loaded.ndim == 1 else as_pixels(loaded)
        return pixels if pixels.flags.writeable else pixels.copy()
    return decode(loaded, limits, at_least=at_least)


def picture_of(
    loaded: bytes | np.ndarray, limits: Limits | None = None, shrink: int | None = None, scaled: bool = False
) -> Picture:
    """What a source loads -> its pixels, reduced where that is asked for, and its checksum (the same either way)."""
    frame = None if isinstance(loaded, np.ndarray) else large_frame(loaded)
    if frame is None or isinstance(loaded, np.ndarray):
        pixels = decoded(loaded, limits)
        size, value = pixels.shape[:2], checksum(pixels)
    else:
        pixels = decoded(loaded, limits, shrink if scaled else None)
        header = probe(loaded, limits)
        size, value = (header.height, header.width), compressed_checksum(loaded, frame, header.orientation)
    return Picture(pixels if shrink is None else reduced(pixels, shrink), size, value)


def checksum(pixels: np.ndarray) -> int:
    """64 bits of the content (H, W, C): shape, type and values. Equal pictures in different files are equal here."""
    digest = hashlib.blake2b(digest_size=8)
    digest.update(f"{pixels.shape}{pixels.dtype.str}".encode())
    digest.update(np.ascontiguousarray(pixels).data)
    return int.from_bytes(digest.digest(), "little")


def grey_block(samples: Samples, rows: np.ndarray) -> tuple[np.ndarray, np.ndarray] | None:
    """`rows` (n,) of a source that holds grey pictures of one size as arrays: (n, H, W, 1) `uint8`, and the checksums
    (n,) uint64, as `checksum` gives them one by one; None for any other source. Of a table of numbers (n, 1, 1, F)
    `float32`."""
    pictures = samples.pictures
    block = pictures.grey_block(samples.index[rows]) if isinstance(pictures, Arrays) and len(rows) else None
    if block is None:
        return None
    before = hashlib.blake2b(f"{block.shape[1:]}{block.dtype.str}".encode(), digest_size=8)
    digests = []
    for pixels in block.reshape(len(block), -1):
        digest = before.copy()
        digest.update(pixels.data)
        digests.append(digest.digest())
    return block, np.frombuffer(b"".join(digests), dtype="<u8").astype(np.uint64)


def digest_of(loaded: bytes | np.ndarray | InputError) -> bytes:
    """128 bits of what a source gave for a picture, before it is decoded; b"" for pixels, which need no decoding."""
    if isinstance(loaded, np.ndarray):
        return b""
    if isinstance(loaded, InputError):
        return hashlib.blake2b(str(loaded).encode("utf-8", "surrogateescape"), digest_size=16, person=b"none").digest()
    return hashlib.blake2b(loaded, digest_size=16).digest()


def reduced(pixels: np.ndarray, shorter_side: int) -> np.ndarray:
    """(H, W, C) -> the mean of whole k x k boxes, k as large as leaves the shorter side >= `shorter_side`.

    Within one level for `uint8`. Boxes at the lower and right border may be cut. A point (x, y) goes to (x / k, y / k).
    """
    height, width = pixels.shape[:2]
    factor = min(height, width) // max(1, shorter_side)
    if factor <= 1:
        return pixels
    if pixels.dtype == np.uint8:
        from PIL import Image

        image = Image.fromarray(pixels[..., 0] if pixels.shape[2] == 1 else pixels)
        return np.array(image.reduce(factor)).reshape(-(-height // factor), -(-width // factor), -1)
    rows, columns = np.arange(0, height, factor), np.arange(0, width, factor)
    sums = np.add.reduceat(np.add.reduceat(pixels.astype(np.float64), rows, axis=0), columns, axis=1)
    counts = np.diff(np.append(rows, height))[:, None] * np.diff(np.append(columns, width))
    return np.asarray(sums / counts[..., None], dtype=np.float32)


def read_pictures(
    samples: Samples,
    rows: Sequence[int] | np.ndarray,
    *,
    limits: Limits | None = None,
    threads: int | None = None,
    observer: Observer = SILENT,
    what: str = "reading",
    shrink: int | None = None,
    scaled: bool = False,
    digests: bool = False,
) -> Iterator[Read]:
    """The pictures of `rows`, one `Read` each, in that order.

    `shrink`: see `reduced`. `scaled`: large JPEGs are decoded at the smallest scale that leaves so much.
    `digests`: with `Read.digest`.
    """

    def work(row: int) -> Read:
        digest = b""
        try:
            loaded = samples.pictures.load(int(samples.index[row]))
            digest = digest_of(loaded) if digests else b""
            picture = picture_of(loaded, limits, shrink, scaled)
        except InputError as error:
            return Read(row, error, (0, 0), 0, digest or (digest_of(error) if digests else b""))
        return Read(row, picture.pixels, picture.size, picture.checksum, digest)

    def weigh(read: Read) -> int:
        return read.pixels.nbytes if isinstance(read.pixels, np.ndarray) else 0

    return in_order(work, rows, weigh, threads=threads, observer=observer, what=what)


def read_digests(
    samples: Samples, rows: Sequence[int] | np.ndarray, *, threads: int | None = None, observer: Observer = SILENT
) -> Iterator[bytes]:
    """`Read.digest` of each of `rows` without decoding them."""

    def work(row: int) -> bytes:
        try:
            return digest_of(samples.pictures.load(int(samples.index[row])))
        except InputError as error:
            return digest_of(error)

    return in_order(work, rows, lambda _: 0, threads=threads, observer=observer, what="recognising")
