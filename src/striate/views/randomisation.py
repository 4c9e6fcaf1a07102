"""Model randomisation: does a map depend on what the network has learned? (network, pictures, method) -> correlations.

The layers are put out of order one after another, from the answer down to the pixels, and each time the map is made
again. A map that stays as it was shows the picture, its edges say, and not the network. Adebayo et al. 2018, "Sanity
checks for saliency maps" (arXiv:1810.03292), the cascading test. Where we leave the paper: the values of each tensor of
weights change places (drawn from the seed) instead of being drawn anew, which fits every kind of layer and keeps their
distribution; likeness is Spearman's rank correlation alone, of the values and of their sizes without the sign.
Limits: passing it is needed, not enough: a random map passes, and so does one that is empty as soon as the first layer
has changed, as behind a last rectifier (SqueezeNet's) that lets nothing through. A network of few layers hardly changes
at the first steps.

Legend: B pictures, K classes, H W pixels, S steps.
"""

from __future__ import annotations

import copy
import itertools
import zlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from striate.data.draws import permutation
from striate.errors import InputError, require
from striate.taps.outputs import bare_network, scores
from striate.taps.places import find_places
from striate.taps.unchanged import unchanged
from striate.views.maps import Classes, Maps, as_classes, require_pictures

LIKE = 0.5  # from this correlation on a map is said to look as before; the paper draws no line


@dataclass(frozen=True, kw_only=True, eq=False)
class Randomisation:
    """How like its first map a method's map is, after each step.

    layers: S tuples of names, those that were put out of order at each step, beside all of the steps before.
    correlations: (S, B) float64 in [-1, 1], Spearman's rank correlation with the map of the network as it is, averaged
        over the classes asked for. sizes: (S, B) the same of the absolute values. 0 where a map is constant.
    """

    layers: tuple[tuple[str, ...], ...]
    correlations: Tensor
    sizes: Tensor

    @property
    def kept(self) -> float:
        """How like the first map it is in the end, without any learned weight: the larger of the two, over pictures."""
        return max(float(one[-1].mean()) for one in (self.correlations, self.sizes))

    @property
    def passed(self) -> bool:
        """Whether the map changes with the weights: in the end it is no longer like the first."""
        return self.kept < LIKE

    def sentence(self) -> str:
        """What a reader should know of the method."""
        if self.passed:
            return f"Depends on the weights: without what was learned the map is another (correlation {self.kept:.2f})."
        return (
            f"Hardly depends on the weights: without what was learned the map looks as before (correlation "
            f"{self.kept:.2f}). It shows the picture more than the network."
        )


def randomisation(
    network: nn.Module,
    pictures: Tensor,
    method: Callable[..., Maps],
    classes: Classes = None,
    *,
    steps: int = 8,
    output: str | int | None = None,
    seed: int = 0,
) -> Randomisation:
    """Put the layers of a copy of `network` out of order from the top, in so many steps, and compare the maps.

    pictures: (B, C, H, W) as the network takes them. method: a view that gives maps, as `striate.views.VIEWS` has them.
    classes: as for any view; the same ones are asked for throughout, by default those that are most probable at first.
    Takes 1 + S runs of the method. Raises InputError where the network has no weights, or `steps` is below 1.
    """
    require_pictures(pictures)
    require(steps >= 1, f"there must be at least 1 step, got {steps}")
    with unchanged(network) as bare, torch.no_grad():
        meant = as_classes(classes, scores(bare, pictures, output))
    first = method(network, pictures, meant, output=output).values
    copied = copy.deepcopy(bare_network(network))
    groups = _in_steps(_from_the_top(copied, pictures, output), steps)
    correlations, sizes = [], []
    for names in groups:
        for name in names:
            put_out_of_order(copied.get_submodule(name), name, seed)
        values = method(copied, pictures, meant, output=output).values
        correlations.append(_likeness(first, values))
        sizes.append(_likeness(first.abs(), values.abs()))
    return Randomisation(layers=groups, correlations=torch.stack(correlations), sizes=torch.stack(sizes))


def _from_the_top(network: nn.Module, pictures: Tensor, output: str | int | None) -> list[str]:
    """The modules that hold weights, the last one that runs first."""
    owners = [
        name for name, module in network.named_modules() if next(module.parameters(recurse=False), None) is not None
    ]
    if not owners:
        raise InputError("the network has no weights that could be put out of order")
    ran = {
        place.name.partition("#")[0]: number
        for number, place in enumerate(find_places(network, pictures, output=output))
    }
    position, last = {}, -1
    for name in owners:
        # What gives no place of its own (a class token, say) goes with what was defined before it.
        last = ran.get(name, last)
        position[name] = last
    return sorted(owners, key=lambda name: -position[name])


def _in_steps(names: Sequence[str], steps: int) -> tuple[tuple[str, ...], ...]:
    """The names in at most so many groups of about the same size, none empty."""
    count = min(steps, len(names))
    bounds = [round(step * len(names) / count) for step in range(count + 1)]
    return tuple(tuple(names[start:end]) for start, end in itertools.pairwise(bounds))


def put_out_of_order(module: nn.Module, name: str, seed: int) -> None:
    """The values of each tensor of the module's own weights change places, in place; drawn from (seed, name)."""
    learned: dict[str, Tensor] = dict(module.named_parameters(recurse=False))
    if isinstance(module, nn.modules.batchnorm._NormBase):
        # What a normalisation has seen of its inputs is learned too; other buffers (masks, positions) are not.
        learned |= {key: value for key, value in module.named_buffers(recurse=False) if value.is_floating_point()}
    with torch.no_grad():
        for key, tensor in learned.items():
            order = permutation(seed, 0, tensor.numel(), purpose=zlib.crc32(f"{name}.{key}".encode()))
            tensor.copy_(tensor.flatten()[torch.from_numpy(order).to(tensor.device)].reshape(tensor.shape))


def _likeness(first: Tensor, second: Tensor) -> Tensor:
    """Spearman's rank correlation of maps (B, K, H, W), the mean over classes: (B,) float64."""
    one, other = (_centred_ranks(values.flatten(2).double()) for values in (first, second))
    lengths = one.norm(dim=2) * other.norm(dim=2)
    correlation = (one * other).sum(dim=2) / lengths.clamp(min=torch.finfo(torch.float64).tiny)
    mean: Tensor = correlation.mean(dim=1)
    return mean


def _centred_ranks(values: Tensor) -> Tensor:
    """(B, K, P) -> ranks along P about their mean; equal values share the mean of their ranks."""
    ranked = torch.empty_like(values)
    for picture, maps in enumerate(values):
        for number, one in enumerate(maps):
            _, which, counts = one.unique(return_inverse=True, return_counts=True)
            mean_ranks = counts.cumsum(0) - (counts - 1) / 2
            ranked[picture, number] = mean_ranks[which]
    return ranked - ranked.mean(dim=2, keepdim=True)
