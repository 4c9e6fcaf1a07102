"""Sources with one class a picture, as `--task` and `--targets` want them: the class, or the number that it is."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np

from striate.data.samples import MULTILABEL, REGRESSION, UNLABELLED, Samples
from striate.data.sources.asked import Asked
from striate.data.sources.columns import number
from striate.data.sources.listing import shown, some
from striate.data.sources.targets import NUMBER
from striate.errors import InputError


def as_asked(samples: Samples, wanted: Asked, what: str) -> Samples:
    """Samples with one class a picture as they are wanted. Raises InputError, which calls the source `what`, where
    they cannot be so."""
    refuse(wanted, samples.source, what)
    return as_numbers(samples) if wanted.task == REGRESSION else samples


def refuse(wanted: Asked, source: str, what: str) -> None:
    """Raise InputError where targets are asked for that a source with one class a picture does not have."""
    if wanted.columns and wanted != Asked(REGRESSION, (NUMBER,)):  # as a run that learned of such a source asks for
        raise InputError(
            f"{shown(source)}: {what} have no columns, so there is no {some(wanted.columns)} to learn; "
            "--targets is for tables"
        )
    if wanted.task == MULTILABEL:
        raise InputError(
            f"{shown(source)}: {what} give each picture one class; for several a table is needed, with a column for "
            "each (0 or 1) or a list (cat|dog)"
        )


def as_numbers(samples: Samples) -> Samples:
    """Classes that are called by numbers as these numbers, (N, 1). Raises InputError where one is no number."""
    values = [number(name) for name in samples.class_names]
    for name, value in zip(samples.class_names, values, strict=True):
        if value is None or not math.isfinite(value):
            raise InputError(
                f"{shown(samples.source)}: the class '{shown(name)}' is no number, so that it cannot be learned as one"
            )
    found = np.array(values, dtype=np.float64)[samples.targets]
    found[samples.targets == UNLABELLED] = np.nan
    return replace(
        samples,
        how=f"{samples.how}; the classes are numbers, learned as such",
        targets=found.astype(np.float32)[:, None],
        class_names=(NUMBER,),
        task=REGRESSION,
    )
