"""Occlusion against covering one picture after another in float64, for networks of every kind of layer."""

from __future__ import annotations

import pytest
import torch
from occluded import HEIGHT, NETWORKS, WIDTH, edges, network, pictures, slowly
from torch import Tensor, nn

from striate.errors import InputError
from striate.networks import build_network
from striate.views import sliding
from striate.views.occlusion import occlusion, occlusion_map

EXACT = 1e-5


@pytest.mark.parametrize("name", NETWORKS)
@pytest.mark.parametrize(("size", "stride"), [(8, 5), (3, 7), (20, 6), (1, 9)])
def test_it_is_what_covering_each_picture_gives(name: str, size: int, stride: int) -> None:
    module, picture = network(name), pictures()
    found = occlusion(module, picture, [0, 3], size=size, stride=stride, fill=0.3)
    expected = slowly(module, picture[0], torch.full_like(picture[0], 0.3), size, stride)
    likely = expected.softmax(2)
    assert found.probability.shape == (1, 2, len(edges(HEIGHT, size, stride)), len(edges(WIDTH, size, stride)))
    assert (found.probability[0] - likely[..., [0, 3]].permute(2, 0, 1)).abs().max() < EXACT
    assert (found.score[0] - expected[..., [0, 3]].permute(2, 0, 1)).abs().max() < EXACT * expected.abs().max()
    close = likely.topk(2).values.diff().abs()[..., 0] < EXACT
    assert (found.most_probable[0] == expected.argmax(2))[~close].all()
    if NETWORKS[name][1]:
        assert found.how == "incremental"
    else:
        assert found.how.startswith("whole, because ")
        assert found.how.endswith(" is not local")


@pytest.mark.parametrize("name", NETWORKS)
def test_the_plain_way_gives_the_same(name: str) -> None:
    module, picture = network(name), pictures(2)
    settings = {"size": 9, "stride": 6, "fill": "mean"}
    found = occlusion(module, picture, [1], **settings)
    plain = occlusion(module, picture, [1], incremental=False, **settings)
    assert plain.how == "whole, as was asked"
    assert (found.probability - plain.probability).abs().max() < EXACT
    assert (found.clean_probability - plain.clean_probability).abs().max() < EXACT


def test_the_layer_that_is_not_local_is_named() -> None:
    assert "squeeze" in occlusion(network("excited"), pictures(), size=8).how
    assert "2.squeeze (AdaptiveAvgPool2d)" in occlusion(network("excited"), pictures(), size=8).how


@pytest.mark.parametrize("name", ["resnet18", "lenet5", "small-conv", "efficientnet-lite0", "small-resnet"])
def test_our_networks_are_incremental(name: str) -> None:
    grey = name == "lenet5"
    made = build_network(name, num_outputs=5, channels=1 if grey else 3, size=64, seed=0)
    module, picture = made.network.eval(), pictures(1, *made.size)[:, : 1 if grey else 3]
    found = occlusion(module, picture, [0, 1], size=12, stride=13)
    plain = occlusion(module, picture, [0, 1], size=12, stride=13, incremental=False)
    assert found.how == "incremental"
    assert (found.probability - plain.probability).abs().max() < EXACT


def test_places_in_many_blocks_are_those_of_one(monkeypatch: pytest.MonkeyPatch) -> None:
    module, picture = network("residual"), pictures()
    at_once = occlusion(module, picture, 2, size=6, stride=3)
    monkeypatch.setattr(sliding, "MOST_PLACES", 5)
    in_blocks = occlusion(module, picture, 2, size=6, stride=3)
    assert (at_once.probability - in_blocks.probability).abs().max() < EXACT


@pytest.mark.parametrize("kind", ["number", "mean", "colour", "picture", "pictures"])
def test_fills(kind: str) -> None:
    module, picture = network("plain"), pictures(2)
    other = pictures(2, seed=9)
    fill, covers = {
        "number": (1.5, torch.full_like(picture, 1.5)),
        "mean": ("mean", picture.mean((2, 3), keepdim=True).expand_as(picture)),
        "colour": (torch.tensor([0.5, -1.0, 2.0]), torch.tensor([0.5, -1.0, 2.0]).view(1, 3, 1, 1).expand_as(picture)),
        "picture": (other[0], other[:1].expand_as(picture)),
        "pictures": (other, other),
    }[kind]
    found = occlusion(module, picture, 0, size=10, stride=8, fill=fill)
    for row in range(2):
        expected = slowly(module, picture[row], covers[row], 10, 8).softmax(2)[..., 0]
        assert (found.probability[row, 0] - expected).abs().max() < EXACT


def test_each_picture_has_its_own_classes() -> None:
    module, both = network("plain"), pictures(2)
    found = occlusion(module, both, torch.tensor([[2], [1]]), size=10, stride=8)
    for row, label in enumerate((2, 1)):
        alone = occlusion(module, both[row : row + 1], label, size=10, stride=8)
        assert (found.probability[row] - alone.probability[0]).abs().max() < EXACT


@pytest.mark.parametrize("measure", ["sum", "max"])
@pytest.mark.parametrize("layer", ["0", "2", "2.norm1", "3.relu#2"])
def test_activity_is_that_of_the_strongest_map(layer: str, measure: str) -> None:
    module, picture = network("residual"), pictures()
    found = occlusion(module, picture, 0, size=9, stride=7, layer=layer, measure=measure).activity  # type: ignore[arg-type]

    def measured(covered: Tensor) -> Tensor:
        """What the layer gives, by a hook of our own: (channels,)."""
        seen: list[Tensor] = []
        name, _, call = layer.partition("#")
        handle = module.get_submodule(name).register_forward_hook(lambda *given: seen.append(given[2].clone()))
        with torch.no_grad():
            module(covered)
        handle.remove()
        maps = seen[int(call or 1) - 1][0]
        return maps.sum((1, 2)) if measure == "sum" else maps.amax((1, 2))

    assert found is not None
    clean = measured(picture)
    unit = int(clean.argmax())
    assert int(found.unit[0]) == unit
    assert found.clean[0] == pytest.approx(float(clean[unit]), rel=1e-4)
    for row, top in enumerate(edges(HEIGHT, 9, 7)):
        for column, left in enumerate(edges(WIDTH, 9, 7)):
            covered = picture.clone()
            covered[..., top : top + 9, left : left + 9] = 0
            expected = float(measured(covered)[unit])
            assert float(found.covered[0, row, column]) == pytest.approx(expected, rel=1e-4, abs=1e-4)


def test_a_map_is_the_mean_over_the_squares_that_cover_a_pixel() -> None:
    module, picture = network("plain"), pictures()
    found = occlusion(module, picture, 1, size=10, stride=8)
    drop = found.clean_probability[0, 0] - found.probability[0, 0]
    values = found.maps().values
    assert values.shape == (1, 1, HEIGHT, WIDTH)
    for row, column in [(0, 0), (9, 9), (8, 20), (33, 37), (25, 3)]:
        covering = [
            float(drop[i, j])
            for i, top in enumerate(found.squares.tops)
            for j, left in enumerate(found.squares.lefts)
            if top <= row < top + 10 and left <= column < left + 10
        ]
        assert float(values[0, 0, row, column]) == pytest.approx(sum(covering) / len(covering), abs=1e-6)
    as_a_view = occlusion_map(module, picture, 1, size=10, stride=8)
    assert torch.equal(as_a_view.values, values)


def test_bfloat16_is_near() -> None:
    module, picture = network("residual"), pictures()
    exact = occlusion(module, picture, [0, 1, 2, 3], size=8, stride=8)
    near = occlusion(module, picture, [0, 1, 2, 3], size=8, stride=8, precision="bfloat16")
    difference = (exact.probability - near.probability).abs().max()
    assert 0 < difference < 0.02


def test_without_a_size_it_is_32_every_8_at_224_pixels() -> None:
    class Mean(nn.Module):
        def forward(self, given: Tensor) -> Tensor:
            return given.mean((2, 3))

    found = occlusion(Mean(), pictures(1, 224, 224), 0)
    assert (found.squares.size, found.squares.tops, found.squares.lefts) == (
        32,
        (*range(0, 193, 8),),
        (*range(0, 193, 8),),
    )


def test_a_network_that_gives_several_outputs() -> None:
    class Several(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.inner = network("plain")

        def forward(self, given: Tensor) -> dict[str, Tensor]:
            return {"scores": self.inner(given), "other": given.sum()}

    module, picture = Several().eval(), pictures()
    found = occlusion(module, picture, 0, size=10, output="scores")
    assert found.how == "incremental"
    assert torch.allclose(found.probability, occlusion(module.inner, picture, 0, size=10).probability, atol=EXACT)
    with pytest.raises(InputError, match="output="):
        occlusion(module, picture, 0, size=10)


def test_a_network_that_takes_no_patches_is_asked_for_whole_pictures() -> None:
    class Numpy(nn.Module):
        def forward(self, given: Tensor) -> Tensor:
            return torch.from_numpy(given.numpy().mean((2, 3)))

    found = occlusion(Numpy(), pictures(), 0, size=10, stride=8)
    assert found.how.startswith("whole, because the network does not take patches")
    expected = slowly(network("plain"), pictures()[0], torch.zeros(3, HEIGHT, WIDTH), 10, 8)
    assert found.probability.shape[2:] == expected.shape[:2]
    covered = pictures()
    covered[..., :10, :10] = 0
    assert torch.allclose(found.probability[0, 0, 0, 0], covered.mean((2, 3)).softmax(1)[0, 0], atol=EXACT)


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"size": 0}, "at least 1 pixel, got 0"),
        ({"size": 35}, "a square of 35 pixels does not fit into a picture of 34x38"),
        ({"size": 8, "stride": 0}, "stride of 0"),
        ({"fill": "meen"}, "'mean' or a picture, got 'meen'"),
        ({"fill": torch.zeros(3, 5, 5)}, "must be a picture of 3x34x38, got 3x5x5"),
        ({"fill": torch.zeros(2, 3, HEIGHT, WIDTH)}, "2 fills for 1 pictures"),
        ({"classes": 4}, "no class 4"),
        ({"layer": "convv"}, "no layer 'convv'"),
        ({"layer": "7"}, "'7' (Linear) has no feature maps"),
        ({"measure": "mean"}, "no measure 'mean'"),
        ({"precision": "float8"}, "no precision 'float8'"),
    ],
)
def test_what_cannot_be(settings: dict[str, object], said: str) -> None:
    with pytest.raises(InputError) as caught:
        occlusion(network("plain"), pictures(), **settings)  # type: ignore[arg-type]
    assert said in str(caught.value)


def test_a_map_of_a_layer_is_refused() -> None:
    with pytest.raises(InputError, match="no layer"):
        occlusion_map(network("plain"), pictures(), layer="0")


def test_a_network_that_normalises_its_pictures_in_place_is_asked_with_the_same_picture_each_time() -> None:
    class InPlace(nn.Module):
        def __init__(self, network: nn.Module) -> None:
            super().__init__()
            self.network = network

        def forward(self, given: Tensor) -> Tensor:
            return self.network(given.mul_(2).sub_(0.5))

    module, picture = InPlace(network("plain")), pictures()
    kept = picture.clone()
    for incremental in (True, False):
        found = occlusion(module, picture, [1], size=8, stride=9, incremental=incremental)
        expected = slowly(module.network, 2 * kept[0] - 0.5, torch.full_like(kept[0], -0.5), 8, 9)
        assert (found.score[0, 0] - expected[..., 1]).abs().max() < EXACT * expected.abs().max()
        assert torch.equal(picture, kept)
