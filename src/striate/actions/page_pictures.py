"""The pictures of a page, out of the source that the run learned from."""

from __future__ import annotations

from striate.data.reading import load_pixels
from striate.data.row_pictures import RowPictures
from striate.data.samples import Samples
from striate.errors import InputError


class Thumbnails:
    """Thumbnails of the pictures of a source, by name; `missing` are those that were asked for and not there."""

    def __init__(self, samples: Samples | None) -> None:
        self.samples = samples
        self.rows = {} if samples is None else {name: row for row, name in enumerate(samples.names)}
        self.missing: list[str] = []
        self.drawn: RowPictures | None = None  # of a table of numbers

    def of(self, name: str, side: int = 160) -> bytes | None:
        """None where it is not there or cannot be read any more."""
        from striate.reports.thumbnails import thumbnail

        if self.samples is not None and name in self.rows and self.samples.fields:
            self.drawn = self.drawn or RowPictures(self.samples)
            return thumbnail(self.drawn.of(self.rows[name]), side=side)
        if self.samples is not None and name in self.rows:
            try:
                return thumbnail(load_pixels(self.samples, self.rows[name], at_least=2 * side), side=side)
            except InputError:
                pass  # counted as missing: the page says how many are
        self.missing.append(name)
        return None
