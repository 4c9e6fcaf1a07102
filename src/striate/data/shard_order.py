"""The order in which the pictures of an epoch are read from shards, and the order in which they are learned from.

A function of (seed, epoch, lengths of the stretches, buffer, rank) alone, worked out on numbers without a picture at
hand: any step of an epoch can be entered without what came before it.

1. Shards are cut into stretches of pictures that follow one another; the stretches are shuffled and laid in a row.
2. Each of several ranks gets an equal part of that row, so that ranks share no picture and have equally many steps.
3. LANES read their stretches side by side, so that what is read mixes pictures of as many places.
4. A buffer of so many pictures is filled in the order of reading; learning takes one of it at random, reading puts the
   next one in its place.

Legend: n pictures, s stretches, m pictures of a rank. Pictures are counted as they lie, 0..n-1.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from striate.data.draws import permutation, uniforms

STRETCH = 256  # pictures: some tens of megabytes of photographs, in one piece
LANES = 8
# Of the draws made here (see `draws.uniforms`).
STRETCHES_PURPOSE, BUFFER_PURPOSE, LAST_PURPOSE = 0x57E7C4, 0xB0FFE4, 0x1A57


@dataclass(frozen=True, eq=False)
class EpochOrder:
    """What one rank reads and learns from in an epoch: the same m pictures, in two orders."""

    reading: np.ndarray  # (m,) int64
    lanes: np.ndarray  # (m,) int64, which lane reads it; within a lane a stretch is read from its beginning on
    learning: np.ndarray  # (m,) int64


def stretches(counts: np.ndarray, whole: np.ndarray) -> np.ndarray:
    """Lengths (s,) int64 of the stretches of shards with `counts` pictures, in the order in which they lie.

    A shard that is `whole` (bool) can only be read from its beginning on, and is one stretch.
    """
    lengths: list[int] = []
    for count, one in zip(counts.tolist(), whole.tolist(), strict=True):
        parts = 1 if one else max(1, -(-count // STRETCH))
        lengths += [count * (part + 1) // parts - count * part // parts for part in range(parts)]
    return np.array([length for length in lengths if length], dtype=np.int64)


def epoch_order(
    lengths: np.ndarray, *, seed: int, epoch: int, buffer: int, rank: int = 0, ranks: int = 1
) -> EpochOrder:
    """The order of an epoch for stretches of `lengths` (s,), of which rank `rank` of `ranks` gets its part.

    A picture is learned from after at most m, and before it at most `buffer` - 1 pictures more were read than
    learned from: `reading[: t + buffer]` holds `learning[: t + 1]` for every t.
    """
    lengths = np.asarray(lengths, dtype=np.int64)
    count = int(lengths.sum())
    shuffled = permutation(seed, epoch, len(lengths), purpose=STRETCHES_PURPOSE)
    long = lengths[shuffled]
    row = np.repeat((np.cumsum(lengths) - lengths)[shuffled] - (np.cumsum(long) - long), long) + np.arange(count)
    stretch = np.repeat(np.arange(len(lengths)), long)
    first, last = count * rank // ranks, count * (rank + 1) // ranks
    row, stretch = row[first:last], stretch[first:last]
    lanes = (stretch - stretch[0]) % LANES if len(stretch) else stretch
    read = _side_by_side(lanes)
    reading = row[read]
    return EpochOrder(reading, lanes[read], _buffered(reading, np.arange(first, last), seed, epoch, buffer))


def _side_by_side(lanes: np.ndarray) -> np.ndarray:
    """Places (m,) in the order of reading: every lane in its own order, all from beginning to end together."""
    by_lane = np.argsort(lanes, kind="stable")
    sizes = np.bincount(lanes, minlength=1)
    starts = np.repeat(np.cumsum(sizes) - sizes, sizes)
    share = np.empty(len(lanes), dtype=np.float64)
    share[by_lane] = (np.arange(len(lanes)) - starts + 0.5) / np.repeat(sizes, sizes)
    return np.lexsort((lanes, share))


def _buffered(reading: np.ndarray, keys: np.ndarray, seed: int, epoch: int, buffer: int) -> np.ndarray:
    """`reading` (m,) as it comes out of the buffer; `keys` (m,) are what is drawn by."""
    held, coming = reading[:buffer].tolist(), reading[buffer:].tolist()
    draws = (uniforms(seed, epoch, keys[: len(coming)], 1, purpose=BUFFER_PURPOSE)[:, 0] * len(held)).astype(np.int64)
    out: list[int] = []
    for place, following in zip(draws.tolist(), coming, strict=True):
        out.append(held[place])
        held[place] = following
    last = np.argsort(uniforms(seed, epoch, keys[len(coming) :], 1, purpose=LAST_PURPOSE)[:, 0], kind="stable")
    return np.array(out + [held[place] for place in last.tolist()], dtype=np.int64)
