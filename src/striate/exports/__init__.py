"""Files that answer outside of Striate: raw pictures in, the run's own answers out. A file a kind; `KINDS` has them.

The room is called `exports`, since `striate.export` is the function.
"""

from __future__ import annotations

import importlib
import importlib.util
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from striate.errors import InputError

if TYPE_CHECKING:
    from torch.export import ExportedProgram

    from striate.exports.opened import Opened

__all__ = ["KINDS", "Kind"]


@dataclass(frozen=True, kw_only=True)
class Kind:
    """A kind of file: its module (`write(program, path, output)`, `open_file(path)`), what its names end with, one
    sentence, and the libraries that an installation may lack."""

    module: str
    suffix: str
    sentence: str
    replayed_in: str
    needs: tuple[str, ...] = ()

    def require_libraries(self) -> None:
        """Raise InputError, with the command that installs them, where a library is missing."""
        missing = [name for name in self.needs if importlib.util.find_spec(name) is None]
        if missing:
            raise InputError(
                f"this export needs {', '.join(missing)}, which {'is' if len(missing) == 1 else 'are'} not installed; "
                "run: pip install 'striate[export]'"
            )

    @property
    def write(self) -> Callable[[ExportedProgram, Path, str], None]:
        """Writes a program to a path; its answers are called by the third argument."""
        found: Callable[[ExportedProgram, Path, str], None] = importlib.import_module(self.module).write
        return found

    @property
    def open_file(self) -> Callable[[Path], Opened]:
        """Opens what was written, as a stranger would."""
        found: Callable[[Path], Opened] = importlib.import_module(self.module).open_file
        return found


KINDS: dict[str, Kind] = {
    "onnx": Kind(
        module="striate.exports.onnx_file",
        suffix=".onnx",
        sentence="for ONNX Runtime, in many languages and on many machines",
        replayed_in="ONNX Runtime",
        needs=("onnx", "onnxruntime", "onnxscript"),
    ),
    "torch-export": Kind(
        module="striate.exports.torch_file",
        suffix=".pt2",
        sentence="for torch.export.load, without Striate",
        replayed_in="torch",
    ),
}
