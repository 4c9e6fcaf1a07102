"""What is known of the pictures before they are decoded: how large they are, whether grey, how much of them is used."""

from __future__ import annotations

import numpy as np

from striate.actions.job import Job
from striate.data.decode import probe
from striate.data.reading import decoded
from striate.data.samples import TRAIN, Samples
from striate.data.streaming import first_rows, in_turn
from striate.errors import InputError, require
from striate.networks import own_input
from striate.training.defaults import SMALL_SIDE, Facts, choose_network

# Side of the input for photographs and a network that starts from nothing.
SIDE_FROM_NOTHING = 128
LOOKED_AT = 32  # pictures that are decoded to see whether they are grey
PROBED = 200  # pictures whose headers tell how large pictures are


def first_look(job: Job, samples: Samples, *, forward: bool) -> tuple[float, bool, np.ndarray]:
    """Median of the longer sides of up to PROBED training pictures, from their headers; whether all of up to
    LOOKED_AT of them are grey; and their heights and widths (n, 2). `forward`: of those that are read
    first, where looking further would mean reading all."""
    if samples.fields:
        return 1.0, False, np.ones((1, 2))  # a row is one pixel
    rows = samples.rows(TRAIN)
    chosen = rows[np.linspace(0, len(rows) - 1, min(PROBED, len(rows))).astype(np.int64)]
    if forward:
        chosen = first_rows(samples, rows, job.recipe.seed, PROBED)
    sides: list[tuple[int, int]] = []
    colours: list[bool] = []
    with in_turn(samples, chosen) as turned:
        for row in chosen:
            try:
                data = turned.pictures.load(int(samples.index[row]))
                if isinstance(data, np.ndarray):
                    sides.append((data.shape[0], data.shape[1]))
                else:
                    header = probe(data)
                    sides.append((header.height, header.width))
                if len(colours) < LOOKED_AT and not any(colours):
                    colours.append(decoded(data).shape[2] > 1)
            except InputError:
                continue  # it is named when it is decoded
    require(bool(sides), f"{samples.source}: none of its pictures can be read; striate inspect names them")
    longer = float(np.median([max(pair) for pair in sides]))
    return longer, not any(colours), np.array(sides)


def decoded_bytes(sides: np.ndarray, shrink: int | None, *, grey: bool) -> float:
    """Mean bytes of pictures of these sides (n, 2) as the store would keep them."""
    factor = 1 if shrink is None else np.maximum(1, sides.min(axis=1) // shrink)
    return float((sides.prod(axis=1) / factor**2).mean()) * (1 if grey else 3)


def usable_side(job: Job, facts: Facts) -> int | None:
    """What training can use of a picture's shorter side, twice the side of the input; None: all of it.

    It follows from what was asked and from the pictures alone, so that a run which goes on reads the same pixels.
    """
    side = job.recipe.size
    if side is None and job.recipe.from_run is not None:
        known = job.resolved if job.start is None else job.start.input_spec
        assert known is not None  # a run that goes on without the one it started from has been resolved
        side = max(known.height, known.width)
    elif side is None:
        name, pretrained, _ = choose_network(job.recipe, facts)
        own = own_input(name) if job.network is None and (pretrained or job.recipe.weights is not None) else None
        side = max(own.size) if own is not None else None if facts.longer_side <= SMALL_SIDE else SIDE_FROM_NOTHING
    return None if side is None else 2 * side


def known_size(job: Job, facts: Facts) -> int | None:
    """The side of the input where it does not depend on the pixels; None for small pictures, which keep theirs."""
    if job.recipe.size is not None:
        return job.recipe.size
    if job.start is not None:
        return max(job.start.input_spec.height, job.start.input_spec.width)
    return None if facts.longer_side <= SMALL_SIDE else SIDE_FROM_NOTHING
