"""Figures for a page: thumbnails of pictures, and drawings as SVG that follow the page's light or dark colours.

The drawings are written by hand instead of by a plotting library: a curve takes 2 kB and a tenth of a
millisecond, and CSS variables colour it. Sizes are in the drawing's own units, about one CSS pixel.
"""

from __future__ import annotations

import base64
import io
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from markupsafe import Markup, escape

from striate.names import visible
from striate.reports.text import count, decimal, finite, percent

if TYPE_CHECKING:
    from PIL import Image

WIDTH, HEIGHT = 360, 220
LEFT, RIGHT, TOP, BOTTOM = 46, 10, 10, 34
TINY = 64  # pictures up to this side are shown with their pixels as squares
MOST_POINTS = 600


def thumbnail(pixels: np.ndarray, side: int = 160) -> bytes:
    """A small copy of a picture, JPEG or PNG, whichever is smaller; a tiny picture stays as it is, as PNG.

    pixels (H, W, C) or (H, W), `uint8`, or `float32` in [0, 255]; C is 1 or 3 (of more channels the first
    three are shown, of two the first). The longer side becomes at most `side` pixels. Raises ValueError
    where there are no pixels.
    """
    from PIL import Image

    pixels = np.asarray(pixels)
    if pixels.ndim == 2:
        pixels = pixels[:, :, None]
    if pixels.ndim != 3 or 0 in pixels.shape:
        raise ValueError(f"pixels must be (H, W, C), got {pixels.shape}")
    pixels = pixels[:, :, :3] if pixels.shape[2] >= 3 else pixels[:, :, :1]
    if pixels.dtype != np.uint8:
        pixels = np.rint(np.clip(np.nan_to_num(pixels), 0, 255)).astype(np.uint8)
    picture = Image.fromarray(np.ascontiguousarray(pixels[:, :, 0] if pixels.shape[2] == 1 else pixels))
    longer = max(picture.size)
    if longer > side:
        size = (max(1, round(picture.width * side / longer)), max(1, round(picture.height * side / longer)))
        picture = picture.resize(size, Image.Resampling.LANCZOS, reducing_gap=3.0)
    png = io.BytesIO()
    picture.save(png, "PNG", optimize=longer <= TINY)
    if longer <= TINY:
        return png.getvalue()
    return min(as_jpeg(picture), png.getvalue(), key=len)


def as_jpeg(picture: Image.Image) -> bytes:
    """A picture in grey or in colours as a JPEG file, as pages have it."""
    file = io.BytesIO()
    picture.save(file, "JPEG", quality=82, optimize=True)
    return file.getvalue()


def image(data: bytes, alt: str) -> Markup:
    """The `<img>` of an encoded PNG or JPEG picture, its bytes in the page itself.

    Raises ValueError where the bytes are neither.
    """
    if data.startswith(b"\x89PNG\r\n\x1a\n"):
        kind = "png"
        width, height = (int.from_bytes(data[start : start + 4], "big") for start in (16, 20))
        pixel = ' class="pixel"' if max(width, height) <= TINY else ""
    elif data.startswith(b"\xff\xd8"):
        kind, pixel = "jpeg", ""
    else:
        raise ValueError("a picture of a page must be PNG or JPEG")
    code = base64.b64encode(data).decode("ascii")
    return Markup('<img{} src="data:image/{};base64,{}" alt="{}">').format(
        Markup(pixel), kind, Markup(code), visible(alt)
    )


def ticks(low: float, high: float, about: int = 5) -> list[float]:
    """Round numbers that lie in [low, high]: multiples of 1, 2 or 5 times a power of ten, about `about` of them."""
    if not high > low:
        return [low]
    rough = (high - low) / max(1, about)
    power = 10.0 ** math.floor(math.log10(rough))
    step = next(factor * power for factor in (1, 2, 5, 10) if factor * power >= rough * 0.999)
    first = math.ceil(low / step - 1e-9)
    return [round(index * step, 12) for index in range(first, math.floor(high / step + 1e-9) + 1)]


def decades(low: float, high: float) -> list[float]:
    """Ticks of a logarithmic axis: powers of ten, with 2 and 5 between them where there are few."""
    powers = range(math.floor(math.log10(low)), math.ceil(math.log10(high)) + 1)
    factors = (1, 2, 5) if math.log10(high / low) < 2 else (1,)
    found = [float(f"{factor}e{power}") for power in powers for factor in factors]
    inside = [value for value in found if low * 0.999 <= value <= high * 1.001]
    return inside[:: max(1, math.ceil(len(inside) / 8))] or [low]


@dataclass(frozen=True, kw_only=True)
class Series:
    """One line of a chart. `values` has one entry for each x, None or NaN where there is none."""

    name: str
    values: Sequence[float | None]
    style: str = "one"  # "one": the accent colour; "two": grey and dashed


@dataclass(frozen=True, kw_only=True)
class Chart:
    """A drawing with its title and the legend of its lines [(name, style)]."""

    title: str
    svg: Markup
    legend: tuple[tuple[str, str], ...] = ()


def line_chart(
    title: str,
    x: Sequence[float],
    series: Sequence[Series],
    *,
    x_name: str = "epoch",
    as_percent: bool = False,
    logarithmic: bool = False,
    mark: float | None = None,
    reference: float | None = None,
) -> Chart | None:
    """Lines over x; None where no line has a value.

    mark: an x that is singled out by a vertical line (the epoch that was kept). reference: a y likewise.
    A long line is thinned so that its peaks stay.
    """
    lines = [
        (
            one,
            [(float(at), value) for at, raw in zip(x, one.values, strict=False) if (value := finite(raw)) is not None],
        )
        for one in series
    ]
    lines = [(one, [p for p in points if not logarithmic or p[1] > 0]) for one, points in lines]
    lines = [(one, points) for one, points in lines if points]
    if not lines:
        return None
    every = [value for _, points in lines for _, value in points]
    if reference is not None:
        every.append(reference)
    vertical = _Axis.over(every, logarithmic=logarithmic, top_limit=1.0 if as_percent else None)
    places = [at for _, points in lines for at, _ in points]
    start, end = min(places), max(places)
    spread = (end - start) or 1.0

    def across(at: float) -> float:
        inner = WIDTH - LEFT - RIGHT
        return LEFT + inner * ((at - start) / spread if end > start else 0.5)

    def down(value: float) -> float:
        return HEIGHT - BOTTOM - (HEIGHT - TOP - BOTTOM) * vertical.place(value)

    def show(value: float) -> str:
        if as_percent:
            narrow = vertical.ticks[-1] - vertical.ticks[0] < 0.05
            return f"{100 * value:.1f}" if narrow else f"{100 * value:.0f}"
        return (
            f"{value:g}"
            if 1e-3 <= abs(value) < 1e5 or value == 0
            else f"{value:.0e}".replace("e-0", "e-").replace("e+0", "e")
        )

    parts: list[Markup] = []
    for value in vertical.ticks:
        parts.append(
            Markup('<path class="grid" d="M{0} {1:.1f}H{2}"/><text x="{3}" y="{4:.1f}" class="end">{5}</text>').format(
                LEFT, down(value), WIDTH - RIGHT, LEFT - 7, down(value) + 3.5, show(value)
            )
        )
    steps = ticks(start, end, 6) if end > start else [start]
    whole = sorted({round(value) for value in steps if start <= round(value) <= end}) or [round(start)]
    for number in whole:
        parts.append(
            Markup('<text x="{:.1f}" y="{}" class="mid">{:,}</text>').format(across(number), HEIGHT - 19, number)
        )
    parts.append(
        Markup('<text x="{}" y="{}" class="mid name">{}</text>').format((LEFT + WIDTH - RIGHT) / 2, HEIGHT - 4, x_name)
    )
    if reference is not None:
        parts.append(Markup('<path class="rule" d="M{} {:.1f}H{}"/>').format(LEFT, down(reference), WIDTH - RIGHT))
    if mark is not None and start <= mark <= end:
        parts.append(Markup('<path class="mark" d="M{:.1f} {}V{}"/>').format(across(mark), TOP, HEIGHT - BOTTOM))
    for one, points in sorted(lines, key=lambda line: line[0].style != "two"):
        drawn = _thin(points)
        if len(drawn) == 1:
            shape = Markup('<circle class="dot {}" cx="{:.1f}" cy="{:.1f}" r="4"/>')
            parts.append(shape.format(one.style, across(drawn[0][0]), down(drawn[0][1])))
            continue
        road = "L".join(f"{across(at):.1f} {down(value):.1f}" for at, value in drawn)
        parts.append(Markup('<path class="line {}" d="M{}"/>').format(one.style, road))
        if mark is not None and one.style == "one":
            for at, value in points:
                if at == mark:
                    parts.append(
                        Markup('<circle class="dot one" cx="{:.1f}" cy="{:.1f}" r="3.5"/>').format(
                            across(at), down(value)
                        )
                    )
    told = percent if as_percent else decimal
    spoken = "; ".join(f"{one.name or 'and'} from {told(p[0][1])} to {told(p[-1][1])}" for one, p in lines)
    return Chart(
        title=title,
        svg=_svg(WIDTH, HEIGHT, f"{title} by {x_name}: {spoken}", parts),
        legend=tuple((one.name, one.style) for one, _ in lines),
    )


@dataclass(frozen=True)
class _Axis:
    """A vertical axis: its range, its ticks, and where on it (0 bottom, 1 top) a value lies."""

    low: float
    high: float
    logarithmic: bool
    ticks: tuple[float, ...]

    @classmethod
    def over(cls, values: Sequence[float], *, logarithmic: bool, top_limit: float | None) -> _Axis:
        low, high = min(values), max(values)
        if logarithmic:
            low, high = low / 1.15, high * 1.15
            return cls(low, high, True, tuple(decades(low, high)))
        if low >= 0 and low < 0.4 * high:
            low = 0.0
        margin = 0.06 * ((high - low) or abs(high) or 1.0)
        low, high = low - (margin if low else 0.0), high + margin
        if top_limit is not None and high > top_limit:
            high = max(top_limit, max(values))
        return cls(low, high, False, tuple(ticks(low, high)))

    def place(self, value: float) -> float:
        if self.logarithmic:
            return math.log(value / self.low) / math.log(self.high / self.low)
        return (value - self.low) / (self.high - self.low)


def _thin(points: list[tuple[float, float]]) -> list[tuple[float, float]]:
    """At most about `MOST_POINTS` points: of each stretch its lowest and its highest."""
    if len(points) <= MOST_POINTS:
        return points
    kept: list[tuple[float, float]] = []
    stretches = MOST_POINTS // 2
    for part in range(stretches):
        stretch = points[part * len(points) // stretches : (part + 1) * len(points) // stretches]
        ends = {min(stretch, key=lambda p: p[1]), max(stretch, key=lambda p: p[1])}
        kept += sorted(ends)
    return kept


@dataclass(frozen=True, kw_only=True)
class Bin:
    """Answers of one range of confidence: how sure they were on average, how many were right, how many there are.

    `low` and `high`, where given, are the ends of the interval of `accuracy`.
    """

    confidence: float
    accuracy: float
    count: int
    low: float | None = None
    high: float | None = None


def reliability_chart(bins: Sequence[Bin], edges: Sequence[tuple[float, float]]) -> Chart | None:
    """How often answers of a stated confidence are right, with the counts below. edges: (low, high) of each bin."""
    filled = [one for one in bins if one.count > 0]
    if not filled:
        return None
    side, left, top, gap, tall = 292.0, 46.0, 10.0, 16.0, 58.0
    width, height = int(left + side + 16), int(top + side + gap + tall + 36)
    base = top + side + gap + tall
    most = max(one.count for one in filled)

    def across(value: float) -> float:
        return left + side * value

    def down(value: float) -> float:
        return top + side * (1 - value)

    parts: list[Markup] = []
    for tenth in range(0, 11, 2):
        value = tenth / 10
        parts.append(
            Markup(
                '<path class="grid" d="M{0:.1f} {1:.1f}h{2}"/><text x="{3}" y="{4:.1f}" class="end">{5}</text>'
            ).format(left, down(value), side, left - 7, down(value) + 3.5, tenth * 10)
        )
        parts.append(
            Markup('<text x="{:.1f}" y="{:.1f}" class="mid">{}</text>').format(across(value), base + 14, tenth * 10)
        )
    parts.append(Markup('<path class="rule" d="M{} {}L{} {}"/>').format(left, top + side, left + side, top))
    for one in filled:
        if one.low is not None and one.high is not None:
            parts.append(
                Markup('<path class="whisker" d="M{:.1f} {:.1f}V{:.1f}"/>').format(
                    across(one.confidence), down(one.low), down(one.high)
                )
            )
    road = "L".join(f"{across(one.confidence):.1f} {down(one.accuracy):.1f}" for one in filled)
    if len(filled) > 1:
        parts.append(Markup('<path class="line one thin" d="M{}"/>').format(road))
    for one in filled:
        radius = 3 + 5 * math.sqrt(one.count / most)
        parts.append(
            Markup('<circle class="dot one" cx="{:.1f}" cy="{:.1f}" r="{:.1f}"><title>{}</title></circle>').format(
                across(one.confidence),
                down(one.accuracy),
                radius,
                f"said {percent(one.confidence)}, right {percent(one.accuracy)} of {count(one.count)}",
            )
        )
    parts.append(Markup('<path class="axis" d="M{} {}h{}"/>').format(left, base, side))
    parts.append(Markup('<text x="{}" y="{}" class="end">{}</text>').format(left - 7, base - 2, "pictures"))
    for one, (low, high) in zip(bins, edges, strict=True):
        if one.count == 0:
            continue
        bar = max(1.0, (tall - 14) * one.count / most)
        parts.append(
            Markup('<rect class="count" x="{:.1f}" y="{:.1f}" width="{:.1f}" height="{:.1f}"/>').format(
                across(low) + 1, base - bar, max(1.0, side * (high - low) - 2), bar
            )
        )
        parts.append(
            Markup('<text x="{:.1f}" y="{:.1f}" class="mid small">{}</text>').format(
                across((low + high) / 2), base - bar - 3, _short(one.count)
            )
        )
    parts.append(
        Markup('<text x="{}" y="{}" class="mid name">{}</text>').format(
            left + side / 2, base + 30, "how sure it was, %"
        )
    )
    parts.append(
        Markup('<text transform="translate(11 {}) rotate(-90)" class="mid name">{}</text>').format(
            top + side / 2, "how often it was right, %"
        )
    )
    spoken = "; ".join(
        f"said {percent(one.confidence, 0)}: right {percent(one.accuracy, 0)} of {count(one.count)}" for one in filled
    )
    return Chart(title="Reliability", svg=_svg(width, height, f"Reliability diagram. {spoken}", parts))


def _short(number: int) -> str:
    return f"{number:,}" if number < 1000 else f"{number / 1000:.1f}k" if number < 10000 else f"{number / 1000:.0f}k"


def interval_strip(value: float, low: float, high: float, chance: float | None = None) -> Markup:
    """A figure in [0, 1] on its scale from 0 to 100 %, with its interval, and where guessing would be."""
    width, height, edge = 360, 44, 6
    inner = width - 2 * edge

    def across(share: float) -> float:
        return edge + inner * min(1.0, max(0.0, share))

    parts = [
        Markup('<path class="scale" d="M{} 14H{}"/>').format(edge, width - edge),
        Markup('<path class="range" d="M{:.1f} 14H{:.1f}"/>').format(across(low), across(high)),
        Markup('<circle class="dot one ring" cx="{:.1f}" cy="14" r="5"/>').format(across(value)),
        Markup('<text x="{}" y="40">0</text><text x="{}" y="40" class="end">100 %</text>').format(edge, width - edge),
    ]
    spoken = f"{percent(value)}, 95 % interval {percent(low)} to {percent(high)}"
    if chance is not None:
        parts.append(Markup('<path class="mark" d="M{0:.1f} 7V21"/>').format(across(chance)))
        if across(chance) < width - 110:
            shift = across(chance) < edge + 60  # keep clear of the label of 0
            parts.append(
                Markup('<text x="{:.1f}" y="40" class="{}">guessing {}</text>').format(
                    max(across(chance), edge + 18), "" if shift else "mid", percent(chance, 0 if chance >= 0.1 else 1)
                )
            )
        spoken += f"; guessing would give {percent(chance)}"
    return _svg(width, height, spoken, parts)


def _svg(width: float, height: float, label: str, parts: Sequence[Markup]) -> Markup:
    return Markup('<svg viewBox="0 0 {} {}" role="img" aria-label="{}">{}</svg>').format(
        width, height, escape(visible(label)), Markup("").join(parts)
    )
