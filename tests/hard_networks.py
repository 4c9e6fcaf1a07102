"""Small networks with what makes looking into networks hard."""

from __future__ import annotations

from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn


class Reused(nn.Module):
    """One ReLU, in place, called three times: as a module; beside it every way to write a rectifier."""

    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Conv2d(3, 6, 3, padding=1)
        self.second = nn.Conv2d(6, 6, 3, stride=2, padding=1)
        self.third = nn.Conv2d(6, 8, 3, padding=1)
        self.relu = nn.ReLU(inplace=True)
        self.head = nn.Linear(8, 5)

    def forward(self, pictures: Tensor) -> Tensor:
        x = self.relu(self.first(pictures))
        x = self.relu(self.second(x))
        x = self.relu(self.third(x) + F.pad(x, (0, 0, 0, 0, 0, 2)))
        return self.head(x.mean((2, 3)))


class WithClassToken(nn.Module):
    """A vision transformer of two blocks that reads its class token alone; 12x8 pixels, patches of 4."""

    def __init__(self, extra: int = 1, *, mean: bool = False) -> None:
        super().__init__()
        self.patches = nn.Conv2d(3, 16, 4, stride=4)
        self.tokens = nn.Parameter(torch.randn(1, extra, 16))
        self.blocks = nn.Sequential(Block(16), Block(16))
        self.norm = nn.LayerNorm(16)
        self.head = nn.Linear(16, 5)
        self.mean = mean
        # As torchvision's heads begin.
        nn.init.zeros_(self.head.weight)

    def forward(self, pictures: Tensor) -> Tensor:
        x = self.patches(pictures).flatten(2).transpose(1, 2)
        x = torch.cat([self.tokens.expand(len(x), -1, -1), x], dim=1)
        x = self.norm(self.blocks(x))
        return self.head(x.mean(1) if self.mean else x[:, 0])


class Block(nn.Module):
    def __init__(self, width: int) -> None:
        super().__init__()
        self.norm1 = nn.LayerNorm(width)
        self.qkv = nn.Linear(width, 3 * width)
        self.proj = nn.Linear(width, width)
        self.norm2 = nn.LayerNorm(width)
        self.mlp = nn.Sequential(nn.Linear(width, 2 * width), nn.GELU(), nn.Linear(2 * width, width))

    def forward(self, x: Tensor) -> Tensor:
        q, k, v = self.qkv(self.norm1(x)).chunk(3, dim=-1)
        x = x + self.proj(F.scaled_dot_product_attention(q, k, v))
        return x + self.mlp(self.norm2(x))


class ChannelsLast(nn.Module):
    """Maps as (B, H, W, C) between its layers, of 8 channels at 8x8 for 16x16 pixels: shapes alone do not tell."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Conv2d(3, 8, 2, stride=2)
        self.norm = nn.LayerNorm(8)
        self.mixed = nn.Linear(8, 8)
        self.act = nn.ReLU()
        self.head = nn.Linear(8, 4)

    def forward(self, pictures: Tensor) -> Tensor:
        x = self.stem(pictures).permute(0, 2, 3, 1)
        return self.head(self.act(self.mixed(self.norm(x))).mean((1, 2)))


class Pair(NamedTuple):
    scores: Tensor
    features: Tensor


class Several(nn.Module):
    """Gives a dictionary, a tuple or a named tuple; the scores are made from `main`, and not from `side`."""

    def __init__(self, kind: str) -> None:
        super().__init__()
        self.kind = kind
        self.main = nn.Conv2d(3, 4, 3)
        self.side = nn.Conv2d(3, 4, 3)
        self.head = nn.Linear(4, 3)

    def forward(self, pictures: Tensor) -> object:
        scores = self.head(self.main(pictures).relu().mean((2, 3)))
        side = self.side(pictures)
        return {
            "dictionary": {"features": side, "scores": scores},
            "tuple": (side, scores),
            "named": Pair(scores, side),
            "empty": {},
        }[self.kind]


class Unruly(nn.Module):
    """Changes all it can while it answers: buffers, a new buffer, random states; then fails where it is told to."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, 4, 3)
        self.norm = nn.BatchNorm2d(4)
        self.dropout = nn.Dropout(0.5)
        self.head = nn.Linear(4, 3)
        self.register_buffer("count", torch.zeros(()))
        self.register_buffer("replaced", torch.ones(2), persistent=False)
        self.fails = False

    def forward(self, pictures: Tensor) -> Tensor:
        import random

        import numpy as np

        self.count += 1
        self.replaced = torch.zeros(3)
        if "late" not in self._buffers:
            self.register_buffer("late", torch.rand(4), persistent=False)
        np.random.rand()
        random.random()
        x = self.dropout(self.norm(self.conv(pictures)).relu())
        if self.fails:
            raise ValueError("in the middle")
        return self.head(x.mean((2, 3)))


def headed(*body: nn.Module, channels: int, outputs: int = 3) -> nn.Sequential:
    """`body`, its mean over the map, and a linear head."""
    return nn.Sequential(nn.Sequential(*body), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(channels, outputs))
