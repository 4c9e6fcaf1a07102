"""Deletion and insertion against a slow loop and against what can be computed by hand; how maps fare."""

from __future__ import annotations

import itertools
import math
from dataclasses import astuple, replace

import pytest
import torch
from torch import Tensor, nn

from striate.errors import InputError
from striate.networks import build_network
from striate.views.deletion import deletion, insertion
from striate.views.fared import Fared, fared
from striate.views.random_maps import random_map, smoothness


class OnePixel(nn.Module):
    """Two scores, whose difference is the pixel (2, 3) alone."""

    def forward(self, pictures: Tensor) -> Tensor:
        scores = pictures[:, 0, 2, 3]
        return torch.stack([scores, torch.zeros_like(scores)], dim=1)


class Corner(nn.Module):
    """Two scores, whose difference is the mean of the 8x8 pixels at the upper left, times 8."""

    def forward(self, pictures: Tensor) -> Tensor:
        scores = 8 * pictures[:, :, :8, :8].mean(dim=(1, 2, 3))
        return torch.stack([scores, torch.zeros_like(scores)], dim=1)


def linear(seed: int, channels: int, height: int, width: int, classes: int) -> nn.Module:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return nn.Sequential(nn.Flatten(), nn.Linear(channels * height * width, classes))


def drawn(seed: int, *shape: int) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def slow(network: nn.Module, before: Tensor, after: Tensor, importance: Tensor, wanted: int, steps: int) -> list[float]:
    """One picture after another, one pixel after another."""
    height, width = importance.shape
    order = sorted(
        ((row, column) for row in range(height) for column in range(width)),
        key=lambda place: -float(importance[place]),
    )
    found = []
    for step in range(steps + 1):
        picture = before.clone()
        for row, column in order[: round((step / steps) ** 2 * height * width)]:
            picture[:, row, column] = after[:, row, column]
        with torch.no_grad():
            scores = network(picture[None])[0].double()
        found.append(float(scores.exp()[wanted] / scores.exp().sum()))
    return found


@pytest.mark.parametrize("fill", [0.0, 0.7, "tensor"])
def test_the_curves_are_those_of_a_slow_loop(fill: float | str) -> None:
    picture, importance = drawn(1, 3, 6, 7), drawn(2, 6, 7)
    other = drawn(3, 3, 1, 1) if fill == "tensor" else torch.tensor(fill)
    filled = other.expand_as(picture)
    network = linear(4, 3, 6, 7, 5)
    taken = deletion(network, picture, importance, 3, steps=9, fill=other if fill == "tensor" else float(other))
    given = insertion(network, picture, importance, 3, steps=9, fill=other)
    for curve, before, after in ((taken, picture, filled), (given, filled, picture)):
        wanted = slow(network, before, after, importance, 3, 9)
        assert curve.probabilities.tolist() == pytest.approx(wanted, abs=1e-6)
        assert curve.fractions.tolist() == pytest.approx([(step / 9) ** 2 for step in range(10)])
        pairs = itertools.pairwise(wanted)
        by_hand = sum((a + b) / 2 * (2 * step + 1) / 81 for step, (a, b) in enumerate(pairs))
        assert curve.area == pytest.approx(by_hand, abs=1e-6)


def test_the_curve_of_a_network_of_ours_is_that_of_a_slow_loop() -> None:
    """Such a network answers in its fused form."""
    network = build_network("small-resnet", num_outputs=5, channels=3, size=16, seed=0).network.eval()
    picture, importance = drawn(25, 3, 16, 16), drawn(26, 16, 16)
    curve = deletion(network, picture, importance, 2, steps=6)
    wanted = slow(network, picture, torch.zeros_like(picture), importance, 2, 6)
    assert curve.probabilities.tolist() == pytest.approx(wanted, abs=1e-5)


def test_a_map_that_marks_the_one_pixel_that_counts() -> None:
    picture = torch.zeros(1, 8, 8)
    picture[0, 2, 3] = 4.0
    importance = torch.zeros(8, 8)
    importance[2, 3] = 1.0
    sure, unsure = 1 / (1 + math.exp(-4.0)), 0.5
    curve = deletion(OnePixel(), picture, importance, steps=8)
    # The first step takes one pixel of 64: that one.
    assert curve.probabilities.tolist() == pytest.approx([sure, *[unsure] * 8])
    assert curve.area == pytest.approx(unsure + (sure - unsure) / 2 / 64)
    worst = deletion(OnePixel(), picture, -importance, steps=8)
    assert worst.probabilities.tolist() == pytest.approx([*[sure] * 8, unsure])


@pytest.mark.parametrize(("side", "deviation"), [(45, 45 * 5 / 224), (12, 1.0)])
def test_insertion_begins_with_the_blurred_picture_and_ends_with_the_picture(side: int, deviation: float) -> None:
    picture = drawn(5, 1, side, side)
    network = linear(6, 1, side, side, 3)
    curve = insertion(network, picture, drawn(7, side, side), steps=4)
    places = torch.arange(side, dtype=torch.float64)
    kernel = torch.exp(-((places[:, None] - places) ** 2) / (2 * deviation**2))
    kernel = kernel / kernel.sum(dim=1, keepdim=True)
    soft = torch.stack([kernel @ one.double() @ kernel.T for one in picture]).float()
    with torch.no_grad():
        ends = network(torch.stack([soft, picture])).softmax(dim=1)
    assert curve.probabilities[[0, -1]].tolist() == pytest.approx(ends[:, ends[1].argmax()].tolist(), abs=1e-6)


def test_equal_pixels_go_in_an_order_that_the_seed_draws() -> None:
    network, picture, flat = linear(8, 1, 16, 16, 2), drawn(9, 1, 16, 16), torch.zeros(16, 16)
    state = torch.get_rng_state()
    first, again, other = (deletion(network, picture, flat, steps=6, seed=seed) for seed in (0, 0, 1))
    assert torch.equal(torch.get_rng_state(), state)
    assert torch.equal(first.probabilities, again.probabilities)
    assert not torch.equal(first.probabilities, other.probabilities)
    lines = torch.arange(256, 0, -1.0).reshape(16, 16)
    assert not torch.equal(first.probabilities, deletion(network, picture, lines, steps=6).probabilities)


def test_many_steps_in_several_batches_are_as_those_in_one(monkeypatch: pytest.MonkeyPatch) -> None:
    network, picture, importance = linear(10, 3, 8, 8, 4), drawn(11, 3, 8, 8), drawn(12, 8, 8)
    together = deletion(network, picture, importance, 1, steps=20)
    monkeypatch.setattr("striate.views.deletion.VALUES_AT_ONCE", 3 * 64 * 4)
    apart = deletion(network, picture, importance, 1, steps=20)
    assert torch.allclose(together.probabilities, apart.probabilities, atol=1e-6)


@pytest.mark.parametrize(
    ("picture", "importance", "settings", "said"),
    [
        (torch.zeros(1, 3, 8, 8), torch.zeros(8, 8), {}, "a picture is (C, H, W), got 1x3x8x8"),
        (torch.zeros(3, 8, 8, dtype=torch.uint8), torch.zeros(8, 8), {}, "as the network takes it"),
        (torch.zeros(3, 8, 8), torch.zeros(7, 7), {}, "the map is 7x7 and the picture 8x8"),
        (torch.zeros(3, 8, 8), torch.full((8, 8), math.nan), {}, "not finite"),
        (torch.zeros(3, 8, 8), torch.zeros(8, 8), {"steps": 0}, "steps must be 1 to 64"),
        (torch.zeros(3, 8, 8), torch.zeros(8, 8), {"steps": 65}, "steps must be 1 to 64"),
        (torch.zeros(3, 8, 8), torch.zeros(8, 8), {"fill": "white"}, "got 'white'"),
        (torch.zeros(3, 8, 8), torch.zeros(8, 8), {"fill": torch.zeros(5)}, "fill must fit a picture"),
        (torch.zeros(3, 8, 8), torch.zeros(8, 8), {"class_index": 2}, "no class 2"),
    ],
)
def test_bad_input(picture: Tensor, importance: Tensor, settings: dict[str, object], said: str) -> None:
    for curve in (deletion, insertion):
        with pytest.raises(InputError) as raised:
            curve(linear(0, 3, 8, 8, 2), picture, importance, **settings)  # type: ignore[arg-type]
        assert said in str(raised.value)


# how maps fare


def test_a_right_map_is_better_than_random_ones_and_its_opposite_is_not() -> None:
    picture = torch.ones(3, 32, 32)
    right = torch.zeros(32, 32)
    right[:8, :8] = 1.0
    # For insertion the blurred picture must say less than the picture: details alone count then.
    stripes = torch.where(torch.arange(32) % 2 == 0, 1.0, -1.0).expand(3, 32, 32).clone()

    class Stripes(nn.Module):
        def forward(self, pictures: Tensor) -> Tensor:
            scores = 8 * (pictures * stripes)[:, :, :8, :8].mean(dim=(1, 2, 3))
            return torch.stack([scores, torch.zeros_like(scores)], dim=1)

    found = fared(Stripes(), stripes, {"right": right, "wrong": -right, "nothing": torch.ones(32, 32)})
    assert found["right"].better_at_deletion
    assert found["right"].better_at_insertion
    assert found["right"].sentence().startswith("Better than random maps")
    assert not found["wrong"].better_at_deletion
    assert not found["wrong"].better_at_insertion
    assert "Do not trust it" in found["wrong"].sentence()
    assert found["nothing"].constant
    assert found["nothing"].sentence() == "It is the same everywhere: it marks nothing."
    only = fared(Corner(), picture, {"right": right})["right"]  # one colour: blurred, it is what it was
    assert only.better_at_deletion
    assert not only.better_at_insertion
    assert only.sentence().startswith("Half better")


def test_a_hair_better_than_a_random_map_is_not_better() -> None:
    hair = Fared(
        deletion=0.2, insertion=0.7, random_deletion=(0.201, 0.3), random_insertion=(0.6, 0.699), constant=False
    )
    assert not hair.better_at_deletion
    assert not hair.better_at_insertion
    assert "0.200 against 0.201" in hair.sentence()
    clear = replace(hair, deletion=0.19, insertion=0.71)
    assert clear.sentence().startswith("Better than random maps")
    assert "0.19 against 0.20" in clear.sentence()


def test_the_areas_are_those_of_deletion_and_insertion() -> None:
    network, picture, importance = linear(13, 3, 32, 32, 4), drawn(14, 3, 32, 32), drawn(15, 32, 32)
    found = fared(network, picture, {"it": importance}, 2, steps=5, rivals=3, seed=4)["it"]
    assert found.deletion == pytest.approx(deletion(network, picture, importance, 2, steps=5, seed=4).area, abs=1e-6)
    assert found.insertion == pytest.approx(insertion(network, picture, importance, 2, steps=5, seed=4).area, abs=1e-6)
    rivals = [random_map(32, 32, 0.5, seed=4, number=number) for number in range(3)]  # as rough as drawn pixels
    falls = [deletion(network, picture, rival, 2, steps=5, seed=4).area for rival in rivals]
    assert found.random_deletion == pytest.approx(falls, abs=1e-6)
    assert len(found.random_insertion) == 3


def test_maps_that_go_through_together_fare_as_each_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    network, picture = linear(16, 3, 32, 32, 4), drawn(17, 3, 32, 32)
    maps = {"rough": drawn(18, 32, 32), "smooth": random_map(32, 32, 4.0, seed=9, number=0), "flat": torch.ones(32, 32)}
    alone = {name: fared(network, picture, {name: one}, 1, steps=5)[name] for name, one in maps.items()}
    # Batches of five: the eight pictures of a map are parted, and meet those of others.
    monkeypatch.setattr("striate.views.deletion.VALUES_AT_ONCE", 5 * picture.numel())
    together = fared(network, picture, maps, 1, steps=5)
    for name, one in together.items():
        for figures, expected in zip(astuple(one), astuple(alone[name]), strict=True):
            assert figures == pytest.approx(expected, abs=1e-6)


def test_of_one_step_the_ends_alone_count() -> None:
    network, picture = linear(19, 3, 32, 32, 4), drawn(20, 3, 32, 32)
    found = fared(network, picture, {"it": drawn(21, 32, 32)}, 3, steps=1)["it"]
    with torch.no_grad():
        ends = network(torch.stack([picture, torch.zeros_like(picture)])).softmax(dim=1)[:, 3]
    assert found.deletion == pytest.approx(float(ends.mean()), abs=1e-6)
    assert found.random_deletion == pytest.approx([found.deletion] * 2, abs=1e-6)


def test_pictures_are_laid_out_as_the_one_that_is_given() -> None:
    class Layouts(nn.Module):
        """Notes how the batches of more than one picture are laid out."""

        def __init__(self) -> None:
            super().__init__()
            self.inner, self.last = linear(22, 3, 32, 32, 4), set[bool]()

        def forward(self, pictures: Tensor) -> Tensor:
            if len(pictures) > 1:
                self.last.add(pictures.is_contiguous(memory_format=torch.channels_last))
            return self.inner(pictures)

    batch, importance = drawn(23, 1, 3, 32, 32), drawn(24, 32, 32)
    figures = []
    for layout in (torch.channels_last, torch.contiguous_format):
        network, picture = Layouts(), batch.contiguous(memory_format=layout)[0]
        figures.append(astuple(fared(network, picture, {"it": importance}, 1)["it"]))
        assert insertion(network, picture, importance, 1).area > 0
        assert network.last == {layout == torch.channels_last}
    for one, other in zip(*figures, strict=True):
        assert one == pytest.approx(other, abs=1e-6)


def test_no_rival_is_bad_input() -> None:
    with pytest.raises(InputError, match="at least one random map"):
        fared(Corner(), torch.ones(3, 32, 32), {"it": torch.ones(32, 32)}, rivals=0)


@pytest.mark.parametrize("smooth", [0.5, 1.0, 2.0, 4.0, 8.0])
def test_random_maps_are_as_smooth_as_asked_and_evenly_spread(smooth: float) -> None:
    maps = [random_map(96, 128, smooth, seed=0, number=number) for number in range(24)]
    measured = sum(map(smoothness, maps)) / len(maps)
    assert measured == pytest.approx(smooth, rel=0.15)
    together = torch.stack(maps)
    # The spread at the edge is that of the middle: else every random map would point at the edge.
    edge = torch.cat([together[:, 0].flatten(), together[:, -1].flatten()]).std()
    assert float(edge) == pytest.approx(float(together[:, 32:64].std()), rel=0.2)
    assert torch.equal(maps[3], random_map(96, 128, smooth, seed=0, number=3))
    assert not torch.equal(maps[3], random_map(96, 128, smooth, seed=1, number=3))
    assert abs(float(torch.corrcoef(together.flatten(1))[0, 1:].mean())) < 0.3


def test_smoothness_of_what_has_none() -> None:
    assert smoothness(torch.full((9, 9), 2.0)) == 0.5
    board = (torch.arange(16)[:, None] + torch.arange(16)) % 2
    assert smoothness(board.float()) == 0.5  # rougher than noise: the roughest rivals there are
    ramp = torch.arange(64.0).expand(64, 64)
    assert smoothness(ramp) == 16.0  # a quarter of the side at most


def test_figures_that_differ_are_told_apart() -> None:
    near = Fared(deletion=0.0712, insertion=0.5, random_deletion=(0.0744,), random_insertion=(0.4,), constant=False)
    assert "(0.071 against 0.074)" in near.sentence()
    assert "(0.50 against 0.40)" in near.sentence()
    same = Fared(deletion=0.0712, insertion=0.5, random_deletion=(0.0712,), random_insertion=(0.5,), constant=False)
    assert "(0.071 against 0.071)" in same.sentence()
