"""An exported file, opened without Striate's own classes: what it answers, and what its layers give on the way.

A runtime knows values and the module in which each was computed; what a module gave is the last of its values that is
read outside of it. Legend: N pictures, H W pixels, K outputs.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np


class Opened(Protocol):
    """What `Kind.open_file` gives."""

    @property
    def versions(self) -> Mapping[str, str]:
        """Of the libraries that run it."""
        ...

    @property
    def facts(self) -> Mapping[str, Any]:
        """What was written into the file beside the network."""
        ...

    def answers(self, pictures: np.ndarray) -> np.ndarray:
        """(N, H, W, 3) `uint8` -> (N, K) `float32`."""
        ...

    def save(self, path: Path, facts: Mapping[str, Any]) -> None:
        """Write the same file to `path`, with these facts in it. Raises InputError where it cannot be written."""
        ...

    def layers(self, pictures: np.ndarray) -> dict[str, np.ndarray]:
        """Module by its dotted name -> what it gave for these pictures, where that can be told."""
        ...


@dataclass(frozen=True)
class Value:
    """A value of a graph, the dotted name of the innermost module that computed it, and of those that read it; `given`:
    whether it is an output of the whole graph."""

    name: str
    module: str
    readers: Sequence[str]
    given: bool = False


def outputs_of_modules(values: Iterable[Value]) -> dict[str, str]:
    """Module -> the name of the value that it gives. values: in order of execution."""
    found: dict[str, str] = {}
    for value in values:
        parts = value.module.split(".")
        for length in range(1, len(parts) + 1):
            module = ".".join(parts[:length])
            if module and (value.given or any(not _is_in(reader, module) for reader in value.readers)):
                found[module] = value.name
    return found


def _is_in(inner: str, outer: str) -> bool:
    return inner == outer or inner.startswith(outer + ".")
