"""`striate evaluate`: how well a run answers the pictures of a source, each figure with a 95 % interval."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from striate.actions.rows import fitting, require_one_view
from striate.actions.subject import open_subject
from striate.data.preparing import prepare_all
from striate.data.samples import CLASSIFICATION, SPLITS, TEST, UNLABELLED, Samples
from striate.data.sources import open_dataset
from striate.data.streaming import in_turn
from striate.errors import InputError, require, unknown
from striate.machine.threads import with_threads
from striate.models.hub import fetched
from striate.models.many_views import answer, spec_for, way_called
from striate.models.model import Model
from striate.models.run import Run
from striate.models.run_files import METRICS, RECIPE, is_file, read_config, read_seen
from striate.observer import SILENT, Observer
from striate.tasks import TASKS, task_from_json
from striate.tasks.task import TableTask
from striate.training.recipe_file import read_recipe
from striate.words import counted

if TYPE_CHECKING:
    from torch import nn

    from striate.evaluation import TaskEvaluation

MOST_NAMED = 10  # of what is left out


@dataclass(frozen=True, kw_only=True)
class Evaluated:
    """Figures with intervals over the pictures of `split` ("" where the source has none), and what was left out.

    targets: (N,) classes or (N, K), as in `Samples`; answers: (N, K) probabilities, or numbers. notes: what has to be
    known of the figures, with those of the evaluation.
    """

    evaluation: TaskEvaluation
    source: str
    split: str
    pictures: int
    left_out: tuple[tuple[str, str], ...]
    names: tuple[str, ...]
    targets: np.ndarray
    answers: np.ndarray
    notes: tuple[str, ...]
    tta: str = "none"
    noun: str = "picture"  # what each of them is called in sentences

    @property
    def probabilities(self) -> np.ndarray:
        """The answers (N, K), of a task whose answers are probabilities."""
        return self.answers

    def to_json(self) -> dict[str, Any]:
        """Plain values."""
        return {
            "source": self.source,
            "split": self.split or "all",
            "tta": self.tta,
            "pictures": self.pictures,
            "left_out": [{"path": name, "reason": reason} for name, reason in self.left_out],
            **self.evaluation.to_json(),
            "notes": list(self.notes),
        }


def evaluate(
    run: Run | Model | str | Path | None,
    source: str | Path | Any,
    *,
    network: str | nn.Module | None = None,
    weights: str | Path | None = None,
    class_names: str | Path | Sequence[str] | None = None,
    split: str | None = None,
    labels: str | None = None,
    root: str | None = None,
    task: str | None = None,
    targets: str | None = None,
    strict: bool = False,
    device: str = "auto",
    precision: str | None = None,
    tta: str = "none",
    seed: int = 0,
    observer: Observer = SILENT,
) -> Evaluated:
    """Answer the labelled pictures of `source` and count.

    run: a run, a model, or None where `network` (with `weights` and `class_names`) stands in its place, as
    `actions.subject.open_subject` says. split: "train", "validation" or "test"; where None the test split, or
    everything if the source has no splits. tta: a row of `models.many_views.TTA`: the answers to several views of each
    picture are averaged. labels, root, task, targets: as in `open_dataset`; by default the labels and numbers are those
    that the run learned. Classes, labels and numbers are matched by name, never by position. Where some are pictures
    that the run was trained on, `notes` says so. Raises InputError where the source holds a class that the model does
    not know, lacks a number that it answers, or has no such split; with `strict` also where a picture cannot be read.
    """

    from striate.evaluation import EVALUATIONS, evaluate_answers

    way_called(tta)
    run = fetched(run)
    samples = _opened(run, source, labels, root, {"task": task, "targets": targets}, observer)
    observer.say(samples.how)
    for doubt in samples.doubts:
        observer.warn(doubt)
    model = open_subject(run, network=network, weights=weights, class_names=class_names, device=device)
    model = model.answering_in(precision)
    samples, split = _one_split(fitting(samples, model.input_spec), split)
    learned = model.task.name
    if learned not in EVALUATIONS:
        raise unknown("task", learned, EVALUATIONS)
    samples = _matched(samples, learned, model.class_names, observer)
    if samples.fields:
        require_one_view(tta)
    every, spec = np.arange(len(samples)), spec_for(model.input_spec, tta)
    with in_turn(samples, every) as turned:
        result = prepare_all(turned, every, spec.prepare, observer=observer, frame=spec)
    left_out = [(one.name, one.reason) for one in samples.left_out]
    left_out += [(samples.names[row], reason) for row, reason in result.failures]
    if strict and left_out:
        raise InputError(f"{left_out[0][0]}: {left_out[0][1]} (and {len(left_out) - 1} more); leave --strict away")
    for name, reason in left_out[:MOST_NAMED]:
        observer.warn(f"left out: {name}: {reason}")
    if len(left_out) > MOST_NAMED:
        observer.warn(f"left out: {len(left_out) - MOST_NAMED:,} more; --json names all")
    used = samples.without(result.failures)
    require(len(used) > 0, f"{samples.source}: none of its {samples.noun}s can be read")
    with with_threads():
        answers = answer(model, result.pictures, tta, partial(observer.progress, "answering")).numpy()
    evaluation = evaluate_answers(learned, answers, used.targets, model.class_names, seed)
    notes = evaluation.notes
    if run is not None and not isinstance(run, Model):
        note = _seen_before(run, result.checksums, samples.noun)
        notes = (*([note] if note else []), *notes)
    return Evaluated(
        evaluation=evaluation,
        source=samples.source,
        split=split,
        pictures=len(used),
        left_out=tuple(left_out),
        names=used.names,
        targets=used.targets,
        answers=answers,
        notes=notes,
        tta=tta,
        noun=samples.noun,
    )


def _seen_before(run: Run | str | Path, checksums: np.ndarray, noun: str) -> str:
    """How many of these, by their checksums (n,), the run has learned from or chosen by; "" for none."""
    seen = read_seen(run.folder if isinstance(run, Run) else run)
    if seen is None:
        return ""
    for known, what in zip(seen, ("learned from", "chose its best weights by"), strict=True):
        number = int(np.isin(checksums, known).sum())
        if number:
            all_of_them = "all" if number == len(checksums) else f"{number:,}"
            return (
                f"{all_of_them} of these {counted(len(checksums), noun)} are among those that the run {what}, so "
                f"the figures are too good; those of the part that was held back are in its {METRICS}"
            )
    return ""


def _one_split(samples: Samples, wanted: str | None) -> tuple[Samples, str]:
    present = [name for name in SPLITS if bool((samples.splits == name).any())]
    if wanted is None:
        # Pictures that training never saw, where the source says which they are.
        wanted = TEST if TEST in present else next((name for name in reversed(present)), None)
        if wanted is None:
            return samples, ""
    split = next((name for name in present if name == wanted.casefold()), None)
    if split is None:
        have = f"it has {', '.join(present)}" if present else "it has no splits; leave --split away"
        raise InputError(f"{samples.source}: no split '{wanted}'; {have}")
    return samples.select(samples.rows(split)), split


def _opened(
    run: Run | Model | str | Path | None,
    source: Any,
    labels: str | None,
    root: str | None,
    given: dict[str, str | None],
    observer: Observer,
) -> Samples:
    """The source with the targets that are given, else with those that the run answers."""
    told = {name: value for name, value in given.items() if value is not None}
    learned, asked = _asked(run)
    if told or not asked:
        return open_dataset(source, labels=labels, root=root, **(asked | told))
    if learned != CLASSIFICATION:
        try:
            return open_dataset(source, labels=labels, root=root, **asked)
        except InputError as error:
            kinds, names = TASKS[learned].kinds, asked["targets"] or ()
            of_them = f": {names if isinstance(names, str) else ', '.join(names)}" if names else ""
            raise InputError(f"{error} - the run answers {kinds}{of_them}") from error
    try:
        return open_dataset(source, labels=labels, root=root, **asked)
    except InputError as error:
        # Classes of any source can be matched by their names; if it is broken, this says so again.
        samples = open_dataset(source, labels=labels, root=root)
        observer.warn(f"its own labels are taken, not what the run was told to learn ({error})")
        return samples


def _asked(run: Run | Model | str | Path | None) -> tuple[str, dict[str, Any]]:
    """The task of the run, and what has to be said to `open_dataset` so that it finds the targets that it answers."""
    if run is None:
        return CLASSIFICATION, {}
    recipe = None
    if isinstance(run, Model):
        task, names = run.task.name, run.class_names
    else:
        folder = run.folder if isinstance(run, Run) else Path(run)
        learned = task_from_json(read_config(folder)["task"])
        task, names = learned.name, learned.names if isinstance(learned, TableTask) else ()
        path = folder / RECIPE
        recipe = read_recipe(path)[0] if is_file(path) else None
    targets = None if recipe is None else recipe.targets
    if task == CLASSIFICATION:
        said = {"task": None if recipe is None else recipe.task_asked, "targets": targets}
        return task, {name: value for name, value in said.items() if value is not None}
    return task, {"task": task, "targets": targets or (names if task == "regression" else None)}


def _matched(samples: Samples, task: str, class_names: tuple[str, ...], observer: Observer) -> Samples:
    """The labelled rows, their targets in the order of the model's classes, labels or numbers, by name."""
    require(
        samples.task == task,
        f"{samples.source}: it holds {TASKS[samples.task].kinds}, and the model answers {TASKS[task].kinds}; name a "
        f"source with {TASKS[task].kinds}",
    )
    samples = samples.select(np.flatnonzero(samples.labelled))
    require(len(samples) > 0, f"{samples.source}: its {samples.noun}s have no labels to compare the answers with")
    position = {name: number for number, name in enumerate(class_names)}
    table, known = samples.targets, samples.class_names
    if task == "regression":
        places = {name.casefold(): place for place, name in enumerate(known)}  # columns go by any case
        places |= {name: place for place, name in enumerate(known)}
        missing = [name for name in class_names if name not in places and name.casefold() not in places]
        require(
            not missing, f"{samples.source}: has no number '{missing[0] if missing else ''}', which the model answers"
        )
        columns = [places[name] if name in places else places[name.casefold()] for name in class_names]
        return replace(samples, targets=table[:, columns], class_names=class_names)
    used = np.unique(table) if table.ndim == 1 else np.flatnonzero((table > 0).any(axis=0))
    strange = [known[number] for number in used.tolist() if known[number] not in position]
    if strange:
        kind, kinds = TASKS[task].kind, TASKS[task].kinds
        raise InputError(
            f"{samples.source}: the model does not know the {kinds if len(strange) > 1 else kind} "
            f"{', '.join(strange[:5])}{', ...' * (len(strange) > 5)}; it knows "
            f"{', '.join(class_names[:8])}{', ...' * (len(class_names) > 8)}"
        )
    if table.ndim == 1:
        order = np.array([position.get(name, UNLABELLED) for name in known], dtype=np.int64)
        return replace(samples, targets=order[table], class_names=class_names)
    if task == "multilabel":
        never = [name for name in class_names if name not in known]
        if never:
            observer.warn(
                f"{samples.source} knows no {', '.join(never[:5])}: its {samples.noun}s count as lacking that"
            )
    wide = np.zeros((len(samples), len(class_names)), dtype=np.float32)
    for number in used.tolist():
        wide[:, position[known[number]]] = table[:, number]
    return replace(samples, targets=wide, class_names=class_names)
