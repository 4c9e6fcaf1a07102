"""Two runs that were tested on the same pictures, picture by picture: whether they differ, where, and by how much.

What each answered is read from its `predictions.csv`. Legend: N pictures, K classes, labels or numbers.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from striate.actions.page import task_of
from striate.errors import InputError
from striate.evaluation.figure import plain
from striate.evaluation.paired import Paired, RightOrWrong, holm, mcnemar, sign_flips
from striate.evaluation.paired_labels import PairedPrecision, swaps
from striate.models.predictions import Answered, read_predictions
from striate.models.run import Run
from striate.models.run_files import PREDICTIONS

MOST_SHOWN = 12  # pictures that changed sides, each way


@dataclass(frozen=True, kw_only=True)
class Measured:
    """A run and what it answered for its test pictures. content: equal for equal pictures; "" where it is not known."""

    run: str
    task: str
    class_names: tuple[str, ...]
    answered: Answered
    content: str
    split: str
    noun: str = "picture"  # what each of them is called


@dataclass(frozen=True, kw_only=True)
class Part:
    """A class, label or number: `count` pictures it rests on, what each run reached (a share that is right, or a mean
    error), and the p of their difference, raised by Holm's method for as many parts."""

    name: str
    count: int
    first: float
    second: float
    p: float


@dataclass(frozen=True, kw_only=True)
class Changed:
    """A test picture that one run answered rightly, or better, and the other not; `target` and answers in words."""

    name: str
    target: str
    first: str
    second: str


@dataclass(frozen=True, kw_only=True)
class Comparison:
    """How the second run answered beside the first, of `n` pictures.

    test: over all pictures; its difference is second less first of what `measure` names, of which `more_is_better` or
    not. only_first, only_second: pictures that one alone answered rightly (of numbers: better), with their numbers.
    precision: of labels, the test of the mean average precision, where there is one.
    """

    first: str
    second: str
    task: str
    n: int
    measure: str
    more_is_better: bool
    test: RightOrWrong | Paired
    p: float  # of `test`, raised by Holm's method where several tests are made
    parts: tuple[Part, ...]
    only_first: tuple[Changed, ...]
    only_second: tuple[Changed, ...]
    changed: tuple[int, int]
    values: tuple[float, float] = field(default=(0.0, 0.0))
    noun: str = "picture"
    precision: PairedPrecision | None = None  # its p raised by the same

    def to_json(self) -> dict[str, Any]:
        """Plain values."""
        return dict(plain(self))


def measured(run: Run, split: str) -> Measured:
    """What a run answered for its test pictures. Raises InputError where that cannot be read."""
    task, names = task_of(run)
    content = run.metrics.get("tested")
    return Measured(
        run=str(run),
        task=task,
        class_names=names,
        answered=read_predictions(run.folder / PREDICTIONS, task, names),
        content=content if isinstance(content, str) else "",
        split=split,
        noun=run.noun,
    )


def difference(first: Measured, second: Measured) -> str:
    """What of the tests of two runs differs, in a sentence; "" where they can be compared picture by picture."""
    return unlike(first, second)[1]


def unlike(first: Measured, second: Measured) -> tuple[str, str]:
    """(a key of `striate.reports.comparison.UNLIKE`, what of the tests of two runs differs in a sentence); ("", "")
    where they can be compared picture by picture."""
    names = _other_names(first, second)
    if names:
        return "names", names
    pictures = _other_pictures(first, second)
    if pictures:
        return "pictures", pictures
    targets = _other_targets(first, second)
    return ("targets", targets) if targets else ("", "")


def _other_names(first: Measured, second: Measured) -> str:
    if first.task != second.task:
        return f"{first.run} is a run of {first.task}, {second.run} of {second.task}"
    if first.task != "classification" and set(first.class_names) != set(second.class_names):
        one = sorted(set(first.class_names) ^ set(second.class_names))[0]
        has, lacks = (first, second) if one in first.class_names else (second, first)
        return f"{has.run} answers '{one}', {lacks.run} does not"
    return ""


def _other_pictures(first: Measured, second: Measured) -> str:
    if first.split != second.split:
        return (
            f"{first.run} was measured on its {first.split} {first.noun}s, {second.run} on its {second.split} "
            f"{second.noun}s"
        )
    here, there = set(first.answered.names), set(second.answered.names)
    if here != there:
        alone = sorted(here - there) or sorted(there - here)
        whose, other = (first, second) if here - there else (second, first)
        more = f" and {len(alone) - 1:,} more" if len(alone) > 1 else ""
        return f"{whose.run} was tested on {alone[0]}{more}, {other.run} was not"
    if first.content and second.content and first.content != second.content:
        return f"the {first.noun}s that tested {first.run} and {second.run} have the same names and other content"
    return ""


def _other_targets(first: Measured, second: Measured) -> str:
    """Of the same pictures."""
    places = _places(first, second)
    mine, theirs = _in_words(first, first.answered.targets), _in_words(second, second.answered.targets[places])
    for name, one, two in zip(first.answered.names, mine, theirs, strict=True):
        if one != two:
            return f"{name} is {one} for {first.run} and {two} for {second.run}"
    return ""


def compare(first: Measured, second: Measured, seed: int = 0) -> Comparison:
    """Test whether the second answers otherwise than the first. Raises InputError where `difference` has something."""
    differs = difference(first, second)
    if differs:
        raise InputError(f"runs can be compared picture by picture only where they were tested alike: {differs}")
    return COMPARE[first.task](first, second, _places(first, second), seed)


def raised(comparisons: Sequence[Comparison]) -> list[Comparison]:
    """Comparisons that are told together, each p raised by Holm's method for as many tests as they make."""
    precisions = [one.precision for one in comparisons if one.precision is not None]
    values = iter(holm([*(one.p for one in comparisons), *(one.p for one in precisions)]))
    told = [replace(one, p=next(values)) for one in comparisons]
    return [
        one if one.precision is None else replace(one, precision=replace(one.precision, p=next(values))) for one in told
    ]


def _classes(first: Measured, second: Measured, places: np.ndarray, seed: int) -> Comparison:
    one, two = first.answered, second.answered
    targets = one.targets
    answers = np.array([second.class_names[k] for k in two.answers[places]], dtype=object)
    own = np.array([first.class_names[k] for k in one.answers], dtype=object)
    wanted = np.array([first.class_names[k] for k in targets], dtype=object)
    right, other = own == wanted, answers == wanted
    test = mcnemar(right, other, seed)
    parts = []
    for k, name in enumerate(first.class_names):
        of = targets == k
        if of.any():
            found = mcnemar(right[of], other[of], seed, 2)
            parts.append((name, int(of.sum()), float(right[of].mean()), float(other[of].mean()), found.p))
    assert one.sure is not None
    assert two.sure is not None

    def changed(chosen: np.ndarray, sure: np.ndarray) -> tuple[Changed, ...]:
        rows = np.flatnonzero(chosen)
        order = rows[np.argsort(-sure[rows], kind="stable")][:MOST_SHOWN]
        return tuple(
            Changed(name=one.names[row], target=str(wanted[row]), first=str(own[row]), second=str(answers[row]))
            for row in order
        )

    return Comparison(
        first=first.run,
        second=second.run,
        task=first.task,
        n=len(targets),
        measure=f"share of {first.noun}s right",
        more_is_better=True,
        test=test,
        p=test.p,
        parts=_parts(parts),
        only_first=changed(right & ~other, one.sure),
        only_second=changed(other & ~right, two.sure[places]),
        changed=(test.only_first, test.only_second),
        values=(float(right.mean()), float(other.mean())),
        noun=first.noun,
    )


def _labels(first: Measured, second: Measured, places: np.ndarray, seed: int) -> Comparison:
    one, two = first.answered, second.answered
    order = [second.class_names.index(name) for name in first.class_names]
    targets, own, answers = one.targets, one.answers, two.answers[places][:, order]
    right, other = own == targets, answers == targets
    shares, others = right.mean(axis=1), other.mean(axis=1)
    test = sign_flips(shares, others, seed)
    parts = []
    for k, name in enumerate(first.class_names):
        found = mcnemar(right[:, k], other[:, k], seed, 2)
        parts.append((name, int(targets[:, k].sum()), float(right[:, k].mean()), float(other[:, k].mean()), found.p))

    def changed(better: np.ndarray) -> tuple[Changed, ...]:
        rows = np.flatnonzero(better > 0)
        return tuple(
            Changed(
                name=one.names[row],
                target=_listed(first.class_names, targets[row]),
                first=_listed(first.class_names, own[row]),
                second=_listed(first.class_names, answers[row]),
            )
            for row in rows[np.argsort(-better[rows], kind="stable")][:MOST_SHOWN]
        )

    return Comparison(
        first=first.run,
        second=second.run,
        task=first.task,
        n=len(targets),
        measure="share of labels right",
        more_is_better=True,
        test=test,
        p=test.p,
        parts=_parts(parts),
        only_first=changed(shares - others),
        only_second=changed(others - shares),
        changed=(int((shares > others).sum()), int((others > shares).sum())),
        values=(float(shares.mean()), float(others.mean())),
        noun=first.noun,
        precision=swaps(one.label_probabilities(), two.label_probabilities()[places][:, order], targets, seed),
    )


def _numbers(first: Measured, second: Measured, places: np.ndarray, seed: int) -> Comparison:
    one, two = first.answered, second.answered
    order = [second.class_names.index(name) for name in first.class_names]
    targets, own, answers = one.targets, one.answers, two.answers[places][:, order]
    errors, others = np.abs(own - targets), np.abs(answers - targets)
    several = len(first.class_names) > 1
    # Numbers of several units are brought to one scale, that of their own spread.
    spread = targets.std(axis=0)
    scale = np.where(spread > 0, spread, 1.0) if several else np.ones(1)
    mean, mean_other = (errors / scale).mean(axis=1), (others / scale).mean(axis=1)
    test = sign_flips(mean, mean_other, seed)
    parts = []
    for k, name in enumerate(first.class_names):
        found = sign_flips(errors[:, k], others[:, k], seed, resample_count=2)
        parts.append((name, len(targets), float(errors[:, k].mean()), float(others[:, k].mean()), found.p))

    def words(row: int, values: np.ndarray, k: int) -> str:
        return f"{first.class_names[k]} {values[row, k]:.4g}" if several else f"{values[row, k]:.4g}"

    def changed(better: np.ndarray, by: np.ndarray) -> tuple[Changed, ...]:
        rows = np.flatnonzero(better > 0)
        made = []
        for row in rows[np.argsort(-better[rows], kind="stable")][:MOST_SHOWN]:
            k = int(by[row].argmax())
            made.append(
                Changed(
                    name=one.names[row],
                    target=words(row, targets, k),
                    first=words(row, own, k),
                    second=words(row, answers, k),
                )
            )
        return tuple(made)

    gain = (errors - others) / scale
    return Comparison(
        first=first.run,
        second=second.run,
        task=first.task,
        n=len(targets),
        measure="mean error, in deviations of the targets" if several else "mean error",
        more_is_better=False,
        test=test,
        p=test.p,
        parts=_parts(parts),
        only_first=changed(mean_other - mean, -gain),
        only_second=changed(mean - mean_other, gain),
        changed=(int((mean < mean_other).sum()), int((mean_other < mean).sum())),
        values=(float(mean.mean()), float(mean_other.mean())),
        noun=first.noun,
    )


COMPARE: dict[str, Callable[[Measured, Measured, np.ndarray, int], Comparison]] = {
    "classification": _classes,
    "multilabel": _labels,
    "regression": _numbers,
}


def _parts(found: Sequence[tuple[str, int, float, float, float]]) -> tuple[Part, ...]:
    raised = holm([p for *_, p in found])
    return tuple(
        Part(name=name, count=count, first=first, second=second, p=p)
        for (name, count, first, second, _), p in zip(found, raised, strict=True)
    )


def _places(first: Measured, second: Measured) -> np.ndarray:
    """For each picture of the first its line in the second."""
    place = {name: number for number, name in enumerate(second.answered.names)}
    return np.array([place[name] for name in first.answered.names], dtype=np.int64)


def _in_words(tested: Measured, targets: np.ndarray) -> list[str]:
    """What each picture is, comparable between runs that have their names in another order."""
    names = tested.class_names
    if tested.task == "classification":
        return [names[k] for k in targets.tolist()]
    if tested.task == "multilabel":
        return [_listed(names, row) for row in targets]
    order = sorted(range(len(names)), key=lambda k: names[k])
    return [", ".join(f"{names[k]} {row[k]:.7g}" for k in order) for row in targets]


def _listed(names: Sequence[str], has: np.ndarray) -> str:
    return ", ".join(sorted(names[int(k)] for k in np.flatnonzero(has))) or "none of the labels"
