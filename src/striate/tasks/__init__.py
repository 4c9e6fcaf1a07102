"""What can be asked of a network: a file a task. `TASKS` maps the name in `config.json` to its class's place."""

from __future__ import annotations

import importlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from striate.errors import InputError, unknown
from striate.tasks.task import TableTask, Task

__all__ = ["TASKS", "Part", "Task", "task_from_json", "task_named"]


@dataclass(frozen=True)
class Part:
    """A task: where its class is, one sentence on what it answers, and what of it is called what.

    `kind` and `kinds`: what one and several of `Samples.class_names` are.
    """

    module: str
    factory: str
    sentence: str
    kind: str
    kinds: str

    def load(self) -> type[TableTask]:
        """The class itself."""
        found: type[TableTask] = getattr(importlib.import_module(self.module), self.factory)
        return found


TASKS: dict[str, Part] = {
    "classification": Part(
        "striate.tasks.classification", "Classification", "one class for each picture", "class", "classes"
    ),
    "multilabel": Part(
        "striate.tasks.multilabel", "MultiLabel", "any number of labels for each picture", "label", "labels"
    ),
    "regression": Part(
        "striate.tasks.regression", "Regression", "one or several numbers for each picture", "number", "numbers"
    ),
}


def task_named(name: str) -> Part:
    """The row of `TASKS`. Raises InputError, naming the nearest, for a name that it does not hold."""
    if name not in TASKS:
        raise unknown("task", name, TASKS)
    return TASKS[name]


def task_from_json(values: Mapping[str, Any]) -> Task:
    """The task that `to_json` wrote, found by its `name`. Raises InputError where it is none."""
    name = values.get("name") if isinstance(values, Mapping) else None
    if not isinstance(name, str):
        raise InputError("the task has no name")
    return task_named(name).load().from_json(values)
