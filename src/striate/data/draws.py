"""Randomness as a function: (seed, epoch, row) -> numbers, equal however the work is divided.

Counter-based: number `i` of row `r` is the hash of the key (seed, purpose, epoch, r) and of `i`,
so that nothing depends on what was drawn before. The hash is splitmix64 (Steele, Lea, Flood 2014,
"Fast splittable pseudorandom number generators", with the constants of Vigna's splitmix64.c), once
for each part of the key. It is not for secrets. Legend: B rows, count numbers a row.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np

GAMMA = 0x9E3779B97F4A7C15  # 2^64 / golden ratio, made odd: the step of the generator's state
FIRST = 0xBF58476D1CE4E5B9
SECOND = 0x94D049BB133111EB
MASK = 0xFFFFFFFFFFFFFFFF
CHUNK = 1 << 16  # numbers worked on at once: the temporaries stay in the cache, memory stays bounded


def uniforms(seed: int, epoch: int, rows: np.ndarray, count: int | Sequence[int], *, purpose: int = 0) -> np.ndarray:
    """Uniform numbers (B, count) float64 in [0, 1), 53 bits each, for rows (B,) int64.

    Line b depends on (seed, purpose, epoch, rows[b]) alone, and its first numbers do not depend on
    `count`. A sequence in the place of `count` names the numbers of each line that are wanted: (B, len(count)).
    Different `purpose`s give independent numbers for the same rows. Any Python integers are taken, modulo 2^64.
    """
    rows = np.asarray(rows, dtype=np.int64)
    if rows.ndim != 1:
        raise ValueError(f"rows must be one-dimensional, got {rows.ndim} dimensions")
    numbers = np.arange(count) if isinstance(count, int) else np.asarray(count, dtype=np.int64)
    if (isinstance(count, int) and count < 0) or (numbers.size and numbers.min() < 0):
        raise ValueError(f"count must be at least 0, got {count}")
    drawn = np.empty((len(rows), len(numbers)), dtype=np.float64)
    for some, bits in _bits(seed, epoch, rows, numbers, purpose):
        np.multiply(bits >> np.uint64(11), 2.0**-53, out=drawn[some])
    return drawn


def levels(seed: int, epoch: int, rows: np.ndarray, count: int, *, purpose: int = 0) -> np.ndarray:
    """Uniform whole numbers (B, count) uint16 in [0, 65535] for rows (B,) int64: four of each hash, where a number for
    every pixel is wanted and 16 bits of it are enough. What they depend on is said at `uniforms`.
    """
    rows = np.asarray(rows, dtype=np.int64)
    drawn = np.empty((len(rows), count), dtype=np.uint16)
    for some, bits in _bits(seed, epoch, rows, np.arange(-(-count // 4)), purpose):
        drawn[some] = bits.astype("<u8", copy=False).view("<u2")[:, :count]  # the same on every machine
    return drawn


def _bits(
    seed: int, epoch: int, rows: np.ndarray, numbers: np.ndarray, purpose: int
) -> Iterator[tuple[slice, np.ndarray]]:
    """The hashes with these numbers of some rows after another, (b, len(numbers)) uint64, and which rows they are."""
    if not len(numbers):
        return
    key = np.uint64(_key(seed, epoch, purpose))
    lines = max(1, CHUNK // len(numbers))
    for start in range(0, len(rows), lines):
        some = slice(start, start + lines)
        with np.errstate(over="ignore"):  # arithmetic modulo 2^64 is what is meant
            steps = (numbers + 1).astype(np.uint64) * np.uint64(GAMMA)
            states = _mixed(key ^ _mixed(rows[some].astype(np.uint64) + np.uint64(GAMMA)))
            bits = _mixed(states[:, None] + steps)
        yield some, bits


def permutation(seed: int, epoch: int, n: int, *, purpose: int = 0) -> np.ndarray:
    """A permutation (n,) int64 of 0..n-1, each of the n! as likely as 53 bits a row allow."""
    # a stable sort: two equal numbers (one pair in 2^53) keep their order, on every machine
    return np.argsort(uniforms(seed, epoch, np.arange(n), 1, purpose=purpose)[:, 0], kind="stable").astype(np.int64)


def _key(seed: int, epoch: int, purpose: int) -> int:
    """One 64-bit number for the parts of the key that all rows share."""
    state = 0
    for part in (seed, purpose, epoch):
        state = _mix(state ^ _mix((part + GAMMA) & MASK))
    return state


def _mix(value: int) -> int:
    """The finalizer of splitmix64 on one Python integer below 2^64."""
    value = ((value ^ (value >> 30)) * FIRST) & MASK
    value = ((value ^ (value >> 27)) * SECOND) & MASK
    return value ^ (value >> 31)


def _mixed(values: np.ndarray) -> np.ndarray:
    """The same on an array of uint64, which it may not change: (...) -> (...)."""
    values = (values ^ (values >> np.uint64(30))) * np.uint64(FIRST)
    values ^= values >> np.uint64(27)
    values *= np.uint64(SECOND)
    values ^= values >> np.uint64(31)
    return values
