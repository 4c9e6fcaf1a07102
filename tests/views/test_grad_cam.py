"""Grad-CAM and its kin against their formulas in slow loops, and against published values."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

from small_networks import Functions, Modules, OneConvolution, made, noise
from striate.errors import InputError
from striate.views.grad_cam import grad_cam, grad_cam_plus_plus, guided_grad_cam
from striate.views.rectified import guided_backpropagation

COUNTED = torch.arange(16.0).view(1, 1, 4, 4)
# tests/attr/layer/test_grad_cam.py and tests/attr/test_guided_grad_cam.py of captum 0.7
PUBLISHED = {
    ("conv1", 0): [[11.25, 13.5], [20.25, 22.5]],
    ("relu1", 0): [[0, 4], [28, 32.5]],
    ("conv1", 1): [[14.5, 19], [32.5, 37]],
}
PUBLISHED_GUIDED = {
    ("relu1", 0): [[0, 0, 4, 4], [0, 0, 12, 8], [28, 84, 97.5, 65], [28, 56, 65, 32.5]],
    ("conv1", 1): [[14.5, 29, 38, 19], [29, 58, 76, 38], [65, 130, 148, 74], [32.5, 65, 74, 37]],
}


class Split(nn.Module):
    """A network in two parts, the lower of which says whether it was run with a graph. (B, 3, H, W) -> (B, 5)."""

    def __init__(self) -> None:
        super().__init__()
        self.lower = nn.Sequential(nn.Conv2d(3, 7, 3, stride=2), nn.ReLU())
        self.upper = nn.Sequential(nn.Conv2d(7, 4, 3), nn.ReLU(), nn.Flatten(), nn.LazyLinear(5))
        self.graphs: list[bool] = []

    def forward(self, pictures: Tensor) -> Tensor:
        maps = self.lower(pictures)
        self.graphs.append(self.lower[0](pictures).requires_grad)
        return self.upper(maps)


def split(size: tuple[int, int]) -> Split:
    network = Split()
    with torch.random.fork_rng(devices=[]), torch.no_grad():
        network(torch.zeros(1, 3, *size))
    made(network)
    network.graphs.clear()
    return network.eval()


def slow(pictures: Tensor, number: int, plus_plus: bool) -> Tensor:
    """The papers' formulas, picture by picture and channel by channel in float64: (B, h, w)."""
    network = split((pictures.shape[2], pictures.shape[3])).double()
    maps = []
    for picture in pictures.double():
        activation = network.lower(picture[None]).detach().requires_grad_()
        score = network.upper(activation)[0, number]
        (gradient,) = torch.autograd.grad(score, activation)
        total = torch.zeros(activation.shape[2:], dtype=torch.float64)
        for a, g in zip(activation[0].detach(), gradient[0], strict=True):
            weight = 0.0
            for row in range(a.shape[0]):
                for column in range(a.shape[1]):
                    one = float(g[row, column])
                    if not plus_plus:
                        weight += one / a.numel()  # eq. 1
                    elif one > 0:
                        # eq. 10 and 19, the derivatives of exp(score) without their common factor
                        weight += one * one**2 / (2 * one**2 + float(a.sum()) * one**3)
            total += weight * a
        maps.append(total.clamp(min=0))  # eq. 2
    return torch.stack(maps).float()


@pytest.mark.parametrize("plus_plus", [False, True])
def test_the_formula_in_a_slow_loop(plus_plus: bool) -> None:
    pictures = noise(3, 3, 17, 13)
    network = split((17, 13))
    found = (grad_cam_plus_plus if plus_plus else grad_cam)(network, pictures, [4, 2, 0], layer="lower")
    assert (found.layer, found.method) == ("lower", "grad-cam++" if plus_plus else "grad-cam")
    assert found.small is not None
    assert found.small.shape == (3, 3, 8, 6)
    for k, number in enumerate((4, 2, 0)):
        expected = slow(pictures, number, plus_plus)
        assert expected.max() > 0
        assert torch.allclose(found.small[:, k], expected, atol=1e-5 * float(expected.max()))
    grown = functional.interpolate(found.small, size=(17, 13), mode="bilinear", align_corners=False)
    assert torch.equal(found.values, grown)
    assert torch.allclose(found.scores, network(pictures).detach()[:, [4, 2, 0]], atol=1e-6)


def test_the_two_papers_differ() -> None:
    network, pictures = split((17, 13)), noise(3, 3, 17, 13)
    first, second = (view(network, pictures, 1, layer="lower").values for view in (grad_cam, grad_cam_plus_plus))
    assert not torch.allclose(first / first.max(), second / second.max(), atol=0.05)


def test_below_the_layer_there_is_no_graph() -> None:
    network = split((16, 16))
    grad_cam(network, noise(2, 3, 16, 16), [0, 1, 2], layer="lower")
    assert network.graphs
    assert not any(network.graphs)


@pytest.mark.parametrize("inplace", [False, True])
@pytest.mark.parametrize(("layer", "added"), PUBLISHED)
def test_published_values_of_captum_come_out(layer: str, added: int, inplace: bool) -> None:
    """Where a rectifier works in place, captum too reads the convolution's own output."""
    found = grad_cam(OneConvolution(inplace=inplace), COUNTED + added, 0, layer=layer)
    assert found.small is not None
    assert found.small[0, 0].tolist() == PUBLISHED[layer, added]


@pytest.mark.parametrize(("layer", "added"), PUBLISHED_GUIDED)
def test_published_values_of_guided_grad_cam_come_out(layer: str, added: int) -> None:
    """They were made with the nearest cell; ours is bilinear, so that the parts are put together here."""
    network = OneConvolution()
    found = guided_grad_cam(network, COUNTED + added, 0, layer=layer)
    assert found.small is not None
    assert found.channels is not None
    detail = guided_backpropagation(network, COUNTED + added, 0).channels
    assert detail is not None
    nearest = functional.interpolate(found.small, size=(4, 4), mode="nearest")
    assert (nearest[0, 0] * detail[0, 0, 0]).tolist() == PUBLISHED_GUIDED[layer, added]
    bilinear = functional.interpolate(found.small, size=(4, 4), mode="bilinear", align_corners=False)
    assert torch.equal(found.channels, bilinear[:, :, None] * detail)
    assert torch.equal(found.values, found.channels.abs().max(dim=2).values)


@pytest.mark.parametrize("view", [grad_cam, grad_cam_plus_plus, guided_grad_cam])
def test_without_a_layer_the_last_map_is_looked_at(view: object) -> None:
    network, pictures = made(Modules()).eval(), noise(2, 3, 12, 12)
    found = grad_cam(network, pictures, [0, 1])
    assert found.layer is not None
    assert found.small is not None
    assert found.small.shape[2:] == (6, 6)
    assert torch.equal(found.values, grad_cam(network, pictures, [0, 1], layer=found.layer).values)
    named = view(network, pictures, [0, 1])
    assert named.layer == found.layer


def test_a_module_that_is_called_twice_has_two_places() -> None:
    network, pictures = made(Modules()).eval(), noise(2, 3, 12, 12)
    shapes = {name: grad_cam(network, pictures, 0, layer=name).small.shape[2:] for name in ("relu", "relu#2")}
    assert shapes == {"relu": (12, 12), "relu#2": (6, 6)}


class Patches(nn.Module):
    """Patches as tokens, behind a class token, or as maps with the channels last. (B, 3, 16, 12) -> (B, 5)."""

    def __init__(self, form: str) -> None:
        super().__init__()
        self.form = form
        self.patches, self.norm = nn.Conv2d(3, 6, 4, stride=4), nn.LayerNorm(6)
        self.head = nn.Linear(6 * (13 if form == "class token" else 12), 5)

    def upper(self, normed: Tensor) -> Tensor:
        return self.head(torch.tanh(normed.flatten(1)))

    def below(self, pictures: Tensor) -> Tensor:
        maps = self.patches(pictures).movedim(1, -1)
        if self.form == "channels last":
            return self.norm(maps)
        tokens = maps.flatten(1, 2)
        if self.form == "class token":
            tokens = torch.cat([tokens.mean(dim=1, keepdim=True), tokens], dim=1)
        return self.norm(tokens)

    def forward(self, pictures: Tensor) -> Tensor:
        return self.upper(self.below(pictures))


@pytest.mark.parametrize("form", ["tokens", "class token", "channels last"])
def test_tokens_and_channels_last_are_maps(form: str) -> None:
    network, pictures = made(Patches(form)), noise(2, 3, 16, 12)
    found = grad_cam(network, pictures, range(5), layer="norm")
    assert found.small is not None
    assert found.small.shape == (2, 5, 4, 3)
    assert int(found.small.amax(dim=(2, 3)).gt(0).sum()) >= 5
    seen = network.below(pictures).detach().requires_grad_()
    scores = network.upper(seen)
    for k in range(5):
        (gradient,) = torch.autograd.grad(scores[:, k].sum(), seen, retain_graph=True)
        for b in range(2):
            # one row a cell, in the order of rows and columns; the class token has no place
            values, slopes = (one[b].reshape(-1, 6)[-12:] for one in (seen.detach(), gradient))
            expected = (values @ slopes.mean(dim=0)).clamp(min=0).reshape(4, 3)
            assert torch.allclose(found.small[b, k], expected, atol=1e-6)


def test_patches_above_which_only_the_class_token_counts_are_refused() -> None:
    class ClassToken(Patches):
        def upper(self, normed: Tensor) -> Tensor:
            return super().upper(torch.cat([normed[:, :1]] * 13, dim=1))

    network, pictures = made(ClassToken("class token")), noise(2, 3, 16, 12)
    with pytest.raises(InputError, match=r"'norm'.*no score is made from.*take patches"):
        grad_cam(network, pictures, layer="norm")
    assert grad_cam(network, pictures).layer == "patches"


def test_layers_that_cannot_be_are_refused_by_name() -> None:
    network, pictures = made(Modules()), noise(2, 3, 12, 12)
    with pytest.raises(InputError, match=r"conv3.*did you mean 'conv[12]'"):
        grad_cam(network, pictures, layer="conv3")
    said = r"layer 'head' \(Linear\) has no spatial map, it gives 5; layers that have.*conv2"
    with pytest.raises(InputError, match=said):
        grad_cam(network, pictures, layer="head")
    flat = nn.Sequential(nn.Flatten(), nn.Linear(3 * 12 * 12, 8), nn.ReLU(), nn.Linear(8, 5))
    with pytest.raises(InputError):
        grad_cam(flat, pictures)


def test_a_layer_that_the_scores_do_not_read_is_refused() -> None:
    class Aside(Functions):
        def __init__(self) -> None:
            super().__init__()
            self.aside = nn.Conv2d(3, 2, 3)

        def forward(self, pictures: Tensor) -> Tensor:
            self.aside(pictures)
            return super().forward(pictures)

    with pytest.raises(InputError, match="do not depend on it"):
        grad_cam(made(Aside()), noise(1, 3, 8, 8), layer="aside")
