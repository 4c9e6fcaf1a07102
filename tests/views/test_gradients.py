"""Gradients at the input against finite differences, closed forms, slow loops and axioms."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from small_networks import Functions, Modules, made, noise
from striate.errors import InputError
from striate.views.backward import pictures_at_once
from striate.views.gradients import gaussians, gradient, input_x_gradient, integrated_gradients, smoothgrad


class Squares(nn.Module):
    """Scores k = sum over pixels of weight_k x^2: gradients and their integrals have closed forms. (B, C, H, W)."""

    def __init__(self, shape: tuple[int, ...]) -> None:
        super().__init__()
        self.weight = nn.Parameter(noise(3, *shape, seed=5))

    def forward(self, pictures: Tensor) -> Tensor:
        return torch.einsum("bchw,kchw->bk", pictures**2, self.weight)


class Smooth(nn.Module):
    """A network without kinks, so that sums converge to integrals quickly."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.second = nn.Conv2d(3, 4, 3), nn.Linear(4, 5)

    def forward(self, pictures: Tensor) -> Tensor:
        return self.second(torch.tanh(self.first(pictures)).mean(dim=(2, 3)))


class Counting(nn.Module):
    """How many pictures went through at once, with and without a graph."""

    def __init__(self) -> None:
        super().__init__()
        self.inner = made(Modules())
        self.sizes: list[tuple[int, bool]] = []

    def forward(self, pictures: Tensor) -> Tensor:
        self.sizes.append((len(pictures), torch.is_grad_enabled() and pictures.requires_grad))
        return self.inner(pictures)


@pytest.mark.parametrize("kind", [Modules, Functions])
def test_the_gradient_is_the_limit_of_differences(kind: type[nn.Module]) -> None:
    network, pictures = made(kind()).double().eval(), noise(2, 3, 8, 8).double()
    found = gradient(network, pictures, [4, 1])
    assert found.channels is not None
    step = 1e-6
    for b, channel, row, column in ((0, 0, 0, 0), (0, 2, 3, 7), (1, 1, 4, 4), (1, 2, 7, 0)):
        for k, number in enumerate((4, 1)):
            moved = torch.zeros_like(pictures)
            moved[b, channel, row, column] = step
            with torch.no_grad():
                difference = (network(pictures + moved) - network(pictures - moved))[b, number] / (2 * step)
            assert float(found.channels[b, k, channel, row, column]) == pytest.approx(float(difference), rel=1e-4)
    assert torch.equal(found.values, found.channels.abs().max(dim=2).values)


def test_without_classes_the_most_probable_one_is_looked_at() -> None:
    network, pictures = made(Modules()).eval(), noise(6, 3, 8, 8)
    found = gradient(network, pictures)
    scores = network(pictures).detach()
    assert found.classes[:, 0].tolist() == scores.argmax(dim=1).tolist()
    assert torch.allclose(found.scores[:, 0], scores.max(dim=1).values)
    assert torch.equal(found.values, gradient(network, pictures, found.classes).values)


def test_input_times_gradient_sums_to_the_score_where_nothing_has_a_bias() -> None:
    network = nn.Sequential(
        nn.Conv2d(3, 6, 3, bias=False), nn.ReLU(), nn.MaxPool2d(2), nn.Flatten(), nn.Linear(54, 4, bias=False)
    )
    network, pictures = made(network).double(), noise(3, 3, 8, 8).double()
    found = input_x_gradient(network, pictures, range(4))
    assert torch.allclose(found.values.sum(dim=(2, 3)), network(pictures).detach().float(), atol=1e-5)
    assert float(found.values.min()) < 0 < float(found.values.max())


def test_smoothgrad_is_the_mean_of_gradients_of_noisy_copies() -> None:
    network, pictures = made(Functions()).eval(), 3 * noise(2, 3, 8, 8)
    asked = torch.tensor([[0, 3], [4, 1]])
    found = smoothgrad(network, pictures, asked, samples=7, noise=0.2, seed=11)
    drawn, expected = gaussians(11, range(7), (3, 8, 8)), torch.zeros(2, 2, 3, 8, 8)
    for b in range(2):
        deviation = 0.2 * (pictures[b].max() - pictures[b].min())
        for copy in drawn:
            one = gradient(network, pictures[b : b + 1] + deviation * copy, asked[b])
            assert one.channels is not None
            expected[b] += one.channels[0] / 7
    assert found.channels is not None
    assert torch.allclose(found.channels, expected, atol=1e-6)
    assert torch.equal(found.values, found.channels.abs().max(dim=2).values)
    assert torch.allclose(found.scores, network(pictures).detach().gather(1, asked))


def test_the_noise_is_normal_and_a_function_of_seed_and_number() -> None:
    drawn = gaussians(3, range(8), (3, 100, 101))
    assert torch.equal(drawn[5], gaussians(3, range(5, 6), (3, 100, 101))[0])
    assert not torch.equal(drawn[0], gaussians(4, range(1), (3, 100, 101))[0])
    values = np.sort(drawn.numpy().ravel().astype(np.float64))
    # Kolmogorov's distance from the normal distribution: above 1.95 / sqrt(n) in one case of 1,000
    normal = np.array([0.5 * (1 + math.erf(value / math.sqrt(2))) for value in values[::100]])
    share = (np.arange(len(values)) / len(values))[::100]
    assert np.abs(normal - share).max() < 1.95 / math.sqrt(len(values)) + 1 / len(values)
    neighbours = np.corrcoef(drawn.numpy().reshape(8, -1))
    assert np.abs(neighbours - np.eye(8)).max() < 0.03


@pytest.mark.parametrize("baseline", [0.0, 0.7, noise(1, 2, 5, 6, seed=8), noise(3, 1, 5, 6, seed=9)])
def test_integrated_gradients_of_squares_are_exact(baseline: float | Tensor) -> None:
    """The integral of 2 w (x0 + t (x - x0)) (x - x0) from 0 to 1 is w (x^2 - x0^2)."""
    network, pictures = Squares((2, 5, 6)), noise(3, 2, 5, 6)
    found = integrated_gradients(network, pictures, [2, 0], baseline=baseline, steps=3)
    expected = (pictures**2 - torch.as_tensor(baseline).broadcast_to(pictures.shape) ** 2)[:, None] * network.weight[
        [2, 0]
    ].detach()
    assert found.channels is not None
    assert found.completeness is not None
    assert torch.allclose(found.channels, expected, atol=1e-5)
    assert torch.allclose(found.values, expected.sum(dim=2), atol=1e-5)
    assert float(found.completeness.abs().max()) < 1e-4


def test_integrated_gradients_equal_a_fine_sum_along_the_line() -> None:
    network, pictures = made(Smooth()).double(), noise(2, 3, 8, 8).double()
    found = integrated_gradients(network, pictures, [1, 4], baseline=-0.5)
    total, start, count = torch.zeros(2, 2, 3, 8, 8, dtype=torch.float64), torch.full_like(pictures, -0.5), 500
    for number in range(count):
        at = (start + (number + 0.5) / count * (pictures - start)).requires_grad_()
        for k, asked in enumerate((1, 4)):
            total[:, k] += torch.autograd.grad(network(at)[:, asked].sum(), at)[0] / count
    expected = ((pictures - start)[:, None] * total).float()
    assert found.channels is not None
    assert float((found.channels - expected).abs().max() / expected.abs().max()) < 1e-5


def test_what_integrated_gradients_miss_is_said_and_shrinks_with_the_steps() -> None:
    network, pictures = made(Functions()).eval(), 2 * noise(2, 3, 8, 8)
    scores = (network(pictures) - network(torch.zeros_like(pictures))).detach()
    errors = []
    for steps in (2, 200):
        found = integrated_gradients(network, pictures, range(5), steps=steps)
        assert found.completeness is not None
        missed = found.values.sum(dim=(2, 3)) - scores
        assert torch.allclose(found.completeness, missed, atol=1e-5)
        errors.append(float(missed.abs().max()))
    assert errors[1] < 0.2 * errors[0]
    assert errors[1] < 0.01 * float(scores.abs().max())


def test_many_steps_hold_few_graphs_at_once() -> None:
    network, pictures = Counting().eval(), noise(2, 3, 96, 96)
    found = integrated_gradients(network, pictures, [0, 1])
    with_graph = [size for size, graph in network.sizes if graph]
    assert sum(with_graph) == 2 * 50
    assert max(with_graph) <= pictures_at_once(pictures) < 50
    total = torch.zeros(2, 2, 3, 96, 96, dtype=torch.float64)
    places, weights = np.polynomial.legendre.leggauss(50)
    for place, weight in zip(places, weights, strict=True):
        one = gradient(network, (place + 1) / 2 * pictures, [0, 1])
        assert one.channels is not None
        total += weight / 2 * one.channels.double()
    expected = total * pictures[:, None]
    assert found.channels is not None
    assert float((found.channels - expected).abs().max() / expected.abs().max()) < 1e-5


def test_many_pictures_are_taken_in_parts() -> None:
    network, pictures = Counting().eval(), noise(41, 3, 72, 72)
    asked = torch.arange(41)[:, None] % 5
    found = gradient(network, pictures, asked)
    sizes = [size for size, _ in network.sizes]
    assert sum(sizes) == 41
    assert max(sizes) <= pictures_at_once(pictures) < 41
    for row in (0, 37, 38, 40):
        one = gradient(network, pictures[row : row + 1], int(asked[row]))
        assert torch.allclose(found.values[row], one.values[0], atol=1e-6)


def test_pictures_laid_out_with_channels_last_give_the_same() -> None:
    network, pictures = made(Modules()).eval(), noise(2, 3, 16, 16)
    last = pictures.contiguous(memory_format=torch.channels_last)
    for view in (gradient, integrated_gradients, smoothgrad):
        assert torch.allclose(view(network, last).values, view(network, pictures).values, atol=1e-6)


def test_what_cannot_be_is_refused() -> None:
    network, pictures = made(Modules()), noise(2, 3, 8, 8)
    for samples, share in ((0, 0.1), (5, 0.0), (5, math.nan), (5, math.inf)):
        with pytest.raises(InputError, match=r"samples must|noise must"):
            smoothgrad(network, pictures, samples=samples, noise=share)
    with pytest.raises(InputError, match="steps must be at least 1, got 0"):
        integrated_gradients(network, pictures, steps=0)
    with pytest.raises(InputError, match=r"broadcast to the pictures' 2x3x8x8, got 3x9x9"):
        integrated_gradients(network, pictures, baseline=torch.zeros(3, 9, 9))
    with pytest.raises(InputError, match="finite"):
        integrated_gradients(network, pictures, baseline=math.nan)
    with pytest.raises(InputError, match=r"for 2 pictures, got \(3, 1\)"):
        gradient(network, pictures, torch.zeros(3, 1, dtype=torch.int64))


def test_scores_that_cannot_be_differentiated_are_refused() -> None:
    class Steps(nn.Module):
        def forward(self, pictures: Tensor) -> Tensor:
            return pictures.flatten(1).round().detach()[:, :4]

    with pytest.raises(InputError, match="no gradient"):
        gradient(Steps(), noise(1, 1, 4, 4))


def test_a_network_that_writes_over_what_its_gradient_needs_is_refused() -> None:
    class Overwriting(nn.Module):
        def forward(self, pictures: Tensor) -> Tensor:
            active = pictures.sigmoid()
            active += 1
            return active.mean((2, 3))

    with pytest.raises(InputError, match="writes over a tensor that its own gradient needs"):
        gradient(Overwriting(), torch.zeros(1, 3, 4, 4))
