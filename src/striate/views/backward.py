"""From scores back to the input: pictures in parts that memory holds with their graph, and the gradients there.

Legend: B pictures, K classes asked for, N scores, C channels, H W pixels.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from striate.errors import InputError, require
from striate.taps.norms import constant_norms
from striate.taps.outputs import scores as scores_of
from striate.views.maps import Classes, Maps, as_classes

# Input values that go through a network at once with their graph. On a processor few pictures at a time are fastest,
# because what a layer gives is still in the cache when the next one reads it; a graphics card wants many.
VALUES_AT_ONCE = 620_000  # four pictures of 224x224 in colours
VALUES_AT_ONCE_ACCELERATOR = 20_000_000


@dataclass(frozen=True, eq=False)
class InputGradients:
    """gradients: (B, K, C, H, W) of the scores of `classes` (B, K) by the input; scores: (B, N). All without graph."""

    gradients: Tensor
    classes: Tensor
    scores: Tensor


def pictures_at_once(pictures: Tensor) -> int:
    """How many of these (B, C, H, W) go through at once, at least 1."""
    values = VALUES_AT_ONCE if pictures.device.type == "cpu" else VALUES_AT_ONCE_ACCELERATOR
    return max(1, values // pictures[0].numel())


def in_parts(pictures: Tensor, classes: Classes, at_once: int) -> Iterator[tuple[slice, Classes]]:
    """Rows of `pictures` (B, ...), so many at once, and the classes that are asked of them.

    Raises InputError where `classes` is a table (B, K) for another number of pictures.
    """
    table = isinstance(classes, Tensor) and classes.ndim == 2
    if isinstance(classes, Tensor) and table:
        require(
            len(classes) == len(pictures),
            f"classes must be (K,) or ({len(pictures)}, K) for {len(pictures)} pictures, got {tuple(classes.shape)}",
        )
    for start in range(0, len(pictures), max(1, at_once)):
        rows = slice(start, min(start + max(1, at_once), len(pictures)))
        yield rows, classes[rows] if isinstance(classes, Tensor) and table else classes


def score_gradients(scores: Tensor, classes: Tensor, at: Tensor) -> Iterator[Tensor]:
    """For each class of `classes` (B, K): the gradient of its score in `scores` (B, N) by `at` (B, ...), shaped so.

    A picture's score is taken not to depend on other pictures of the batch, which holds in evaluation mode.

    Raises InputError where the scores do not depend on `at`, or not in a way that can be differentiated, and for a
    network that writes over what its gradient needs.
    """
    known = "the scores do not depend on it in a way that can be differentiated"
    require(scores.requires_grad, f"the network has no gradient: {known}")
    meant = scores.gather(1, classes)
    for column in range(classes.shape[1]):
        last = column + 1 == classes.shape[1]
        found = gradient_at(meant[:, column].sum(), at, again=not last)
        if found is None:
            raise InputError(f"there is no gradient at this place: {known}")
        yield found


def gradient_at(value: Tensor, at: Tensor, *, again: bool = False) -> Tensor | None:
    """The gradient of a single number by `at`, shaped so; None where it does not depend on it. `again`: the graph is
    asked once more. Raises InputError for a network that writes over what its gradient needs."""
    try:
        (found,) = torch.autograd.grad(value, at, retain_graph=again, allow_unused=True)
    except RuntimeError as error:
        if "modified by an inplace operation" not in str(error):
            raise
        raise InputError(
            "the network writes over a tensor that its own gradient needs (an operation in place behind an "
            "activation), so that it cannot be differentiated"
        ) from error
    return found


def input_gradients(network: nn.Module, inputs: Tensor, classes: Classes, output: str | int | None) -> InputGradients:
    """One forward pass of `inputs` (B, C, H, W) and K backward passes, of a network from `taps.unchanged`."""
    leaf = inputs.detach().clone().requires_grad_()
    # The network is given a copy: it may write into it.
    with constant_norms():
        scores = scores_of(network, leaf.clone(), output)
    meant = as_classes(classes, scores)
    found = torch.stack(list(score_gradients(scores, meant, leaf)), dim=1)
    return InputGradients(found, meant, scores.detach())


def gradient_maps(
    method: str, network: nn.Module, pictures: Tensor, classes: Classes, output: str | int | None
) -> Maps:
    """The gradients by the input as maps: `values` is the strongest channel, max |gradient|, `channels` all of them."""
    parts = [
        input_gradients(network, pictures[rows], asked, output)
        for rows, asked in in_parts(pictures, classes, pictures_at_once(pictures))
    ]
    channels = torch.cat([part.gradients for part in parts]).float().cpu()
    classes = torch.cat([part.classes for part in parts])
    scores = torch.cat([part.scores for part in parts])
    return Maps(
        method=method,
        layer=None,
        values=strongest(channels),
        small=None,
        classes=classes.cpu(),
        scores=scores.gather(1, classes).float().cpu(),
        channels=channels,
    )


def strongest(channels: Tensor) -> Tensor:
    """(B, K, C, H, W) -> (B, K, H, W): the largest absolute value over the channels (Simonyan et al. 2014, 3.1)."""
    return channels.abs().amax(dim=2)
