"""An explanation as the cell of a notebook shows it: the answer, what else was probable, the maps over the picture."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from striate.actions.explanation import Explanation

MOST_BARS = 5


def cell(found: Explanation) -> str:
    """The HTML; everything else is on the page, whose place it tells."""
    from striate.actions.explanation import title_of
    from striate.reports import colours
    from striate.reports.explanation import enlarged
    from striate.reports.notebook import SIDE, Fragment, fragment
    from striate.reports.thumbnails import thumbnail

    order = np.argsort(-found.probabilities, kind="stable")[:MOST_BARS]
    pictures = [(thumbnail(enlarged(found.seen), side=SIDE), "what the network saw")]
    for one in found.maps:
        largest = colours.strength(one.values)
        drawn = colours.over(one.values[0], found.seen, largest)
        pictures.append((thumbnail(enlarged(drawn), side=SIDE), f"{title_of(one.method)}: {found.classes[0]}"))
    labelled = f", but it is {found.label}" if found.mistaken else ", and so it is" if found.label is not None else ""
    return fragment(
        Fragment(
            title=f"{found.picture}: {found.answer}{labelled}",
            lines=(*found.reasons, *found.notes, f"everything: {found.page}"),
            bars=tuple((found.class_names[k], float(found.probabilities[k])) for k in order),
            pictures=tuple(pictures),
        )
    )
