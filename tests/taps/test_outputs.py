"""Scores out of whatever a network gives."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from hard_networks import Reused, Several
from striate.errors import InputError
from striate.taps.outputs import bare_network, scores

PICTURES = torch.linspace(-1, 1, 2 * 3 * 8 * 8).reshape(2, 3, 8, 8)


class Gives(nn.Module):
    def __init__(self, given: object) -> None:
        super().__init__()
        self.given = given

    def forward(self, pictures: Tensor) -> object:
        return self.given


@pytest.mark.parametrize(
    ("kind", "output"),
    [("dictionary", "scores"), ("tuple", 1), ("tuple", -1), ("named", "scores"), ("named", 0)],
)
def test_the_output_that_is_named_is_taken(kind: str, output: str | int) -> None:
    network = Several(kind)
    expected = network.head(network.main(PICTURES).relu().mean((2, 3)))
    given = scores(network, PICTURES, output)
    assert torch.equal(given, expected)
    assert given.requires_grad


@pytest.mark.parametrize(
    ("kind", "output", "said"),
    [
        ("dictionary", None, r"a dictionary \(features, scores\); say which holds the scores: output='features'"),
        ("dictionary", "score", "no output 'score'; did you mean 'scores'"),
        ("dictionary", "features", "a tensor of 2x4x6x6 for 2 pictures"),
        ("empty", None, "empty dictionary"),
        ("tuple", None, "a tuple of 2; say which holds the scores: output=0"),
        ("tuple", 2, "no output 2: the network gives 2, counted from 0"),
        ("tuple", "scores", "no output 'scores'; known: 0, 1"),
        ("named", None, "a Pair of 2"),
    ],
)
def test_what_cannot_be_taken_is_said(kind: str, output: str | int | None, said: str) -> None:
    with pytest.raises(InputError, match=said):
        scores(Several(kind), PICTURES, output)


@pytest.mark.parametrize(
    ("given", "output", "said"),
    [
        (torch.zeros(2), None, "a tensor of 2 for 2 pictures"),
        (torch.zeros(1, 4), None, "a tensor of 1x4 for 2 pictures"),
        (torch.zeros(2, 4, dtype=torch.int64), None, "a tensor of torch.int64"),
        (3.5, None, "a float where scores are needed"),
        (torch.zeros(2, 4), 0, "one tensor of scores; leave output=0 out"),
    ],
)
def test_what_is_no_row_of_scores_a_picture_is_refused(given: object, output: int | None, said: str) -> None:
    with pytest.raises(InputError, match=said):
        scores(Gives(given), PICTURES, output)


def test_short_number_formats_are_brought_to_float32_and_longer_ones_kept() -> None:
    assert scores(Gives(torch.ones(2, 3, dtype=torch.bfloat16)), PICTURES).dtype == torch.float32
    assert scores(Gives(torch.ones(2, 3, dtype=torch.float64)), PICTURES).dtype == torch.float64


def test_wrappers_come_off_in_any_order() -> None:
    network = Reused()
    assert bare_network(network) is network
    assert bare_network(nn.DataParallel(network)) is network
    assert bare_network(torch.compile(nn.DataParallel(network))) is network
    assert bare_network(nn.DataParallel(torch.compile(network))) is network
