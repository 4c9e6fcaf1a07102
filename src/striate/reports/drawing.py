"""What every drawing has: a title, an SVG that says in words what it shows, and the legend of its lines.

Drawings are SVG that follows the page's light or dark colours, written by hand instead of by a plotting library: a
curve takes 2 kB and a tenth of a millisecond, and CSS variables colour it. Sizes are in the drawing's own units, about
one CSS pixel.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from markupsafe import Markup, escape

from striate.names import visible


@dataclass(frozen=True, kw_only=True)
class Chart:
    """A drawing with its title and the legend of its lines [(name, style)]."""

    title: str
    svg: Markup
    legend: tuple[tuple[str, str], ...] = ()


def svg(width: float, height: float, label: str, parts: Sequence[Markup]) -> Markup:
    """The drawing of this size, in its own units, with `label` for those who do not see it."""
    return Markup('<svg viewBox="0 0 {} {}" role="img" aria-label="{}">{}</svg>').format(
        width, height, escape(visible(label)), Markup("").join(parts)
    )
