"""Large JPEGs are known by their compressed data, so that training need not decode all of their pixels.

A JPEG counts as large by the size in its header alone, whatever it is read for: the same file has the same checksum in
every split and at every setting. What changes no pixel is left out of it: comments, EXIF (but for the orientation),
thumbnails, colour profiles, what follows the end. So a large JPEG equals its copies with other metadata; it does not
equal the same picture encoded anew, which only the pixels themselves can tell (`striate inspect` compares those).

The layout is that of ITU-T T.81, annex B; what the channels mean is read as libjpeg does (default_decompress_parms).
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass

LARGE = 2_000_000  # pixels; below, all of them are decoded in some 20 ms

START = b"\xff\xd8\xff"
END = b"\xff\xd9"
SCAN, COMMENT, APPLICATION = 0xDA, 0xFE, range(0xE0, 0xF0)
FRAMES = frozenset(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}
SEQUENTIAL = (0xC0, 0xC1)  # of one scan in all files but very odd ones


@dataclass(frozen=True, kw_only=True)
class Frame:
    """What the segments before the first scan say."""

    width: int
    height: int
    colours: str  # "grey", "ycc", "rgb", "cmyk", "ycck"
    sequential: bool
    parts: tuple[tuple[int, int], ...]  # where segments that shape the pixels begin and end
    scan: int  # where the compressed data begin


def large_frame(data: bytes) -> Frame | None:
    """The frame of a JPEG of at least `LARGE` pixels; None for anything else, also where its header is odd."""
    frame = read_frame(data)
    return frame if frame is not None and frame.width * frame.height >= LARGE else None


def read_frame(data: bytes) -> Frame | None:
    """The frame of a JPEG; None where `data` is none, or its segments do not follow upon one another."""
    if not data.startswith(START):
        return None
    parts: list[tuple[int, int]] = []
    size, kind, channels, jfif, transform = (0, 0), 0, b"", False, -1
    at = 2
    while at + 4 <= len(data):
        if data[at] != 0xFF:
            return None
        marker = data[at + 1]
        if marker == 0xFF:  # may be repeated before any marker
            at += 1
            continue
        end = at + 2 + int.from_bytes(data[at + 2 : at + 4], "big")
        body = data[at + 4 : min(end, at + 64)]
        if marker < 0xC0 or 0xD0 <= marker <= 0xD9 or end < at + 4 or end > len(data):
            return None
        if marker in FRAMES:
            if len(body) < 6 or kind:
                return None
            kind, size = marker, (int.from_bytes(body[1:3], "big"), int.from_bytes(body[3:5], "big"))
            channels = body[6 : 6 + 3 * body[5] : 3]
        elif marker == APPLICATION[0] and body.startswith(b"JFIF\0") and len(body) >= 14:
            jfif = True
        elif marker == APPLICATION[14] and body.startswith(b"Adobe") and len(body) >= 12:
            transform = body[11]
        if marker not in APPLICATION and marker != COMMENT:
            parts.append((at, end))
        at = end
        if marker == SCAN:
            colours = _colours(channels, jfif, transform)
            if not kind or not colours:
                return None
            height, width = size
            return Frame(
                width=width,
                height=height,
                colours=colours,
                sequential=kind in SEQUENTIAL,
                parts=tuple(parts),
                scan=at,
            )
    return None


def _colours(channels: bytes, jfif: bool, transform: int) -> str:
    """What the channels of these numbers mean, or "" where nobody knows. `transform`: Adobe's, -1 without."""
    if len(channels) == 1:
        return "grey"
    if len(channels) == 3:
        if jfif:
            return "ycc"
        if transform >= 0:
            return "rgb" if transform == 0 else "ycc"
        return "rgb" if channels == b"RGB" else "ycc"
    if len(channels) == 4:
        return "ycck" if transform == 2 else "cmyk"
    return ""


def compressed_checksum(data: bytes, frame: Frame, orientation: int) -> int:
    """64 bits of what makes the pixels of the JPEG `data`: equal for copies that differ in metadata only."""
    digest = hashlib.blake2b(f"JPEG {frame.colours} {orientation}".encode(), digest_size=8)
    for begin, end in frame.parts:
        digest.update(data[begin:end])
    # In compressed data 0xff is never followed by 0xd9. In the tables between the scans of a progressive file it may
    # be: there, whatever follows counts, too.
    end = data.find(END, frame.scan) if frame.sequential else -1
    digest.update(memoryview(data)[frame.scan : len(data) if end < 0 else end])
    return int.from_bytes(digest.digest(), "little")
