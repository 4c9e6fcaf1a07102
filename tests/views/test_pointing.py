"""The pointing game, by hand."""

from __future__ import annotations

import math

import pytest
import torch

from striate.errors import InputError
from striate.views.pointing import Pointing, pointing


def test_a_hit_and_the_share_of_the_mass() -> None:
    importance = torch.zeros(4, 6)
    importance[1, 2] = 3.0  # inside
    importance[3, 5] = 1.0  # outside
    importance[0, 0] = -5.0  # no mass
    found = pointing(importance, torch.tensor([[2.0, 1.0, 4.0, 3.0]]))
    assert found == Pointing(hit=1.0, share=0.75, area=4 / 24)


def test_a_pixel_is_inside_where_its_middle_is() -> None:
    importance = torch.zeros(4, 4)
    importance[1, 1] = 1.0
    assert pointing(importance, torch.tensor([[1.4, 1.4, 3.0, 3.0]])).hit == 1.0
    assert pointing(importance, torch.tensor([[1.6, 1.4, 3.0, 3.0]])).hit == 0.0
    assert pointing(importance, torch.tensor([[0.0, 0.0, 1.5, 4.0]])).hit == 0.0  # half-open


def test_tolerance_widens_the_hit_alone() -> None:
    importance = torch.zeros(10, 10)
    importance[5, 8] = 1.0
    box = torch.tensor([[0, 4, 6, 7]])
    assert pointing(importance, box, tolerance=2) == Pointing(hit=0.0, share=0.0, area=0.18)
    assert pointing(importance, box, tolerance=3) == Pointing(hit=1.0, share=0.0, area=0.18)


def test_several_boxes_count_once_where_they_overlap() -> None:
    boxes = torch.tensor([[0, 0, 2, 2], [1, 1, 3, 3]])
    found = pointing(torch.ones(4, 4), boxes)
    assert found.area == 7 / 16
    assert found.share == pytest.approx(7 / 16)
    assert found.hit == pytest.approx(7 / 16)  # all pixels are the highest


def test_a_map_that_is_nowhere_positive_has_no_share() -> None:
    assert pointing(-torch.ones(4, 4), torch.tensor([[0, 0, 2, 2]])).share == 0.0


@pytest.mark.parametrize(
    ("importance", "boxes", "tolerance", "said"),
    [
        (torch.zeros(1, 4, 4), torch.tensor([[0, 0, 1, 1]]), 0, "a map is (H, W), got 1x4x4"),
        (torch.full((4, 4), math.inf), torch.tensor([[0, 0, 1, 1]]), 0, "not finite"),
        (torch.zeros(4, 4), torch.zeros(0, 4), 0, "at least one"),
        (torch.zeros(4, 4), torch.tensor([0, 0, 1, 1]), 0, "boxes must be (N, 4)"),
        (torch.zeros(4, 4), torch.tensor([[2, 0, 1, 1]]), 0, "the box 2, 0, 1, 1 has no part"),
        (torch.zeros(4, 4), torch.tensor([[4, 0, 6, 1]]), 0, "no part in a map of 4x4"),
        (torch.zeros(4, 4), torch.tensor([[0.0, 0.0, 1.0, math.nan]]), 0, "no part"),
        (torch.zeros(4, 4), torch.tensor([[0, 0, 1, 1]]), -1, "at least 0"),
    ],
)
def test_bad_input(importance: torch.Tensor, boxes: torch.Tensor, tolerance: float, said: str) -> None:
    with pytest.raises(InputError) as raised:
        pointing(importance, boxes, tolerance=tolerance)
    assert said in str(raised.value)
