"""What a training tells of answers that are classes. As `told.Told` says."""

from __future__ import annotations

import numpy as np

from striate.actions.kept_page import Mistaken, Near, Nearest, Unsure
from striate.data.samples import TRAIN, Samples

UNEVEN = 4  # times as many pictures of one class as of another


def learned(samples: Samples) -> str:
    """ "3 classes"."""
    return f"{len(samples.class_names)} classes"


def uneven(samples: Samples) -> str:
    """Where one class has four times as many training pictures as another."""
    counts = samples.counts()[TRAIN]
    if counts.max() < UNEVEN * counts.min():
        return ""
    rarest = samples.class_names[int(counts.argmin())]
    return f"Classes are uneven ({rarest}: {counts.min():,}, largest: {counts.max():,}): look at each class."


def mistakes(
    samples: Samples, rows: np.ndarray, answers: np.ndarray, most: int, nearest: Nearest
) -> tuple[Mistaken, ...]:
    """The wrong answers that it was surest of."""
    names, classes = samples.class_names, samples.classes
    targets, best = classes[rows], answers.argmax(axis=1)
    wrong = np.flatnonzero(best != targets)
    worst = wrong[np.argsort(-answers[wrong, best[wrong]], kind="stable")][:most]
    near = nearest(worst)
    return tuple(
        Mistaken(
            name=samples.names[rows[at]],
            target=names[targets[at]],
            prediction=names[best[at]],
            probability=float(answers[at, best[at]]),
            neighbours=Near.of(samples, near.get(int(at), ()), lambda row: names[classes[row]]),
        )
        for at in worst
    )


def unsure(samples: Samples, rows: np.ndarray, answers: np.ndarray, most: int) -> tuple[Unsure, ...]:
    """Those whose most probable class is least probable, with their three most probable ones."""
    names, classes = samples.class_names, samples.classes
    made = []
    for at in np.argsort(answers.max(axis=1), kind="stable")[:most]:
        order = np.argsort(-answers[at], kind="stable")[:3]
        made.append(
            Unsure(
                name=samples.names[rows[at]],
                target=names[classes[rows[at]]],
                top=tuple((names[k], float(answers[at, k])) for k in order),
            )
        )
    return tuple(made)
