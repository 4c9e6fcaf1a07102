"""What a view of a picture gives: one map for each picture and class. And which classes are meant.

Legend: B pictures, K classes asked for, N scores of the network, C channels, H W pixels, h w cells of a smaller map.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from operator import index
from typing import SupportsIndex

import torch
from torch import Tensor
from torch.nn import functional

from striate.errors import InputError, require

Classes = int | Sequence[int] | Tensor | None
Output = str | int | None  # which one holds the scores, where a network gives a dictionary or a tuple


@dataclass(frozen=True, kw_only=True, eq=False)
class Maps:
    """What `method` says of each picture and class; all tensors are on the CPU and hold no graph.

    values: (B, K, H, W) float32, at the size of the picture; how large they are and whether they have a sign is said by
        the method.
    small: (B, K, h, w) float32, the map at the size at which the method made it, where that is smaller than the picture
        (`values` is `small` brought to the size of the picture); else None.
    channels: (B, K, C, H, W) float32, the map before its channels were brought together, where the method has them.
    layer: the place that was looked at; None where a method looks at the input alone.
    classes: (B, K) int64, the classes that were asked for. scores: (B, K) float32, what the network gives them, before
        softmax.
    completeness: (B, K) float32, by how much a map misses what it should sum to, for methods that share out a score.
    """

    method: str
    layer: str | None
    values: Tensor
    small: Tensor | None
    classes: Tensor
    scores: Tensor
    channels: Tensor | None = None
    completeness: Tensor | None = None


def as_classes(classes: Classes, scores: Tensor) -> Tensor:
    """The classes that are meant, (B, K) int64 on the device of `scores` (B, N).

    None: the one with the highest score in each picture. An int, or several: these in every picture. A tensor of
    integers (K,) the same, (B, K) for each picture its own.

    Raises InputError: no class at all, one that the network does not know, a tensor of another shape or type, and where
    scores are NaN: nothing can be said of them then.
    """
    count, known = scores.shape
    require(
        not bool(scores.isnan().any()),
        "the network gives NaN where scores are needed: its weights or the pictures hold what is no number",
    )
    if classes is None:
        return scores.detach().argmax(dim=1, keepdim=True)
    if isinstance(classes, Tensor):
        if classes.is_floating_point() or classes.is_complex() or classes.dtype == torch.bool:
            raise InputError(f"classes are whole numbers, got a tensor of {str(classes.dtype).removeprefix('torch.')}")
        meant = classes
    else:
        meant = _numbers(classes)
    if meant.ndim < 2:
        meant = meant.reshape(1, -1).expand(count, -1)
    require(
        meant.ndim == 2 and len(meant) == count,
        f"classes must be (K,) or ({count}, K) for {count} pictures, got {tuple(meant.shape)}",
    )
    require(meant.shape[1] > 0, "no class was asked for; leave classes out for the most probable one")
    wrong = meant[(meant < 0) | (meant >= known)]
    if len(wrong):
        raise InputError(f"no class {int(wrong[0])}: the network gives {known} scores, for classes 0 to {known - 1}")
    # A copy: what was made in inference mode, as by another view there, could not be differentiated by.
    return meant.to(device=scores.device, dtype=torch.int64, copy=True)


def _numbers(classes: int | Sequence[int]) -> Tensor:
    """(K,) int64. Raises InputError for what is no whole number."""
    several = [classes] if isinstance(classes, SupportsIndex) else classes
    try:
        return torch.tensor([index(one) for one in several], dtype=torch.int64)
    except TypeError as error:
        raise InputError(f"classes are numbers of scores, 0, 1, ..., got {classes!r}") from error


def at_picture_size(small: Tensor, size: tuple[int, int]) -> Tensor:
    """Maps (B, K, h, w) -> (B, K, H, W), bilinear between the middles of the cells."""
    return functional.interpolate(small, size=size, mode="bilinear", align_corners=False)


def layout_of(pictures: Tensor) -> torch.memory_format:
    """How the caller laid out (B, C, H, W): channels last, or the plain way. What is made of them is laid out so."""
    last = not pictures.is_contiguous() and pictures.is_contiguous(memory_format=torch.channels_last)
    return torch.channels_last if last else torch.contiguous_format


def require_pictures(pictures: Tensor) -> None:
    """Raise InputError unless these are (B, C, H, W) numbers with a fraction, at least one picture."""
    shape = "x".join(map(str, pictures.shape)) or "a single number"
    require(pictures.ndim == 4, f"pictures must be (B, C, H, W), got {shape}")
    require(pictures.numel() > 0, f"there are no pictures to look at, got {shape}")
    require(
        pictures.is_floating_point(),
        f"pictures must be as the network takes them (float32, normalised), got {str(pictures.dtype)[6:]}",
    )
