"""Places: names, layouts, shapes, strides, and which one is for Grad-CAM."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from hard_networks import ChannelsLast, Reused, Several, WithClassToken, headed
from striate.errors import InputError
from striate.networks import build_network
from striate.taps.places import as_maps, default_place, find_places, place_named
from striate.taps.watching import watching


def zeros(rows: int, columns: int | None = None) -> Tensor:
    return torch.zeros(1, 3, rows, columns or rows)


def test_places_are_in_order_of_execution_with_each_call_of_a_module() -> None:
    places = find_places(Reused(), zeros(8, 12))
    assert [(place.name, place.kind, place.shape) for place in places] == [
        ("first", "Conv2d", (6, 8, 12)),
        ("relu", "ReLU", (6, 8, 12)),
        ("second", "Conv2d", (6, 4, 6)),
        ("relu#2", "ReLU", (6, 4, 6)),
        ("third", "Conv2d", (8, 4, 6)),
        ("relu#3", "ReLU", (8, 4, 6)),
        ("head", "Linear", (5,)),
    ]
    assert [place.stride for place in places] == [(1, 1), (1, 1), (2, 2), (2, 2), (2, 2), (2, 2), None]
    assert [place.layout for place in places] == ["maps"] * 6 + ["vector"]
    assert [place.spatial for place in places] == [True] * 6 + [False]
    assert [place.channels for place in places] == [6, 6, 6, 6, 8, 8, 5]
    assert default_place(Reused(), places).name == "relu#3"


def test_names_of_layers_are_looked_up_with_the_nearest() -> None:
    places = find_places(Reused(), zeros(8))
    assert place_named(places, "relu#2") is places[3]
    with pytest.raises(InputError, match="no layer 'thrid'; did you mean 'third'"):
        place_named(places, "thrid")


@pytest.mark.parametrize("extra", [1, 2, 5])
@pytest.mark.parametrize("mean", [False, True])
def test_tokens_become_maps_and_the_patches_that_the_score_is_made_from_are_the_default(extra: int, mean: bool) -> None:
    torch.manual_seed(0)
    network = WithClassToken(extra, mean=mean)
    pictures = torch.randn(2, 3, 12, 8)
    places = find_places(network, pictures)
    chosen = default_place(network, places)
    # Where only the class token counts, nothing after the last attention can see a patch.
    assert chosen.name == ("norm" if mean else "blocks.1.norm1")
    assert (chosen.layout, chosen.shape, chosen.extra_tokens, chosen.stride) == ("tokens", (16, 3, 2), extra, (4, 4))
    assert place_named(places, "norm").feeds_head == mean
    with watching(network, ["blocks.0.norm1", "patches"]) as seen:
        network(pictures)
    maps = as_maps(place_named(places, "blocks.0.norm1"), seen["blocks.0.norm1"])
    expected = network.blocks[0].norm1(seen["patches"].permute(0, 2, 3, 1)).permute(0, 3, 1, 2)
    assert torch.allclose(maps, expected, atol=1e-6)
    with pytest.raises(InputError, match="found with 3x2 patches and now has 4"):
        as_maps(chosen, torch.zeros(1, 4 + extra, 16))


def test_channels_last_is_known_where_shapes_do_not_tell() -> None:
    network = ChannelsLast()
    places = find_places(network, zeros(16))
    layouts = {place.name: place.layout for place in places}
    last = "channels-last"
    assert layouts == {"stem": "maps", "norm": last, "mixed": last, "act": last, "head": "vector"}
    assert default_place(network, places).name == "act"
    pictures = torch.randn(2, 3, 16, 16)
    with watching(network, ["stem", "norm"]) as seen:
        network(pictures)
    maps = as_maps(place_named(places, "norm"), seen["norm"])
    assert torch.allclose(maps.mean(1), torch.zeros(2, 8, 8), atol=1e-6)  # normed over channels


def test_attention_is_no_map() -> None:
    class Attention(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.patches = nn.Conv2d(3, 8, 4, stride=4)
            self.drop = nn.Dropout(0.1)
            self.head = nn.Linear(8, 3)

        def forward(self, pictures: Tensor) -> Tensor:
            x = self.patches(pictures).flatten(2).transpose(1, 2)
            heads = x.unflatten(2, (2, 4)).transpose(1, 2)
            attended = self.drop((heads @ heads.transpose(2, 3)).softmax(-1)) @ heads
            return self.head(attended.transpose(1, 2).flatten(2).mean(1))

    places = find_places(Attention(), zeros(16))
    assert place_named(places, "drop").layout == "other"
    assert default_place(Attention(), places).name == "patches"


@pytest.mark.parametrize(("kind", "output"), [("dictionary", "scores"), ("tuple", 1), ("named", "scores")])
def test_of_several_outputs_only_what_the_scores_are_made_from_is_the_default(kind: str, output: str | int) -> None:
    places = find_places(Several(kind), zeros(8), output=output)
    assert [place.name for place in places] == ["main", "head", "side"]
    assert [place.feeds_head for place in places] == [True, True, False]
    assert default_place(Several(kind), places).name == "main"
    with pytest.raises(InputError, match="say which holds the scores"):
        find_places(Several(kind), zeros(8))


def test_a_head_that_is_a_convolution_is_not_the_default_and_its_only_map_is() -> None:
    features = nn.Sequential(nn.Conv2d(3, 6, 3), nn.ReLU())
    head = nn.Sequential(nn.Dropout(), nn.Conv2d(6, 4, 1), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten())
    network = nn.Sequential(features, head)
    assert default_place(network, find_places(network, zeros(8))).name == "0"
    # As many classes as features: the map before the head is no map of scores.
    same = headed(nn.Conv2d(3, 4, 3), nn.ReLU(), channels=4, outputs=4)
    assert default_place(same, find_places(same, zeros(8))).name == "0"
    alone = nn.Sequential(nn.Conv2d(3, 4, 3), nn.AdaptiveAvgPool2d(1), nn.Flatten())
    assert default_place(alone, find_places(alone, zeros(8))).name == "0"


def test_the_last_convolution_is_the_default_where_the_head_is_no_module() -> None:
    class Functional(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.first = nn.Conv2d(3, 6, 3)
            self.second = nn.Conv2d(6, 8, 3)
            self.weight = nn.Parameter(torch.ones(4, 8))

        def forward(self, pictures: Tensor) -> Tensor:
            return nn.functional.linear(self.second(self.first(pictures)).mean((2, 3)), self.weight)

    assert default_place(Functional(), find_places(Functional(), zeros(8))).name == "second"


def test_pooling_that_makes_a_small_map_large_is_passed_over() -> None:
    """As VGG does with pictures of 32 pixels: its last map has one cell, and the pooling repeats it."""
    body = nn.Sequential(nn.Conv2d(3, 4, 3, 2, 1), nn.Conv2d(4, 4, 3, 4, 1))
    network = nn.Sequential(body, nn.AdaptiveAvgPool2d(3), nn.Flatten(), nn.Linear(36, 2))
    places = find_places(network, zeros(8))
    assert place_named(places, "0").spatial is False
    assert default_place(network, places).name == "0.0"


@pytest.mark.parametrize("name", ["linear", "mlp"])
def test_networks_without_a_map_are_refused(name: str) -> None:
    network = build_network(name, num_outputs=4, channels=3, size=16, seed=0).network
    places = find_places(network, zeros(16))
    with pytest.raises(InputError, match="no layer with a map of more than one cell"):
        default_place(network, places)
    vector = places[-1]
    with pytest.raises(InputError, match=f"'{vector.name}' .*has no map: it gives 4 numbers"):
        as_maps(vector, torch.zeros(1, 4))


@pytest.mark.parametrize(
    ("name", "size", "place", "shape"),
    [
        ("lenet5", 28, "features.5", (16, 5, 5)),
        ("small-conv", 28, "features.7", (128, 3, 3)),
        ("resnet18", 64, "features.layer4", (512, 2, 2)),
        ("resnet50", 64, "features.layer4", (2048, 2, 2)),
        ("efficientnet-lite0", 64, "features.top", (1280, 2, 2)),
    ],
)
def test_the_default_of_our_networks(name: str, size: int, place: str, shape: tuple[int, ...]) -> None:
    network = build_network(name, num_outputs=4, channels=3, size=size, seed=0).network
    found = default_place(network, find_places(network, zeros(size)))
    assert (found.name, found.shape) == (place, shape)


def corners_stay(network: nn.Module, size: int) -> bool:
    """Whether what is changed in a corner of the picture changes that corner of the default map more than the others.

    It would not where rows, columns or channels were taken for each other, or tokens came in another order.
    """
    torch.manual_seed(1)
    place = default_place(network, find_places(network, zeros(size)))
    pictures = torch.randn(1, 3, size, size).repeat(5, 1, 1, 1)
    halves = (slice(0, size // 2), slice(size // 2, None))
    corners = [(rows, columns) for rows in halves for columns in halves]
    for picture, (rows, columns) in zip(pictures[1:], corners, strict=True):
        picture[:, rows, columns] += torch.randn(3, size // 2, size // 2)
    network.eval()
    with torch.no_grad(), watching(network, [place.name]) as seen:
        network(pictures)
    maps = as_maps(place, seen[place.name])
    height, width = maps.shape[2] // 2, maps.shape[3] // 2
    changed = (maps[1:] - maps[0]).abs().mean(1)
    corner = torch.stack(
        [
            changed[:, :height, :width],
            changed[:, :height, -width:],
            changed[:, -height:, :width],
            changed[:, -height:, -width:],
        ]
    ).mean((2, 3))  # (corner of the map, corner that was changed)
    return corner.argmax(0).tolist() == [0, 1, 2, 3]


TORCHVISION = {
    "alexnet": ("features", (256, 6, 6)),
    "convnext_tiny": ("features", (768, 7, 7)),
    "densenet121": ("features", (1024, 7, 7)),
    "efficientnet_b0": ("features", (1280, 7, 7)),
    "efficientnet_v2_s": ("features", (1280, 7, 7)),
    "googlenet": ("inception5b", (1024, 7, 7)),
    "inception_v3": ("Mixed_7c", (2048, 5, 5)),
    "maxvit_t": ("blocks.3", (512, 7, 7)),
    "mnasnet0_5": ("layers", (1280, 7, 7)),
    "mobilenet_v2": ("features", (1280, 7, 7)),
    "mobilenet_v3_small": ("features", (576, 7, 7)),
    "regnet_y_400mf": ("trunk_output", (440, 7, 7)),
    "resnet18": ("layer4", (512, 7, 7)),
    "resnext50_32x4d": ("layer4", (2048, 7, 7)),
    "shufflenet_v2_x0_5": ("conv5", (1024, 7, 7)),
    "squeezenet1_0": ("features", (512, 13, 13)),
    "swin_t": ("norm", (768, 7, 7)),
    "swin_v2_t": ("norm", (768, 7, 7)),
    "vgg11_bn": ("features", (512, 7, 7)),
    "vit_b_16": ("encoder.layers.encoder_layer_11.ln_1", (768, 14, 14)),
    "wide_resnet50_2": ("layer4", (2048, 7, 7)),
}


@pytest.mark.long
@pytest.mark.parametrize("name", TORCHVISION)
def test_the_default_of_torchvisions_families(name: str) -> None:
    from torchvision import models

    settings = {"init_weights": False} if name in ("googlenet", "inception_v3") else {}
    network = models.get_model(name, weights=None, **settings)
    found = default_place(network, find_places(network, zeros(224)))
    assert (found.name, found.shape) == TORCHVISION[name]
    assert corners_stay(network, 224)


# Name: picture size, default place, its shape.
TIMM = {
    "cait_xxs24_224": (224, "blocks_token_only.1.norm1", (192, 14, 14)),
    "coat_tiny": (224, "parallel_blocks.5.norm14", (152, 7, 7)),
    "convit_tiny": (224, "blocks.11.norm1", (192, 14, 14)),
    "convnextv2_atto": (224, "stages", (320, 7, 7)),
    "crossvit_tiny_240": (240, "blocks.2.fusion.1.norm1", (96, 20, 20)),
    "davit_tiny": (224, "stages", (768, 7, 7)),
    "deit_tiny_distilled_patch16_224": (224, "blocks.11.norm1", (192, 14, 14)),
    "edgenext_xx_small": (256, "stages", (168, 8, 8)),
    "efficientnet_lite0": (224, "bn2", (1280, 7, 7)),
    "eva02_tiny_patch14_224": (224, "blocks.11", (192, 16, 16)),
    "focalnet_tiny_srf": (224, "norm", (768, 7, 7)),
    "gcvit_xxtiny": (224, "stages", (512, 7, 7)),
    "ghostnet_050": (224, "blocks", (480, 7, 7)),
    "hrnet_w18_small": (224, "final_layer", (2048, 7, 7)),
    "mambaout_femto": (288, "stages", (288, 9, 9)),
    "mixer_s32_224": (224, "norm", (512, 7, 7)),
    "mobilenetv3_small_050": (224, "blocks", (288, 7, 7)),
    "mobilevit_xxs": (256, "final_conv", (320, 8, 8)),
    "mvitv2_tiny": (224, "norm", (768, 7, 7)),
    "nest_tiny": (224, "norm", (384, 14, 14)),
    "pit_ti_224": (224, "transformers.2.blocks.3.norm1", (256, 7, 7)),
    "poolformer_s12": (224, "stages", (512, 7, 7)),
    "pvt_v2_b0": (224, "stages", (256, 7, 7)),
    "regnetx_002": (224, "s4", (368, 7, 7)),
    "resmlp_12_224": (224, "norm", (384, 14, 14)),
    "resnet10t": (224, "layer4", (512, 7, 7)),
    "sequencer2d_s": (224, "norm", (384, 16, 16)),
    "swin_tiny_patch4_window7_224": (224, "norm", (768, 7, 7)),
    "swinv2_tiny_window8_256": (256, "norm", (768, 8, 8)),
    "tnt_s_legacy_patch16_224": (224, "blocks.11.norm_out", (384, 14, 14)),
    "twins_svt_small": (224, "norm", (512, 7, 7)),
    "vit_tiny_patch16_224": (224, "blocks.11.norm1", (192, 14, 14)),
    "volo_d1_224": (224, "norm", (384, 14, 14)),
    "xcit_nano_12_p16_224": (224, "cls_attn_blocks.1.norm1", (128, 14, 14)),
}


@pytest.mark.long
@pytest.mark.parametrize("name", TIMM)
def test_the_default_of_timms_families(name: str) -> None:
    import timm

    size, place, shape = TIMM[name]
    torch.manual_seed(0)
    network = timm.create_model(name)
    found = default_place(network, find_places(network, zeros(size)))
    assert (found.name, found.shape) == (place, shape)
    assert corners_stay(network, size)


@pytest.mark.long
def test_networks_whose_tokens_are_in_another_order_are_refused() -> None:
    import timm

    network = timm.create_model("hiera_tiny_224")
    places = find_places(network, zeros(224))
    with pytest.raises(InputError, match=r"most layers of Hiera above 'patch_embed\.proj' give"):
        default_place(network, places)
    assert place_named(places, "blocks.3").layout == "other"
