"""Figures for a page: thumbnails of pictures, and drawings as SVG that follow the page's light or dark colours.

The drawings are written by hand instead of by a plotting library: a curve takes 2 kB and a tenth of a
millisecond, and CSS variables colour it. Sizes are in the drawing's own units, about one CSS pixel.
"""

from __future__ import annotations

from striate.reports.drawing import Chart
from striate.reports.lines import Series, decades, line_chart, ticks
from striate.reports.reliability import Bin, interval_strip, reliability_chart
from striate.reports.thumbnails import as_jpeg, image, thumbnail

__all__ = [
    "Bin",
    "Chart",
    "Series",
    "as_jpeg",
    "decades",
    "image",
    "interval_strip",
    "line_chart",
    "reliability_chart",
    "thumbnail",
    "ticks",
]
