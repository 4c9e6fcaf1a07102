"""The same units after each epoch that a run has kept: the section of `striate look --through-training`.

Legend: E epochs, U units, B pictures, C channels, H W pixels.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import nn

from striate.actions.look_cells import BYTES_AT_ONCE, as_pixels, cut_box
from striate.actions.look_data import Looked, shape_of
from striate.reports.gallery import Filmed, Grown, drawn_film
from striate.taps.fields import Fields
from striate.views.through_training import Film, films

PICTURES = 256  # that each epoch sees, evenly spaced
EPOCHS = 8  # shown, as in the paper's figure
UNITS = 6  # of each layer, likewise


@dataclass(frozen=True, kw_only=True, eq=False)
class Films:
    """By layer what was found. rows: the numbers of the (B,) pictures, to which the rows of a `Film` point."""

    rows: tuple[int, ...]
    by_layer: Mapping[str, Film]

    def to_json(self, names: Sequence[str]) -> list[dict[str, Any]]:
        """Plain values. names: of all pictures."""
        return [
            {
                "layer": film.layer,
                "epochs": list(film.epochs),
                "units": [
                    {
                        "unit": unit,
                        "activations": film.activations[:, number].tolist(),
                        "pictures": [names[self.rows[row]] for row in film.rows[:, number].tolist()],
                        "boxes": film.boxes[:, number].tolist(),
                    }
                    for number, unit in enumerate(film.units)
                ],
            }
            for film in self.by_layer.values()
        ]

    def arrays(self) -> dict[str, np.ndarray]:
        """ "training/<layer>/<what>": see `Film`; rows are numbers of all pictures."""
        found: dict[str, np.ndarray] = {}
        for layer, film in self.by_layer.items():
            found |= {
                f"training/{layer}/units": np.array(film.units, dtype=np.int64),
                f"training/{layer}/epochs": np.array(film.epochs, dtype=np.int64),
                f"training/{layer}/rows": np.array(self.rows, dtype=np.int64)[film.rows.numpy()],
                **{
                    f"training/{layer}/{name}": getattr(film, name).numpy()
                    for name in ("activations", "boxes", "reconstructions")
                },
            }
        return found


def some_epochs(epochs: Sequence[int]) -> tuple[int, ...]:
    """At most EPOCHS of them, the first and the last among them, closer together where training begins."""
    if len(epochs) <= EPOCHS:
        return tuple(epochs)
    places = np.unique(np.geomspace(1, len(epochs), EPOCHS).round().astype(int) - 1)
    # Early ones fall together; the next that are not among them take the places.
    free = [place for place in range(len(epochs)) if place not in set(places.tolist())]
    chosen = sorted([*places.tolist(), *free[: EPOCHS - len(places)]])
    return tuple(epochs[place] for place in chosen)


def films_of(
    looked: Looked,
    networks: Iterable[tuple[int, nn.Module]],
    units: Mapping[str, Sequence[int]],
    unread: Sequence[int],
    epochs: int,
    output: str | int | None,
) -> Films:
    """The films of these units by layer. networks: of each epoch, of `epochs` in all, as `through_training` takes them.
    unread: the numbers of the pictures that cannot be read."""
    readable = [row for row in range(len(looked.samples)) if row not in set(unread)]
    most = max(1, min(PICTURES, BYTES_AT_ONCE // (4 * math.prod(shape_of(looked.model)))))
    places = np.unique(np.linspace(0, len(readable) - 1, most).round().astype(int))
    rows = tuple(readable[place] for place in places)
    prepared = looked.prepared(rows)
    inputs = looked.inputs(torch.stack([prepared[row].float() for row in rows]))
    done = 0

    def observe(epoch: int) -> None:
        nonlocal done
        done += 1
        looked.observer.progress("epochs", done, epochs)

    return Films(rows=rows, by_layer=films(networks, inputs, units, output=output, observe=observe))


# -- as a section -------------------------------------------------------------------------------


def drawn_films(made: Films, looked: Looked, fields: Mapping[str, Fields], side: int) -> tuple[Filmed, ...]:
    """The section. side: pixels of the longer side of a patch."""
    rows = {made.rows[row] for film in made.by_layer.values() for row in film.rows.flatten().tolist()}
    prepared = {row: as_pixels(one) for row, one in looked.prepared(sorted(rows)).items()}
    return tuple(
        Filmed(
            layer=layer,
            epochs=film.epochs,
            units=tuple(
                _grown(made, film, number, prepared, fields[layer].size, side) for number in range(len(film.units))
            ),
        )
        for layer, film in made.by_layer.items()
    )


def _grown(
    made: Films, film: Film, number: int, prepared: Mapping[int, np.ndarray], size: tuple[int, int], side: int
) -> Grown:
    patches, backs = [], []
    rows = film.rows[:, number].tolist()
    for epoch, row in enumerate(rows):
        top, left, bottom, right = film.boxes[epoch, number].tolist()
        box = (top, left, bottom, right)
        patches.append(cut_box(prepared[made.rows[row]], box, size))
        values = film.reconstructions[epoch, number].permute(1, 2, 0).numpy()
        backs.append(cut_box(values, box, size, as_signed=True))
    return Grown(
        unit=film.units[number],
        picture=drawn_film(patches, backs, side),
        first=float(film.activations[0, number]),
        last=float(film.activations[-1, number]),
        pictures=len(set(rows)),
        since=_since(film.epochs, rows),
    )


def _since(epochs: Sequence[int], rows: Sequence[int]) -> int:
    """The epoch from which on the same picture was the strongest."""
    others = [number for number, row in enumerate(rows) if row != rows[-1]]
    return epochs[others[-1] + 1 if others else 0]
