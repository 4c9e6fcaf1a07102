"""What a run is carried out with and what it brings forth: plain values that the files of this room hand each other."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np

from striate.actions.agreement import require_same, target_bytes
from striate.data.pixel_store import PixelStore
from striate.data.samples import MULTILABEL, REGRESSION, TRAIN, Samples
from striate.data.sources.listing import some
from striate.errors import InputError, require
from striate.machine.ranks import ALONE, Ranks
from striate.models.model import Model, PreparedLike
from striate.models.run import Run
from striate.models.start import Start
from striate.observer import Observer
from striate.training.history import Row
from striate.training.own_parts import NOTHING_OWN, OwnParts
from striate.training.recipe import Recipe
from striate.training.resolved import Resolved

if TYPE_CHECKING:
    import torch
    from torch import nn


@dataclass(frozen=True, kw_only=True)
class Job:
    """One run to be carried out: what was asked, and what was decided if it was decided before."""

    run: Run
    recipe: Recipe
    resolved: Resolved | None
    network: nn.Module | None
    observer: Observer
    started: float
    resuming: bool = False
    further: bool = False  # than the run was planned for: to the epochs that `resolved` now names
    start: Start | None = None  # the earlier run that it starts from
    ranks: Ranks = ALONE
    own: OwnParts = NOTHING_OWN


@dataclass(frozen=True, kw_only=True)
class Machine:
    """Where the work is done, as plain values."""

    device: str
    threads: int
    precision: str
    layout: str
    allocator: str
    reference: bool


@dataclass(frozen=True, kw_only=True)
class Material:
    """The pictures as training needed them. `samples` is without what could not be read."""

    samples: Samples
    held_back: Mapping[str, PreparedLike]  # by split: (n, C, H, W) as the network takes them
    checksums: np.ndarray  # (N,) uint64
    store: PixelStore | None = None  # training, decoded; None where only prepared pictures were needed


@dataclass(frozen=True, kw_only=True)
class Trained:
    """A trained model and how it came to be."""

    model: Model
    resolved: Resolved
    material: Material
    history: Sequence[Row]
    best_epoch: int | None
    weights_words: str
    reasons: Sequence[str]
    seconds: Mapping[str, float]
    # Rows (n,) and their probabilities (n, K) by models that had not seen them (NaN where none had not).
    out_of_fold: tuple[np.ndarray, np.ndarray] | None = None
    # What the finished network gave already, so that it need not look at the same pictures again: scores (n, K) of a
    # whole split by its name, and training rows (n,) with their features (n, F).
    scores: Mapping[str, torch.Tensor] = field(default_factory=dict)
    features: tuple[np.ndarray, torch.Tensor] | None = None


def fingerprint(material: Material) -> str:
    """A text that is equal for equal pictures with equal labels in equal splits, in the same order."""
    samples = material.samples
    digest = hashlib.blake2b(digest_size=16)
    digest.update(np.ascontiguousarray(material.checksums).tobytes())
    digest.update(target_bytes(samples))
    digest.update("\n".join([*samples.class_names, *map(str, samples.splits)]).encode("utf-8", "surrogatepass"))
    return digest.hexdigest()


def require_same_pictures(job: Job, material: Material) -> None:
    """Refuse to repeat, or to go on with, what was decided and learned of other pictures. Raises InputError."""
    began = "" if job.resolved is None else job.resolved.fingerprint
    what = f"{job.run} began with; train anew" if job.resuming else "the recipe has resolved; leave [resolved] out"
    require(
        not began or began == fingerprint(material),
        f"{material.samples.source}: the {material.samples.noun}s, labels or splits are not those that {what}",
    )
    require_same(job.ranks, fingerprint(material), material.samples.source)


def report_left_out(job: Job, samples: Samples, failures: list[tuple[int, str]]) -> None:
    """Name what could not be read, or refuse the source where the recipe is strict."""
    names = [(one.name, one.reason) for one in samples.left_out] + [
        (samples.names[row], reason) for row, reason in failures
    ]
    found, left = len(samples) + len(samples.left_out), len(names)
    if not names:
        whole = job.recipe.share is None and job.recipe.fold is None
        job.observer.say(f"{found:,} {samples.noun}s {'found' if whole else 'chosen'}, all of them used")
        return
    if job.recipe.strict:
        raise InputError(
            f"{samples.source}: {left:,} of {found:,} {samples.noun}s cannot be used, the first is {names[0][0]} "
            f"({names[0][1]}); mend them, or leave --strict away"
        )
    job.observer.warn(f"{found:,} {samples.noun}s found = {found - left:,} used + {left:,} left out:")
    for name, reason in names[:10]:
        job.observer.warn(f"  {name}: {reason}")
    if left > 10:
        job.observer.warn(f"  and {left - 10:,} more; all are in metrics.json and in the report")


def require_classes(samples: Samples) -> None:
    """Refuse a source where a class or a label has no training picture left that can be read. Raises InputError."""
    if samples.task == REGRESSION:
        return
    targets = samples.targets[samples.rows(TRAIN)]
    counts = np.bincount(targets, minlength=len(samples.class_names)) if targets.ndim == 1 else targets.sum(axis=0)
    missing = [name for name, count in zip(samples.class_names, counts, strict=True) if count == 0]
    if missing and samples.task == MULTILABEL:
        those = "the label" if len(missing) == 1 else "the labels"
        raise InputError(
            f"{samples.source}: no training {samples.noun} that can be read has {those} {some(missing)}; "
            f"add some, or leave {those} away (--targets names those to learn)"
        )
    require(
        not missing,
        f"{samples.source}: no training {samples.noun} of class '{missing[0] if missing else ''}' can be read; "
        "striate inspect names the broken files",
    )
