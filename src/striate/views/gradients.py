"""Gradients of a class's score by the pixels: plain, times the input, over noisy copies, along a path.

pictures (B, C, H, W) as the network takes them -> Maps, values (B, K, H, W). They work on any network that can be
differentiated. Legend: B pictures, K classes, C channels, H W pixels, S points at which the gradient is taken.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace

import numpy as np
import torch
from torch import Tensor, nn

from striate.data.draws import uniforms
from striate.errors import InputError, require
from striate.taps.outputs import scores as scores_of
from striate.taps.unchanged import unchanged
from striate.views.backward import gradient_maps, in_parts, input_gradients, pictures_at_once, strongest
from striate.views.maps import Classes, Maps, as_classes, layout_of, require_pictures

PURPOSE = 0x5300746  # of the draws of noise (see `draws.uniforms`)


def gradient(network: nn.Module, pictures: Tensor, classes: Classes = None, *, output: str | int | None = None) -> Maps:
    """|dS/dx|: how fast the score of the class changes with each pixel.

    `values`: the largest absolute value over the channels, never negative; `channels`: the gradients with their signs.
    Source: Simonyan, Vedaldi, Zisserman 2014 (arXiv:1312.6034), section 3.1.
    Raises InputError: pictures that are not (B, C, H, W), a class that the network does not know, an `output` missing.
    """
    require_pictures(pictures)
    with unchanged(network) as bare:
        return gradient_maps("gradient", bare, pictures, classes, output)


def input_x_gradient(
    network: nn.Module, pictures: Tensor, classes: Classes = None, *, output: str | int | None = None
) -> Maps:
    """x dS/dx, summed over the channels: what each pixel adds to the score, as far as the network is linear. Signed.

    For a network of linear layers and rectifiers without biases the map sums to the score.
    Source: Shrikumar, Greenside, Kundaje 2017 (arXiv:1605.01713), section 2. Raises InputError as `gradient`.
    """
    return times_input(gradient(network, pictures, classes, output=output), pictures)


def times_input(found: Maps, pictures: Tensor) -> Maps:
    """What `input_x_gradient` gives, from what `gradient` has found for the same pictures (B, C, H, W)."""
    assert found.channels is not None
    channels = found.channels * pictures.detach().float().cpu()[:, None]
    return replace(found, method="input-x-gradient", channels=channels, values=channels.sum(dim=2))


def smoothgrad(
    network: nn.Module,
    pictures: Tensor,
    classes: Classes = None,
    *,
    output: str | int | None = None,
    samples: int = 25,
    noise: float = 0.15,
    seed: int = 0,
) -> Maps:
    """The mean gradient over noisy copies of the picture; `values` and `channels` as those of `gradient`.

    samples: how many copies. noise: the standard deviation of the Gaussian noise as a share of the picture's range of
    values (max - min); the paper finds 0.1 to 0.2 good. Copy s of every picture gets the same noise, a function of
    (seed, s): what comes out for a picture does not depend on its company. The classes are those of the clean picture.
    Source: Smilkov, Thorat, Kim, Viegas, Wattenberg 2017 (arXiv:1706.03825), section 2.1; absolute values are taken of
    the mean, not before it. Raises InputError as `gradient`, and where `samples` < 1 or `noise` is not above 0.
    """
    require_pictures(pictures)
    require(samples >= 1, f"samples must be at least 1, got {samples}")
    require(0 < noise < math.inf, f"noise must be above 0, got {noise:g}")
    deviation = noise * (pictures.amax(dim=(1, 2, 3)) - pictures.amin(dim=(1, 2, 3)))[:, None, None, None, None]

    def copies(rows: slice, steps: slice) -> Tensor:
        drawn = gaussians(seed, range(samples)[steps], tuple(pictures.shape[1:])).to(pictures)
        return pictures[rows, None] + deviation[rows] * drawn

    with unchanged(network) as bare:
        weights = torch.full((samples,), 1 / samples, dtype=torch.float64)
        found = _mean_gradients(bare, pictures, classes, output, copies, weights)
    return replace(found, method="smoothgrad")


def integrated_gradients(
    network: nn.Module,
    pictures: Tensor,
    classes: Classes = None,
    *,
    output: str | int | None = None,
    baseline: float | Tensor = 0.0,
    steps: int = 50,
) -> Maps:
    """(x - x0) times the mean gradient on the straight line from a baseline x0 to x, summed over the channels. Signed.

    The map shares out S(x) - S(x0): it sums to it but for the error of the quadrature, which `completeness` holds (the
    sum less the difference). baseline: a number or a tensor that broadcasts to the pictures, in the network's own
    input values; 0 is the mean colour of the training pictures where inputs are normalised. steps: points of the
    Gauss-Legendre quadrature.
    Source: Sundararajan, Taly, Yan 2017 (arXiv:1703.01365), eq. 1 and proposition 1; by quadrature in place of eq. 3's
    Riemann sum, as captum does. Raises InputError as `gradient`, and where `steps` < 1 or the baseline does not fit.
    """
    require_pictures(pictures)
    require(steps >= 1, f"steps must be at least 1, got {steps}")
    start = _as_baseline(baseline, pictures)
    places, weights = np.polynomial.legendre.leggauss(steps)
    alphas = torch.tensor((places + 1) / 2).to(pictures)[:, None, None, None]

    def line(rows: slice, steps: slice) -> Tensor:
        return start[rows, None] + alphas[steps] * (pictures[rows] - start[rows])[:, None]

    with unchanged(network) as bare:
        found = _mean_gradients(bare, pictures, classes, output, line, torch.tensor(weights / 2))
        at_start = torch.cat(
            [
                scores_of(bare, start[rows].clone(), output).detach().float().cpu()
                for rows, _ in in_parts(start, None, pictures_at_once(start))
            ]
        )
    assert found.channels is not None
    channels = found.channels * (pictures - start).detach().float().cpu()[:, None]
    difference = found.scores - at_start.gather(1, found.classes)
    return replace(
        found,
        method="integrated-gradients",
        channels=channels,
        values=channels.sum(dim=2),
        completeness=(channels.double().sum(dim=(2, 3, 4)) - difference).float(),
    )


def gaussians(seed: int, numbers: range, shape: tuple[int, ...]) -> Tensor:
    """Standard normal numbers (S, *shape) float32; entry s depends on (seed, numbers[s]) alone.

    By Box and Muller 1958 from uniform numbers by counter.
    """
    count = math.prod(shape)
    drawn = uniforms(seed, 0, np.asarray(numbers, dtype=np.int64), 2 * math.ceil(count / 2), purpose=PURPOSE)
    radius, angle = np.sqrt(-2 * np.log1p(-drawn[:, 0::2])), 2 * np.pi * drawn[:, 1::2]
    pairs = np.stack([radius * np.cos(angle), radius * np.sin(angle)], axis=2)
    return torch.from_numpy(pairs.reshape(len(numbers), -1)[:, :count].astype(np.float32)).reshape(-1, *shape)


def _as_baseline(baseline: float | Tensor, pictures: Tensor) -> Tensor:
    """(B, C, H, W), without copies where it is one for all. Raises InputError where it does not broadcast."""
    start = torch.as_tensor(baseline).detach().to(pictures)
    require(bool(start.isfinite().all()), "the baseline must be finite")
    try:
        return start.broadcast_to(pictures.shape)
    except RuntimeError as error:
        got, wanted = ("x".join(map(str, one.shape)) for one in (start, pictures))
        raise InputError(f"the baseline must be a number or broadcast to the pictures' {wanted}, got {got}") from error


def _mean_gradients(
    network: nn.Module,
    pictures: Tensor,
    classes: Classes,
    output: str | int | None,
    points: Callable[[slice, slice], Tensor],
    weights: Tensor,
) -> Maps:
    """The weighted sum over S points of the gradients there, of the classes that are meant at the pictures themselves.

    points(rows, steps) gives some of the points (rows, steps, C, H, W) of some of the pictures. At no time are there
    more graphs than `pictures_at_once`.
    """
    at_once, count, layout = pictures_at_once(pictures), len(weights), layout_of(pictures)
    means, meant, scores = [], [], []
    for rows, asked in in_parts(pictures, classes, at_once // count):
        with torch.no_grad():
            clean = scores_of(network, pictures[rows].clone(), output)
        chosen = as_classes(asked, clean)
        total = torch.zeros(len(clean), chosen.shape[1], *pictures.shape[1:], device=pictures.device)
        several = max(1, at_once // len(clean))
        for first in range(0, count, several):
            steps = slice(first, min(first + several, count))
            here = steps.stop - steps.start
            inputs = points(rows, steps).flatten(0, 1).contiguous(memory_format=layout)
            found = input_gradients(network, inputs, chosen.repeat_interleave(here, dim=0), output).gradients
            weight = weights[steps].to(found)[:, None, None, None, None]
            total += (found.reshape(len(clean), here, *found.shape[1:]) * weight).sum(dim=1)
        means.append(total.float().cpu())
        meant.append(chosen)
        scores.append(clean.gather(1, chosen).float().cpu())
    channels = torch.cat(means)
    return Maps(
        method="",
        layer=None,
        values=strongest(channels),
        small=None,
        classes=torch.cat(meant).cpu(),
        scores=torch.cat(scores),
        channels=channels,
    )
