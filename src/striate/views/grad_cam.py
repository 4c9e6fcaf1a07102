"""Grad-CAM and its kin: where on a layer's map the evidence for a class lies. (B, C, H, W) -> Maps.

The network runs without a graph up to the layer and with one above it; several classes cost one forward pass and a
backward pass of the part above each. Maps are >= 0, made at the size of the layer (`small`) and brought to that of the
picture bilinearly (`values`). Channels-last families and tokens count as maps, as `taps.places` sees them.
Legend: B pictures, K classes, D channels of the layer, h w its cells.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import replace

import torch
from torch import Tensor, nn

from striate.errors import InputError
from striate.taps.outputs import scores as scores_of
from striate.taps.places import Place, as_maps, default_place, find_places, finding_places, place_named
from striate.taps.unchanged import unchanged
from striate.taps.watching import watching
from striate.views.backward import in_parts, pictures_at_once, score_gradients, strongest
from striate.views.maps import Classes, Maps, Output, as_classes, at_picture_size, require_pictures
from striate.views.rectified import guided_backpropagation

# (activations (B, D, h, w), gradients of a score there (B, D, h, w)) -> weights of the channels (B, D)
Weigh = Callable[[Tensor, Tensor], Tensor]
# A forward pass without graph needs little memory; what is kept is the part above the layer, mostly small.
MORE_AT_ONCE = 8
SHOWN = 8  # places that an error names


def grad_cam(
    network: nn.Module, pictures: Tensor, classes: Classes = None, *, layer: str | None = None, output: Output = None
) -> Maps:
    """The positive part of the layer's channels summed by weight, which is a channel's mean gradient over the map.

    layer: a name of `taps.places.find_places`; None: the last spatial map that the head reads.
    Source: Selvaraju et al. 2017 (arXiv:1610.02391), eq. 1 and 2.
    Raises InputError: as `gradients.gradient`, a layer that is not there or has no spatial map (it says which have).
    """
    return class_activations(network, pictures, classes, ("grad-cam",), layer=layer, output=output)["grad-cam"]


def grad_cam_plus_plus(
    network: nn.Module, pictures: Tensor, classes: Classes = None, *, layer: str | None = None, output: Output = None
) -> Maps:
    """As `grad_cam`, with weights that give each cell with a positive gradient its own share.

    The derivatives are those of exp(score) (the paper's choice), but for the factor exp(score), which is the same over
    a map and overflows. Source: Chattopadhay, Sarkar, Howlader, Balasubramanian 2018 (arXiv:1710.11063), eq. 10 and 19.
    Raises InputError as `grad_cam`.
    """
    return class_activations(network, pictures, classes, ("grad-cam++",), layer=layer, output=output)["grad-cam++"]


def guided_grad_cam(
    network: nn.Module, pictures: Tensor, classes: Classes = None, *, layer: str | None = None, output: Output = None
) -> Maps:
    """Grad-CAM at the picture's size times guided back-propagation: fine detail, where the evidence lies.

    `channels` (B, K, C, H, W): the products with signs; `values`: the strongest channel; `small`: Grad-CAM's map.
    Source: Selvaraju et al. 2017 (arXiv:1610.02391), section 3.2.
    Raises InputError as `grad_cam` and `rectified.guided_backpropagation`.
    """
    region = grad_cam(network, pictures, classes, layer=layer, output=output)
    detail = guided_backpropagation(network, pictures, region.classes, output=output)
    return detail_in_region(region, detail)


def detail_in_region(region: Maps, detail: Maps) -> Maps:
    """What `guided_grad_cam` gives, from what `grad_cam` and `guided_backpropagation` have found for the same pictures
    and classes."""
    assert detail.channels is not None
    channels = detail.channels * region.values[:, :, None]
    return replace(region, method="guided-grad-cam", channels=channels, values=strongest(channels))


def mean_gradient(_: Tensor, gradients: Tensor) -> Tensor:
    """Eq. 1 of Grad-CAM: (B, D, h, w) -> (B, D)."""
    return gradients.mean(dim=(2, 3))


def shared_gradient(activations: Tensor, gradients: Tensor) -> Tensor:
    """Eq. 10 with the shares of eq. 19 of Grad-CAM++, divided by g^2: 1 / (2 + g sum A). (B, D, h, w) -> (B, D).

    The formula is meant for maps that are >= 0; a channel whose sum is negative would meet its pole, and counts as if
    the sum were 0.
    """
    sums = activations.sum(dim=(2, 3), keepdim=True).clamp(min=0)
    positive = gradients.clamp(min=0)
    return (positive / (2 + sums * positive)).sum(dim=(2, 3))


WEIGHTS: dict[str, Weigh] = {"grad-cam": mean_gradient, "grad-cam++": shared_gradient}


def class_activations(
    network: nn.Module,
    pictures: Tensor,
    classes: Classes = None,
    kinds: Sequence[str] = tuple(WEIGHTS),
    *,
    layer: str | None = None,
    output: Output = None,
) -> dict[str, Maps]:
    """What `grad_cam` and `grad_cam_plus_plus` give, as far as they are among `kinds`, from the same passes.

    Raises InputError as `grad_cam`.
    """
    require_pictures(pictures)
    small: dict[str, list[Tensor]] = {kind: [] for kind in kinds}
    meant, given = [], []
    with unchanged(network) as bare:
        place = None
        if layer is None:
            place = default_place(bare, find_places(bare, _copy(pictures[:1]), output=output))
        watched = str(layer) if place is None else place.name
        for rows, asked in in_parts(pictures, classes, MORE_AT_ONCE * pictures_at_once(pictures)):
            part = _copy(pictures[rows])
            with ExitStack() as stack:
                seen = stack.enter_context(watching(bare, [watched], keep_graph=True))
                # A layer that is named is looked at in the same pass that finds it.
                found = [] if place else stack.enter_context(finding_places(bare, part))
                scores = scores_of(bare, part, output)
            place = place or _spatial_place(bare, part, found, watched, output)
            chosen = as_classes(asked, scores)
            at = seen[place.name]
            gradients = [as_maps(place, one) for one in score_gradients(scores, chosen, at)]
            activations = as_maps(place, at.detach())
            for kind in kinds:
                maps = [_weighted(WEIGHTS[kind], activations, one) for one in gradients]
                small[kind].append(torch.stack(maps, dim=1).float().cpu())
            meant.append(chosen.cpu())
            given.append(scores.detach().gather(1, chosen).float().cpu())
    chosen, scores = torch.cat(meant), torch.cat(given)
    return {kind: _maps(kind, watched, torch.cat(small[kind]), pictures, chosen, scores) for kind in kinds}


def _maps(kind: str, layer: str, cells: Tensor, pictures: Tensor, classes: Tensor, scores: Tensor) -> Maps:
    return Maps(
        method=kind,
        layer=layer,
        values=at_picture_size(cells, (pictures.shape[2], pictures.shape[3])),
        small=cells,
        classes=classes,
        scores=scores,
    )


def _weighted(weigh: Weigh, activations: Tensor, gradients: Tensor) -> Tensor:
    """Eq. 2 of Grad-CAM: the positive part of the weighted sum of the channels, (B, D, h, w) -> (B, h, w)."""
    weights = weigh(activations, gradients)
    return torch.einsum("bd,bdhw->bhw", weights, activations).clamp(min=0)


def _copy(pictures: Tensor) -> Tensor:
    """The network may write into what it is given."""
    return pictures.detach().clone()


def _spatial_place(
    network: nn.Module, pictures: Tensor, places: Sequence[Place], layer: str, output: str | int | None
) -> Place:
    """The place of this name. Raises InputError where it has no map, or one that the scores are not made from."""
    place = place_named(places, layer)
    if place.extra_tokens:  # then the patches may count for nothing above it
        places = find_places(network, _copy(pictures[:1]), output=output)
        place = place_named(places, layer)
    if not place.spatial:
        having = [one.name for one in places if one.spatial]
        shown = ", ".join(having[-SHOWN:]) or "none"
        shape = "x".join(map(str, place.shape))
        raise InputError(
            f"layer '{layer}' ({place.kind}) has no spatial map, it gives {shape}; layers that have one: "
            f"{'..., ' if len(having) > SHOWN else ''}{shown}"
        )
    if place.layout == "tokens" and not place.feeds_head:
        raise InputError(
            f"layer '{layer}' ({place.kind}) gives patches that no score is made from, only the class token counts "
            f"above it; take {default_place(network, places).name} or a layer before it"
        )
    return place
