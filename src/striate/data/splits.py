"""Training, validation, test: kept where the source has them, else drawn.

Draws are by (seed, name of the row): the same files give the same split wherever they lie, in
whatever order they are read. Legend: N rows, K classes, G groups, S splits.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from striate.data.draws import uniforms
from striate.data.samples import CLASSIFICATION, MULTILABEL, SPLITS, TEST, TRAIN, VALIDATION, Samples
from striate.data.stratified import stratified
from striate.errors import InputError, require

PURPOSE = 0x5B117  # of the draws made here: no other part's numbers depend on them
SHARES = (0.70, 0.15, 0.15)
TEST_OF_SOURCE = "test split of the source"  # in the sentence for the log
# One number: its rows are drawn from this many parts of its range, of so many rows at least.
QUANTILES, FEWEST_A_QUANTILE = 10, 10


def assign_splits(
    samples: Samples,
    *,
    seed: int,
    shares: tuple[float, float, float] = SHARES,
    test: str = TEST_OF_SOURCE,
) -> tuple[Samples, str]:
    """The same rows, each in a split, and the sentence for the log that says how.

    A source with train, validation and test keeps them. With train and one other, the other is
    the test split, and a share `shares[1]` of training is drawn for validation. Without splits,
    or with training alone, all are drawn by `shares` (train, validation, test; they sum to 1).
    Drawn by class, so that each class with three pictures has one in each split, and by group
    where rows have one; several labels by iterative stratification (`stratified.py`), one number by its quantiles,
    several numbers without regard to them. test: what the sentence calls a test split that is there.
    Raises InputError where the pictures are too few, or of one class.
    """
    require(len(shares) == 3 and min(shares) > 0, f"shares must be three positive numbers, got {shares}")
    require(abs(sum(shares) - 1) < 1e-6, f"shares must sum to 1, got {shares}")
    require(len(samples) > 0, f"{samples.source}: no {samples.noun} is left to learn from")
    unlabelled = int((~samples.labelled).sum())
    if unlabelled:
        raise InputError(f"{samples.source}: {unlabelled} {samples.noun}s have no label")
    named = [split for split in (*SPLITS, "") if bool((samples.splits == split).any())]
    if "" in named and len(named) > 1:
        raise InputError(
            f"{samples.source}: some {samples.noun}s have a split, others none; give each one, or none any"
        )
    if named not in ([""], [TRAIN]) and TRAIN not in named:
        raise InputError(
            f"{samples.source}: only the {' and '.join(named)} split is there, nothing to learn from; "
            "add a train split, or name a folder without splits"
        )
    _check_classes(samples, samples.splits == TRAIN if TRAIN in named else np.ones(len(samples), dtype=bool))
    if named == [TRAIN, VALIDATION, TEST]:
        return samples, f"splits of the source: {_counts(samples.splits)}"
    if len(named) == 1:
        _check_alone(samples)
        splits = _drawn(samples, np.arange(len(samples)), seed, shares)
        drawn = replace(samples, splits=splits)
        return drawn, f"splits drawn by {_by(samples)} (seed {seed}): {_counts(splits)}"
    other = named[1]
    splits = np.where(samples.splits == TRAIN, TRAIN, TEST).astype("<U10")
    rows = np.flatnonzero(samples.splits == TRAIN)
    splits[rows] = _drawn(samples, rows, seed, (1 - shares[1], shares[1], 0.0))
    called = test if other == TEST else f"{other} split of the source taken as test"
    return (
        replace(samples, splits=splits),
        f"{called}, validation drawn from training by {_by(samples)} (seed {seed}): {_counts(splits)}",
    )


def _by(samples: Samples) -> str:
    number = "quantile" if len(samples.class_names) == 1 and samples.groups is None else ""
    by = {CLASSIFICATION: "class", MULTILABEL: "label"}.get(samples.task, number)
    return " and ".join(filter(None, (by, "" if samples.groups is None else "group"))) or "chance"


def _counts(splits: np.ndarray) -> str:
    return ", ".join(f"{int((splits == split).sum()):,} {split}" for split in SPLITS)


def _check_classes(samples: Samples, training: np.ndarray) -> None:
    if samples.task != CLASSIFICATION:
        return
    there = np.unique(samples.classes[training])
    if len(there) == 1:
        raise InputError(
            f"{samples.source}: one class only, '{samples.class_names[there[0]]}'; two are needed to tell apart"
        )


def _check_alone(samples: Samples) -> None:
    if samples.task != CLASSIFICATION or samples.targets.ndim > 1:
        return  # a label that is in training alone is no mistake, and shares of a class are in many rows
    counts = np.bincount(samples.targets, minlength=len(samples.class_names))
    alone = [samples.class_names[number] for number in np.flatnonzero(counts == 1)]
    if alone:
        shown = ", ".join(f"'{name}'" for name in alone[:5]) + (f" and {len(alone) - 5} more" if len(alone) > 5 else "")
        raise InputError(
            f"{samples.source}: {'the class' if len(alone) == 1 else 'the classes'} {shown} "
            f"{'has' if len(alone) == 1 else 'have'} one {samples.noun}, which cannot both be learned from and be "
            "tested on; add more (five a class are enough), or take the class out"
        )


def _drawn(samples: Samples, rows: np.ndarray, seed: int, shares: tuple[float, float, float]) -> np.ndarray:
    """Splits (n,) of the rows (n,), drawn; a share of 0 gives none. Raises InputError where one would be empty."""
    position = uniforms(seed, 0, identities([samples.names[row] for row in rows]), 1, purpose=PURPOSE)[:, 0]
    if samples.groups is not None:
        splits = _by_group(strata(samples, rows), samples.groups[rows], seed, shares)
    elif samples.task == MULTILABEL:
        splits = np.array(SPLITS, dtype="<U10")[stratified(samples.targets[rows], position, shares)]
    else:
        splits = _by_class(strata(samples, rows)[:, 0], position, shares)
    a_class = " a class" if samples.task == CLASSIFICATION else ""
    for split, share in zip(SPLITS, shares, strict=True):
        if share and not bool((splits == split).any()):
            few = "groups" if samples.groups is not None else f"{samples.noun}s{a_class}"
            raise InputError(
                f"{samples.source}: too few {few} for a {split} split; five {samples.noun}s{a_class}, in three groups "
                "where there are groups, are enough"
            )
    return splits


def strata(samples: Samples, rows: np.ndarray) -> np.ndarray:
    """What rows (n,) are to be spread evenly by: the strata (n, k) that each is in, -1 for none."""
    if samples.task == CLASSIFICATION:
        return samples.classes[rows, None]
    if samples.task == MULTILABEL:
        labels = len(samples.class_names)
        # The last is that of all pictures, so that those without a label are spread, too.
        own = np.where(samples.targets[rows] > 0, np.arange(labels), -1)
        return np.column_stack([own, np.full(len(rows), labels)])
    parts = min(QUANTILES, len(rows) // FEWEST_A_QUANTILE)
    if len(samples.class_names) > 1 or parts < 2:
        return np.zeros((len(rows), 1), dtype=np.int64)
    numbers = samples.targets[rows, 0]
    edges = np.quantile(numbers, np.arange(1, parts) / parts)
    return np.asarray(np.searchsorted(edges, numbers, "right")[:, None])


def identities(names: Sequence[str]) -> np.ndarray:
    """A number (n,) int64 for each name, the same on every machine."""
    digests = b"".join(hashlib.blake2b(name.encode("utf-8", "surrogatepass"), digest_size=8).digest() for name in names)
    return np.frombuffer(digests, dtype="<i8").astype(np.int64)


def _by_class(targets: np.ndarray, position: np.ndarray, shares: tuple[float, float, float]) -> np.ndarray:
    """Splits (n,): of each class the first go to test, the next to validation, the rest to training.

    The numbers a class are those of its share, rounded so that their sum over classes is right, too
    (1.5 a class of ten pictures is one and two in turn); one at least where there are enough.
    """
    splits = np.full(len(targets), TRAIN, dtype="<U10")
    counts = np.unique(targets, return_counts=True)[1]
    # halves are rounded the other way for validation: no class loses to both
    quotas = {TEST: _rounded(counts * shares[2]), VALIDATION: -_rounded(-counts * shares[1])}
    order = np.lexsort((position, targets))  # by class, then by draw
    start = 0
    for number, count in enumerate(counts):
        mine = order[start : start + count]
        start += count
        taken = 0
        for split, needed in ((TEST, 2), (VALIDATION, 3 if shares[2] else 2)):
            share = shares[SPLITS.index(split)]
            if share and count >= needed:
                quota = min(max(1, int(quotas[split][number])), count - taken - 1)
                splits[mine[taken : taken + quota]] = split
                taken += quota
    return splits


def _rounded(wanted: np.ndarray) -> np.ndarray:
    """Whole numbers (K,) near those wanted, whose running sums are the rounded running sums of those."""
    sums = np.floor(np.cumsum(wanted) + 0.5)
    return np.diff(sums, prepend=0.0).astype(np.int64)


def _by_group(strata: np.ndarray, groups: np.ndarray, seed: int, shares: tuple[float, float, float]) -> np.ndarray:
    """Splits (n,) in which each group is whole, with the shares and the strata (n, k) as near as that allows.

    Groups are placed one by one, the largest first, each where the sum over classes and splits of
    (count - wanted)^2 / wanted grows least (chi-square). Before that, each class gets one group in training.
    """
    names, of_row = np.unique(groups, return_inverse=True)
    of_row = of_row.reshape(-1)
    row, place_in_row = np.nonzero(strata >= 0)
    classes, of_target = np.unique(strata[row, place_in_row], return_inverse=True)
    counts = np.zeros((len(names), len(classes)), dtype=np.float64)  # (G, K)
    np.add.at(counts, (of_row[row], of_target.reshape(-1)), 1.0)
    draw = uniforms(seed, 0, identities([str(name) for name in names]), 1, purpose=PURPOSE)[:, 0]
    wanted = np.array(shares)[:, None] * counts.sum(axis=0)  # (S, K)
    weight = np.divide(1.0, wanted, out=np.zeros_like(wanted), where=wanted > 0)
    used = [number for number, share in enumerate(shares) if share]
    have = np.zeros_like(wanted)
    place = np.full(len(names), -1, dtype=np.int64)

    def put(group: int, split: int) -> None:
        place[group] = split
        have[split] += counts[group]

    for number in np.argsort((counts > 0).sum(axis=0), kind="stable"):  # the rarest class first
        if have[0, number] == 0:
            # a small group, so that the shares can still be met
            holders = np.flatnonzero((counts[:, number] > 0) & (place < 0))
            put(int(holders[np.lexsort((draw[holders], counts[holders].sum(axis=1)))[0]]), 0)
    waiting = np.flatnonzero(place < 0)
    for group in waiting[np.lexsort((draw[waiting], -counts[waiting].sum(axis=1)))]:
        mine = np.flatnonzero(counts[group])
        more = counts[group, mine]
        growth = [
            float((more * (2 * (have[split, mine] - wanted[split, mine]) + more) * weight[split, mine]).sum())
            for split in used
        ]
        put(int(group), used[int(np.argmin(growth))])
    _fill_empty(place, counts, have, used)
    splits: np.ndarray = np.array(SPLITS, dtype="<U10")[place[of_row]]
    return splits


def _fill_empty(place: np.ndarray, counts: np.ndarray, have: np.ndarray, used: Sequence[int]) -> None:
    """Move the smallest group that can be spared into each split that has none."""
    for split in used:
        if bool((place == split).any()):
            continue
        best, size = -1, np.inf
        for group in range(len(place)):
            home = place[group]
            lonely = int((place == home).sum()) == 1
            # training keeps every class
            needed = home == 0 and bool(((counts[group] > 0) & (have[0] == counts[group])).any())
            if not lonely and not needed and counts[group].sum() < size:
                best, size = group, counts[group].sum()
        if best >= 0:
            have[place[best]] -= counts[best]
            have[split] += counts[best]
            place[best] = split
