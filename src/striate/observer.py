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


def step_words(record: Mapping[str, float]) -> str:
    """ "loss 0.412 · rate 0.05 · 12,300 a second · 1:20 left"."""
    return (
        f"step {record['step']:,.0f} of {record['steps']:,.0f} · loss {record['loss']:.3f} · "
        f"rate {record['learning_rate']:.3g} · {record['pictures_per_second']:,.0f} a second · "
        f"{duration(record['seconds_left'])} left"
    )


def epoch_words(record: Mapping[str, float]) -> str:
    """ "epoch 3 · loss 0.412 · validation: loss 0.39, accuracy 91.20 % · 0:41"."""
    words = [f"epoch {record['epoch']:3.0f}", f"loss {record['loss']:.4f}"]
    validation = {
        name.removeprefix("validation_"): value for name, value in record.items() if name.startswith("validation_")
    }
    if validation:
        shown = ", ".join(
            f"{name.replace('_', ' ')} {100 * value:.2f} %"
            if name.startswith(("accuracy", "top"))
            else f"{name.replace('_', ' ')} {value:.4f}"
            for name, value in validation.items()
        )
        words.append(f"validation: {shown}")
    return " · ".join([*words, duration(record["seconds"])])


def duration(seconds: float) -> str:
    """Seconds as "0:07", "12:30" or "1:02:03"."""
    whole = max(0, round(seconds))
    hours, minutes = whole // 3600, whole % 3600 // 60
    return f"{hours}:{minutes:02d}:{whole % 60:02d}" if hours else f"{minutes}:{whole % 60:02d}"
