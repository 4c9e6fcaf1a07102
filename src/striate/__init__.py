"""Striate: deep learning for pictures, from a folder to a network that can be used, trusted and looked into.

Importing it imports nothing heavy: each name below loads its room when it is first used.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from striate.errors import InputError

if TYPE_CHECKING:
    from striate.actions.cache import cache
    from striate.actions.cross_validate import cross_validate
    from striate.actions.dream import dream
    from striate.actions.evaluate import evaluate
    from striate.actions.explain import explain
    from striate.actions.export import export
    from striate.actions.find_rate import find_rate
    from striate.actions.inspect import inspect
    from striate.actions.learning_curve import learning_curve
    from striate.actions.load import load
    from striate.actions.look import look
    from striate.actions.predict import predict
    from striate.actions.push import push_to_hub
    from striate.actions.report import report
    from striate.actions.resume import resume
    from striate.actions.runs import runs
    from striate.actions.serve import serve
    from striate.actions.show_batch import show_batch
    from striate.actions.train import train
    from striate.actions.verify import verify
    from striate.data.samples import Samples
    from striate.data.sources import open_dataset
    from striate.models.input_spec import InputSpec
    from striate.models.model import Model
    from striate.models.run import Run
    from striate.observer import Observer
    from striate.training.recipe import Recipe

__version__ = "0.1.0"

# Name -> the module that has it.
_LAZY = {
    "InputSpec": "striate.models.input_spec",
    "Model": "striate.models.model",
    "Observer": "striate.observer",
    "Recipe": "striate.training.recipe",
    "Run": "striate.models.run",
    "Samples": "striate.data.samples",
    "cache": "striate.actions.cache",
    "cross_validate": "striate.actions.cross_validate",
    "dream": "striate.actions.dream",
    "evaluate": "striate.actions.evaluate",
    "explain": "striate.actions.explain",
    "export": "striate.actions.export",
    "find_rate": "striate.actions.find_rate",
    "inspect": "striate.actions.inspect",
    "learning_curve": "striate.actions.learning_curve",
    "load": "striate.actions.load",
    "look": "striate.actions.look",
    "open_dataset": "striate.data.sources",
    "predict": "striate.actions.predict",
    "push_to_hub": "striate.actions.push",
    "report": "striate.actions.report",
    "resume": "striate.actions.resume",
    "runs": "striate.actions.runs",
    "serve": "striate.actions.serve",
    "show_batch": "striate.actions.show_batch",
    "train": "striate.actions.train",
    "verify": "striate.actions.verify",
}

__all__ = [
    "InputError",
    "InputSpec",
    "Model",
    "Observer",
    "Recipe",
    "Run",
    "Samples",
    "__version__",
    "cache",
    "cross_validate",
    "dream",
    "evaluate",
    "explain",
    "export",
    "find_rate",
    "inspect",
    "learning_curve",
    "load",
    "look",
    "open_dataset",
    "predict",
    "push_to_hub",
    "report",
    "resume",
    "runs",
    "serve",
    "show_batch",
    "train",
    "verify",
]


def __getattr__(name: str) -> Any:
    if name not in _LAZY:
        raise AttributeError(f"module 'striate' has no attribute '{name}'")
    value = getattr(import_module(_LAZY[name]), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted(__all__)
