"""A model as a graph of torch's, for pictures of any number and size; where it cannot be one, the layer at fault."""

from __future__ import annotations

import copy
import io
import logging
import warnings
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stderr
from dataclasses import replace
from typing import TYPE_CHECKING

from striate.errors import InputError
from striate.exports.whole import Whole
from striate.models.model import Model
from striate.taps.outputs import bare_network
from striate.taps.running import running

if TYPE_CHECKING:
    from torch import nn
    from torch.export import ExportedProgram

INPUT = "pictures"
# What the answers are called, by the task.
OUTPUTS = {"classification": "probabilities", "multilabel": "probabilities", "regression": "numbers"}
EXAMPLE = (2, 37, 53, 3)  # of no size that a network takes, so that none is taken for a constant
MOST_SIDE = 1 << 20
LONGEST_REASON = 200


def output_name(model: Model) -> str:
    """What the file calls its answers."""
    return OUTPUTS.get(model.task.name, "answers")


def traced(model: Model) -> ExportedProgram:
    """The whole of a model (see `whole.Whole`) as a graph. The model stays as it is.

    Raises InputError, with the layer, where the network does something that no graph can say.
    """
    # A copy: the graph holds on to the weights, and they are not to be learned any more.
    network = copy.deepcopy(bare_network(model.network)).to("cpu").eval().requires_grad_(False)
    return trace(Whole(replace(model, network=network, device="cpu")))


def trace(whole: nn.Module) -> ExportedProgram:
    """(N, H, W, 3) `uint8` -> answers, as a graph for any N, H and W. Raises InputError as `traced` does."""
    import torch
    from torch.export import Dim, export

    sides = {1: Dim("height", min=1, max=MOST_SIDE), 2: Dim("width", min=1, max=MOST_SIDE)}
    shapes = ({0: Dim("pictures", min=1, max=MOST_SIDE), **sides},)
    example = torch.zeros(EXAMPLE, dtype=torch.uint8)
    with running(whole) as inside, torch.no_grad(), quiet():
        try:
            return export(whole, (example,), dynamic_shapes=shapes, strict=False)
        except Exception as error:
            # A network may do anything at all. What fails in the modules around it, or for want of a file, is not its.
            elsewhere = bool(inside) and not inside[-1].startswith("network")
            if elsewhere or isinstance(error, InputError | OSError | ImportError):
                raise
            name = inside[-1] if inside else "network"
            raise refusal(name, type(whole.get_submodule(name)).__name__, error) from error


def refusal(name: str, kind: str, error: BaseException) -> InputError:
    """The sentence for a module that stands in the way: its dotted name in `Whole`, and its class."""
    shown = name.removeprefix("network").removeprefix(".")
    what, where = "network", f"its layer '{shown}' ({kind})" if shown else f"{kind}, the network itself,"
    if not name.startswith("network"):  # what Striate puts around it
        what, where = "model", f"its part '{shown}' ({kind})"
    first = list(causes(error))[-1]
    lines = [line.strip() for line in str(first).splitlines() if line.strip()]
    reason = lines[0][:LONGEST_REASON] if lines else type(first).__name__
    return InputError(f"the {what} cannot be exported: {where} does what a fixed graph cannot say ({reason})")


def module_at_fault(error: BaseException) -> tuple[str, str]:
    """The dotted name and the class of the module whose operation a converter stopped at; "" where that is not known.

    The converter's own words name the operation after it was taken apart; the operation itself, which knows its module,
    lies in the frames that the error came through.
    """
    from torch.fx import Node

    found = "", ""
    for one in causes(error):
        trace = one.__traceback__
        while trace is not None:
            for value in trace.tb_frame.f_locals.values():
                stack = value.meta.get("nn_module_stack") if isinstance(value, Node) else None
                if stack:
                    name, kind = list(stack.values())[-1]
                    found = clean(name), (kind if isinstance(kind, str) else kind.__name__).rpartition(".")[2]
            trace = trace.tb_next
    return found


def causes(error: BaseException) -> Iterator[BaseException]:
    """The error, what caused it, what caused that, ..."""
    seen: BaseException | None = error
    while seen is not None:
        yield seen
        seen = seen.__cause__


def clean(module: str) -> str:
    """The dotted name without the number of a later call; "" for what torch calls a module and is none."""
    return "" if module.startswith("_") else module.partition("@")[0]


@contextmanager
def quiet() -> Iterator[None]:
    """While this lasts, torch's exporter tells nobody of its inner life."""
    loggers = [logging.getLogger(name) for name in ("torch.onnx", "torch.export", "torch.fx", "onnxscript", "onnx_ir")]
    before = [logger.level for logger in loggers]
    for logger in loggers:
        logger.setLevel(logging.ERROR)
    try:
        # Of what it cannot say it prints the graph so far, on stderr.
        with warnings.catch_warnings(), redirect_stderr(io.StringIO()):
            warnings.simplefilter("ignore")
            yield
    finally:
        for logger, level in zip(loggers, before, strict=True):
            logger.setLevel(level)
