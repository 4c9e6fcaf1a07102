"""How much the features of each layer, and the probability of a class, change as the picture is moved, scaled, turned.

Zeiler and Fergus 2014, "Visualizing and Understanding Convolutional Networks", section 4.1 and fig. 5: the Euclidean
distance between the features of the picture and of the changed picture, and the probability of the true class.
What comes in from outside the picture is 0, the mean of normalised pictures.

Legend: B pictures, C channels, H W pixels, T amounts, L layers.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn import functional

from striate.errors import require, unknown
from striate.taps.outputs import scores
from striate.taps.places import find_places, place_named
from striate.taps.unchanged import unchanged
from striate.taps.watching import watching
from striate.views.maps import Classes, as_classes, require_pictures

Change = Literal["translation", "scale", "rotation"]

# A quarter of the height up and down (the paper: 60 of 224 pixels); half and double; once around.
AMOUNTS: dict[str, tuple[float, ...]] = {
    "translation": tuple(number / 24 for number in range(-6, 7)),
    "scale": tuple(2 ** (number / 6) for number in range(-6, 7)),
    "rotation": tuple(30.0 * number for number in range(-6, 7)),
}
AT_ONCE = 4  # changed pictures: the features of all layers are held for them


@dataclass(frozen=True, kw_only=True, eq=False)
class Invariance:
    """What one kind of change does. amounts: (T,) shares of the height downwards ("translation", whole pixels), factors
    ("scale"), degrees anticlockwise ("rotation"). distances: (L, B, T) Euclidean, between the features of `layers` for
    the changed picture and for the picture itself, whose lengths are `lengths` (L, B). probabilities: (B, T) of
    `classes` (B,), after softmax. All float32 on the CPU.
    """

    change: Change
    amounts: Tensor
    layers: tuple[str, ...]
    distances: Tensor
    lengths: Tensor
    probabilities: Tensor
    classes: Tensor


def invariance(
    network: nn.Module,
    pictures: Tensor,
    classes: Classes = None,
    *,
    layers: Sequence[str] | None = None,
    amounts: Mapping[str, Sequence[float]] = AMOUNTS,
    output: str | int | None = None,
) -> tuple[Invariance, ...]:
    """One `Invariance` for each kind of change in `amounts`, in its order.

    pictures: (B, C, H, W) as the network takes them. classes: the true class of each picture, one for all, or None for
    the most probable. layers: names of places; all that the network has where None.
    Raises InputError: a layer, a class or a kind of change that is not known, a scale that is not above 0.
    """
    require_pictures(pictures)
    for name, values in amounts.items():
        if name not in AMOUNTS:
            raise unknown("change", name, AMOUNTS)
        finite = all(math.isfinite(value) for value in values) and (name != "scale" or min(values, default=1.0) > 0)
        require(len(values) > 0 and finite, f"the amounts of {name} must be numbers, at least one (factors above 0)")
    with unchanged(network) as bare, torch.no_grad():
        places = find_places(bare, pictures, output=output)
        # What is cut into windows or heads has no features of a picture to compare.
        known = [place for place in places if place.layout != "other"]
        named = tuple(
            place.name for place in (known if layers is None else [place_named(known, one) for one in layers])
        )
        plain = torch.cat([scores(bare, some, output) for some in torch.split(pictures, AT_ONCE)])
        chosen = as_classes(classes, plain)
        require(chosen.shape[1] == 1, f"one class for each picture, got {chosen.shape[1]}")
        found = [
            {name: _of_one(bare, one[None], int(k), named, name, values, output) for name, values in amounts.items()}
            for one, k in zip(pictures, chosen[:, 0], strict=True)
        ]
    return tuple(
        Invariance(
            change=name,  # type: ignore[arg-type]  # one of AMOUNTS, as checked
            amounts=torch.tensor(_amounts(name, values, pictures.shape[2]), dtype=torch.float32),
            layers=named,
            distances=torch.stack([one[name][0] for one in found], dim=1),
            lengths=torch.stack([one[name][1] for one in found], dim=1),
            probabilities=torch.stack([one[name][2] for one in found]),
            classes=chosen[:, 0].cpu(),
        )
        for name, values in amounts.items()
    )


def _of_one(
    network: nn.Module,
    picture: Tensor,
    k: int,
    layers: Sequence[str],
    change: str,
    amounts: Sequence[float],
    output: str | int | None,
) -> tuple[Tensor, Tensor, Tensor]:
    """Distances (L, T), lengths (L,) and probabilities (T,) for one picture (1, C, H, W)."""
    with watching(network, layers) as seen:
        network(picture)
        own = {name: seen[name].float().flatten(1) for name in layers}
        distances, probabilities = [], []
        for some in torch.split(
            torch.tensor(_amounts(change, amounts, picture.shape[2]), dtype=torch.float64), AT_ONCE
        ):
            matrices = torch.stack([matrix(change, float(amount), picture.shape[2:]) for amount in some])
            given = scores(network, changed(picture, matrices), output)
            probabilities.append(given.softmax(1)[:, k])
            distances.append(torch.stack([(seen[name].float().flatten(1) - own[name]).norm(dim=1) for name in layers]))
    lengths = torch.stack([own[name][0].norm() for name in layers])
    return torch.cat(distances, dim=1).cpu(), lengths.cpu(), torch.cat(probabilities).float().cpu()


def _amounts(change: str, amounts: Sequence[float], height: int) -> list[float]:
    """As they are taken: translations by whole pixels, so that nothing is interpolated."""
    return [round(amount * height) / height for amount in amounts] if change == "translation" else list(amounts)


def matrix(change: str, amount: float, size: Sequence[int]) -> Tensor:
    """Places of the picture from places of the changed one, (2, 3) float64, both from -1 to 1 across."""
    height, width = size
    if change == "translation":
        return torch.tensor([[1.0, 0.0, 0.0], [0.0, 1.0, -2 * amount]], dtype=torch.float64)
    if change == "scale":
        return torch.tensor([[1 / amount, 0.0, 0.0], [0.0, 1 / amount, 0.0]], dtype=torch.float64)
    angle = math.radians(amount)
    cosine, sine = math.cos(angle), math.sin(angle)
    # Rows count downwards, so that this turns anticlockwise; sides differ where the picture is not square.
    return torch.tensor(
        [[cosine, -sine * height / width, 0.0], [sine * width / height, cosine, 0.0]], dtype=torch.float64
    )


def changed(picture: Tensor, matrices: Tensor) -> Tensor:
    """(1, C, H, W) by matrices (T, 2, 3) -> (T, C, H, W), bilinear; where it shrinks, the mean of several points a
    pixel, so that nothing aliases. Outside there is 0."""
    shape = picture.shape
    made = []
    for one in matrices:
        # How many pixels of the picture, along a line, a pixel of the changed one stands for.
        points = max(1, math.ceil(float(one[:, :2].det().abs().sqrt()) - 1e-6))
        size = [1, shape[1], points * shape[2], points * shape[3]]
        grid = functional.affine_grid(one[None], size, align_corners=False).to(picture)
        sampled = functional.grid_sample(picture, grid, padding_mode="zeros", align_corners=False)
        made.append(functional.avg_pool2d(sampled, points) if points > 1 else sampled)
    return torch.cat(made)
