"""An explanation as the cell of a notebook shows it: the answer, what else was probable, the maps over the picture."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from striate.reports import colours
from striate.reports.explanation import enlarged
from striate.reports.notebook import SIDE, Fragment, fragment
from striate.reports.thumbnails import thumbnail

MOST_BARS = 5


def explanation_cell(
    *,
    title: str,
    lines: Sequence[str],
    answers: Sequence[tuple[str, float]],
    seen: np.ndarray,
    maps: Sequence[tuple[str, np.ndarray]],
) -> str:
    """The HTML. answers: (class, probability), of which the most probable are shown. seen: (H, W, C) `uint8`, what the
    network saw. maps: (what it is, (K, H, W)), of which the first is shown, on the scale of all K."""
    order = np.argsort([-probability for _, probability in answers], kind="stable")[:MOST_BARS]
    pictures = [(thumbnail(enlarged(seen), side=SIDE), "what the network saw")]
    for words, values in maps:
        drawn = colours.over(values[0], seen, colours.strength(values))
        pictures.append((thumbnail(enlarged(drawn), side=SIDE), words))
    return fragment(
        Fragment(title=title, lines=tuple(lines), bars=tuple(answers[k] for k in order), pictures=tuple(pictures))
    )
