"""The planted square: what it plants, and which maps find it."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor, nn

from striate.views.grad_cam import grad_cam
from striate.views.maps import Maps
from striate.views.planted_square import (
    GOOD,
    PATTERNS,
    PURPOSE,
    SIDE,
    SQUARE,
    plant,
    planted_square,
    share_on_square,
    squares,
)


def test_only_the_order_of_the_pixels_tells_the_square_from_the_noise() -> None:
    pictures, classes, boxes = squares(0, 0, 64, purpose=PURPOSE, patterns=PATTERNS + 1)
    assert pictures.shape == (64, 1, SIDE, SIDE)
    assert pictures.unique().tolist() == [-1.0, 1.0]
    assert classes.unique().tolist() == [0, 1, 2, 3]
    assert abs(float(pictures.mean())) < 0.02
    for picture, kind, (left, top, right, bottom) in zip(pictures[:, 0], classes.tolist(), boxes.tolist(), strict=True):
        assert (right - left, bottom - top) == (SQUARE, SQUARE)
        assert 0 <= left < right <= SIDE
        assert 0 <= top < bottom <= SIDE
        square = picture[top:bottom, left:right]
        down, across = bool((square[1:] == -square[:-1]).all()), bool((square[:, 1:] == -square[:, :-1]).all())
        same_down = bool((square[1:] == square[:-1]).all())
        same_across = bool((square[:, 1:] == square[:, :-1]).all())
        expected = {
            0: (True, False, False, True),  # stripes across
            1: (False, True, True, False),  # stripes down
            2: (True, True, False, False),  # a chessboard
            3: (False, False, False, False),  # noise
        }[kind]
        assert (down, across, same_down, same_across) == expected
        if kind < PATTERNS:
            assert float(square.mean()) == 0.0


def test_the_network_has_learned_and_its_other_self_has_not() -> None:
    trained, fresh = plant(), plant(trained=False)
    assert trained.accuracy == 1.0
    assert fresh.accuracy < 0.7
    assert torch.equal(trained.pictures, fresh.pictures)
    again = plant().network.state_dict()
    assert all(torch.equal(value, again[name]) for name, value in trained.network.state_dict().items())
    assert int(trained.classes.max()) < PATTERNS  # all of them hold a square


def test_the_share_of_the_mass() -> None:
    maps = torch.zeros(3, 4, 4)
    maps[0, 1, 1], maps[0, 3, 3] = 3.0, 1.0
    maps[1, 1, 1] = -3.0
    maps[2] = 1.0
    boxes = torch.tensor([[1, 1, 3, 3]]).expand(3, -1)
    assert share_on_square(maps, boxes).tolist() == [0.75, 0.0, 0.25]


def method_of(kind: str) -> Any:
    def method(network: nn.Module, pictures: Tensor, classes: Tensor, **_: Any) -> Maps:
        if kind == "everywhere":
            values = torch.ones(len(pictures), 1, SIDE, SIDE)
        else:  # where neighbours are in order, whatever the network
            order = nn.functional.avg_pool2d(pictures[..., 1:] * pictures[..., :-1], 5, 1, 2).abs()
            values = nn.functional.pad((order > 0.99).float(), (0, 1))
        scores = torch.zeros(classes.shape)
        return Maps(method=kind, layer=None, values=values, small=None, classes=classes, scores=scores)

    return method


def test_maps_that_know_nothing_of_the_network_do_not_pass() -> None:
    everywhere = planted_square(method_of("everywhere"))
    assert everywhere.trained == pytest.approx(everywhere.area)
    assert everywhere.random == pytest.approx(everywhere.area)
    assert not everywhere.passed
    assert everywhere.sentence().startswith("Does not keep to")
    picture_alone = planted_square(method_of("ordered"))
    assert picture_alone.trained == picture_alone.random > GOOD
    assert not picture_alone.passed
    assert "whether the network knows it or not" in picture_alone.sentence()


def test_grad_cam_finds_the_square_of_a_trained_network_only() -> None:
    found = planted_square(grad_cam)
    assert found.trained >= GOOD
    assert found.random < GOOD / 2
    assert found.passed
    assert found.sentence().startswith("Finds a planted square")
