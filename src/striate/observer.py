"""What a long function tells while it works: an observer, silent by default.

Library functions print nothing. They call these methods; `cli/live.py` shows them on a terminal,
`models/run.py` writes the lines into `log.txt`, a user's own observer does as it likes.
Observers only watch: nothing that they do changes a result.
"""

from __future__ import annotations

from collections.abc import Mapping


class Observer:
    """Does nothing at all. Override what you want to see."""

    def say(self, text: str) -> None:
        """One line for the log: what was found, chosen and why."""

    def warn(self, text: str) -> None:
        """One line that a person should not overlook."""

    def progress(self, what: str, done: int, total: int) -> None:
        """`done` of `total` of the work called `what` ("reading", "features", ...)."""

    def on_step(self, record: Mapping[str, float]) -> None:
        """After an optimizer step: `step`, `steps`, `loss`, `learning_rate`, `pictures_per_second`,
        `seconds_left`."""

    def on_epoch(self, record: Mapping[str, float]) -> None:
        """After an epoch: one row of `history.csv`."""


class Observers(Observer):
    """Tells several observers, in the order given."""

    def __init__(self, *observers: Observer) -> None:
        self.observers = observers

    def say(self, text: str) -> None:
        for observer in self.observers:
            observer.say(text)

    def warn(self, text: str) -> None:
        for observer in self.observers:
            observer.warn(text)

    def progress(self, what: str, done: int, total: int) -> None:
        for observer in self.observers:
            observer.progress(what, done, total)

    def on_step(self, record: Mapping[str, float]) -> None:
        for observer in self.observers:
            observer.on_step(record)

    def on_epoch(self, record: Mapping[str, float]) -> None:
        for observer in self.observers:
            observer.on_epoch(record)


SILENT = Observer()
