"""What a table of numbers holds, counted before any training: its fields, its classes or numbers, equal rows."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from striate.data.distribution import distribution
from striate.data.reading import grey_block
from striate.data.samples import Samples
from striate.data.survey import Survey, in_splits, of_table
from striate.errors import InputError


def survey_rows(samples: Samples, *, seed: int = 0, strict: bool = False) -> Survey:
    """The survey of the rows, in which what only pictures have is empty.

    Raises InputError, if `strict`, where a row was left out.
    """
    left_out = samples.left_out
    if left_out and strict:
        raise InputError(
            f"{samples.source}: {len(left_out):,} of {len(samples) + len(left_out):,} rows cannot be used, the first "
            f"is {left_out[0].name} ({left_out[0].reason}); mend them, or leave --strict away"
        )
    samples, words = in_splits(samples, seed)
    block = grey_block(samples, np.arange(len(samples)))
    assert block is not None
    rows, checksums = block[0][:, 0, 0], block[1]
    return replace(
        of_table(samples, words, checksums),
        fields=tuple(
            distribution(name, "all", column, bars=True) for name, column in zip(samples.fields, rows.T, strict=True)
        ),
    )
