"""A training as it goes: a live display on a terminal, plain lines elsewhere. Progress goes to stderr.

On a terminal one line is redrawn below the log: bar, loss, learning rate, pictures a second, time left.
Without one, a line is written for each epoch, and one every ten seconds while an epoch is under way.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Mapping
from typing import TextIO

from striate.cli.text import write_nowhere
from striate.names import on_one_line
from striate.observer import Observer, duration, epoch_words, step_words

SECONDS_BETWEEN_LINES = 10.0
SECONDS_BETWEEN_DRAWS = 0.1
SHORTEST_BAR, LONGEST_BAR = 8, 32  # characters


class PlainLines(Observer):
    """One line an event, nothing redrawn: for files, pipes and schedulers."""

    def __init__(self, stream: TextIO | None = None) -> None:
        self.stream = stream or sys.stderr
        self._last = time.monotonic()
        self._width = 0

    def say(self, text: str) -> None:
        self._line(text)

    def warn(self, text: str) -> None:
        self._line(f"warning: {text}")

    def progress(self, what: str, done: int, total: int) -> None:
        if time.monotonic() - self._last > SECONDS_BETWEEN_LINES and done < total:
            self._line(f"{what}: {done:,} of {total:,}")

    def on_step(self, record: Mapping[str, float]) -> None:
        if time.monotonic() - self._last > SECONDS_BETWEEN_LINES:
            self._line(step_words(record))

    def on_epoch(self, record: Mapping[str, float]) -> None:
        self._line(epoch_words(record))

    def close(self) -> None:
        """Nothing is left to tidy."""

    def _line(self, text: str) -> None:
        self._last = time.monotonic()
        try:
            print(on_one_line(text), file=self.stream, flush=True)
        except OSError:
            # Nobody reads the progress any more, or it has no room: the work itself goes on.
            write_nowhere(self.stream)


class LiveDisplay(Observer):
    """A live line on a terminal, through rich."""

    def __init__(self) -> None:
        from rich.console import Console
        from rich.live import Live

        self.console = Console(stderr=True, highlight=False, soft_wrap=True)
        self._live = Live(console=self.console, refresh_per_second=10, transient=True, auto_refresh=False)
        self._live.start()
        self._drawn = 0.0

    def say(self, text: str) -> None:
        self._print(text)

    def warn(self, text: str) -> None:
        self._print(f"warning: {text}", "yellow")

    def progress(self, what: str, done: int, total: int) -> None:
        share = done / max(1, total)
        self._draw(share, f"{what}  {done:,} of {total:,}", force=done >= total)
        if done >= total:
            self._clear()

    def on_step(self, record: Mapping[str, float]) -> None:
        # What matters most comes first: a narrow terminal cuts the end off.
        words = (
            f"{duration(record['seconds_left'])} left · loss {record['loss']:.3f} · "
            f"rate {record['learning_rate']:.3g} · {record['pictures_per_second']:,.0f} a second · "
            f"step {record['step']:,.0f} of {record['steps']:,.0f}"
        )
        self._draw(record["step"] / max(1.0, record["steps"]), words)

    def on_epoch(self, record: Mapping[str, float]) -> None:
        self._print(epoch_words(record))

    def close(self) -> None:
        """Give the terminal back as it was."""
        self._live.stop()

    def _print(self, text: str, style: str = "") -> None:
        from rich.text import Text

        self.console.print(Text(on_one_line(text), style=style))

    def _draw(self, share: float, text: str, force: bool = False) -> None:
        now = time.monotonic()
        if not force and now - self._drawn < SECONDS_BETWEEN_DRAWS:
            return
        self._drawn = now
        from rich.text import Text

        words = f" {100 * share:3.0f} %  {on_one_line(text)}"
        # The bar gives way to the words before these are cut.
        length = max(SHORTEST_BAR, min(LONGEST_BAR, self.console.width - 1 - len(words)))
        filled = round(length * min(1.0, share))
        line = Text(overflow="ellipsis", no_wrap=True)
        line.append("━" * filled, style="cyan").append("─" * (length - filled), style="bright_black")
        line.append(words)
        self._live.update(line, refresh=True)

    def _clear(self) -> None:
        from rich.text import Text

        self._live.update(Text(""), refresh=True)


class NoDisplay(Observer):
    """For all but the first of several processes."""

    def close(self) -> None:
        """Nothing is left to tidy."""


def display() -> PlainLines | LiveDisplay | NoDisplay:
    """The display that fits where stderr goes."""
    import os

    from striate.machine.ranks import ranks_here

    if not ranks_here().first:
        return NoDisplay()
    terminal = sys.stderr.isatty() and os.environ.get("TERM") != "dumb"
    return LiveDisplay() if terminal else PlainLines()
