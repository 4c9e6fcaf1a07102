"""What the network finds alike: pictures as points in the plane. (B, C, H, W) or features (B, D) -> (B, 2).

Features are what goes into the layer that gives the scores (or what another place gives), averaged over the picture
where it is a map. To the plane by PCA (Pearson 1901; Hotelling 1933): the directions of the largest variance, distances
in proportion, most of the structure lost; or by t-SNE (van der Maaten and Hinton 2008): neighbours stay neighbours,
sizes of groups and distances between them mean nothing. scikit-learn's t-SNE, which begins with PCA here, so that it
can be repeated.

Legend: B pictures, C channels, H W pixels, D features.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor, nn

from striate.errors import InputError, require, unknown
from striate.taps.places import Place, as_maps, find_places, place_named
from striate.taps.unchanged import unchanged
from striate.taps.watching import watching
from striate.views.maps import require_pictures

Way = Literal["pca", "t-sne"]
WAYS: tuple[Way, ...] = ("pca", "t-sne")
AT_ONCE = 32  # pictures
PERPLEXITY = 30.0  # of t-SNE: about how many neighbours count; less where there are few pictures
FEWEST = 4  # pictures for t-SNE
COMPONENTS = 50  # principal ones, which t-SNE is given (van der Maaten and Hinton 2008, section 4.2: 30)


@dataclass(frozen=True, kw_only=True, eq=False)
class FeatureSpace:
    """points: (B, 2) float32. way: "pca" or "t-sne". layer: the place of the features; "" where they were given.

    explained: (2,) float64, the share of the variance in each direction; None for t-SNE, whose axes mean nothing.
    """

    points: Tensor
    way: Way
    layer: str
    explained: Tensor | None


def feature_space(
    network: nn.Module,
    pictures: Tensor,
    *,
    layer: str | None = None,
    way: Way = "pca",
    output: str | int | None = None,
    seed: int = 0,
) -> FeatureSpace:
    """The pictures (B, C, H, W), as the network takes them, in the plane. layer: a place; None for what the last layer
    with weights is given. Raises InputError: an unknown place or way, fewer than 2 pictures (4 for t-SNE)."""
    found, name = features(network, pictures, layer=layer, output=output)
    return in_the_plane(found, way=way, seed=seed, layer=name)


def features(
    network: nn.Module, pictures: Tensor, *, layer: str | None = None, output: str | int | None = None
) -> tuple[Tensor, str]:
    """Features (B, D) float32 on the CPU of pictures (B, C, H, W), and the name of their place. Raises InputError."""
    require_pictures(pictures)
    with unchanged(network) as bare, torch.no_grad():
        places = find_places(bare, pictures[:1], output=output)
        place = _before_the_scores(bare, places) if layer is None else place_named(places, layer)
        found = []
        with watching(bare, [place.name]) as seen:
            for start in range(0, len(pictures), AT_ONCE):
                bare(pictures[start : start + AT_ONCE])
                found.append(_as_features(place, seen[place.name]).float().cpu())
    return torch.cat(found), place.name


def _before_the_scores(bare: nn.Module, places: tuple[Place, ...]) -> Place:
    """The last place before the last layer with weights that runs: what that layer is given."""
    with_weights = [
        number
        for number, place in enumerate(places)
        if next(bare.get_submodule(place.name.partition("#")[0]).parameters(recurse=False), None) is not None
    ]
    before = [place for place in places[: with_weights[-1]] if place.layout != "other"] if with_weights else []
    if not before:
        raise InputError(
            "nothing comes before the layer that gives the scores, so that there are no features; "
            "name a place with layer"
        )
    return before[-1]


def _as_features(place: Place, tensor: Tensor) -> Tensor:
    """(B, D): vectors as they are, maps and tokens averaged over the picture."""
    if place.layout == "other":
        raise InputError(
            f"{place.name} gives neither a vector nor a map for each picture; name another place with layer"
        )
    if place.layout == "vector":
        return tensor.flatten(1)
    return as_maps(place, tensor).mean(dim=(2, 3))


def way_named(way: str) -> Way:
    """The way to the plane of this name. Raises InputError."""
    for one in WAYS:
        if one == way:
            return one
    raise unknown("way to the plane", way, WAYS)


def in_the_plane(found: Tensor, *, way: Way = "pca", seed: int = 0, layer: str = "") -> FeatureSpace:
    """Features (B, D) in the plane. Raises InputError as `feature_space`, and where they are not finite."""
    way = way_named(way)
    require(found.ndim == 2 and found.shape[1] > 0, f"features must be (B, D), got {tuple(found.shape)}")
    require(bool(found.isfinite().all()), "the features are not all finite")
    require(len(found) >= 2, f"a map of a data set needs at least 2 pictures, got {len(found)}")
    components, explained = principal(found, 2 if way == "pca" else COMPONENTS)
    if way == "pca":
        return FeatureSpace(points=components[:, :2].float(), way=way, layer=layer, explained=explained[:2])
    require(len(found) >= FEWEST, f"t-SNE needs at least {FEWEST} pictures, got {len(found)}; use pca")
    from sklearn.manifold import TSNE

    perplexity = min(PERPLEXITY, (len(found) - 1) / 3)
    # A seed of any size as scikit-learn takes it.
    fitted = TSNE(perplexity=perplexity, init="pca", random_state=seed % 2**32).fit_transform(components.numpy())
    return FeatureSpace(points=torch.from_numpy(fitted).float(), way=way, layer=layer, explained=None)


def principal(found: Tensor, count: int) -> tuple[Tensor, Tensor]:
    """The first principal components (B, D) -> (B, c) float64, c at least 2 (with zeros where there are fewer) and at
    most `count`, and the share of the variance in each (c,). The largest weight of each direction is positive."""
    centred = found.detach().double().cpu()
    centred = centred - centred.mean(dim=0)
    left, sizes, right = torch.linalg.svd(centred, full_matrices=False)
    signs = right.gather(1, right.abs().argmax(dim=1, keepdim=True))[:, 0].sign()
    components = left * sizes * signs
    variance = sizes.square()
    whole = float(variance.sum())
    shares = variance / whole if whole > 0 else torch.zeros_like(variance)
    missing = max(0, 2 - components.shape[1])
    components = nn.functional.pad(components, (0, missing))[:, : max(2, count)]
    return components, nn.functional.pad(shares, (0, missing))[: max(2, count)]
