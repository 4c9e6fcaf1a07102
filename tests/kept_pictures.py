"""Decoded pictures in a list, and a task of five classes, to make batches of."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch


class Kept:
    """Decoded pictures in a list."""

    def __init__(self, pictures: Sequence[np.ndarray]) -> None:
        self.list = list(pictures)
        self.shapes = np.array([picture.shape for picture in pictures])
        self.uniform = len({(picture.shape, picture.dtype) for picture in pictures}) == 1

    def __len__(self) -> int:
        return len(self.list)

    def pixels(self, index: int) -> np.ndarray:
        return self.list[index]

    def block(self, indices: np.ndarray) -> np.ndarray:
        return np.stack([self.list[int(index)] for index in indices])


class Classes:
    """One-hot targets, mixed by their shares; the class of a row is row % 5."""

    def targets(self, rows, placement):
        assert placement is None or len(placement) == len(rows)
        return torch.eye(5)[torch.from_numpy(rows % 5)]

    def mix(self, targets, partners, share):
        return share[:, None] * targets + (1 - share)[:, None] * targets[partners]
