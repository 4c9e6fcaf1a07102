"""What all pages are made by: the templates, in which every name is text."""

from __future__ import annotations

from functools import cache
from pathlib import Path

import jinja2
from markupsafe import Markup

from striate.names import visible
from striate.reports import text, thumbnails

OPEN_ROWS = 20  # rows of a long table that are seen at once; the rest unfolds


@cache
def environment() -> jinja2.Environment:
    """The templates, with every name that passes through them made safe first."""
    folder = Path(__file__).parent / "templates"
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(folder),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        # Every name passes here before it is escaped, so that none can hold what UTF-8 cannot.
        finalize=lambda value: visible(value) if type(value) is str else value,
    )
    words = (text.percent, text.count, text.decimal, text.duration, text.setting, text.flat, text.clip, text.sentence)
    environment.filters.update({one.__name__: one for one in words})
    environment.globals.update(image=thumbnails.image, style=Markup((folder / "style.css").read_text(encoding="utf-8")))
    return environment
