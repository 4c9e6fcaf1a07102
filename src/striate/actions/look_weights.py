"""The weights of a network that are pictures by themselves, drawn for the page of `striate look`.

Legend: U outputs, C channels, D inputs, h w cells of a filter.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from striate.reports.gallery import Drawn, drawn_filters, drawn_matrix, drawn_strength
from striate.views.filters import Weights

MOST_NAMED = 3
LARGEST_MATRIX = 1_000_000  # weights of a linear layer that are worth a picture


def drawn_weights(weights: Sequence[Weights], class_names: Sequence[str], channels: int) -> tuple[Drawn, ...]:
    """Those that are worth it, with what each is in words. channels: of the network's input."""
    worth = [one for one in weights if one.kind != "matrix" or one.values.numel() <= LARGEST_MATRIX]
    return tuple(_drawn(one, class_names, channels) for one in worth)


def _drawn(one: Weights, class_names: Sequence[str], channels: int) -> Drawn:
    values = one.values.numpy()
    named = list(class_names[:MOST_NAMED]) if len(values) == len(class_names) else []
    order = f", in the order {', '.join(named)}{', ...' * (len(class_names) > MOST_NAMED)}" if named else ""
    if one.kind == "matrix":
        said = f"its weights: {len(values)} outputs from top to bottom{order}, {values.shape[1]} inputs across"
        return Drawn(title=one.layer, said=said, picture=drawn_matrix(values))
    if one.kind == "grid" or values.shape[1] not in (1, 3):
        said = f"where each output looks: the length of its weights on all maps, cell by cell{order}"
        return Drawn(title=one.layer, said=said, picture=drawn_strength(np.sqrt(np.square(values).sum(axis=1))))
    what = "filters" if one.kind == "filters" else "templates, one an output"
    said = f"its {len(values)} {what} on {'grey pictures' if channels == 1 else 'red, green and blue'}{order}"
    return Drawn(title=one.layer, said=said, picture=drawn_filters(values.transpose(0, 2, 3, 1)))
