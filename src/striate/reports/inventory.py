"""What a survey of a source says, arranged for the page: facts, warnings, tables.

Takes the JSON of `striate.data.survey.Survey`. What this file does not know by name is shown as it is, in the
table of all other numbers, so that nothing of a survey is lost. Legend: K classes.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from striate.reports import text

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

        def take(*names: str, default: Any = None) -> Any:
            found = [left.pop(name) for name in names if name in left]
            return next((one for one in found if one is not None), default)

        self.source = str(take("source", default="pictures"))
        self.how = str(take("how", default=""))
        counts = take("counts", "counts_by_split", default={})
        names = take("class_names", "classes", default=())
        self.rows = class_counts([str(name) for name in names], counts)
        self.splits = [str(split) for split in counts]
        self.totals = [sum(round(text.finite(value) or 0) for value in column) for column in counts.values()]
        self.left_out = [_reason(one) for one in take("left_out", "broken", default=())]
        self.left_out_count = _whole(take("left_out_count"), len(self.left_out))
        self.used = _whole(take("used", "readable", "pictures", "count"), sum(self.totals))
        self.found = _whole(take("found"), self.used + self.left_out_count)
        self.duplicates = [_group(one) for one in take("duplicates", "inside", default=())]
        self.leaks = [_group(one) for one in take("leaks", "across", default=())]
        self.conflicts = [_group(one) for one in take("conflicts", "conflicting", default=())]
        self.sizes = _sizes(take("sizes", "size", default={}))
        self.shares = [
            (title, _shares(take(*keys, default={})))
            for title, keys in (
                ("Colour modes", ("modes", "mode")),
                ("File formats", ("formats", "format")),
                ("Orientation", ("orientations", "orientation")),
            )
        ]
        mean, deviation = take("mean", default=()), take("deviation", default=())
        channels = CHANNELS.get(len(mean), tuple(str(number) for number in range(1, len(mean) + 1)))
        self.channels = list(zip(channels, mean, deviation, strict=False))
        self.grey_share = text.finite(take("grey_share", "grey"))
        self.imbalance = text.finite(take("imbalance"))
        given = take("warnings", "notes", "sentences", default=())
        self.warnings = [str(one) for one in given] or self._warnings()
        self.facts = self._facts()
        self.rest = text.flat(left)

    def _warnings(self) -> list[str]:
        """What a person should know before training, the gravest first."""
        told = []
        if self.leaks:
            told.append(
                f"Equal pictures lie in more than one split ({_groups(self.leaks)}): the test will look too good."
            )
        if self.conflicts:
            told.append(
                f"Equal pictures carry different labels ({_groups(self.conflicts)}): one of them must be wrong."
            )
        if self.left_out_count:
            told.append(
                f"{text.count(self.left_out_count)} of {text.count(self.found)} pictures cannot be used; "
                "the reasons are below."
            )
        if self.rows:
            smallest = min(self.rows, key=lambda row: row.total)
            largest = max(self.rows, key=lambda row: row.total)
            if smallest.total * 3 < largest.total:
                few, many = text.count(smallest.total), text.count(largest.total)
                names = (f"“{text.clip(one.name, 40)}”" for one in (smallest, largest))
                told.append(f"The classes differ in size: {few} pictures of {next(names)}, {many} of {next(names)}.")
            if smallest.total < 10:
                told.append(
                    f"“{text.clip(smallest.name, 40)}” has {text.count(smallest.total)} pictures in all: "
                    "what is said of it will be uncertain."
                )
        if self.duplicates:
            told.append(f"Equal pictures lie inside one split ({_groups(self.duplicates)}).")
        return told

    def _facts(self) -> list[tuple[str, str, str]]:
        facts = [
            (split or "pictures", text.count(number), text.percent(number / max(1, sum(self.totals)), 0))
            for split, number in zip(self.splits, self.totals, strict=True)
            if len(self.splits) > 1
        ]
        for key, values in self.sizes[:2]:
            facts.append((f"{key}, median", values[1], f"{values[0]} to {values[2]}"))
        if self.grey_share is not None:
            facts.append(("grey", text.percent(self.grey_share, 0), "of the pictures"))
        if self.imbalance is not None:
            facts.append(("largest class", f"{text.decimal(self.imbalance, 2)}×", "the smallest"))
        return facts


def _groups(found: Sequence[Any]) -> str:
    return f"{text.count(len(found))} {'group' if len(found) == 1 else 'groups'}"


def _whole(value: Any, otherwise: int) -> int:
    """A count; of a list its length."""
    if isinstance(value, Sequence) and not isinstance(value, str):
        return len(value)
    number = text.finite(value)
    return otherwise if number is None else round(number)


def _reason(one: Any) -> tuple[str, str]:
    if isinstance(one, Mapping):
        return str(one.get("name", one.get("path", ""))), str(one.get("reason", ""))
    name, reason = one
    return str(name), str(reason)


def _group(one: Any) -> list[str]:
    if isinstance(one, Mapping):
        one = one.get("names", list(one.values()))
    return [str(name) for name in one]


def _sizes(sizes: Mapping[str, Any]) -> list[tuple[str, list[str]]]:
    """Rows of smallest, median, largest, of {"width": {"min", "median", "max"}} or {"width": [3 numbers]}."""
    rows = []
    for key, given in sizes.items():
        if isinstance(given, Mapping):
            given = [given.get(name) for name in ("min", "median", "max")]
        if isinstance(given, Sequence) and not isinstance(given, str) and len(given) == 3:
            shown = [
                text.count(value) if (text.finite(value) or 0.5) % 1 == 0 else text.decimal(value) for value in given
            ]
            rows.append((str(key).replace("_", " "), shown))
    return rows


def _shares(counts: Any) -> list[tuple[str, int, float]]:
    """Rows of name, number, share of all, most first."""
    if not isinstance(counts, Mapping):
        return []
    numbers = {str(key): round(text.finite(value) or 0) for key, value in counts.items()}
    total = max(1, sum(numbers.values()))
    return [(key, number, number / total) for key, number in sorted(numbers.items(), key=lambda item: -item[1])]
