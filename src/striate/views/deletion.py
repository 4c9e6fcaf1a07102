"""Deletion and insertion: does the answer hang on the pixels that a map marks? (C, H, W) and (H, W) -> a curve.

Deletion: the pixels are taken away, the most important first; the probability of the class should fall at once, so that
the area under its curve is small. Insertion: they are put back into a blurred picture; it should rise at once.
Petsiuk, Das, Saenko 2018, "RISE" (arXiv:1806.07421). Two differences: the steps are finer at the beginning, where the
curves bend (the area is the same integral), and the blur is a whole Gaussian, where the authors' program cuts it off.
Limits: a picture with holes is like none that the network has learned from. Scattered holes disturb it most, so that a
map of single pixels beats one of soft blobs at deletion: compare with random maps of the same smoothness (`fared.py`).

Legend: C channels, H W pixels, S steps, K scores.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from striate.data.draws import permutation
from striate.errors import InputError, require
from striate.networks.fused import fused
from striate.taps.outputs import scores, scores_in
from striate.taps.unchanged import unchanged
from striate.views.blur import blurred
from striate.views.maps import Output, as_classes, layout_of

Fill = float | Tensor | str  # "blurred"

BLUR = 5 / 224  # deviation, as a share of the shorter side: the 5 pixels of the authors
LEAST_BLUR = 1.0  # pixels; with less, small pictures would stay as they are, and every insertion look the same
PURPOSE = 0xDE1E7E  # of the draws that order pixels of equal importance
VALUES_AT_ONCE = 2_400_000  # of pictures that go through the network together: 16 of 224x224x3


@dataclass(frozen=True, kw_only=True, eq=False)
class Curve:
    """The probability of a class as more and more pixels are changed.

    fractions: (S + 1,) float32, the share of pixels that are changed, from 0 to 1. probabilities: (S + 1,) float32.
    area: under the curve, by the trapezoidal rule, in [0, 1].
    """

    fractions: Tensor
    probabilities: Tensor
    area: float


def deletion(
    network: nn.Module,
    picture: Tensor,
    importance: Tensor,
    class_index: int | None = None,
    *,
    steps: int = 32,
    fill: Fill = 0.0,
    output: Output = None,
    seed: int = 0,
) -> Curve:
    """The probability while `picture` (C, H, W) loses its pixels, those of the highest `importance` (H, W) first.

    class_index: None for the most probable one. fill: what takes their place: a number (0 is the mean where pictures
    are normalised), a tensor that fits the picture, or "blurred". Pixels of equal importance are ordered by `seed`.
    A small area is good. Raises InputError where picture, map, class, steps or fill cannot be used.
    """
    return _curve(network, picture, importance, class_index, steps, fill, output, seed, inserting=False)


def insertion(
    network: nn.Module,
    picture: Tensor,
    importance: Tensor,
    class_index: int | None = None,
    *,
    steps: int = 32,
    fill: Fill = "blurred",
    output: Output = None,
    seed: int = 0,
) -> Curve:
    """The probability while `picture` (C, H, W) gets its pixels back, those of the highest `importance` (H, W) first.

    fill: what it is before, as in `deletion`; the rest as there. A large area is good. Raises InputError as there.
    """
    return _curve(network, picture, importance, class_index, steps, fill, output, seed, inserting=True)


def _curve(
    network: nn.Module,
    picture: Tensor,
    importance: Tensor,
    class_index: int | None,
    steps: int,
    fill: Fill,
    output: Output,
    seed: int,
    *,
    inserting: bool,
) -> Curve:
    check(picture, importance, steps)
    filled = _filled(picture, fill)
    before, after = (filled, picture) if inserting else (picture, filled)
    with unchanged(network) as bare, torch.no_grad():
        wanted = the_class(bare, picture, class_index, output)
        shares = fractions(steps)
        changing = between(before, after, ranks(importance, ties(importance.numel(), seed)), shares)
        probabilities = probabilities_of(bare, changing, wanted, output)
    return Curve(fractions=shares, probabilities=probabilities, area=area(shares, probabilities))


# What follows is shared with `fared.py`, which draws many curves at once.


def check(picture: Tensor, importance: Tensor, steps: int) -> None:
    """Raise InputError unless a curve of this map can be drawn."""
    shape = "x".join(map(str, picture.shape))
    require(picture.ndim == 3 and picture.numel() > 0, f"a picture is (C, H, W), got {shape or 'a single number'}")
    require(
        picture.is_floating_point(),
        f"a picture must be as the network takes it (float32, normalised), got {picture.dtype}",
    )
    require(
        importance.shape == picture.shape[1:],
        f"the map is {'x'.join(map(str, importance.shape))} and the picture {'x'.join(map(str, picture.shape[1:]))}; "
        "bring the map to the size of the picture",
    )
    require(bool(importance.isfinite().all()), "the map holds values that are not finite")
    pixels = importance.numel()
    require(1 <= steps <= pixels, f"steps must be 1 to {pixels}, the pixels of the picture, got {steps}")


def _filled(picture: Tensor, fill: Fill) -> Tensor:
    if isinstance(fill, str):
        if fill != "blurred":
            raise InputError(f"fill must be a number, a tensor or 'blurred', got '{fill}'")
        return softened(picture)
    try:
        return torch.as_tensor(fill, dtype=picture.dtype, device=picture.device).expand_as(picture)
    except RuntimeError as error:
        wanted, got = (tuple(one.shape) for one in (picture, torch.as_tensor(fill)))
        raise InputError(f"fill must fit a picture of {wanted}, got a tensor of {got}") from error


def softened(picture: Tensor) -> Tensor:
    """The picture (C, H, W) without its details: what insertion begins with."""
    soft = blurred(picture, max(LEAST_BLUR, BLUR * min(picture.shape[1:])))
    return torch.empty_like(picture).copy_(soft)  # laid out as the picture is, and so is what is made of the two


def fractions(steps: int) -> Tensor:
    """(S + 1,) float32 from 0 to 1, finer at the beginning: (s / S)^2."""
    return (torch.arange(steps + 1) / steps) ** 2


def ties(pixels: int, seed: int) -> Tensor:
    """The drawn order (pixels,) int64 in which pixels of equal importance go, else they would go line by line."""
    return torch.from_numpy(permutation(seed, 0, pixels, purpose=PURPOSE))


def ranks(importance: Tensor, drawn: Tensor) -> Tensor:
    """(H, W) int64: 0 at the most important pixel. Equal ones are in drawn order (see `ties`)."""
    flat = importance.detach().float().cpu().reshape(-1)
    order = drawn[flat[drawn].argsort(descending=True, stable=True)]
    places = torch.empty_like(order)
    places[order] = torch.arange(len(order))
    return places.reshape(importance.shape)


def between(before: Tensor, after: Tensor, places: Tensor, shares: Tensor) -> Iterator[Tensor]:
    """A picture (C, H, W) for each share: `after` at the pixels of the first ranks, `before` at all others."""
    places = places.to(before.device)
    for share in shares.tolist():
        yield torch.where(places < round(share * places.numel()), after, before)


def the_class(bare: nn.Module, picture: Tensor, class_index: int | None, output: Output) -> int:
    """The class that is meant: the most probable one for None. Raises InputError for one that the network lacks."""
    return int(as_classes(class_index, scores(bare, picture[None], output))[0, 0])


def probabilities_of(bare: nn.Module, pictures: Iterable[Tensor], class_index: int, output: Output) -> Tensor:
    """The probability of the class for each picture (C, H, W): (N,) float32 on the CPU. Some pictures at once."""
    run: Callable[[Tensor], object] | None = None
    found = [torch.zeros(0)]
    waiting: list[Tensor] = []
    for picture in pictures:
        run = run or fused(bare, device=picture.device.type, precision="float32") or bare
        waiting.append(picture)
        if (len(waiting) + 1) * picture.numel() > VALUES_AT_ONCE:
            found.append(_probabilities(run, waiting, class_index, output))
            waiting = []
    if run is not None and waiting:
        found.append(_probabilities(run, waiting, class_index, output))
    return torch.cat(found)


def _probabilities(run: Callable[[Tensor], object], pictures: list[Tensor], class_index: int, output: Output) -> Tensor:
    # Stacked they would lose the layout that convolutions are fastest in.
    batch = torch.stack(pictures).contiguous(memory_format=layout_of(pictures[0][None]))
    return scores_in(run(batch), len(batch), output).softmax(dim=1)[:, class_index].float().cpu()


def area(shares: Tensor, probabilities: Tensor) -> float:
    """Under the curve, by the trapezoidal rule."""
    return float(torch.trapezoid(probabilities.double(), shares.double()))
