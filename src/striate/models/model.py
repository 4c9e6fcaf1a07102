"""Network + input specification + task: the only way from pictures to answers.

`prepare(pixels)` gives the input of the network's size, `answer(prepared)` runs the network and the task,
`predict` is both. Validation during training, `evaluate` and `predict` all go through here. On a processor our own
networks answer in their fused form (`networks/fused.py`), made anew for each pass, since weights change while training.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Protocol

import numpy as np
import torch
from torch import nn

from striate.data.decode import as_pixels, as_row
from striate.data.preparing import prepare_all
from striate.data.sources.number_rows import find_rows
from striate.data.sources.pictures import find_pictures
from striate.errors import InputError, require
from striate.machine.memory import give_back_memory, is_out_of_memory
from striate.machine.precision import autocast, pick_precision
from striate.machine.threads import with_threads
from striate.models.input_spec import InputSpec
from striate.models.predictions import PREDICTIONS, AnyPrediction
from striate.networks.fused import fused
from striate.tasks.task import Task

# About how many input values go through a network at once: large enough for full speed, small enough for memory.
VALUES_AT_ONCE = 6_000_000
MOST_AT_ONCE = 512
VALUES_IN_CACHE = 150_000


class PreparedLike(Protocol):
    """Prepared pictures (N, C, H, W): a tensor, or `data.prepared.PreparedAnew`, which decodes what it is asked for."""

    @property
    def shape(self) -> Sequence[int]: ...
    @property
    def ndim(self) -> int: ...
    def __len__(self) -> int: ...
    def __getitem__(self, part: slice | torch.Tensor, /) -> torch.Tensor: ...


@dataclass(frozen=True, eq=False)
class Model:
    """A network that answers. Its network is in evaluation mode while it answers, and as it was afterwards."""

    network: nn.Module
    input_spec: InputSpec
    task: Task
    device: str = "cpu"
    precision: str = "float32"
    # The memory layout that convolutions are fastest in; a network that calls `view` on maps needs the other one, and
    # is never fused.
    channels_last: bool = True

    def prepare(self, pixels: np.ndarray) -> torch.Tensor:
        """(H, W, C) pixels, `uint8` or `float32` in [0, 255] -> (channels, height, width), same type."""
        return self.input_spec.prepare(pixels)

    def answer(self, prepared: PreparedLike, observe: Callable[[int, int], None] | None = None) -> torch.Tensor:
        """(N, C, H, W) prepared pictures -> answers of the task on the CPU, `float32`; (N, K) probabilities
        for classes. `observe(done, N)` is called after each batch. Raises InputError where there are no pictures or
        they are not of the network's input size."""
        return self.task.decode(self.outputs(prepared, self.network, observe))

    def inputs(self, prepared: torch.Tensor) -> torch.Tensor:
        """(B, C, H, W) prepared pictures on the model's device -> what its network is given, `float32`."""
        layout = torch.channels_last if self.channels_last else torch.contiguous_format
        small = prepared.numel() <= VALUES_IN_CACHE
        if small or prepared.requires_grad or prepared.device.type != "cpu":
            return self.input_spec.normalize(prepared).contiguous(memory_format=layout)
        given = torch.empty(prepared.shape, memory_format=layout)
        # A few pictures at a time stay in the processor's cache on their way to another type, scale and layout.
        step = max(1, VALUES_IN_CACHE // max(1, math.prod(prepared.shape[1:])))
        for start in range(0, len(prepared), step):
            given[start : start + step] = self.input_spec.normalize(prepared[start : start + step])
        return given

    def outputs(
        self, prepared: PreparedLike, part: nn.Module, observe: Callable[[int, int], None] | None = None
    ) -> torch.Tensor:
        """What `part` of the network (the whole of it, or its `features`) gives for prepared pictures, on the CPU.

        Raises InputError where `prepared` is not (N, C, H, W) of the network's input size, or N is 0.
        """
        spec = self.input_spec
        shape = (spec.channels, spec.height, spec.width)
        if prepared.ndim != 4 or tuple(prepared.shape[1:]) != shape:
            wanted, got = "x".join(map(str, shape)), "x".join(map(str, prepared.shape))
            raise InputError(f"the network takes prepared pictures of Nx{wanted}, got {got}; use model.prepare")
        require(len(prepared) > 0, "there are no pictures to answer")
        # Each module's own mode: parts of a network in training may be kept in evaluation mode.
        modes = [(module, module.training) for module in part.modules()]
        part.eval()
        outputs = []
        count = self._pictures_at_once()
        try:
            run = self._quickest(part)
            start = 0
            while start < len(prepared):
                answered = self._outputs_at_once(prepared[start : start + count], run, alone=count == 1)
                if answered is None:
                    count = (count + 1) // 2
                    continue
                outputs.append(answered)
                start = min(start + count, len(prepared))
                if observe is not None:
                    observe(start, len(prepared))
        finally:
            for module, training in modes:
                module.training = training
        # Joined outside of inference mode: a plain tensor, which the caller may differentiate through.
        return torch.cat(outputs)

    def _quickest(self, part: nn.Module) -> Callable[[torch.Tensor], torch.Tensor]:
        """What `part` is answered by, with the weights that it has now."""
        if not self.channels_last:
            return part
        return fused(part, device=self.device, precision=self.precision) or part

    def _outputs_at_once(
        self, prepared: torch.Tensor, run: Callable[[torch.Tensor], torch.Tensor], *, alone: bool
    ) -> torch.Tensor | None:
        """What `run` gives for these pictures; None where they do not fit into memory, unless it is one alone."""
        try:
            with torch.inference_mode(), autocast(self.precision, self.device):
                answered: torch.Tensor = run(self.inputs(prepared.to(self.device))).float().cpu()
                return answered
        except (RuntimeError, MemoryError) as error:
            if alone or not is_out_of_memory(error):
                raise
        # Here the error is gone, and with it everything that its frames held on to.
        give_back_memory(self.device)
        return None

    def _pictures_at_once(self) -> int:
        values = self.input_spec.channels * self.input_spec.height * self.input_spec.width
        return max(1, min(MOST_AT_ONCE, VALUES_AT_ONCE // values))

    def answering_in(self, precision: str | None) -> Model:
        """The same model with its answers computed in this precision; as it is where None.

        Raises InputError for an unknown one, and for float16 elsewhere than on a CUDA device.
        """
        if precision is None:
            return self
        return replace(self, precision=pick_precision(precision, self.device)[0])

    @property
    def class_names(self) -> tuple[str, ...]:
        """The classes, labels or numbers, in the order of the answers; of another task none."""
        names: tuple[str, ...] = getattr(self.task, "names", getattr(self.task, "class_names", ()))
        return names

    def predict(self, pictures: Sequence[str | Path | np.ndarray] | str | Path | np.ndarray) -> list[AnyPrediction]:
        """Answers for files, folders, globs, or arrays (H, W), (H, W, C) of `uint8`, or `float32` in [0, 255];
        one array of four dimensions (N, H, W, C) is N pictures. Of a network that takes rows of a table of numbers: for
        the rows of tables, or of an array (N, F) or (F,), its fields in the order of `input_spec.fields.names`.

        Raises InputError for what cannot be read; `striate.predict` leaves such pictures out and names them.
        """
        if isinstance(pictures, np.ndarray) and pictures.ndim == 4:
            pictures = list(pictures)
        if isinstance(pictures, str | Path | np.ndarray):
            pictures = [pictures]
        if self.input_spec.fields is not None:
            return self._predict_rows(pictures)
        names: list[str] = []
        prepared: list[torch.Tensor] = []
        for position, picture in enumerate(pictures):
            if isinstance(picture, np.ndarray):
                names.append(f"picture {position}")
                prepared.append(self.prepare(pixels_of(picture))[None])
                continue
            samples = find_pictures([picture])
            result = prepare_all(samples, np.arange(len(samples)), self.prepare, checksums=False)
            for row, reason in result.failures:
                raise InputError(f"{samples.names[row]}: {reason}")
            names.extend(samples.names)
            prepared.append(result.pictures)
        if not prepared:
            return []
        if len({tensors.dtype for tensors in prepared}) > 1:
            prepared = [tensors.float() for tensors in prepared]
        with with_threads():
            answers = self.answer(torch.cat(prepared)).numpy()
        return self.predictions(names, answers)

    def _predict_rows(self, tables: Sequence[str | Path | np.ndarray]) -> list[AnyPrediction]:
        """Answers for rows of tables, and of arrays. Raises InputError where one cannot be had."""
        spec = self.input_spec
        assert spec.fields is not None
        names: list[str] = []
        prepared = [torch.empty(0, spec.channels, 1, 1)]
        for table in tables:
            if isinstance(table, np.ndarray):
                rows = np.atleast_2d(table)
                require(rows.ndim == 2, f"rows are an array (N, F), got shape {rows.shape}")
                names += [f"row {len(names) + position}" for position in range(len(rows))]
                prepared += [self.prepare(as_row(row))[None] for row in rows]
                continue
            samples = find_rows([table], spec.fields.names)
            result = prepare_all(samples, np.arange(len(samples)), self.prepare, checksums=False, frame=spec)
            for row, reason in result.failures:
                raise InputError(f"{samples.names[row]}: {reason}")
            names += samples.names
            prepared.append(result.pictures)
        if not names:
            return []
        with with_threads():
            return self.predictions(names, self.answer(torch.cat(prepared)).numpy())

    def predictions(self, names: Sequence[str], answers: np.ndarray) -> list[AnyPrediction]:
        """Answers (N, K) as a person can read them; which kind follows from the task."""
        return PREDICTIONS[self.task.name](names, answers, self.class_names)


def pixels_of(picture: np.ndarray) -> np.ndarray:
    """As `decode` gives the same picture from a file. Raises InputError."""
    pixels = as_pixels(picture)
    # Sources multiply such arrays by 255, seeing all of them; a single one could be a black picture.
    if picture.dtype.kind in "fb" and 0 < float(pixels.max()) <= 1:
        raise InputError("a picture's values must be in [0, 255], these are in [0, 1]; multiply them by 255")
    return pixels
