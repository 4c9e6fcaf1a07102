"""Which classes are meant, and how a small map is brought to the size of the picture."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch

from striate.errors import InputError
from striate.views.maps import as_classes, at_picture_size, require_pictures

SCORES = torch.tensor([[0.1, 3.0, -1.0], [5.0, 2.0, 4.0]])


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        (None, [[1], [0]]),
        (2, [[2], [2]]),
        ([2, 0], [[2, 0], [2, 0]]),
        ((1,), [[1], [1]]),
        (range(2), [[0, 1], [0, 1]]),
        (np.int64(2), [[2], [2]]),
        (torch.tensor(1), [[1], [1]]),
        (torch.tensor([0, 2], dtype=torch.int32), [[0, 2], [0, 2]]),
        (torch.tensor([[0, 2], [1, 1]]), [[0, 2], [1, 1]]),
    ],
)
def test_classes_are_the_most_probable_or_the_named_ones(given: Any, expected: list[list[int]]) -> None:
    found = as_classes(given, SCORES)
    assert found.dtype == torch.int64
    assert found.tolist() == expected


@pytest.mark.parametrize(
    ("given", "said"),
    [
        (3, "no class 3: the network gives 3 scores, for classes 0 to 2"),
        (-1, "no class -1"),
        ([0, 7], "no class 7"),
        ([], "no class was asked for"),
        (torch.tensor([[0], [1], [2]]), r"for 2 pictures, got \(3, 1\)"),
        (torch.zeros(2, 1, 1, dtype=torch.int64), r"got \(2, 1, 1\)"),
        (torch.tensor([1.0]), "whole numbers, got a tensor of float32"),
        (torch.tensor([True]), "whole numbers, got a tensor of bool"),
        ([1.5], r"got \[1.5\]"),
        ("tiger", "got .tiger."),
    ],
)
def test_classes_that_there_are_not_are_refused(given: Any, said: str) -> None:
    with pytest.raises(InputError, match=said):
        as_classes(given, SCORES)


@pytest.mark.parametrize(
    ("pictures", "said"),
    [
        (torch.zeros(3, 8, 8), r"must be \(B, C, H, W\), got 3x8x8"),
        (torch.zeros(0, 3, 8, 8), "no pictures to look at"),
        (torch.zeros(1, 3, 8, 8, dtype=torch.uint8), "float32, normalised.*got uint8"),
    ],
)
def test_what_is_no_batch_of_pictures_is_refused(pictures: torch.Tensor, said: str) -> None:
    with pytest.raises(InputError, match=said):
        require_pictures(pictures)


def test_small_maps_grow_bilinearly_between_the_middles_of_cells() -> None:
    small = np.random.default_rng(0).normal(size=(3, 4))
    found = at_picture_size(torch.tensor(small)[None, None], (9, 8))[0, 0].numpy()
    for row in range(9):
        for column in range(8):
            # where the middle of the pixel lies among the middles of the cells, held at the border
            y, x = (row + 0.5) * 3 / 9 - 0.5, (column + 0.5) * 4 / 8 - 0.5
            y, x = min(max(y, 0), 2), min(max(x, 0), 3)
            top, left = min(int(y), 1), min(int(x), 2)
            b, a = y - top, x - left
            expected = (
                (1 - b) * (1 - a) * small[top, left]
                + (1 - b) * a * small[top, left + 1]
                + b * (1 - a) * small[top + 1, left]
                + b * a * small[top + 1, left + 1]
            )
            assert found[row, column] == pytest.approx(expected, abs=1e-12)


def test_scores_that_are_no_numbers_are_refused() -> None:
    for given in (None, 1):
        with pytest.raises(InputError, match="gives NaN where scores are needed"):
            as_classes(given, torch.tensor([[0.0, 1.0], [torch.nan, 2.0]]))
    assert as_classes(None, torch.tensor([[-torch.inf, 1.0]])).tolist() == [[1]]


def test_classes_that_were_made_in_inference_mode_can_be_differentiated_by() -> None:
    with torch.inference_mode():
        given = torch.tensor([[1], [0]])
    scores = SCORES.clone().requires_grad_()
    scores.gather(1, as_classes(given, scores)).sum().backward()
    assert scores.grad is not None
    assert scores.grad.tolist() == [[0, 1, 0], [1, 0, 0]]
