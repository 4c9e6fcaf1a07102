"""Other backward rules for rectifiers, however they are written, against the rules written out by hand."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from hard_networks import ChannelsLast, Reused, WithClassToken, headed
from striate.errors import InputError
from striate.networks.feature_normalizer import FeatureNormalizer
from striate.taps.rectifiers import Rule, rectifying, require_rectifiers

# The ways to write a rectifier, and the most that it gives.
WAYS: dict[str, tuple[Callable[[Tensor], Tensor], float]] = {
    "nn.ReLU": (nn.ReLU(), float("inf")),
    "nn.ReLU in place": (nn.ReLU(inplace=True), float("inf")),
    "nn.ReLU6": (nn.ReLU6(), 6),
    "nn.ReLU6 in place": (nn.ReLU6(inplace=True), 6),
    "nn.Hardtanh": (nn.Hardtanh(0, 2), 2),
    "nn.Hardtanh in place": (nn.Hardtanh(0, 2, inplace=True), 2),
    "nn.Threshold": (nn.Threshold(0, 0), float("inf")),
    "F.relu": (F.relu, float("inf")),
    "F.relu in place": (lambda x: F.relu(x, inplace=True), float("inf")),
    "F.relu_": (F.relu_, float("inf")),
    "F.relu6": (F.relu6, 6),
    "F.hardtanh_": (lambda x: F.hardtanh_(x, 0, 3), 3),
    "F.threshold": (lambda x: F.threshold(x, 0, 0), float("inf")),
    "F.threshold_": (lambda x: F.threshold_(x, 0, 0), float("inf")),
    "torch.relu": (torch.relu, float("inf")),
    "torch.relu_": (torch.relu_, float("inf")),
    "method": (lambda x: x.relu(), float("inf")),
    "method in place": (lambda x: x.relu_(), float("inf")),
    "clamp": (lambda x: x.clamp(min=0), float("inf")),
    "clamp to 6": (lambda x: torch.clamp(x, 0, 6), 6),
    "clamp in place": (lambda x: x.clamp_(min=0.0, max=4), 4),
    "clip": (lambda x: x.clip(0), float("inf")),
    "clamp_min": (lambda x: x.clamp_min(0), float("inf")),
    "clamp from a tensor": (lambda x: torch.clamp(x, min=torch.tensor(0.0)), float("inf")),
    "maximum": (lambda x: torch.maximum(x, torch.zeros_like(x)), float("inf")),
    "maximum, the other way": (lambda x: torch.maximum(torch.tensor(0.0), x), float("inf")),
    "max": (lambda x: x.max(torch.tensor(0.0)), float("inf")),
    "clamp_min in place": (lambda x: torch.clamp_min_(x, 0), float("inf")),
}


def gradient(rule: Rule, way: Callable[[Tensor], Tensor], tensor: Tensor, weights: Tensor) -> tuple[Tensor, Tensor]:
    leaf = tensor.clone().requires_grad_()
    with rectifying(rule):
        given = way(leaf * 1)
    (found,) = torch.autograd.grad((given * weights).sum(), leaf)
    return given.detach(), found


@pytest.mark.parametrize("way", WAYS)
def test_each_way_to_write_a_rectifier_has_the_rules(way: str) -> None:
    function, most = WAYS[way]
    generator = torch.Generator().manual_seed(0)
    tensor = 5 * torch.randn(200, generator=generator)
    weights = torch.randn(200, generator=generator)
    for rule in ("guided", "deconvolution"):
        given, found = gradient(rule, function, tensor, weights)
        # Springenberg et al. 2015, figure 1: equations for the backward pass, element by element.
        expected = [
            max(float(weight), 0.0) * (0 < float(x) < most if rule == "guided" else 1)
            for x, weight in zip(tensor, weights, strict=True)
        ]
        assert torch.equal(found, torch.tensor(expected)), rule
        assert torch.equal(given, tensor.clamp(0, most))


def test_what_is_no_rectifier_keeps_its_gradient() -> None:
    tensor = torch.linspace(-3, 3, 50)
    weights = torch.linspace(1, -1, 50)
    for way in (torch.tanh, lambda x: x.clamp(-1, 1), lambda x: F.hardtanh(x), lambda x: x.clamp(min=0.1)):
        leaf = tensor.clone().requires_grad_()
        (expected,) = torch.autograd.grad((way(leaf) * weights).sum(), leaf)
        assert torch.equal(gradient("guided", way, tensor, weights)[1], expected)


def test_a_network_with_one_relu_in_place_gives_what_it_gave_and_the_guided_gradient_by_hand() -> None:
    torch.manual_seed(3)
    network = Reused().double().eval()
    pictures = torch.randn(2, 3, 6, 6, dtype=torch.float64, requires_grad=True)
    answered = network(pictures)
    with rectifying("guided"):
        guided = network(pictures)
    assert torch.equal(guided, answered)
    (found,) = torch.autograd.grad(guided[:, 1].sum(), pictures)

    # By hand, a layer at a time from above: at each rectifier what comes is rectified and masked.
    first = network.first(pictures)
    second = network.second(first.relu())
    x = second.relu()
    before_last = network.third(x) + F.pad(x, (0, 0, 0, 0, 0, 2))
    cells = before_last.shape[2] * before_last.shape[3]
    from_above = (network.head.weight[1] / cells)[None, :, None, None].expand_as(before_last)
    from_above = from_above.relu() * (before_last > 0)
    back = torch.nn.grad.conv2d_input(x.shape, network.third.weight, from_above, padding=1) + from_above[:, :6]
    back = back.relu() * (second > 0)
    back = torch.nn.grad.conv2d_input(first.shape, network.second.weight, back, stride=2, padding=1)
    back = back.relu() * (first > 0)
    expected = torch.nn.grad.conv2d_input(pictures.shape, network.first.weight, back, padding=1)
    assert torch.allclose(found, expected, rtol=1e-10, atol=1e-14)


def test_in_place_rectifiers_change_what_others_hold() -> None:
    """A sum of a tensor with itself, rectified in place in between."""
    leaf = torch.linspace(-2, 2, 9).requires_grad_()
    with rectifying("guided"):
        held = leaf * 1
        given = F.relu(held, inplace=True) + held
    assert torch.equal(given, 2 * leaf.clamp(min=0))
    assert given.data_ptr() != held.data_ptr()


def test_the_rules_end() -> None:
    leaf = torch.tensor([-1.0, 1.0], requires_grad=True)
    with pytest.raises(ValueError, match="middle"), rectifying("deconvolution"):
        raise ValueError("in the middle")
    (found,) = torch.autograd.grad((leaf.relu() * torch.tensor([1.0, -1.0])).sum(), leaf)
    assert found.tolist() == [0, -1]


class Functional(nn.Module):
    def __init__(self, function: Callable[[Tensor], Tensor]) -> None:
        super().__init__()
        self.layer = nn.Linear(4, 4)
        self.function = function

    def forward(self, x: Tensor) -> Tensor:
        return self.layer(self.function(self.layer(x)))


@pytest.mark.parametrize(
    ("network", "shape", "named"),
    [
        (headed(nn.Conv2d(3, 4, 3), nn.GELU(), channels=4), (3, 8, 8), r"GELU in 0\.1"),
        (headed(nn.Conv2d(3, 4, 3), nn.SiLU(inplace=True), channels=4), (3, 8, 8), r"SiLU in 0\.1"),
        (headed(nn.Conv2d(3, 4, 3), nn.Hardtanh(), channels=4), (3, 8, 8), r"Hardtanh in 0\.1"),
        (headed(nn.LeakyReLU(), nn.Hardswish(), channels=3), (3, 8, 8), r"LeakyReLU in 0\.0; Hardswish in 0\.1"),
        (Functional(torch.tanh), (4,), "Tanh in the network itself"),
        (Functional(lambda x: x * x.sigmoid()), (4,), "Sigmoid in the network itself"),
        (Functional(lambda x: F.elu(x, inplace=True)), (4,), "ELU in the network itself"),
        (Functional(lambda x: x * (x > 0)), (3, 4), "a comparison of its values in the network itself"),
        (Functional(lambda x: torch.where(torch.lt(x, 0), 0, x)), (3, 4), "a comparison of its values in the network"),
        (Functional(lambda x: (x + x.abs()) / 2), (3, 4), "abs in the network itself"),
        (Functional(lambda x: x.clamp(-1, 1)), (4,), "clamp in the network itself"),
        (Functional(lambda x: F.glu(torch.cat([x, x], 1), 1)), (4,), "GLU in the network itself"),
        (Functional(F.softshrink), (4,), "Softshrink in the network itself"),
        (Functional(lambda x: x * torch.erf(x)), (3, 4), "erf in the network itself"),
        (WithClassToken(), (3, 12, 8), r"attention in blocks\.0, blocks\.1; GELU in blocks\.0\.mlp\.1"),
    ],
    ids=lambda value: type(value).__name__ if isinstance(value, nn.Module) else "",
)
def test_networks_with_other_activations_are_refused_by_name(
    network: nn.Module, shape: tuple[int, ...], named: str
) -> None:
    with pytest.raises(InputError, match=f"^guided back-propagation needs .* this one has {named}"):
        require_rectifiers(network, torch.zeros(2, *shape), "guided back-propagation")
    assert not any(module._forward_hooks or module._forward_pre_hooks for module in network.modules())


@pytest.mark.parametrize(
    "network",
    [
        Reused(),
        ChannelsLast(),
        headed(nn.Conv2d(3, 4, 3), nn.MaxPool2d(2), channels=4),
        nn.Sequential(Reused(), nn.Softmax(1)),
    ],
)
def test_networks_of_rectifiers_are_taken_also_where_they_end_in_a_softmax(network: nn.Module) -> None:
    require_rectifiers(network, torch.zeros(1, 3, 16, 16), "deconvolution")


def test_signs_and_sizes_that_norm_a_vector_of_features_are_no_activations() -> None:
    features = (nn.Conv2d(3, 4, 3), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), FeatureNormalizer(4))
    require_rectifiers(nn.Sequential(*features, nn.Linear(4, 2)), torch.zeros(1, 3, 8, 8), "deconvolution")
    normed = Functional(lambda x: x.relu().sign() * x.abs().sqrt())
    require_rectifiers(normed, torch.zeros(1, 4), "deconvolution")
    with pytest.raises(InputError, match="sign in the network itself; abs in the network itself"):
        require_rectifiers(normed, torch.zeros(1, 3, 4), "deconvolution")
