"""ONNX: a graph for ONNX Runtime and its relatives, with what it takes and gives, and its proof, as metadata.

Operators are those of the standard set; values between layers can be asked for, since every node says which module it
is of. Nothing in such a file is code. Legend: N pictures, H W pixels, K outputs.
"""

from __future__ import annotations

import ast
import importlib.metadata
import json
import os
from collections.abc import Iterator, Mapping
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from striate.errors import InputError
from striate.exports.opened import Value, outputs_of_modules
from striate.exports.tracing import INPUT, clean, module_at_fault, quiet, refusal
from striate.machine.files import refused

if TYPE_CHECKING:
    import onnx
    from torch.export import ExportedProgram

LARGEST = 2**31 - 2**20  # bytes: what one protocol buffer may hold, less its own words
SCOPES = "pkg.torch.onnx.name_scopes"  # in a node's metadata: the modules that it is in, then its own name
SIDES = ("N", "height", "width")  # of the pictures
ONLY_ERRORS = 3  # of ONNX Runtime's levels of saying
# Where it is not set, ONNX Runtime (from 1.29 on, Linux and macOS too) keeps an identifier of the machine in the home,
# and tells its makers of each use.
NO_TELEMETRY = "ORT_DISABLE_TELEMETRY"


def write(program: ExportedProgram, path: Path, output: str) -> None:
    """Write the program to `path`; its answers are called `output`.

    Raises InputError for a network with an operation that ONNX lacks, or with too many weights for one file.
    """
    _put(converted(program, output), path)


def converted(program: ExportedProgram, output: str) -> onnx.ModelProto:
    """The program in ONNX's operators.

    Raises InputError, with the layer, or with the part around the network, where one of its operations has none.
    """
    import torch
    from torch.onnx import OnnxExporterError

    _without_telemetry()
    try:
        with quiet():
            made = torch.onnx.export(
                program, (), input_names=[INPUT], output_names=[output], dynamo=True, verbose=False, optimize=True
            )
    except OnnxExporterError as error:
        module, kind = module_at_fault(error)
        raise refusal(module or "network", kind or "its class", error) from error
    assert made is not None
    proto: onnx.ModelProto = made.model_proto
    _name_sides(proto)
    return proto


def _name_sides(model: onnx.ModelProto) -> None:
    """The sides that may be of any size are called as in the file's own words, not as the converter counts them."""
    graph = model.graph
    sides = graph.input[0].type.tensor_type.shape.dim
    called = {side.dim_param: name for side, name in zip(sides, SIDES, strict=False) if side.dim_param}
    for value in (*graph.input, *graph.output, *graph.value_info):
        for side in value.type.tensor_type.shape.dim:
            if side.dim_param in called:
                side.dim_param = called[side.dim_param]


def _put(model: onnx.ModelProto, path: Path) -> None:
    if model.ByteSize() > LARGEST:
        raise InputError(
            f"{model.ByteSize() / 2**30:.1f} GB of weights are more than one ONNX file can hold; export it with "
            "--to torch-export"
        )
    try:
        path.write_bytes(model.SerializeToString())
    except OSError as error:
        raise refused(path, error) from error


def open_file(path: Path) -> OnnxFile:
    """An ONNX file, as ONNX Runtime reads it."""
    return OnnxFile(path)


class OnnxFile:
    """An ONNX file in ONNX Runtime, on the processor."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.session = _session(str(path))

    @property
    def versions(self) -> dict[str, str]:
        """Of ONNX Runtime, and of what wrote the file."""
        names = ("onnxruntime", "onnx", "onnxscript", "torch")
        return {name: importlib.metadata.version(name) for name in names}

    @property
    def facts(self) -> dict[str, Any]:
        """The metadata of the file; JSON where it is that."""
        return {name: _value(text) for name, text in self.session.get_modelmeta().custom_metadata_map.items()}

    def answers(self, pictures: np.ndarray) -> np.ndarray:
        """(N, H, W, 3) `uint8` -> (N, K) `float32`."""
        (found,) = self.session.run(None, {INPUT: pictures})
        return np.asarray(found)

    def layers(self, pictures: np.ndarray) -> dict[str, np.ndarray]:
        """Module -> what it gave, by a copy of the graph in which these values are outputs, too."""
        names = outputs_of_modules(_values(self._graph))
        wanted = sorted(set(names.values()) - {output.name for output in self._graph.graph.output})
        found = dict(zip(wanted, self._probed(tuple(wanted)).run(wanted, {INPUT: pictures}), strict=True))
        return {module: found[value] for module, value in names.items() if value in found}

    def save(self, path: Path, facts: Mapping[str, Any]) -> None:
        """The same file at `path`, with facts as metadata: texts as they are, all else as JSON."""
        import onnx

        told = onnx.ModelProto()
        told.CopyFrom(self._graph)
        for name, value in facts.items():
            entry = told.metadata_props.add()
            entry.key, entry.value = name, value if isinstance(value, str) else json.dumps(value)
        _put(told, path)

    @cached_property
    def _graph(self) -> onnx.ModelProto:
        import onnx

        return onnx.load(self.path)

    def _probed(self, wanted: tuple[str, ...]) -> Any:
        import onnx

        probed = onnx.ModelProto()
        probed.CopyFrom(self._graph)
        for name in wanted:
            probed.graph.output.add().name = name  # of a type that the runtime works out
        return _session(probed.SerializeToString())


def _without_telemetry() -> None:
    """Before ONNX Runtime is imported: it tells nobody, unless the user has said that it may."""
    os.environ.setdefault(NO_TELEMETRY, "1")


def _session(model: str | bytes) -> Any:
    """ONNX Runtime with that model."""
    _without_telemetry()
    import onnxruntime
    import torch

    options = onnxruntime.SessionOptions()
    options.log_severity_level = ONLY_ERRORS
    options.intra_op_num_threads = torch.get_num_threads()
    return onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])


def _values(model: onnx.ModelProto) -> Iterator[Value]:
    """The values of the graph in order of execution."""
    graph = model.graph
    readers: dict[str, list[str]] = {}
    for node in graph.node:
        for name in node.input:
            readers.setdefault(name, []).append(_module(node))
    given = {output.name for output in graph.output}
    for node in graph.node:
        for name in node.output:
            if name:
                yield Value(name, _module(node), readers.get(name, []), name in given)


def _module(node: Any) -> str:
    """The module that a node is of; "" where it does not say."""
    for entry in node.metadata_props:
        if entry.key == SCOPES:
            scopes = ast.literal_eval(entry.value)
            return clean(scopes[-2]) if len(scopes) > 1 else ""
    return ""


def _value(text: str) -> Any:
    try:
        return json.loads(text)
    except json.JSONDecodeError:
        return text
