"""torch.export: a graph that `torch.export.load` runs, or compiles, without Striate; facts lie beside it as JSON.

Loading such a file may run code: torch reads parts of it by pickle. Open none that a stranger gave you.
Legend: N pictures, H W pixels, K outputs.
"""

from __future__ import annotations

import importlib.metadata
import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from striate.exports.opened import Value, outputs_of_modules
from striate.exports.tracing import clean, quiet
from striate.machine.files import refused

if TYPE_CHECKING:
    from torch.export import ExportedProgram
    from torch.fx import Node

FACTS = "striate.json"  # among the extra files of the archive


def write(program: ExportedProgram, path: Path, output: str) -> None:
    """Write the program to `path`, which ends with .pt2. `output` is not said: such a program gives one tensor."""
    _put(program, path, {})


def _put(program: ExportedProgram, path: Path, facts: Mapping[str, Any]) -> None:
    import torch

    with quiet():
        try:
            torch.export.save(program, path, extra_files={FACTS: json.dumps(facts)})
        except OSError as error:
            raise refused(path, error) from error


def open_file(path: Path) -> TorchFile:
    """A file of torch's, loaded anew."""
    return TorchFile(path)


class TorchFile:
    """An exported program of torch's, on the processor."""

    def __init__(self, path: Path) -> None:
        import torch

        extra = {FACTS: ""}
        with quiet():
            self.program = torch.export.load(path, extra_files=extra)
            self.module = self.program.module()
        text = extra[FACTS]
        self.facts: dict[str, Any] = json.loads(text) if text else {}

    @property
    def versions(self) -> dict[str, str]:
        """Of torch."""
        return {"torch": importlib.metadata.version("torch")}

    def answers(self, pictures: np.ndarray) -> np.ndarray:
        """(N, H, W, 3) `uint8` -> (N, K) `float32`."""
        import torch

        with torch.no_grad():
            found: np.ndarray = self.module(torch.from_numpy(pictures)).numpy()
        return found

    def save(self, path: Path, facts: Mapping[str, Any]) -> None:
        """The same program at `path`, with facts as `striate.json` in the archive."""
        _put(self.program, path, facts)

    def layers(self, pictures: np.ndarray) -> dict[str, np.ndarray]:
        """Module -> what it gave, by going through the graph operation by operation."""
        import torch
        from torch.fx import Interpreter

        names = outputs_of_modules(_values(self.module.graph.nodes))
        seen: dict[str, np.ndarray] = {}
        wanted = set(names.values())

        class Watching(Interpreter):
            def run_node(self, n: Node) -> Any:
                given = super().run_node(n)
                if n.name in wanted and isinstance(given, torch.Tensor):
                    seen[n.name] = given.clone().numpy()
                return given

        with torch.no_grad():
            Watching(self.module).run(torch.from_numpy(pictures))
        return {module: seen[name] for module, name in names.items() if name in seen}


def _values(nodes: Any) -> Iterator[Value]:
    for node in nodes:
        if node.op not in ("placeholder", "output", "get_attr"):
            readers = [_module(user) for user in node.users]
            yield Value(node.name, _module(node), readers, any(user.op == "output" for user in node.users))


def _module(node: Node) -> str:
    """The module that a node is of; "" where it does not say."""
    stack = node.meta.get("nn_module_stack")
    return clean(list(stack.values())[-1][0]) if stack else ""
