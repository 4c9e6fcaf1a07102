"""Class names in natural order, and targets that are matched to them by name, never by position."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from striate.data.samples import CLASSIFICATION, TRAIN, Samples, natural_key
from striate.data.sources.files import read_file
from striate.data.sources.listing import class_name, some
from striate.errors import InputError, did_you_mean

LIST_NAME = "classes.txt"
LARGEST_LIST = 1 << 20


def encode(labels: Sequence[str]) -> tuple[np.ndarray, tuple[str, ...]]:
    """Labels of N rows -> (targets (N,) int64, class names in natural order)."""
    names = tuple(sorted(set(labels), key=natural_key))
    number = {name: position for position, name in enumerate(names)}
    return np.array([number[label] for label in labels], dtype=np.int64), names


def encode_numbers(
    numbers: np.ndarray, names: Sequence[str] | None, where: str = LIST_NAME
) -> tuple[np.ndarray, tuple[str, ...]]:
    """Class numbers (N,) -> (targets (N,) int64, class names): of the list `names`, else the numbers themselves.

    Only classes that occur are classes. Raises InputError where a number is beyond the list, which is in `where`.
    """
    found, positions = np.unique(numbers, return_inverse=True)
    if names is not None and len(found) and (int(found[0]) < 0 or int(found[-1]) >= len(names)):
        wrong = int(found[0]) if int(found[0]) < 0 else int(found[-1])
        raise InputError(f"{where} names {len(names)} classes (0 to {len(names) - 1}), but a label says {wrong}")
    texts = [str(int(number)) if names is None else names[int(number)] for number in found]
    targets, order = encode(texts)
    return targets[positions.reshape(-1)], order


def listed_names(folder: Path) -> tuple[str, ...] | None:
    """The lines of `classes.txt` in a folder: name of class 0, of class 1, ...; None where there is no such file.

    Raises InputError where it is no UTF-8 text, or too large.
    """
    path = folder / LIST_NAME
    return read_names(path) if path.is_file() else None


def read_names(path: Path) -> tuple[str, ...]:
    """The lines of a text file: name of class 0, of class 1, ... Raises InputError where it is no such file."""
    try:
        text = read_file(path, LARGEST_LIST).decode("utf-8-sig")
    except UnicodeDecodeError:
        raise InputError(f"{path}: not UTF-8 text") from None
    except InputError as error:
        raise InputError(f"{path}: {error}") from None
    return names_in(text, str(path))


def names_in(text: str, where: str) -> tuple[str, ...]:
    """The class names in the text of a `classes.txt`, one a line. Raises InputError, naming `where`."""
    names = tuple(class_name(line.strip()) for line in text.splitlines())
    while names and not names[-1]:
        names = names[:-1]
    if not names or "" in names or len(set(names)) != len(names):
        raise InputError(f"{where}: must hold one class name a line, each once, without empty lines")
    return names


def refuse_unknown_classes(samples: Samples) -> None:
    """Raise InputError where a split holds a class that no training picture has. Shares may have some of each."""
    if samples.task != CLASSIFICATION or samples.targets.ndim > 1 or not bool((samples.splits == TRAIN).any()):
        return
    counts = samples.counts()
    trained = counts[TRAIN] > 0
    known = [name for name, there in zip(samples.class_names, trained, strict=True) if there]
    for split, of_class in counts.items():
        strange = [samples.class_names[row] for row in np.flatnonzero((of_class > 0) & ~trained)]
        if strange:
            hint = did_you_mean(strange[0], known) if len(strange) == 1 else ""
            hint = hint or f"; add training {samples.noun}s of it, rename it, or take it out"
            raise InputError(
                f"{samples.source}: the {split} split holds {len(strange)} "
                f"{'class' if len(strange) == 1 else 'classes'} that no training {samples.noun} has: "
                f"{some(strange)}{hint}"
            )
