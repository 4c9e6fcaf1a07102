"""Parts of a source by draws: folds, each held back once, and shares of the training pictures, one within the next.

Draws are by (seed, name of the row), as those of splits: the same files give the same parts wherever they lie.
Legend: N rows, F folds.
"""

from __future__ import annotations

import re
from dataclasses import replace

import numpy as np

from striate.data.draws import uniforms
from striate.data.samples import CLASSIFICATION, MULTILABEL, REGRESSION, TEST, TRAIN, Samples
from striate.data.splits import identities, strata
from striate.data.stratified import stratified
from striate.errors import InputError, require
from striate.words import counted

FOLDS_PURPOSE, SHARE_PURPOSE = 0xF01D, 0x5A4E  # of the draws made here
MOST_FOLDS = 100


def read_fold(text: str) -> tuple[int, int]:
    """ "2/5" -> (2, 5). Raises InputError where it is none."""
    found = re.fullmatch(r"([0-9]{1,4})/([0-9]{1,4})", text)
    fold, folds = (int(found[1]), int(found[2])) if found else (0, 0)
    require(
        2 <= folds <= MOST_FOLDS and 1 <= fold <= folds,
        f"fold must be one of 2 to {MOST_FOLDS} parts, such as 2/5, got {text!r}",
    )
    return fold, folds


def in_fold(samples: Samples, fold: int, folds: int, *, seed: int) -> tuple[Samples, str]:
    """The rows with fold `fold` (1..F) as the test split and the others as training, and the sentence for the log.

    Test pictures of the source stay out of it: they are there to be answered once, in the end. Each class, and each
    label, is spread evenly over the folds; a group stays whole. Raises InputError where there are too few.
    """
    rows = np.flatnonzero(samples.splits != TEST)
    left = len(samples) - len(rows)
    parts = _dealt(samples, rows, folds, seed)
    if samples.task == CLASSIFICATION:
        for number, name in enumerate(samples.class_names):
            there = np.unique(parts[samples.classes[rows] == number])
            if len(there) == 1:
                raise InputError(
                    f"{samples.source}: all of '{name}' would be held back at once; each class needs two "
                    f"{samples.noun}s, or two groups of them"
                )
    groups = "" if samples.groups is None else f" in {counted(len(np.unique(samples.groups[rows])), 'group')}"
    require(
        len(np.unique(parts)) == folds,
        f"{samples.source}: {counted(len(rows), samples.noun)}{groups} cannot be dealt into {folds} folds; take fewer",
    )
    if samples.task == REGRESSION:
        require(
            int(np.bincount(parts).min()) >= 2,
            f"{samples.source}: {counted(len(rows), samples.noun)} in {folds} folds: one of them would hold back a "
            f"single {samples.noun}, which has no R²; take fewer folds",
        )
    chosen = samples.select(rows)
    splits = np.where(parts == fold - 1, TEST, TRAIN).astype("<U10")
    aside = f"; its {counted(left, f'test {samples.noun}')} set aside" if left else ""
    held = int((parts == fold - 1).sum())
    return (
        replace(chosen, splits=splits),
        f"fold {fold} of {folds} (seed {seed}): {held:,} of {counted(len(rows), samples.noun)} held back{aside}",
    )


def thinned(samples: Samples, share: float, *, seed: int) -> tuple[Samples, str]:
    """The rows with a share of the training ones, in (0, 1], and the sentence for the log.

    Of each class the same share, one picture at least; a smaller share is a part of every larger one. Whole groups.
    """
    rows = samples.rows(TRAIN)
    keys = _keys(samples, rows)
    position = uniforms(seed, 0, identities(keys), 1, purpose=SHARE_PURPOSE)[:, 0]
    stratum = strata(samples, rows)[:, 0] if samples.task != MULTILABEL else np.zeros(len(rows), dtype=np.int64)
    kept = np.zeros(len(rows), dtype=bool)
    for one in np.unique(stratum):
        mine = np.flatnonzero(stratum == one)
        # Rows of a group have one position, and stay together.
        ordered = mine[np.lexsort((mine, position[mine]))]
        number = max(1, round(share * len(ordered)))
        kept[mine[position[mine] <= position[ordered[number - 1]]]] = True
    gone = rows[~kept]
    left = np.setdiff1d(np.arange(len(samples)), gone)
    of = counted(len(rows), f"training {samples.noun}")
    return samples.select(left), f"learning from {int(kept.sum()):,} of {of}"


def _dealt(samples: Samples, rows: np.ndarray, folds: int, seed: int) -> np.ndarray:
    """The fold (n,) in 0..F-1 of each of `rows`: dealt out in turn, class by class, in a drawn order."""
    keys = _keys(samples, rows)
    names, first, inverse = np.unique(np.array(keys, dtype=object), return_index=True, return_inverse=True)
    position = uniforms(seed, 0, identities(names.tolist()), 1, purpose=FOLDS_PURPOSE)[:, 0]
    if samples.task == MULTILABEL and samples.groups is None:
        return stratified(samples.targets[rows], position[inverse], [1 / folds] * folds)
    order = np.lexsort((position, strata(samples, rows)[first, 0]))
    dealt = np.empty(len(names), dtype=np.int64)
    dealt[order] = np.arange(len(names)) % folds
    return np.asarray(dealt[inverse])


def _keys(samples: Samples, rows: np.ndarray) -> list[str]:
    """What is drawn: each row by its name, or its group."""
    if samples.groups is None:
        return [samples.names[row] for row in rows]
    return [str(samples.groups[row]) for row in rows]
