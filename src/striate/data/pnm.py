"""Netpbm pictures (P1-P6) whose numbers Pillow would scale one by one in Python, read with NumPy at their full depth.

Source: the pbm, pgm and ppm specifications of Netpbm. Legend: H W pixels, C channels (1 or 3).
"""

from __future__ import annotations

import re

import numpy as np

COMMENT = re.compile(rb"#[^\r\n]*[\r\n]?")
LONGEST_TOKEN = 10


def read_plain(text: bytes, height: int, width: int, channels: int, largest: int) -> np.ndarray:
    """Numbers in decimal (P1-P3; P1, `largest` 1, may leave out the spaces) -> (H, W, C) integers in [0, largest].

    Raises ValueError where one is missing, too large or not a number.
    """
    count = height * width * channels
    if b"#" in text:
        text = COMMENT.sub(b" ", text)
    if largest == 1:
        digits = np.frombuffer(b"".join(text.split()), dtype=np.uint8)[:count]
        _require(len(digits) == count, "the file ends too early")
        _require(bool(np.isin(digits, (48, 49)).all()), "a bit is neither 0 nor 1")
        return (digits - 48).reshape(height, width, channels)
    tokens = text.split(maxsplit=count)[:count]
    _require(len(tokens) == count, "the file ends too early")
    _require(all(len(token) <= LONGEST_TOKEN and token.isdigit() for token in tokens), "a value is not a number")
    values = np.array(tokens, dtype=f"S{LONGEST_TOKEN}").astype(np.int64)
    _require(bool((values <= largest).all()), f"a value is larger than {largest}")
    return values.reshape(height, width, channels)


def read_binary(data: bytes, height: int, width: int, channels: int, largest: int) -> np.ndarray:
    """One or two bytes a number (P5, P6), most significant first -> (H, W, C) integers in [0, largest].

    Numbers above `largest`, which some programs write, count as `largest`. Raises ValueError where some are missing.
    """
    kind = np.dtype(np.uint8 if largest < 256 else ">u2")
    count = height * width * channels
    _require(len(data) >= count * kind.itemsize, "the file ends too early")
    values = np.frombuffer(data, dtype=kind, count=count).reshape(height, width, channels)
    return np.minimum(values.astype(np.uint16), largest)


def _require(condition: bool, message: str) -> None:
    if not condition:
        raise ValueError(message)
