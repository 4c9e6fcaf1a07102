"""Several maps of the same pictures: what they have in common is computed once. -> a name after another, with its Maps.

Each map is the one that its view gives alone. The plain gradient and the input times it are one backward pass; Grad-CAM
and Grad-CAM++ one pass to the layer and back; guided Grad-CAM is made of Grad-CAM and of guided back-propagation.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from torch import Tensor, nn

from striate.errors import InputError
from striate.views import VIEWS
from striate.views.grad_cam import WEIGHTS, class_activations, detail_in_region
from striate.views.gradients import times_input
from striate.views.maps import Classes, Maps, Output

# Maps that are made of others, without another pass.
MADE_OF = {
    "input-x-gradient": ("gradient",),
    "guided-grad-cam": ("grad-cam", "guided-backpropagation"),
}


def maps_together(
    network: nn.Module,
    pictures: Tensor,
    classes: Classes,
    methods: Mapping[str, Mapping[str, Any]],
    *,
    layer: str | None = None,
    output: Output = None,
) -> Iterator[tuple[str, Maps | InputError]]:
    """The maps of `methods`, names of `VIEWS` with the settings of each, in their order; each when it is made.

    layer: for those that look at one. What cannot be right for this network comes as the InputError that the view
    raises, and the others go on.
    """
    needed = {part for name in methods for part in _parts(name)}
    activations = [name for name in WEIGHTS if name in needed]
    made: dict[str, Maps | InputError] = {}
    for name, settings in methods.items():
        for part in _parts(name):
            if part in made:
                continue
            try:
                if part in WEIGHTS:
                    made |= class_activations(network, pictures, classes, activations, layer=layer, output=output)
                else:
                    made[part] = VIEWS[part].load()(network, pictures, classes, output=output, **settings)
            except InputError as error:
                made |= dict.fromkeys(activations if part in WEIGHTS else [part], error)
        yield name, _put_together(name, [made[part] for part in _parts(name)], pictures)


def _parts(name: str) -> tuple[str, ...]:
    return MADE_OF.get(name, (name,))


def _put_together(name: str, parts: Sequence[Maps | InputError], pictures: Tensor) -> Maps | InputError:
    """The map of this name out of its parts, or why there is none."""
    maps = []
    for part in parts:
        if isinstance(part, InputError):
            return part
        maps.append(part)
    if name == "input-x-gradient":
        return times_input(maps[0], pictures)
    if name == "guided-grad-cam":
        return detail_in_region(*maps)
    return maps[0]
