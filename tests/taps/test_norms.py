"""Batch norms as constants: what they give is torch's own bit for bit, and the gradient is the formula's."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

from small_networks import Functions, Modules, made, noise
from striate.taps.norms import constant_norms
from striate.taps.rectifiers import rectifying
from striate.taps.unchanged import unchanged


def gradient(network: nn.Module, pictures: Tensor) -> tuple[Tensor, Tensor]:
    leaf = pictures.clone().requires_grad_()
    scores = network(leaf)
    (found,) = torch.autograd.grad(scores.square().sum(), leaf)
    return scores.detach(), found


@pytest.mark.parametrize("affine", [False, True])
@pytest.mark.parametrize(
    ("norm", "shape"),
    [
        (nn.BatchNorm1d, (4, 6)),
        (nn.BatchNorm1d, (4, 6, 5)),
        (nn.BatchNorm2d, (4, 6, 5, 3)),
        (nn.BatchNorm3d, (2, 6, 3, 2, 2)),
    ],
)
def test_a_norm_gives_what_torch_gives_and_its_gradient_is_the_formula(
    norm: type[nn.Module], shape: tuple[int, ...], affine: bool
) -> None:
    module, given = made(norm(6, affine=affine)).eval().requires_grad_(False), noise(*shape)
    plain, _ = gradient(module, given)
    with constant_norms():
        scores, found = gradient(module, given)
    assert torch.equal(scores, plain)
    along = [1, -1, *[1] * (len(shape) - 2)]
    mean, variance = (one.double().view(along) for one in (module.running_mean, module.running_var))
    weight, bias = torch.ones(1), torch.zeros(1)
    if affine:
        weight, bias = (one.double().view(along) for one in (module.weight, module.bias))
    scale = weight / (variance + module.eps).sqrt()
    expected = 2 * ((given.double() - mean) * scale + bias) * scale
    assert torch.allclose(found.double(), expected, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last])
@pytest.mark.parametrize("kind", [Modules, Functions])
def test_the_gradient_by_the_input_of_a_network_is_the_same(kind: type[nn.Module], layout: torch.memory_format) -> None:
    network, pictures = made(kind()), noise(3, 3, 12, 12).contiguous(memory_format=layout)
    with unchanged(network) as bare:
        scores, expected = gradient(bare, pictures)
        with constant_norms():
            same, found = gradient(bare, pictures)
    assert torch.equal(same, scores)
    assert float((found - expected).abs().max()) < 1e-6 * float(expected.abs().max())


def test_together_with_a_rule_for_rectifiers() -> None:
    network, pictures = made(Modules()), noise(2, 3, 12, 12)
    with unchanged(network) as bare:
        with rectifying("guided"):
            _, expected = gradient(bare, pictures)
        for first, second in ((constant_norms(), rectifying("guided")), (rectifying("guided"), constant_norms())):
            with first, second:
                _, found = gradient(bare, pictures)
            assert float((found - expected).abs().max()) < 1e-6 * float(expected.abs().max())


def test_norms_that_learn_are_left_as_they_are() -> None:
    given = noise(8, 6, 5, 5)
    for training in (True, False):
        learning, alike = (made(nn.BatchNorm2d(6)).train(training) for _ in range(2))
        learning(given).square().sum().backward()
        with constant_norms():
            alike(given).square().sum().backward()
        assert alike.weight.grad is not None
        for one, other in zip(learning.parameters(), alike.parameters(), strict=True):
            assert torch.equal(one.grad, other.grad)
        assert torch.equal(learning.running_mean, alike.running_mean)
        assert torch.equal(learning.running_var, alike.running_var)


def test_without_statistics_the_batch_is_normed_by_itself() -> None:
    given = noise(8, 6, 5, 5)
    plain = functional.batch_norm(given, None, None, training=True)
    leaf = given.clone().requires_grad_()
    with constant_norms():
        found = functional.batch_norm(leaf, None, None, training=True)
    assert torch.equal(found.detach(), plain)


def test_afterwards_norms_are_torch_s_again() -> None:
    norm, leaf = nn.BatchNorm2d(3).eval().requires_grad_(False), noise(1, 3, 4, 4).requires_grad_()
    with constant_norms():
        assert "Constant" in type(norm(leaf).grad_fn).__name__
    with pytest.raises(ArithmeticError), constant_norms():
        raise ArithmeticError
    assert "BatchNorm" in type(norm(leaf).grad_fn).__name__


def test_the_gradient_of_a_single_picture_whose_maps_become_tokens_is_that_of_the_formula() -> None:
    """Its strides are those of tokens, and say too little of a batch of one: torch 2.15 has it wrong."""
    norm = nn.BatchNorm2d(16).eval().requires_grad_(False)
    norm.running_var.uniform_(0.2, 2, generator=torch.Generator().manual_seed(0))
    picture = torch.randn(1, 16, 14, 14, generator=torch.Generator().manual_seed(1)).requires_grad_()
    above = torch.randn(1, 196, 16, generator=torch.Generator().manual_seed(2)).transpose(1, 2).unflatten(2, (14, 14))
    with constant_norms():
        given = norm(picture)
    (found,) = torch.autograd.grad(given, picture, above)
    assert torch.allclose(found, above / (norm.running_var + norm.eps).sqrt()[:, None, None], atol=1e-6)
