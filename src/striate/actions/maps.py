"""What an explanation asks of a network: maps by several methods, each judged, and the square that turns the answer.

Legend: C channels, H W pixels of what the network saw, K classes that maps are of.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from striate.actions.explanation import OCCLUSION, Mapped, Turned
from striate.errors import InputError, require, unknown
from striate.observer import Observer
from striate.views import VIEWS

if TYPE_CHECKING:
    from torch import Tensor

    from striate.models.model import Model

# Seconds for a picture, and each of them another question.
QUICK = ("grad-cam", "guided-grad-cam", "integrated-gradients", "smoothgrad", OCCLUSION)
ALL = "all"
LAYERED = ("grad-cam", "grad-cam++", "guided-grad-cam")  # those that look at a layer
# What makes them quick. With so many points the quadrature misses completeness by up to a few hundredths of the score.
SETTINGS = {"integrated-gradients": {"steps": 24}, "smoothgrad": {"samples": 16}}
FARED_STEPS = 4  # of the quick test of each map: six passes
# Sides of the squares that are tried, as shares of the shorter side: each two thirds of the one before.
SQUARES = (0.6, 0.4, 0.27, 0.18, 0.12, 0.08, 0.05)


def methods_of(method: str | Sequence[str] | None, layer: str | None) -> tuple[tuple[str, ...], bool]:
    """The methods that are meant, and whether each was asked for by name: several with commas; "all"; None: `QUICK`.

    Raises InputError for a method that there is not, and for a `layer` where none of them looks at one.
    """
    known = [name for name, view in VIEWS.items() if view.group == "map"]
    if method is None or method == ALL:
        chosen, by_name = tuple(known) if method == ALL else QUICK, False
    else:
        words = method.split(",") if isinstance(method, str) else list(method)
        chosen, by_name = tuple(dict.fromkeys(word.strip() for word in words)), True
        for name in chosen:
            if name not in known:
                raise unknown("method", name, [*known, ALL])
    looking = any(name in LAYERED for name in chosen)
    require(layer is None or looking, f"none of {', '.join(chosen)} looks at a layer; leave --layer away")
    return chosen, by_name


def maps_of(
    model: Model,
    inputs: Tensor,
    classes: list[int],
    methods: Sequence[str],
    by_name: bool,
    layer: str | None,
    output: str | int | None,
    observer: Observer,
) -> tuple[list[Mapped], list[tuple[str, str]]]:
    """What each method says, with how the maps of the first class fared; and which methods cannot be right here."""
    import torch

    from striate.views.fared import fared
    from striate.views.together import maps_together

    settings = {name: _settings(name, inputs) for name in methods}
    coming = maps_together(model.network, inputs, classes, settings, layer=layer, output=output)
    found: list[Mapped] = []
    left_out: list[tuple[str, str]] = []
    steps = len(methods) + 1
    observer.progress("maps", 0, steps)
    began = time.monotonic()
    for number, (name, maps) in enumerate(coming, start=1):
        seconds = time.monotonic() - began
        if isinstance(maps, InputError):
            # A network without rectifiers, say: nothing that the user did wrong, unless they asked for this.
            if by_name or (layer is not None and name in LAYERED):
                raise maps
            left_out.append((name, str(maps)))
        else:
            values = maps.values[0].numpy()
            found.append(Mapped(method=name, values=values, layer=maps.layer, seconds=seconds, settings=settings[name]))
        observer.progress("maps", number, steps)
        began = time.monotonic()
    if not found:
        raise InputError(f"no map can be made of this network: {left_out[0][1]}")
    judged = fared(
        model.network,
        inputs[0],
        {one.method: torch.from_numpy(one.values[0]) for one in found},
        classes[0],
        steps=FARED_STEPS,
        output=output,
    )
    observer.progress("maps", steps, steps)
    return [replace(one, fared=judged[one.method]) for one in found], left_out


def _settings(method: str, inputs: Tensor) -> dict[str, Any]:
    """What a method is asked with, beside the picture, the classes and the layer."""
    if method == OCCLUSION:
        # Half of the square, which is a seventh of the shorter side: a quarter as many places as by the view's own.
        return {"stride": max(1, min(inputs.shape[2:]) // 14)}
    return dict(SETTINGS.get(method, {}))


def turned_by_square(model: Model, inputs: Tensor, output: str | int | None) -> Turned:
    """The smallest square in the mean colour that turns the answer, and what is answered then."""
    import torch

    from striate.taps.outputs import scores
    from striate.taps.unchanged import unchanged
    from striate.views.smallest_square import smallest_square

    sizes = [max(1, round(share * min(inputs.shape[2:]))) for share in SQUARES]
    square = smallest_square(model.network, inputs, sizes=sizes, output=output)
    if square is None:
        return Turned(box=None, answer=None, probability=None, largest=sizes[0])
    box = (square.top, square.left, square.top + square.size, square.left + square.size)
    covered = inputs.clone()
    covered[:, :, box[0] : box[2], box[1] : box[3]] = 0
    with torch.no_grad(), unchanged(model.network) as bare:
        # By the task, as every answer: its probabilities are calibrated.
        answered = model.task.decode(scores(bare, covered, output).cpu())[0]
    best = int(answered.argmax())
    return Turned(box=box, answer=model.class_names[best], probability=float(answered[best]), largest=sizes[0])
