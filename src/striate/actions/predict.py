"""`striate predict`: answers for pictures, in the order given; what cannot be read is named and the rest goes on."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from striate.actions.rows import require_one_view
from striate.actions.subject import open_subject
from striate.data.ahead import ahead
from striate.data.preparing import prepare_all
from striate.data.sources.files import Files
from striate.data.sources.number_rows import find_rows
from striate.data.sources.pictures import find_pictures
from striate.errors import InputError
from striate.machine.threads import with_threads
from striate.models.many_views import answer, spec_for, way_called
from striate.observer import SILENT, Observer
from striate.words import none_can

if TYPE_CHECKING:
    from torch import nn

    from striate.models.model import Model
    from striate.models.predictions import AnyPrediction
    from striate.models.run import Run


@dataclass(frozen=True, kw_only=True)
class Predictions:
    """Answers in the order in which the pictures were named, the task and its classes, labels or numbers, and what
    could not be read."""

    task: str
    class_names: tuple[str, ...]
    answers: tuple[AnyPrediction, ...]
    unreadable: tuple[tuple[str, str], ...]  # (name, reason)
    noun: str = "picture"  # what each of them is called in sentences


def predict(
    run: Run | Model | str | Path | None,
    pictures: Sequence[str | Path] | str | Path,
    *,
    network: str | nn.Module | None = None,
    weights: str | Path | None = None,
    class_names: str | Path | Sequence[str] | None = None,
    device: str = "auto",
    precision: str | None = None,
    tta: str = "none",
    names_from: Iterable[str] | None = None,
    observer: Observer = SILENT,
) -> Predictions:
    """Answers for files, folders and globs; "-" stands for the names in `names_from`, one a line. Of a run that learned
    from a table of numbers: for the rows of tables.

    run: a run, a model, or None where `network` (with `weights` and `class_names`) stands in its place, as
    `actions.subject.open_subject` says. precision: "float32", "bfloat16" or "float16" (on CUDA); that of the model
    where None, float32 for a run. tta: a row of `models.many_views.TTA`: the answers to several views of each picture
    are averaged.

    Raises InputError where no picture can be read, and where the run cannot be loaded.
    """

    way_called(tta)
    wanted = [pictures] if isinstance(pictures, str | Path) else list(pictures)
    samples = find_pictures(wanted, names_from)
    if not len(samples):
        raise InputError(f"no pictures in {', '.join(str(one) for one in wanted[:3])}; name files, folders or globs")
    # The first pictures are decoded while torch is imported and the weights are read.
    with ahead(samples) as early:
        model = open_subject(run, network=network, weights=weights, class_names=class_names, device=device)
        model = model.answering_in(precision)
        prepare, frame = spec_for(model.input_spec, tta).prepare, None
        if model.input_spec.fields is not None:  # then the names are those of tables
            assert isinstance(samples.pictures, Files)
            require_one_view(tta)
            samples = early = find_rows(samples.pictures.paths, model.input_spec.fields.names)
            frame = model.input_spec
        every = np.arange(len(samples))
        result = prepare_all(early, every, prepare, observer=observer, checksums=False, frame=frame)
    unreadable = tuple((samples.names[row], reason) for row, reason in result.failures)
    if len(unreadable) == len(samples):
        name, reason = unreadable[0]
        several = f"{none_can(len(samples))} be read; the first is " if len(samples) > 1 else ""
        raise InputError(f"{several}{name}: {reason}")
    failed = {row for row, _ in result.failures}
    names = [name for row, name in enumerate(samples.names) if row not in failed]
    with with_threads():
        answers = answer(model, result.pictures, tta, partial(observer.progress, "answering")).numpy()
    return Predictions(
        task=model.task.name,
        class_names=model.class_names,
        answers=tuple(model.predictions(names, answers)),
        unreadable=unreadable,
        noun=samples.noun,
    )
