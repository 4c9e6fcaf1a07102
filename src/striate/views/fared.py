"""How the maps of one picture fared: each one's deletion and insertion beside those of random maps as smooth as it is.

Quick, for a page that shows several maps: few steps, and maps of about the same smoothness share their random rivals.
Petsiuk, Das, Saenko 2018 (arXiv:1806.07421) for the curves; what they are compared with is ours.
Limits: one picture says little of a method. Two random maps are a low bar: one map in three clears each by chance.

Legend: C channels, H W pixels.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from striate.errors import require
from striate.taps.unchanged import unchanged
from striate.views import deletion
from striate.views.maps import Output
from striate.views.random_maps import NOISE, random_map, smoothness

# Areas that are nearer than this, a hundredth of the probability on average over the pixels, are called equal: with two
# random maps to beat, the least bit would do in one map of three that knows nothing.
CLEAR = 0.01


@dataclass(frozen=True, kw_only=True)
class Fared:
    """The areas under the curves of one map, and under those of its random rivals. All in [0, 1].

    constant: the map is the same everywhere, so that its order of pixels is itself drawn.
    """

    deletion: float
    insertion: float
    random_deletion: tuple[float, ...]
    random_insertion: tuple[float, ...]
    constant: bool

    @property
    def better_at_deletion(self) -> bool:
        """Whether the probability falls clearly faster than for every random map."""
        return not self.constant and self.deletion <= min(self.random_deletion) - CLEAR

    @property
    def better_at_insertion(self) -> bool:
        """Whether the probability rises clearly faster than for every random map."""
        return not self.constant and self.insertion >= max(self.random_insertion) + CLEAR

    def sentence(self) -> str:
        """What a reader should know of the map, with the figures."""
        if self.constant:
            return "It is the same everywhere: it marks nothing."
        falls = _against(self.deletion, min(self.random_deletion))
        rises = _against(self.insertion, max(self.random_insertion))
        if self.better_at_deletion and self.better_at_insertion:
            return (
                f"Better than random maps: without what it marks the probability falls faster ({falls}), "
                f"with it alone it rises faster ({rises})."
            )
        if self.better_at_deletion:
            return (
                f"Half better than random maps: without what it marks the probability falls faster ({falls}), "
                f"but with it alone it does not clearly rise faster ({rises})."
            )
        if self.better_at_insertion:
            return (
                f"Half better than random maps: with what it marks alone the probability rises faster ({rises}), "
                f"but without it it does not clearly fall faster ({falls})."
            )
        return (
            "No better than random maps: neither does the probability clearly fall faster without what it marks "
            f"({falls}), nor rise faster with it alone ({rises}). Do not trust it on this picture."
        )


def _against(area: float, rival: float) -> str:
    """With so many digits that what is clear is seen, and what is not, too."""
    digits = 2 if abs(area - rival) >= CLEAR else 3
    return f"{area:.{digits}f} against {rival:.{digits}f}"


def fared(
    network: nn.Module,
    picture: Tensor,
    maps: Mapping[str, Tensor],
    class_index: int | None = None,
    *,
    steps: int = 8,
    rivals: int = 2,
    output: Output = None,
    seed: int = 0,
) -> dict[str, Fared]:
    """How each of `maps`, name -> (H, W), the larger the more important, fared on `picture` (C, H, W).

    class_index: None for the most probable one. Deletion puts 0 in place of pixels (the mean, where pictures are
    normalised), insertion begins with the blurred picture. About 2 (steps - 1) passes of the network for each map and
    each rival. Raises InputError as `deletion` does.
    """
    require(rivals >= 1, f"there must be at least one random map to compare with, got {rivals}")
    for importance in maps.values():
        deletion.check(picture, importance, steps)
    height, width = picture.shape[1:]
    levels = {name: _level(importance) for name, importance in maps.items()}
    with unchanged(network) as bare, torch.no_grad():
        course = _Course(bare, picture, class_index, steps, output, seed)
        random = {
            (level, number): random_map(height, width, NOISE * 2**level, seed=seed, number=number)
            for level in sorted(set(levels.values()))
            for number in range(rivals)
        }
        areas = course.areas([*maps.values(), *random.values()])
    own = dict(zip(maps, areas, strict=False))
    against = dict(zip(random, areas[len(maps) :], strict=True))
    return {
        name: Fared(
            deletion=own[name][0],
            insertion=own[name][1],
            random_deletion=tuple(against[levels[name], number][0] for number in range(rivals)),
            random_insertion=tuple(against[levels[name], number][1] for number in range(rivals)),
            constant=bool((importance == importance.flatten()[0]).all()),
        )
        for name, importance in maps.items()
    }


def _level(importance: Tensor) -> int:
    """Smoothness in doublings: 0 for single pixels. Maps of one level share their rivals."""
    return round(math.log2(smoothness(importance) / NOISE))


class _Course:
    """What all maps of a picture run over: the ends of the curves, which are the same for all, are computed once."""

    def __init__(
        self, bare: nn.Module, picture: Tensor, class_index: int | None, steps: int, output: Output, seed: int
    ) -> None:
        self.bare, self.picture, self.output, self.seed = bare, picture, output, seed
        self.shares = deletion.fractions(steps)
        self.empty, self.soft = torch.zeros_like(picture), deletion.softened(picture)
        self.class_index = deletion.the_class(bare, picture, class_index, output)
        ends = self._probabilities([picture, self.empty, self.soft])
        self.whole, self.nothing, self.vague = ends[0:1], ends[1:2], ends[2:3]

    def areas(self, maps: Sequence[Tensor]) -> list[tuple[float, float]]:
        """Under the deletion and the insertion curve of each map (H, W); pictures of all maps go through together."""
        inner = self.shares[1:-1]
        found = self._probabilities(self._changed(maps, inner)).reshape(len(maps), 2, len(inner))
        ends = (self.whole, self.nothing), (self.vague, self.whole)
        areas = []
        for curves in found:
            fall, rise = (
                deletion.area(self.shares, torch.cat([first, curve, last]))
                for curve, (first, last) in zip(curves, ends, strict=True)
            )
            areas.append((fall, rise))
        return areas

    def _changed(self, maps: Sequence[Tensor], inner: Tensor) -> Iterator[Tensor]:
        """For each map the pictures of deletion, then those of insertion."""
        drawn = deletion.ties(self.picture[0].numel(), self.seed)
        for importance in maps:
            places = deletion.ranks(importance, drawn)
            yield from deletion.between(self.picture, self.empty, places, inner)
            yield from deletion.between(self.soft, self.picture, places, inner)

    def _probabilities(self, pictures: Iterable[Tensor]) -> Tensor:
        return deletion.probabilities_of(self.bare, pictures, self.class_index, self.output)
