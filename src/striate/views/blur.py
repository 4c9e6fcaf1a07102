"""Blurring by a Gaussian of any width, as a product with one matrix a direction. (..., H, W) -> (..., H, W)."""

from __future__ import annotations

import torch
from torch import Tensor


def blurred(pictures: Tensor, deviation: float) -> Tensor:
    """`pictures` (..., H, W) under a Gaussian of so many pixels; at the edges its weights are those that are inside."""
    rows, columns = (weights(side, deviation).to(pictures) for side in pictures.shape[-2:])
    done: Tensor = rows @ pictures @ columns.T
    return done


def weights(size: int, deviation: float) -> Tensor:
    """(size, size) float32: line i is a Gaussian about i that sums to 1; the identity for a deviation of 0."""
    if deviation <= 0:
        return torch.eye(size)
    place = torch.arange(size, dtype=torch.float64)
    curve = torch.exp(-((place[:, None] - place) ** 2) / (2 * deviation**2))
    return (curve / curve.sum(dim=1, keepdim=True)).float()
