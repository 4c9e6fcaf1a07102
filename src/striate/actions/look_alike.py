"""Which pictures a network finds alike, in the plane: the section of `striate look --feature-space`.

Legend: B pictures.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from striate.actions.look_cells import as_pixels
from striate.actions.look_data import Looked
from striate.reports.drawing import Chart
from striate.reports.plane import Point, pictures_in_plane
from striate.reports.text import percent
from striate.reports.thumbnails import thumbnail
from striate.views.feature_space import FeatureSpace, Way, features, in_the_plane
from striate.views.top_index import Index, keep_arrays, read_arrays
from striate.words import counted

PICTURES = 300  # evenly spaced; more would cover each other
AT_ONCE = 64  # pictures in memory
SIDE = 64  # pixels of a small picture
TITLES = {"pca": "By the two directions in which they differ most", "t-sne": "By their neighbours"}


@dataclass(frozen=True, kw_only=True, eq=False)
class Alike:
    """Where the pictures lie: `rows` are the numbers of the (B,) pictures that `found.points` are of."""

    rows: tuple[int, ...]
    found: FeatureSpace

    def to_json(self, names: Sequence[str]) -> dict[str, Any]:
        """Plain values. names: of all pictures."""
        explained = self.found.explained
        return {
            "way": self.found.way,
            "layer": self.found.layer,
            "explained": None if explained is None else explained.tolist(),
            "points": [
                {"path": names[row], "x": x, "y": y}
                for row, (x, y) in zip(self.rows, self.found.points.tolist(), strict=True)
            ],
        }

    def arrays(self) -> dict[str, np.ndarray]:
        """ "feature-space/points" (B, 2), "feature-space/rows" (B,)."""
        return {
            "feature-space/points": self.found.points.numpy(),
            "feature-space/rows": np.array(self.rows, dtype=np.int64),
        }


def alike_of(looked: Looked, unread: Sequence[int], way: Way, index: Index | None, output: str | int | None) -> Alike:
    """Some of the pictures, evenly spaced, by the features that the last layer is given. unread: the numbers of those
    that cannot be. Raises InputError as `feature_space` does."""
    readable = np.setdiff1d(np.arange(len(looked.samples)), np.asarray(unread, dtype=np.int64))
    places = np.unique(np.linspace(0, len(readable) - 1, PICTURES).round().astype(int))
    rows = tuple(int(row) for row in readable[places])
    place = None if index is None else index.place(json.dumps(["feature-space", way, rows]))
    kept = None if place is None else read_arrays(place, looked.observer)
    if kept is None:
        kept = _computed(looked, rows, way, output)
        if place is not None:
            keep_arrays(place, kept, looked.observer)
    found = FeatureSpace(
        points=torch.from_numpy(np.array(kept["points"])),
        way=way,
        layer=kept["layer"].tobytes().decode(),
        explained=torch.from_numpy(np.array(kept["explained"])) if "explained" in kept else None,
    )
    return Alike(rows=rows, found=found)


def _computed(looked: Looked, rows: Sequence[int], way: Way, output: str | int | None) -> dict[str, np.ndarray]:
    """As it is kept."""
    parts, layer = [], ""
    for start in range(0, len(rows), AT_ONCE):
        some = rows[start : start + AT_ONCE]
        prepared = looked.prepared(some)
        inputs = looked.inputs(torch.stack([prepared[row] for row in some]))
        part, layer = features(looked.model.network, inputs, output=output)
        parts.append(part)
        looked.observer.progress("comparing", start + len(some), len(rows))
    found = in_the_plane(torch.cat(parts), way=way, layer=layer)
    arrays = {"points": found.points.numpy(), "layer": np.frombuffer(layer.encode(), dtype=np.uint8)}
    return arrays if found.explained is None else {**arrays, "explained": found.explained.numpy()}


def drawn_alike(alike: Alike, looked: Looked) -> tuple[Chart, str]:
    """The section: the pictures where they lie, and how to read it in words."""
    points = []
    for start in range(0, len(alike.rows), AT_ONCE):
        some = alike.rows[start : start + AT_ONCE]
        prepared = looked.prepared(some)
        for row, (x, y) in zip(some, alike.found.points[start : start + AT_ONCE].tolist(), strict=True):
            picture = thumbnail(as_pixels(prepared[row]), side=SIDE)
            points.append(
                Point(x=x, y=y, picture=picture, name=looked.samples.names[row], label=looked.label(row) or "")
            )
    explained = alike.found.explained
    said = (
        "neighbours are alike; the sizes of groups and the distances between them mean nothing (t-SNE)"
        if explained is None
        else f"distances are in proportion; the plane holds {percent(float(explained.sum()), 0)} of what differs (PCA)"
    )
    return (
        pictures_in_plane(TITLES[alike.found.way], points),
        f"{counted(len(points), 'picture')}, by what {alike.found.layer} gives: {said}",
    )
