"""What a person says of the targets of a source: `--task` and `--targets`."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from striate.data.samples import CLASSIFICATION, MULTILABEL, REGRESSION
from striate.errors import InputError, unknown

TASKS = (CLASSIFICATION, MULTILABEL, REGRESSION)


@dataclass(frozen=True)
class Asked:
    """What a person says of the targets: `--task` (None: recognised) and `--targets` (none: found by their names)."""

    task: str | None = None
    columns: tuple[str, ...] = ()


def what_is_asked(task: str | None, targets: str | Sequence[str] | None) -> Asked:
    """What `--task` and `--targets` say, as plain values. Raises InputError for a task that there is not."""
    if task in (None, "", "auto"):
        task = None
    elif task not in TASKS:
        raise unknown("task", str(task), TASKS)
    names = targets.split(",") if isinstance(targets, str) else list(targets or ())
    columns = tuple(dict.fromkeys(str(name).strip() for name in names if str(name).strip()))
    if targets is not None and not columns:
        raise InputError("--targets names no column; give their names, separated by commas")
    return Asked(task, columns)
