"""DeepDream: a picture changed so that it raises more of what a layer already sees in it.

Gradient ascent on pixels with steps of one mean size, from a small copy of the picture to the whole (octaves); what was
added to one octave is enlarged into the next. Source: Mordvintsev, Olah, Tyka 2015, "Inceptionism: Going Deeper into
Neural Networks" and its notebook, whose octaves, steps and rate these are.

Legend: C channels, H W pixels.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from striate.data.draws import uniforms
from striate.errors import require
from striate.taps.unchanged import unchanged
from striate.views.ascent import Size, as_kept, gradient_of, octave_sizes
from striate.views.dreams import Dreams, Observe, noise, shown_to
from striate.views.excitement import Kind, Output, find_target

STEPS, MOST_OCTAVES = 40, 4
RATE = 1.5 / 255  # of the picture's range, on average over its pixels
SHIFT = 1 / 8  # of the side
PURPOSE = 0xD8EA_0004


def deepdream(
    network: nn.Module,
    picture: Tensor,
    index: int = 0,
    *,
    layer: str | None = None,
    kind: Kind = "layer",
    mean: Sequence[float],
    deviation: Sequence[float],
    steps: int = STEPS,
    octaves: int | None = None,
    seed: int = 0,
    output: Output = None,
    observe: Observe | None = None,
) -> Dreams:
    """`picture` (C, H, W) in [0, 1], dreamt on, as the one of `Dreams`.

    kind "layer" raises the mean of the squares of the whole layer; the others one class, channel or unit, `index`, as
    in `dreams.dream`, which says also what the other arguments are. Raises InputError as that does.
    """
    require(steps >= 1, f"a dream needs at least 1 step, got {steps}")
    require(picture.ndim == 3, f"one picture is (C, H, W), got {'x'.join(map(str, picture.shape))}")
    size: Size = (picture.shape[1], picture.shape[2])
    sizes = octave_sizes(size, octaves, MOST_OCTAVES)
    with unchanged(network) as bare:
        shown = shown_to(bare, mean, deviation, size)
        target = find_target(bare, shown.blank(size), kind, (index,), layer, output)
        whole = picture[None].float().to(shown.mean.device)

        def raised(pixels: Tensor, shift: tuple[int, int], seen: Size) -> Tensor:
            rolled = pixels.roll(shift, dims=(2, 3))
            if seen != pixels.shape[2:]:
                rolled = functional.interpolate(rolled, size=seen, mode="bilinear", align_corners=False)
            return target.of(bare, shown.inputs(rolled))[:, 0]

        dreamt, added = whole, torch.zeros_like(whole)
        for number, here in enumerate(sizes):
            base = functional.interpolate(whole, size=here, mode="bilinear", antialias=True, align_corners=False)
            added = functional.interpolate(added, size=here, mode="bilinear", align_corners=False)
            dreamt = base + added
            seen = here if target.any_size and shown.takes(here) else size
            for step in range(steps * number // len(sizes), steps * (number + 1) // len(sizes)):
                shift = _shift(seed, step, here)
                gradient = gradient_of(partial(raised, shift=shift, seen=seen), dreamt)
                # Of one size whatever the gradient's: deep layers and shallow ones then move as far.
                dreamt = dreamt + RATE * gradient / gradient.abs().mean().clamp_min(torch.finfo(gradient.dtype).tiny)
                dreamt = dreamt.clamp(0, 1)
                if observe is not None:
                    observe(step + 1, steps)
            added = dreamt - base
        pixels = as_kept(dreamt)
        values = shown.answers(target, pixels)[0]
        on_noise = shown.answers(target, noise(seed, len(mean), size).to(shown.mean.device))
    return Dreams(
        kind=kind,
        layer=layer,
        indices=target.indices,
        pixels=pixels.cpu(),
        values=values.cpu(),
        noise_mean=on_noise.mean(0).cpu(),
        noise_deviation=on_noise.std(0).cpu(),
    )


def _shift(seed: int, step: int, size: Size) -> tuple[int, int]:
    """By how many rows and columns the picture is rolled before this step."""
    drawn = 2 * uniforms(seed, step, np.zeros(1, dtype=np.int64), 2, purpose=PURPOSE)[0] - 1
    down, right = (round(float(draw) * SHIFT * side) for draw, side in zip(drawn, size, strict=True))
    return down, right
