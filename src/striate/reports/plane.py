"""Pictures where they lie in a plane: small pictures as points of a drawing, with the colours of their classes."""

from __future__ import annotations

import base64
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from markupsafe import Markup

from striate.names import visible
from striate.reports.drawing import Chart, svg

WIDTH = 720.0
HEIGHTS = (240.0, 900.0)
LARGEST, SMALLEST = 64.0, 22.0  # sides of a picture in the drawing
COLOURS = 8  # that can be told apart


@dataclass(frozen=True, kw_only=True)
class Point:
    """A picture at (x, y), y upwards: PNG or JPEG, its name, and its class, "" where it has none."""

    x: float
    y: float
    picture: bytes
    name: str
    label: str = ""


def pictures_in_plane(title: str, points: Sequence[Point]) -> Chart:
    """The pictures where they lie, both axes of one scale. Of at most COLOURS classes each frame has the colour of its
    class; of more the pictures alone tell. Raises ValueError without points."""
    if not points:
        raise ValueError("a plane without pictures cannot be drawn")
    side = max(SMALLEST, min(LARGEST, 1.1 * WIDTH / len(points) ** 0.5 / 2))
    left, low = min(point.x for point in points), min(point.y for point in points)
    wide, tall = max(point.x for point in points) - left, max(point.y for point in points) - low
    inner = WIDTH - side
    # One scale for both, and where all lie nearly in a line no higher than the page.
    scale = min(inner / wide if wide > 0 else float("inf"), (HEIGHTS[1] - side) / tall if tall > 0 else float("inf"))
    scale = scale if scale < float("inf") else 0.0
    height = max(HEIGHTS[0], scale * tall + side)
    across, down = (WIDTH - scale * wide) / 2, (height - scale * tall) / 2
    styles = _styles(points)
    parts = [
        _drawn(point, across + scale * (point.x - left), height - down - scale * (point.y - low), side, styles)
        for point in points
    ]
    said = ", ".join(f"{count} of {name}" for name, count in Counter(one.label for one in points).items() if name)
    label = f"{title}: {len(points)} pictures" + (f", {said}" if styles else "")
    return Chart(title=title, svg=svg(WIDTH, round(height, 1), label, parts), legend=tuple(styles.items()))


def _styles(points: Sequence[Point]) -> dict[str, str]:
    """Class -> style, in order of appearance; empty where they are too many to be told apart."""
    names = list(dict.fromkeys(point.label for point in points if point.label))
    return {name: f"run{number}" for number, name in enumerate(names, start=1)} if len(names) <= COLOURS else {}


def _drawn(point: Point, x: float, y: float, side: float, styles: dict[str, str]) -> Markup:
    kind = "png" if point.picture.startswith(b"\x89PNG") else "jpeg"
    code = base64.b64encode(point.picture).decode("ascii")
    frame = Markup("")
    if point.label in styles:
        frame = Markup('<rect class="frame {}" x="{:.1f}" y="{:.1f}" width="{:.1f}" height="{:.1f}"/>').format(
            styles[point.label], x - side / 2, y - side / 2, side, side
        )
    told = f"{point.name}: {point.label}" if point.label else point.name
    return Markup(
        '<g><title>{}</title><image x="{:.1f}" y="{:.1f}" width="{:.1f}" height="{:.1f}" '
        'preserveAspectRatio="xMidYMid slice" href="data:image/{};base64,{}"/>{}</g>'
    ).format(visible(told), x - side / 2, y - side / 2, side, side, kind, Markup(code), frame)
