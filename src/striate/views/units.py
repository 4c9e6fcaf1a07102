"""What the units of a layer respond to: how strongly and how often, to which classes; which are dead, which are twins.

A unit's response to a picture is the mean of its values over the cells of its map; whether it fires is told by the
maximum. Selectivity: Morcos, Barrett, Rabinowitz, Botvinick 2018 (arXiv:1803.06959), section 2.3. The share that the
class explains: epsilon squared, Kelley 1935. A unit that answers to a class is no proof that the network needs it
(Morcos et al. found that it often does not).

Legend: N pictures, U units, K classes, S pictures that are compared for twins.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn

from striate.errors import require
from striate.views.one_pass import Batch, as_batches, one_pass

LIKE = 0.99  # correlation of responses from which a unit counts as another one's twin
COMPARED = 512  # pictures from which on every second is compared, then every fourth, ...
FEWEST_COMPARED = 8  # two units agree on fewer pictures by chance


@dataclass(frozen=True, kw_only=True, eq=False)
class Units:
    """What N pictures told of the U units of a layer. All arrays are (U,) unless it is said.

    mean, deviation: float64, of a unit's responses. lowest, highest: float32, of its maxima in the pictures.
    fires: float64 in [0, 1], the share of pictures in which it has a value above 0. dead: bool, its response and its
    maximum are the same for all pictures (a rectifier that never opens). twin: int64, the unit whose responses
    correlate with its own by at least LIKE, the most alike; -1 where there is none. likeness: float32, that
    correlation, 0 where there is none.
    class_counts: (K,) int64, pictures of each class. class_means: (U, K) float32, mean response; NaN without pictures.
    selectivity: float32 in [0, 1], (a - b) / (a + b) with a the mean response to the class that it answers to most and
    b that to all others; NaN where a mean is negative, or there is but one class. explained: float32 in [0, 1], the
    share of the variance of its responses that the class explains; NaN where that cannot be told.
    """

    pictures: int
    mean: np.ndarray
    deviation: np.ndarray
    lowest: np.ndarray
    highest: np.ndarray
    fires: np.ndarray
    dead: np.ndarray
    twin: np.ndarray
    likeness: np.ndarray
    class_counts: np.ndarray
    class_means: np.ndarray
    selectivity: np.ndarray
    explained: np.ndarray

    def classes_of(self, unit: int, most: int = 3) -> list[int]:
        """The classes that it answers to most, most first; [] where it is dead or none is known."""
        means = self.class_means[unit]
        known = np.flatnonzero(np.isfinite(means))
        if self.dead[unit] or len(known) < 2:
            return []
        return [int(k) for k in known[np.argsort(-means[known], kind="stable")][:most]]


class Counting:
    """Counts while batches go by; memory does not grow with their number."""

    def __init__(self, units: int, classes: int = 0) -> None:
        self._units = units
        self._count = 0
        self._sum, self._squares = np.zeros(units), np.zeros(units)
        self._lowest, self._highest = np.full(units, np.inf), np.full(units, -np.inf)
        self._least, self._most = np.full(units, np.inf), np.full(units, -np.inf)
        self._fired = np.zeros(units, dtype=np.int64)
        self._class_counts = np.zeros(classes, dtype=np.int64)
        self._class_sums = np.zeros((classes, units))
        self._known_sum, self._known_squares = np.zeros(units), np.zeros(units)
        self._stride = 1
        self._kept: list[np.ndarray] = []

    def add(self, maps: Tensor, maxima: Tensor, means: Tensor, batch: Batch) -> None:
        """maxima, means (B, U): see `one_pass.Watcher`."""
        highest = maxima.cpu().numpy()
        responses = means.cpu().double().numpy()
        self._lowest = np.minimum(self._lowest, highest.min(axis=0))
        self._highest = np.maximum(self._highest, highest.max(axis=0))
        self._least = np.minimum(self._least, responses.min(axis=0))
        self._most = np.maximum(self._most, responses.max(axis=0))
        self._fired += (highest > 0).sum(axis=0)
        self._sum += responses.sum(axis=0)
        self._squares += np.square(responses).sum(axis=0)
        if batch.targets is not None and len(self._class_counts):
            targets = batch.targets.cpu().numpy()
            known = targets >= 0
            np.add.at(self._class_sums, targets[known], responses[known])
            self._class_counts += np.bincount(targets[known], minlength=len(self._class_counts))
            self._known_sum += responses[known].sum(axis=0)
            self._known_squares += np.square(responses[known]).sum(axis=0)
        self._keep(responses)

    def _keep(self, responses: np.ndarray) -> None:
        """Every `_stride`-th picture, twice as far apart whenever there are too many."""
        ahead = -self._count % self._stride
        self._kept += list(responses[ahead :: self._stride].astype(np.float32))
        self._count += len(responses)
        while len(self._kept) > COMPARED:
            self._kept = self._kept[::2]
            self._stride *= 2

    def result(self) -> Units:
        """What is known so far. Raises InputError where nothing was added."""
        require(self._count > 0, "there are no pictures to look at")
        mean = self._sum / self._count
        # One picture alone tells of no unit that it never changes.
        dead = (self._lowest == self._highest) & (self._least == self._most) & (self._count > 1)
        twin, likeness = twins(np.array(self._kept), dead)
        counts = self._class_counts
        with np.errstate(invalid="ignore", divide="ignore"):
            class_means = (self._class_sums / counts[:, None]).T
        known = int(counts.sum())
        total = self._known_squares - np.square(self._known_sum) / max(1, known)
        return Units(
            pictures=self._count,
            mean=mean,
            deviation=np.sqrt(np.maximum(self._squares / self._count - np.square(mean), 0.0)),
            lowest=self._lowest.astype(np.float32),
            highest=self._highest.astype(np.float32),
            fires=self._fired / self._count,
            dead=dead,
            twin=twin,
            likeness=likeness,
            class_counts=counts,
            class_means=class_means.astype(np.float32),
            selectivity=selectivity(class_means, counts),
            explained=explained(class_means, counts, np.where(dead, 0.0, total)),
        )


def unit_report(
    network: nn.Module,
    pictures: Tensor | Iterable[Batch],
    targets: Tensor | None = None,
    *,
    layers: Sequence[str] | None = None,
    classes: int | None = None,
    output: str | int | None = None,
) -> dict[str, Units]:
    """What the units of `layers` respond to, by layer.

    pictures: (N, C, H, W) as the network takes them with their `targets` (N,) int64 (-1: not known), or batches with
    their own and the number of `classes`. layers: None means those of `chapters`. Raises InputError without pictures,
    for a layer that does not exist, and for a target beyond the classes.
    """
    if targets is not None and classes is None:
        classes = int(targets.max()) + 1
    number = classes or 0
    batches = (_checked(batch, number) for batch in as_batches(pictures, targets))
    found = one_pass(network, batches, layers, lambda place: (Counting(place.channels, number),), output=output)
    return {name: _only(watched.watchers[0]) for name, watched in found.items()}


def selectivity(class_means: np.ndarray, counts: np.ndarray) -> np.ndarray:
    """class_means (U, K), counts (K,) -> (U,) float32 in [0, 1] or NaN: see `Units`.

    The mean response to all other classes is the mean of their means, as in the paper.
    """
    found = np.full(len(class_means), np.nan, dtype=np.float32)
    means = class_means[:, counts > 0]
    if means.shape[1] < 2:
        return found
    best = means.max(axis=1)
    others = (means.sum(axis=1) - best) / (means.shape[1] - 1)
    told = (means.min(axis=1) >= 0) & (best + others > 0)
    found[told] = ((best - others) / np.where(told, best + others, 1.0))[told]
    return found


def explained(class_means: np.ndarray, counts: np.ndarray, total: np.ndarray) -> np.ndarray:
    """(U,) float32 in [0, 1] or NaN: see `Units`. total (U,): sum of squared distances of responses from their mean.

    Without the correction of epsilon squared many classes of few pictures would explain anything.
    """
    found = np.full(len(class_means), np.nan, dtype=np.float32)
    has = counts > 0
    number, groups = int(counts.sum()), int(has.sum())
    if groups < 2 or number <= groups:
        return found
    means, sizes = class_means[:, has], counts[has]
    middle = means @ sizes / number
    between = np.square(means - middle[:, None]) @ sizes
    told = total > 0
    share = between[told] / total[told]
    found[told] = np.clip(1 - (1 - share) * (number - 1) / (number - groups), 0.0, 1.0)
    return found


def twins(responses: np.ndarray, dead: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """responses (S, U), dead (U,) -> of each unit the most alike other (U,) int64 and the correlation (U,) float32.

    -1 and 0 where none correlates by LIKE, for dead units, and where there are fewer than FEWEST_COMPARED pictures.
    """
    units = responses.shape[1]
    nobody = np.full(units, -1, dtype=np.int64), np.zeros(units, dtype=np.float32)
    centred = responses.astype(np.float64) - responses.mean(axis=0, dtype=np.float64)
    length = np.sqrt(np.square(centred).sum(axis=0))
    alive = ~dead & (length > 0)
    if len(responses) < FEWEST_COMPARED or alive.sum() < 2:
        return nobody
    unit_length = torch.from_numpy((centred / np.where(alive, length, 1.0) * alive).astype(np.float32))
    correlation = unit_length.T @ unit_length
    correlation.fill_diagonal_(-1.0)
    likeness, twin = correlation.max(dim=1)
    alike = (likeness.numpy() >= LIKE) & alive
    return np.where(alike, twin.numpy(), -1), np.where(alike, likeness.numpy(), 0).astype(np.float32)


def _checked(batch: Batch, classes: int) -> Batch:
    highest = -1 if batch.targets is None or not len(batch.targets) else int(batch.targets.max())
    require(highest < max(1, classes), f"there are {classes} classes, and a target is {highest}")
    return batch


def _only(watcher: object) -> Units:
    assert isinstance(watcher, Counting)
    return watcher.result()
