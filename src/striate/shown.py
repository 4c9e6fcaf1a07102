"""A value as a notebook shows it: as HTML.

Only `reports` makes HTML, and it lies above most of what is shown. So the one place that knows where the HTML comes
from is here, below all of them, and it is looked up by name when a notebook asks: nobody who imports a room imports a
page with it.
"""

from __future__ import annotations

from importlib import import_module
from typing import Any

MAKER = "striate.reports.notebook"


def as_html(value: Any) -> str:
    """The HTML of a `Samples`, `Batch` or `Run`, every name escaped: a fragment for the cell of a notebook."""
    html: str = import_module(MAKER).html_of(value)
    return html
