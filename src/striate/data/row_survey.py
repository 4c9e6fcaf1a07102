"""What a table of numbers holds, counted before any training: its fields, its classes or numbers, equal rows."""

from __future__ import annotations

import numpy as np

from striate.data.distribution import distribution, distributions
from striate.data.reading import grey_block
from striate.data.samples import REGRESSION, Samples
from striate.data.splits import assign_splits, find_equal
from striate.data.survey import Survey
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
    try:
        samples, words = assign_splits(samples, seed=seed)
    except InputError as error:
        # To look at what cannot be trained on is what a survey is for.
        words = f"no splits: {error}"
    block = grey_block(samples, np.arange(len(samples)))
    assert block is not None
    rows, checksums = block[0][:, 0, 0], block[1]
    equal = find_equal(checksums, samples)
    numbers = samples.task == REGRESSION
    counts = {} if numbers else {split: tuple(map(int, column)) for split, column in samples.counts().items()}
    by_class = [sum(column) for column in zip(*counts.values(), strict=True)] or [0]

    def names(groups: tuple[tuple[int, ...], ...]) -> tuple[tuple[str, ...], ...]:
        return tuple(tuple(samples.names[row] for row in group) for group in groups)

    return Survey(
        source=samples.source,
        how=samples.how,
        splits=words,
        task=samples.task,
        class_names=samples.class_names,
        pictures=samples.pictures_by_split(),
        counts=counts,
        distributions=distributions(samples.class_names, samples.targets, samples.splits, samples.labelled)
        if numbers
        else (),
        unlabelled=int((~samples.labelled).sum()),
        found=len(samples) + len(left_out),
        used=len(samples),
        left_out=tuple((one.name, one.reason) for one in left_out),
        left_out_count=len(left_out),
        sizes={},
        formats={},
        modes={},
        orientations={},
        bits_a_channel={},
        grey_share=0.0,
        constant_share=0.0,
        mean=(),
        deviation=(),
        imbalance=None if numbers else round(max(by_class) / max(1, min(by_class)), 4),
        duplicates=names(equal.inside),
        leaks=names(equal.across),
        conflicts=names(equal.conflicting),
        fields=tuple(
            distribution(name, "all", column, bars=True) for name, column in zip(samples.fields, rows.T, strict=True)
        ),
    )
