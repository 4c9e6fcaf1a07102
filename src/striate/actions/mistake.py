"""The pictures of a run, for one that is explained: its label, and why a mistake may have been made.

Near is the cosine of what the last layer of the network sees. Legend: N pictures, F features.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property, partial
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor, nn

from striate.actions.run_source import found_again, source_of
from striate.data.preparing import prepare_all
from striate.data.reading import load_pixels
from striate.data.samples import CLASSIFICATION, MULTILABEL, TRAIN, Samples
from striate.data.sources.files import Files
from striate.data.streaming import in_turn
from striate.errors import InputError
from striate.models.claim import check_outside
from striate.models.model import Model
from striate.models.run import Run
from striate.models.run_files import METRICS, RECIPE, read_seen
from striate.networks.heads import pooled_features
from striate.observer import SILENT, Observer
from striate.training.recipe_file import read_recipe, read_source

if TYPE_CHECKING:
    from striate.reports.training_report import Neighbour

AMONG = 200  # training pictures of each class that are compared
NEAREST = 4
SHOWN = 160  # side of a neighbour on the page
UNEVEN = 4  # times as many training pictures of one class as of the other are worth saying


@dataclass(frozen=True, kw_only=True)
class Near:
    """A training picture: its row and name in the run's source, its class, and the cosine of the features, -1 to 1."""

    row: int
    name: str
    label: str
    similarity: float


class _Pooled(nn.Module):
    """A network without its last layer."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network

    def forward(self, pictures: Tensor) -> Tensor:
        return pooled_features(self.network, pictures)


class RunPictures:
    """The source that a run learned from, opened when it is first needed; `notes` say where it could not be had."""

    def __init__(self, run: Run, observer: Observer = SILENT) -> None:
        self.run, self.observer = run, observer
        self.notes: list[str] = []

    def refuse_inside(self, place: Path) -> None:
        """Raise InputError where `place` lies inside the source, which is never written to."""
        if self._found is not None:
            check_outside(place, self._found[0], "it would lie")

    def label_of(self, path: Path) -> str | None:
        """What the source says of the picture at `path`; None where it is none of it, or has no label."""
        row = self.row_of(path)
        if row is None or self.samples is None:
            return None
        return self.samples.label(row) or None

    def row_of(self, path: Path) -> int | None:
        """The row of the picture at `path` in the source; None where it is none of it."""
        if not any(_lies_inside(path, folder) for folder in self._folders):
            return None
        if self.samples is None or not isinstance(self.samples.pictures, Files):
            return None
        paths, wanted = self.samples.pictures.paths, path.resolve()
        alike = (row for row, place in enumerate(self.samples.index) if Path(paths[place]).name == path.name)
        return next((row for row in alike if Path(paths[self.samples.index[row]]).resolve() == wanted), None)

    def learned_from(self, checksum: int) -> bool:
        """Whether the run has learned from the picture with this checksum, as far as it has noted that."""
        return self._seen is not None and bool(np.isin(np.uint64(checksum), self._seen))

    def nearest(
        self, model: Model, prepared: Tensor, classes: Sequence[str], *, but: int, of: str | None = None
    ) -> dict[str, tuple[Near, ...]]:
        """For each of `classes` the pictures of it, among those that the run learned from, nearest to a picture.

        prepared: the picture (C, H, W). but: its checksum; it is not its own neighbour. of: the label that is meant,
        where the run answers labels and `classes` are "no car" and "car". Of a class with many pictures
        `AMONG`, evenly spaced, are compared. Where the run is of a version that did not note what it learned from,
        all that the source does not hold back count. Empty where the source cannot be had any more.
        """
        if self.samples is None:
            return {}
        part = getattr(model.network, "features", None)
        part = part if isinstance(part, nn.Module) else _Pooled(model.network)
        own = _unit(model.outputs(prepared[None], part))[0]
        samples = self.samples
        mine = {name: _of_class(samples, name) if of is None else _with_label(samples, of, name) for name in classes}
        return {name: self._nearest_of(name, mine[name], model, part, own, but) for name in classes}

    def _nearest_of(
        self, name: str, mine: np.ndarray, model: Model, part: nn.Module, own: np.ndarray, but: int
    ) -> tuple[Near, ...]:
        """mine: (N,) bool, the rows of the class."""
        assert self.samples is not None
        if self._seen is None:  # then without those that the source itself holds back
            mine = mine & np.isin(self.samples.splits, (TRAIN, ""))
        rows = np.flatnonzero(mine)
        # Twice as many as are wanted: some were held back, which only their content tells.
        rows = rows[np.linspace(0, len(rows) - 1, min(len(rows), 2 * AMONG)).astype(np.int64)] if len(rows) else rows
        if not len(rows):
            return ()
        with in_turn(self.samples, rows) as turned:
            read = prepare_all(turned, rows, model.prepare, observer=self.observer, what=f"reading {name}")
        known = read.checksums != np.uint64(but)
        if self._seen is not None:
            known &= np.isin(read.checksums, self._seen)
        places = np.flatnonzero(known)[:AMONG]
        if not len(places):
            return ()
        watch = partial(self.observer.progress, f"comparing {name}")
        cosines = _unit(model.outputs(read.pictures[torch.from_numpy(places)], part, watch)) @ own
        nearest = np.argsort(-cosines, kind="stable")[:NEAREST]
        rows = read.rows[places[nearest]]
        return tuple(
            Near(row=int(row), name=self.samples.names[row], label=name, similarity=float(cosine))
            for row, cosine in zip(rows, cosines[nearest], strict=True)
        )

    def drawn(self, near: Mapping[str, Sequence[Near]]) -> dict[str, tuple[Neighbour, ...]]:
        """The same with small pictures, for a page."""
        from striate.reports.thumbnails import thumbnail
        from striate.reports.training_report import Neighbour

        if self.samples is None:
            return {}
        return {
            name: tuple(
                Neighbour(
                    picture=thumbnail(load_pixels(self.samples, one.row, at_least=2 * SHOWN), side=SHOWN),
                    name=one.name,
                    label=one.label,
                    distance=1 - one.similarity,
                )
                for one in several
            )
            for name, several in near.items()
        }

    def learned_counts(self) -> dict[str, int]:
        """Training pictures by class, as far as the run has noted them."""
        from striate.actions.kept_page import Page

        noted = self.run.metrics.get("page") if (self.run.folder / METRICS).is_file() else None
        if noted is None:
            return {}
        counts = Page.from_json(noted).counts.get(TRAIN, ())
        names = self.run.config["task"].get("class_names")
        return dict(zip(names, counts, strict=True)) if isinstance(names, list) and len(names) == len(counts) else {}

    @cached_property
    def samples(self) -> Samples | None:
        """The table of the source; None, and said, where it cannot be had any more."""
        if self._named is None:
            self.notes.append("the pictures that the run learned from are not known, so none are shown")
            return None
        found = source_of(self.run, self.observer)
        if found is None:
            self.notes.append(f"the pictures that the run learned from ({self._named}) cannot be had any more")
        return found

    @cached_property
    def _seen(self) -> np.ndarray | None:
        seen = read_seen(self.run.folder)
        return None if seen is None else seen[0]

    @property
    def _folders(self) -> tuple[Path, ...]:
        """Where pictures of the source lie: the folder that it is, that a table lies in, or that the recipe names."""
        if self._found is None:
            return ()
        source, root = self._found
        folders = (Path(source), Path(source).parent)
        return folders if root is None else (Path(root), *folders)

    @cached_property
    def _found(self) -> tuple[str, str | None] | None:
        """The source and the folder of its paths, as they are found from here; None for one that lies nowhere."""
        if self._named is None:
            return None
        recipe = read_recipe(self.run.folder / RECIPE)[0]
        try:
            source, recipe = found_again(self.run, recipe)
        except InputError:  # arrays
            return None
        return str(source), recipe.root

    @cached_property
    def _named(self) -> str | None:
        """The source, as the run's recipe names it."""
        path = self.run.folder / RECIPE
        return read_source(path) if path.is_file() else None


def reasons_for(
    answer: str,
    label: str,
    probabilities: Mapping[str, float],
    near: Mapping[str, Sequence[Near]],
    counts: Mapping[str, int],
) -> list[str]:
    """Sentences on why `answer` was given where the label is `label`.

    probabilities: of every class. near: nearest first, for both. counts: training pictures of both, where known.
    """
    ranked = sorted(probabilities, key=lambda name: -probabilities[name])
    place = ranked.index(label) + 1
    share = f"{100 * probabilities[label]:.1f} %"
    said = [
        f"{label} was its second choice, with {share}"
        if place == 2
        else f"{label} came in place {place} of {len(ranked)}, with {share}: it was not in doubt between the two"
    ]
    of_answer, of_label = near.get(answer, ()), near.get(label, ())
    if of_answer and of_label:
        like_answer, like_label = of_answer[0].similarity, of_label[0].similarity
        most, least = sorted((like_answer, like_label), reverse=True)
        figures = f"similarity {most:.2f} against {least:.2f}"
        if like_answer > like_label:
            said.append(
                f"in what the last layer sees it lies nearer to a training picture of {answer} than to any of {label} "
                f"({figures}): to this network it looks like {answer}"
            )
        else:
            said.append(
                f"in what the last layer sees it lies nearer to a training picture of {label} than to any of {answer} "
                f"({figures}): the network saw what it needed, and weighed it wrongly"
            )
        both = sorted([*of_answer, *of_label], key=lambda one: -one.similarity)[: max(len(of_answer), len(of_label))]
        agreeing = sum(one.label == answer for one in both)
        if len(both) > 1 and agreeing == len(both):
            said.append(f"all {agreeing} nearest are {answer}: look whether the label is what is wrong")
    if answer in counts and label in counts and counts[answer] >= UNEVEN * max(1, counts[label]):
        said.append(f"it learned {answer} from {counts[answer]:,} pictures and {label} from {counts[label]:,} only")
    return said


def _lies_inside(path: Path, folder: Path) -> bool:
    """By its letters, or by where its links lead."""
    try:
        return folder.is_dir() and (
            path.absolute().is_relative_to(folder.absolute()) or path.resolve().is_relative_to(folder.resolve())
        )
    except (OSError, ValueError, RuntimeError):  # a name that no place can have, or links in a ring
        return False


def _of_class(samples: Samples, name: str) -> np.ndarray:
    """(N,) bool: the rows of a class."""
    _check_known(samples, name, CLASSIFICATION, "class")
    mine: np.ndarray = samples.classes == samples.class_names.index(name)
    return mine


def _with_label(samples: Samples, label: str, answer: str) -> np.ndarray:
    """(N,) bool: the rows that have a label, or those that have it not, as the answer is."""
    _check_known(samples, label, MULTILABEL, "label")
    has = samples.targets[:, samples.class_names.index(label)] > 0.5
    mine: np.ndarray = samples.labelled & (has if answer == label else ~has)
    return mine


def _check_known(samples: Samples, name: str, task: str, what: str) -> None:
    if samples.task != task or name not in samples.class_names:
        raise InputError(f"{samples.source}: has no {what} '{name}' any more, which the run learned from it")


def _unit(features: Tensor) -> np.ndarray:
    """Features (N, F or more dimensions) as float64 rows of length 1."""
    flat = features.flatten(1).numpy().astype(np.float64)
    unit: np.ndarray = flat / np.maximum(np.linalg.norm(flat, axis=1, keepdims=True), 1e-12)
    return unit
