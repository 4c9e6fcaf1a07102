"""What can be asked of a network: a file a task. `TASKS` maps the name in `config.json` to its class's place."""

from __future__ import annotations

import importlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from striate.errors import InputError, unknown
from striate.tasks.task import Task

__all__ = ["TASKS", "Part", "Task", "task_from_json"]


@dataclass(frozen=True)
class Part:
    """A task: where its class is, and one sentence on what it answers."""

    module: str
    factory: str
    sentence: str

    def load(self) -> type[Task]:
        """The class itself."""
        found: type[Task] = getattr(importlib.import_module(self.module), self.factory)
        return found


TASKS: dict[str, Part] = {
    "classification": Part("striate.tasks.classification", "Classification", "one class for each picture"),
}


def task_from_json(values: Mapping[str, Any]) -> Task:
    """The task that `to_json` wrote, found by its `name`. Raises InputError where it is none."""
    name = values.get("name") if isinstance(values, Mapping) else None
    if not isinstance(name, str):
        raise InputError("the task has no name")
    if name not in TASKS:
        raise unknown("task", name, TASKS)
    return TASKS[name].load().from_json(values)
