"""What a training tells of answers that are numbers. As `told.Told` says."""

from __future__ import annotations

import numpy as np

from striate.actions.kept_page import Mistaken, Near, Nearest, Unsure
from striate.data.samples import TRAIN, Samples
from striate.words import counted


def learned(samples: Samples) -> str:
    """ "the number angle", "4 numbers"."""
    names = samples.class_names
    return f"the number {names[0]}" if len(names) == 1 else counted(len(names), "number")


def uneven(samples: Samples) -> str:
    """Where most training pictures have one and the same value of a number."""
    table = samples.targets[samples.rows(TRAIN)]
    for k, name in enumerate(samples.class_names):
        values, counts = np.unique(table[:, k], return_counts=True)
        if 2 * counts.max() > len(table):
            share = 100 * counts.max() / len(table)
            return (
                f"{name} is {values[counts.argmax()]:g} in {share:.0f} % of the training {samples.noun}s: the mean "
                "error says little of the others."
            )
    return ""


def mistakes(
    samples: Samples, rows: np.ndarray, answers: np.ndarray, most: int, nearest: Nearest
) -> tuple[Mistaken, ...]:
    """The answers that are farthest off, beside the deviation of each number in the training pictures; of each picture
    the worst number."""
    targets = samples.targets[rows].astype(np.float64)
    spread = samples.targets[samples.rows(TRAIN)].std(axis=0, dtype=np.float64)
    far = np.abs(answers - targets) / np.where(spread > 0, spread, 1.0)
    which, largest = far.argmax(axis=1), far.max(axis=1)
    worst = np.argsort(-largest, kind="stable")[:most]
    near = nearest(worst)
    several = len(samples.class_names) > 1

    def words(number: int, value: float) -> str:
        return f"{samples.class_names[number]} {value:.4g}" if several else f"{value:.4g}"

    made = []
    for at in worst:
        number = int(which[at])
        off = abs(float(answers[at, number]) - float(targets[at, number]))
        made.append(
            Mistaken(
                name=samples.names[rows[at]],
                target=words(number, float(targets[at, number])),
                prediction=words(number, float(answers[at, number])),
                probability=None,
                neighbours=Near.of(
                    samples,
                    near.get(int(at), ()),
                    lambda row, number=number: words(number, float(samples.targets[row, number])),  # type: ignore[misc]
                ),
                note=f"{off:.3g} off, {largest[at]:.1f} times the deviation of the training {samples.noun}s",
            )
        )
    return tuple(made)


def unsure(samples: Samples, rows: np.ndarray, answers: np.ndarray, most: int) -> tuple[Unsure, ...]:
    """None: a number is answered without a certainty."""
    return ()
