"""A model as one module: raw pictures in, answers out. What is exported is this, and nothing else.

Legend: N pictures of one size, H W their pixels, C h w the network's input, K outputs.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from striate.data.resample import LONGEST, LUMA, Frame, fill_of
from striate.exports.resizing import applied, matrix
from striate.models.model import Model
from striate.tasks.task import Task


class Bring(nn.Module):
    """(N, H, W, 3) `uint8` -> (N, C, h, w) whole numbers in [0, 255], `float32`: bit for bit what
    `InputSpec.prepare` gives for the same pixels."""

    fill: Tensor

    def __init__(self, frame: Frame) -> None:
        super().__init__()
        self.frame = frame
        self.register_buffer("fill", torch.from_numpy(fill_of(frame)).double().view(-1, 1, 1))

    def forward(self, pictures: Tensor) -> Tensor:
        frame = self.frame
        levels = pictures.double()
        if frame.channels == 1:
            red, green, blue = (levels[..., channel] for channel in range(3))
            # 65536 times the luma: whole numbers, rounded as `to_channels` rounds them.
            luma = LUMA[0] * red + LUMA[1] * green + LUMA[2] * blue
            levels = ((luma + 0x8000) / 65536).floor()[..., None]
        levels = levels.permute(0, 3, 1, 2)
        rows = torch.arange(pictures.shape[1], dtype=torch.float64)
        columns = torch.arange(pictures.shape[2], dtype=torch.float64)
        tall, wide, top, left = self._fitted(rows[-1] + 1, columns[-1] + 1)
        most = [LONGEST * side if frame.fit == "crop" else None for side in (frame.height, frame.width)]
        across, unit = matrix(columns, wide, left, frame.width, frame.interpolation, most[1])
        levels = applied(levels @ across.T, unit)
        down, unit = matrix(rows, tall, top, frame.height, frame.interpolation, most[0])
        levels = applied(down @ levels, unit)
        if frame.fit == "pad":
            levels = torch.where(_inside(frame.height, top, tall)[:, None], levels, self.fill)
            levels = torch.where(_inside(frame.width, left, wide), levels, self.fill)
        return levels.float()

    def _fitted(self, height: Tensor, width: Tensor) -> tuple[Tensor | float, ...]:
        """`data.resample.fitted` for one picture: the size that it is brought to, the input's place in it."""
        frame = self.frame
        if frame.fit == "squash":
            return float(frame.height), float(frame.width), 0.0, 0.0
        ratios = frame.height / height, frame.width / width
        if frame.fit == "crop":
            scale = torch.maximum(*ratios) / frame.crop_share
            tall = (height * scale).round().clamp(frame.height, LONGEST * frame.height)
            wide = (width * scale).round().clamp(frame.width, LONGEST * frame.width)
            return tall, wide, ((tall - frame.height) / 2).floor(), ((wide - frame.width) / 2).floor()
        scale = torch.minimum(*ratios)
        tall = (height * scale).round().clamp(1, frame.height)
        wide = (width * scale).round().clamp(1, frame.width)
        return tall, wide, -((frame.height - tall) / 2).floor(), -((frame.width - wide) / 2).floor()


def _inside(count: int, first: Tensor | float, whole: Tensor | float) -> Tensor:
    """Which of the `count` pixels along a side, from number `first` on, are of the picture."""
    numbers = torch.arange(count, dtype=torch.float64) + first
    return (numbers >= 0) & (numbers < whole)


class Normalize(nn.Module):
    """`InputSpec.normalize` with its numbers as tensors of the module."""

    factor: Tensor
    shift: Tensor

    def __init__(self, factor: Tensor, shift: Tensor) -> None:
        super().__init__()
        self.register_buffer("factor", factor.clone())
        self.register_buffer("shift", shift.clone())

    def forward(self, brought: Tensor) -> Tensor:
        return brought * self.factor - self.shift


class Decode(nn.Module):
    """The task's answers to the network's outputs: probabilities (N, K) for classes."""

    def __init__(self, task: Task) -> None:
        super().__init__()
        self.task = task

    def forward(self, outputs: Tensor) -> Tensor:
        return self.task.decode(outputs)


class Whole(nn.Module):
    """(N, H, W, 3) `uint8`, RGB -> answers (N, K) `float32`, those of `Model.answer(Model.prepare(...))`."""

    def __init__(self, model: Model) -> None:
        super().__init__()
        self.bring: nn.Module = Bring(model.input_spec)
        self.normalize = Normalize(*model.input_spec.line("cpu"))
        self.network = model.network
        self.decode = Decode(model.task)

    def forward(self, pictures: Tensor) -> Tensor:
        answers: Tensor = self.decode(self.network(self.normalize(self.bring(pictures))))
        return answers
