"""Dreams: pictures made for a network, that raise a class's score, a unit, a channel or a layer as far as they can.

Gradient ascent on the waves of a picture (`canvas.py`), from a small picture to a large one (octaves); before each step
the picture is moved, turned and scaled a little, so that what is found does not hang on single pixels. These movements
get smaller to the end, for it is the picture as it stands that is kept.
Sources: Erhan, Bengio, Courville, Vincent 2009, "Visualizing Higher-Layer Features of a Deep Network"; Simonyan,
Vedaldi, Zisserman 2014 (arXiv:1312.6034), eq. 1, without its L2 term, since waves and sigmoid keep the picture in
bounds; Olah, Mordvintsev, Schubert 2017, "Feature Visualization". Every draw is made from (seed, step, unit).

Legend: N dreams, C channels, H W pixels.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial

import numpy as np
import torch
from torch import Tensor, nn

from striate.data.draws import uniforms
from striate.errors import InputError, require
from striate.taps.unchanged import unchanged
from striate.views.ascent import Adam, Size, as_kept, gradient_of, octave_sizes, sampled, wobble
from striate.views.canvas import enlarged, first_waves, painted
from striate.views.excitement import Kind, Output, Target, find_target, refusal

STEPS, MOST_STEPS, MOST_OCTAVES = 128, 512, 3
RATE = 0.05  # of `Adam`, on waves whose gain is 0.25 (`lucid`)
# A picture whose shorter side has fewer pixels is small: it takes more steps, partly of a shared size (`Adam`). With
# nothing shared units of small networks stay lower, by up to a half, and their pictures are full of specks; large
# pictures would lose detail to flat colours.
SMALL, SHARED = 128, 0.5
NOISE_PICTURES, AT_ONCE = 32, 8
PURPOSE = 0xD8EA_0003

Observe = Callable[[int, int], None]


@dataclass(frozen=True, kw_only=True, eq=False)
class Dreams:
    """Dreams of one kind and layer, with what the network makes of them; all tensors are on the CPU.

    indices: classes or channels, one for each dream. pixels: (N, C, H, W) float32, multiples of 1 / 255 in [0, 1], as a
    file keeps them. values: (N,) how strongly each raises what it was made for. noise_mean, noise_deviation: (N,) of
    the same over NOISE_PICTURES pictures whose pixels are drawn uniformly from [0, 1].
    """

    kind: Kind
    layer: str | None
    indices: tuple[int, ...]
    pixels: Tensor
    values: Tensor
    noise_mean: Tensor
    noise_deviation: Tensor

    @property
    def deviations(self) -> Tensor:
        """(N,) how many standard deviations each value lies above its mean on noise; infinite where noise never moves
        it, as with a rectified unit that stays silent."""
        above = self.values - self.noise_mean
        return torch.where(above == 0, 0.0, above / self.noise_deviation)


@dataclass(frozen=True)
class Shown:
    """A network, and how pixels (B, C, H, W) in [0, 1] become what it takes: mean and deviation (C,) in such units."""

    network: nn.Module
    mean: Tensor
    deviation: Tensor

    def inputs(self, pixels: Tensor) -> Tensor:
        """Normalised, (B, C, H, W)."""
        return (pixels - self.mean.view(1, -1, 1, 1)) / self.deviation.view(1, -1, 1, 1)

    def blank(self, size: Size) -> Tensor:
        """One picture of the mean colour as the network takes it, (1, C, *size)."""
        return self.mean.new_zeros(1, len(self.mean), *size)

    def takes(self, size: Size) -> bool:
        """Whether pictures of this size can go through it."""
        return refusal(self.network, self.blank(size)) is None

    @torch.no_grad()
    def answers(self, target: Target, pixels: Tensor) -> Tensor:
        """How strongly each of these pictures raises each index of the target, (B, K)."""
        return torch.cat([target.of(self.network, self.inputs(some)) for some in torch.split(pixels, AT_ONCE)])


def shown_to(network: nn.Module, mean: Sequence[float], deviation: Sequence[float], size: Size) -> Shown:
    """`network`, as `unchanged` gives it, ready for pictures of this size. Raises InputError where it takes none."""
    require(
        len(mean) == len(deviation) and min(deviation) > 0,
        f"mean and deviation must have one value a channel, deviations above 0, got {mean} and {deviation}",
    )
    device = next((weight.device for weight in network.parameters()), torch.device("cpu"))
    shown = Shown(network, torch.tensor(mean, device=device).float(), torch.tensor(deviation, device=device).float())
    reason = refusal(network, shown.blank(size))
    if reason is not None:
        raise InputError(f"the network cannot take pictures of {size[1]}x{size[0]} with {len(mean)} channels: {reason}")
    return shown


def dream(
    network: nn.Module,
    indices: Sequence[int] = (0,),
    *,
    kind: Kind = "class",
    layer: str | None = None,
    size: Size,
    mean: Sequence[float],
    deviation: Sequence[float],
    steps: int | None = None,
    octaves: int | None = None,
    seed: int = 0,
    output: Output = None,
    observe: Observe | None = None,
) -> Dreams:
    """A picture for each of `indices`: classes, or channels of `layer` (`kind` "unit": the one unit in the middle of
    the channel's map; "channel": the mean of the map; "layer": the mean of the squares of all of it, one picture).

    size: (H, W) of the pictures. mean, deviation: (C,) in [0, 1] units, of the input that the network knows. steps: of
    gradient ascent (None: `steps_for`), shared out evenly among `octaves` (None: 3, fewer for small pictures). The
    dream of a unit is the same whatever others are asked for with it, but for the last bits. observe(done, steps) after
    each.

    A network that cannot take the size of a smaller octave is shown it enlarged to the last one. A unit that nothing
    raises yet (its rectifiers are shut) is reached through them by the rule of the deconvnet until it answers.
    Raises InputError: what the network does not have, a size that it cannot take, no steps, too many octaves.
    """
    sizes = octave_sizes(size, octaves, MOST_OCTAVES)
    steps = steps_for(size) if steps is None else steps
    require(steps >= 1, f"a dream needs at least 1 step, got {steps}")
    with unchanged(network) as bare:
        shown = shown_to(bare, mean, deviation, size)
        target = find_target(bare, shown.blank(size), kind, indices, layer, output)
        groups = [
            replace(target, indices=target.indices[at : at + AT_ONCE]) for at in range(0, len(target.indices), AT_ONCE)
        ]
        watch = None if observe is None else partial(_in_all, observe, steps * len(groups))
        painted_all = [
            _dreamt(shown, group, sizes, steps, seed, None if watch is None else partial(watch, steps * number))
            for number, group in enumerate(groups)
        ]
        values = [shown.answers(group, pixels).diagonal() for group, pixels in zip(groups, painted_all, strict=True)]
        on_noise = shown.answers(target, noise(seed, len(mean), size).to(shown.mean.device))
    return Dreams(
        kind=kind,
        layer=layer,
        indices=target.indices,
        pixels=torch.cat(painted_all).cpu(),
        values=torch.cat(values).cpu(),
        noise_mean=on_noise.mean(0).cpu(),
        noise_deviation=on_noise.std(0).cpu(),
    )


def steps_for(size: Size) -> int:
    """How many steps a dream of this size takes where nobody says: STEPS; of small pictures more, in inverse proportion
    to the shorter side, for theirs cost little and their units see few pixels."""
    return min(MOST_STEPS, max(STEPS, STEPS * SMALL // min(size)))


def _in_all(observe: Observe, total: int, before: int, done: int) -> None:
    observe(before + done, total)


def _dreamt(
    shown: Shown, target: Target, sizes: Sequence[Size], steps: int, seed: int, observe: Callable[[int], None] | None
) -> Tensor:
    """The pictures (N, C, H, W) for these indices, as they are kept."""
    rows, device = np.asarray(target.indices, dtype=np.int64), shown.mean.device
    waves = first_waves(seed, rows, len(shown.mean), sizes[0]).to(device)

    def raised(waves: Tensor, here: Size, seen: Size, places: Tensor) -> Tensor:
        pixels = sampled(painted(waves, here, shown.mean), places, seen)
        # Each dream is there for its own index alone.
        return target.of(shown.network, shown.inputs(pixels)).diagonal()

    for number, here in enumerate(sizes):
        if number:
            waves = enlarged(waves, sizes[number - 1], here)
        seen = here if target.any_size and shown.takes(here) else sizes[-1]
        adam = Adam(RATE, SHARED if min(sizes[-1]) < SMALL else 0.0)
        for step in range(steps * number // len(sizes), steps * (number + 1) // len(sizes)):
            places = wobble(seed, step, rows, here, share=1 - step / steps).to(device)
            gradient = gradient_of(partial(raised, here=here, seen=seen, places=places), waves)
            waves = adam.climbed(waves, gradient)
            if observe is not None:
                observe(step + 1)
    return as_kept(painted(waves, sizes[-1], shown.mean))


def noise(seed: int, channels: int, size: Size) -> Tensor:
    """(NOISE_PICTURES, channels, *size) float32, every pixel drawn uniformly from [0, 1)."""
    rows, count = np.arange(NOISE_PICTURES), channels * size[0] * size[1]
    drawn = uniforms(seed, 0, rows, count, purpose=PURPOSE).astype(np.float32)
    return torch.from_numpy(drawn).view(NOISE_PICTURES, channels, *size)
