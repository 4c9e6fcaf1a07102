"""What a training tells of answers that are labels. As `told.Told` says."""

from __future__ import annotations

import numpy as np

from striate.actions.kept_page import Mistaken, Near, Nearest, Unsure
from striate.data.samples import TRAIN, Samples
from striate.evaluation.labels import THRESHOLD
from striate.models.predictions import labels_of
from striate.words import counted

FEW = 10  # training pictures with, or without, a label
SHOWN = 3  # labels of a picture of which it is least sure


def learned(samples: Samples) -> str:
    """ "7 labels"."""
    return counted(len(samples.class_names), "label")


def uneven(samples: Samples) -> str:
    """Where a label has hardly any training pictures, or hardly any lack it."""
    has = samples.counts()[TRAIN]
    rarer = np.minimum(has, len(samples.rows(TRAIN)) - has)
    if rarer.min() >= FEW:
        return ""
    name, number = samples.class_names[int(rarer.argmin())], int(rarer.min())
    one, many = ("has", "have") if has[int(rarer.argmin())] == number else ("lacks", "lack")
    pictures = counted(number, f"training {samples.noun} {one}", f"training {samples.noun}s {many}")
    return f"Labels are uneven (only {pictures} {name}): look at each label."


def mistakes(
    samples: Samples, rows: np.ndarray, answers: np.ndarray, most: int, nearest: Nearest
) -> tuple[Mistaken, ...]:
    """The wrong labels that it was surest of, the worst one of each picture."""
    has = samples.targets[rows] > THRESHOLD
    said = answers > THRESHOLD
    sure = np.where(said != has, np.where(said, answers, 1 - answers), 0.0)
    worst_label = sure.argmax(axis=1)
    surest = sure.max(axis=1)
    wrong = np.flatnonzero(surest > 0)
    worst = wrong[np.argsort(-surest[wrong], kind="stable")][:most]
    near = nearest(worst)

    def words(label: int, there: bool) -> str:
        return samples.class_names[label] if there else f"no {samples.class_names[label]}"

    made = []
    for at in worst:
        label = int(worst_label[at])
        made.append(
            Mistaken(
                name=samples.names[rows[at]],
                target=words(label, bool(has[at, label])),
                prediction=words(label, bool(said[at, label])),
                probability=float(surest[at]),
                neighbours=Near.of(
                    samples,
                    near.get(int(at), ()),
                    lambda row, label=label: words(label, bool(samples.targets[row, label] > THRESHOLD)),  # type: ignore[misc]
                ),
            )
        )
    return tuple(made)


def unsure(samples: Samples, rows: np.ndarray, answers: np.ndarray, most: int) -> tuple[Unsure, ...]:
    """Those whose labels lie nearest to one half on average, with the three nearest of each."""
    doubt = np.abs(answers - THRESHOLD)
    made = []
    for at in np.argsort(doubt.mean(axis=1), kind="stable")[:most]:
        there = labels_of(samples.targets[rows[at]], samples.class_names)
        made.append(
            Unsure(
                name=samples.names[rows[at]],
                target=", ".join(there) or "none of the labels",
                top=tuple(
                    (samples.class_names[int(k)], float(answers[at, k]))
                    for k in np.argsort(doubt[at], kind="stable")[:SHOWN]
                ),
                targets=there,
            )
        )
    return tuple(made)
