"""What a survey of a source says, arranged for the page: facts, warnings, tables.

Takes the JSON of `striate.data.survey.Survey`. What this file does not know by name is shown as it is, in the
table of all other numbers, so that nothing of a survey is lost. Legend: K classes.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from striate.reports import text
from striate.reports.distributions import distribution_rows
from striate.tasks import TASKS
from striate.words import counted

CHANNELS = {1: ("grey",), 3: ("red", "green", "blue")}


@dataclass(frozen=True, kw_only=True)
class ClassCount:
    """A class: its pictures in each split, and its size beside the largest class."""

    name: str
    counts: tuple[int, ...]
    total: int
    share: float


def class_counts(class_names: Sequence[str], counts: Mapping[str, Sequence[int]]) -> list[ClassCount]:
    """One row a class, in the order of the names. counts: pictures a class (K,) by split name."""
    columns = [[round(text.finite(value) or 0) for value in column] for column in counts.values()]
    rows = [
        (name, tuple(column[position] if position < len(column) else 0 for column in columns))
        for position, name in enumerate(class_names)
    ]
    most = max((sum(numbers) for _, numbers in rows), default=0)
    return [
        ClassCount(name=name, counts=numbers, total=sum(numbers), share=sum(numbers) / most if most else 0.0)
        for name, numbers in rows
    ]


class Inventory:
    """A survey as the template reads it."""

    def __init__(self, survey: Mapping[str, Any]) -> None:
        left = dict(survey)

        def take(name: str, default: Any) -> Any:
            found = left.pop(name, None)
            return default if found is None else found

        self.source = str(take("source", "a source"))
        self.how = [str(one) for one in (take("how", ""), take("splits", "")) if one]
        self.task = str(take("task", "classification"))
        counts = take("counts", {})
        pictures = take("pictures", {})
        names = [str(name) for name in take("class_names", ())]
        self.rows = [] if self.task == "regression" else class_counts(names, counts)
        self.unit, self.units = TASKS[self.task].kind, TASKS[self.task].kinds
        fields = take("fields", ())  # of a table of numbers, whose rows are no pictures
        self.noun = "row" if fields else "picture"
        self.distributions = distribution_rows(take("distributions", ()), self.noun)
        self.fields = distribution_rows(fields, self.noun)
        self.names = [row.name for row in self.distributions if row.first] or [row.name for row in self.rows]
        self.splits = [str(split) for split in counts or pictures]
        # A picture may be counted under several labels.
        self.totals = [round(text.finite(pictures.get(split)) or 0) for split in self.splits if pictures] or [
            sum(round(text.finite(value) or 0) for value in column) for column in counts.values()
        ]
        self.left_out = [(str(name), str(reason)) for name, reason in take("left_out", ())]
        self.left_out_count = int(take("left_out_count", len(self.left_out)))
        self.unlabelled = int(take("unlabelled", 0))
        self.used = int(take("used", sum(self.totals) + (0 if pictures else self.unlabelled)))
        self.found = int(take("found", self.used + self.left_out_count))
        self.duplicates = take("duplicates", ())
        self.leaks = take("leaks", ())
        self.conflicts = take("conflicts", ())
        self.sizes = _sizes(take("sizes", {}))
        self.shares = [
            (title, _shares(take(name, {})))
            for title, name in (
                ("File formats", "formats"),
                ("Colour modes", "modes"),
                ("Orientation", "orientations"),
                ("Bits a channel", "bits_a_channel"),
            )
        ]
        mean, deviation = take("mean", ()), take("deviation", ())
        self.channels = list(zip(CHANNELS.get(len(mean), ()), mean, deviation, strict=False))
        self.grey_share = text.finite(take("grey_share", None))
        self.constant_share = text.finite(take("constant_share", None))
        self.imbalance = text.finite(take("imbalance", None))
        self.warnings = self._warnings()
        self.facts = self._facts()
        self.rest = text.flat(left)

    def _warnings(self) -> list[str]:
        """What a person should know before training, the gravest first."""
        told = []
        if self.leaks:
            told.append(
                f"Equal {self.noun}s lie in more than one split ({_groups(self.leaks)}): figures will look too good."
            )
        if self.conflicts:
            told.append(
                f"Equal {self.noun}s carry different labels ({_groups(self.conflicts)}): one of them must be wrong."
            )
        if self.left_out_count:
            told.append(
                f"{text.count(self.left_out_count)} of {text.count(self.found)} {self.noun}s cannot be used; "
                "the reasons are below."
            )
        if self.rows:
            smallest = min(self.rows, key=lambda row: row.total)
            largest = max(self.rows, key=lambda row: row.total)
            if smallest.total * 3 < largest.total:
                few, many = counted(smallest.total, self.noun), text.count(largest.total)
                names = (f"“{text.clip(one.name, 40)}”" for one in (smallest, largest))
                told.append(f"The {self.units} differ in size: {few} of {next(names)}, {many} of {next(names)}.")
            if smallest.total < 10:
                told.append(
                    f"“{text.clip(smallest.name, 40)}” has {counted(smallest.total, self.noun)} in all: "
                    "what is said of it will be uncertain."
                )
        if self.unlabelled:
            has = counted(self.unlabelled, f"{self.noun} has", f"{self.noun}s have")
            told.append(f"{has} no label.")
        if self.constant_share:
            told.append(f"{text.percent(self.constant_share)} of the pictures show one colour and nothing else.")
        if self.duplicates:
            told.append(f"Equal {self.noun}s lie inside one split ({_groups(self.duplicates)}).")
        return told

    def _facts(self) -> list[tuple[str, str, str]]:
        facts = [
            (split or f"{self.noun}s", text.count(number), text.percent(number / max(1, sum(self.totals)), 0))
            for split, number in zip(self.splits, self.totals, strict=True)
            if len(self.splits) > 1
        ]
        for key, values in self.sizes[:2]:
            facts.append((f"{key}, median", values[1], f"{values[0]} to {values[2]}"))
        if self.grey_share is not None and not self.fields:
            facts.append(("grey", text.percent(self.grey_share, 0), "of the pictures"))
        if self.imbalance is not None:
            facts.append((f"largest {self.unit}", f"{text.decimal(self.imbalance, 2)}×", "the smallest"))
        return facts


def _groups(found: Sequence[Any]) -> str:
    return f"{text.count(len(found))} {'group' if len(found) == 1 else 'groups'}"


def _sizes(sizes: Mapping[str, Mapping[str, Any]]) -> list[tuple[str, list[str]]]:
    """Rows of smallest, median and largest: pixels as whole numbers, the rest (the aspect) with three digits."""
    return [
        (
            key.replace("_", " "),
            [
                text.count(given.get(name)) if key in ("width", "height") else text.decimal(given.get(name))
                for name in ("min", "median", "max")
            ],
        )
        for key, given in sizes.items()
    ]


def _shares(counts: Mapping[str, Any]) -> list[tuple[str, int, float]]:
    """Rows of name, number, share of all, most first."""
    numbers = {str(key): round(text.finite(value) or 0) for key, value in counts.items()}
    total = max(1, sum(numbers.values()))
    return [(key, number, number / total) for key, number in sorted(numbers.items(), key=lambda item: -item[1])]
