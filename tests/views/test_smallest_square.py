"""The smallest square that turns an answer, on networks whose answer is known by hand and against all places."""

from __future__ import annotations

import pytest
import torch
from occluded import network, pictures
from torch import Tensor, nn

from striate.errors import InputError
from striate.views.occlusion import occlusion
from striate.views.smallest_square import smallest_square


class Bright(nn.Module):
    """Class 1 where the sum over a region is above a bound, else class 0; class 2 never."""

    def __init__(self, region: tuple[slice, slice], bound: float) -> None:
        super().__init__()
        self.region, self.bound = region, bound

    def forward(self, given: Tensor) -> Tensor:
        bright = given[:, 0, self.region[0], self.region[1]].sum((1, 2)) - self.bound
        return torch.stack([-bright, bright, torch.full_like(bright, -1e3)], 1)


def test_it_finds_how_much_must_be_hidden() -> None:
    # 16 bright pixels, 4x4; the answer turns when more than 7 are hidden: 3x3 over the middle does, 2x2 does not.
    picture = torch.zeros(1, 1, 20, 20)
    picture[..., 8:12, 8:12] = 1
    module = Bright((slice(None), slice(None)), 8.5)
    found = smallest_square(module, picture, sizes=[2, 3, 5, 8])
    assert found is not None
    assert (found.size, found.before, found.after) == (3, 1, 0)
    assert (found.top, found.left) in [(top, left) for top in (8, 9) for left in (8, 9)]
    assert found.probability[0] > 0.99
    assert found.probability[1] < 0.5 < found.after_probability


def test_none_where_nothing_turns_it_or_not_to_that_class() -> None:
    picture = torch.ones(1, 1, 20, 20)
    module = Bright((slice(None), slice(None)), 8.5)
    assert smallest_square(module, picture, sizes=[2, 5]) is None
    assert smallest_square(module, picture, label=2) is None
    assert smallest_square(module, picture, label=1) is None
    to_dark = smallest_square(module, picture, label=0, sizes=[20, 10])
    assert to_dark is not None
    assert to_dark.size == 20


@pytest.mark.parametrize("seed", range(4))
def test_no_smaller_size_turns_it_at_its_places(seed: int) -> None:
    module, picture = network("residual", seed), pictures(seed=seed)
    sizes = [4, 8, 12, 16, 22, 28]
    found = smallest_square(module, picture, sizes=sizes)
    turned = {}
    for size in sizes:
        covered = occlusion(module, picture, size=size, stride=max(1, size // 4, -(-(38 - size) // 23)))
        turned[size] = bool((covered.most_probable != covered.classes[0, 0]).any())
    # Down from the largest, as long as the answer turns.
    expected = None
    for size in reversed(sizes):
        if not turned[size]:
            break
        expected = size
    assert (found.size if found else None) == expected
    if found is not None:
        covered_picture = picture.clone()
        covered_picture[..., found.top : found.top + found.size, found.left : found.left + found.size] = 0
        with torch.no_grad():
            assert int(module(covered_picture).argmax()) == found.after != found.before


def test_what_cannot_be() -> None:
    with pytest.raises(InputError, match="at least 1 pixel"):
        smallest_square(network("plain"), pictures(), sizes=[0])
    with pytest.raises(InputError, match="does not fit"):
        smallest_square(network("plain"), pictures(), sizes=[8, 200])
    with pytest.raises(InputError, match="one picture at a time"):
        smallest_square(network("plain"), pictures(2))
    with pytest.raises(InputError, match="no size"):
        smallest_square(network("plain"), pictures(), sizes=[])
