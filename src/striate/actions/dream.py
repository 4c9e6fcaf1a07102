"""`striate dream`: pictures made for a network, of its classes, units or layers; or a picture of yours dreamt on.

Legend: N dreams, C channels, H W pixels.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from striate.actions.dream_picture import png, sheet
from striate.actions.kept_epochs import epochs_of, models_of
from striate.actions.one_picture import one_picture
from striate.actions.places import new_file
from striate.actions.rows import require_pictures
from striate.actions.subject import class_number, open_subject
from striate.errors import require
from striate.machine.threads import with_threads
from striate.models.hub import fetched
from striate.models.run import Run
from striate.names import plain_name
from striate.observer import SILENT, Observer
from striate.words import counted

if TYPE_CHECKING:
    from torch import nn

    from striate.models.input_spec import InputSpec
    from striate.models.model import Model
    from striate.views.dreams import Dreams
    from striate.views.excitement import Kind

MOST_CLASSES = 10  # that are dreamt of where none is named
LARGEST, MOST_STEPS = 2048, 100_000
LONGER_SIDE = 448  # of a picture that is dreamt on, where no size is named


@dataclass(frozen=True, kw_only=True, eq=False)
class Dreamt:
    """What was dreamt: `dreams` (see `striate.views.dreams.Dreams`; of a film those of the last epoch), what each is of
    in words, where the picture was written, and the epochs of a film."""

    dreams: Dreams
    names: tuple[str, ...]
    place: Path
    epochs: tuple[int, ...] = ()

    @property
    def pixels(self) -> np.ndarray:
        """(N, H, W, C) uint8."""
        return _pixels(self.dreams)

    def to_json(self) -> dict[str, Any]:
        """Plain values: where the picture is, and how strongly each dream raises what it is of, beside noise."""
        dreams = self.dreams
        columns = (dreams.values, dreams.noise_mean, dreams.noise_deviation, dreams.deviations)
        rows = zip(self.names, *(column.tolist() for column in columns), strict=True)
        keys = ("of", "value", "noise_mean", "noise_deviation", "deviations")
        told = {"picture": str(self.place), "dreams": [dict(zip(keys, row, strict=True)) for row in rows]}
        return {**told, "epochs": list(self.epochs)} if self.epochs else told


@with_threads()
def dream(
    run: Run | Model | nn.Module | str | Path | None = None,
    *,
    class_name: str | int | Sequence[str | int] | None = None,
    layer: str | None = None,
    unit: int | Sequence[int] | None = None,
    channel: int | Sequence[int] | None = None,
    picture: str | Path | np.ndarray | None = None,
    film: bool = False,
    steps: int | None = None,
    octaves: int | None = None,
    size: int | None = None,
    seed: int = 0,
    out: str | Path | None = None,
    network: str | nn.Module | None = None,
    weights: str | Path | None = None,
    class_names: str | Path | Sequence[str] | None = None,
    input_spec: InputSpec | None = None,
    output: str | int | None = None,
    device: str = "auto",
    observer: Observer = SILENT,
) -> Dreamt:
    """Pictures that raise a class's score, a unit, a channel or a layer as far as they can, as one PNG.

    run: a run, a `Model` or a module; or None, where `network` (with `weights`, `class_names`, `input_spec`) stands in
    its place: see `actions.subject.open_subject`. class_name: by name or number, one or several; of a network of few
    classes all of them where nothing is named. layer: a place by its name; with `unit` the one unit in the middle of
    these maps, with `channel` the whole of them, with neither the whole layer. picture: a file or an array (H, W) or
    (H, W, C) that is dreamt on (DeepDream), by default by a layer chosen in the middle. film: the same dream after each
    epoch that the run has kept (`keep_epochs`), as a moving picture. steps: of gradient ascent. octaves: sizes that the
    picture grows through. size: pixels of the longer side; None: the network's own. seed: of everything random.

    The picture goes to `out`, a new file; None: `dream-<what>.png` in the current folder, with a number where that name
    is taken. Raises InputError where something of this cannot be used.
    """
    from striate.machine.files import write_atomically

    kind = _kind(class_name, layer, unit, channel, picture)
    for name, value, most in (("steps", steps, MOST_STEPS), ("size", size, LARGEST), ("octaves", octaves, 64)):
        require(value is None or 1 <= value <= most, f"{name} must be 1 to {most:,}, got {value}")
    place = new_file(out, name=_file_name(class_name, layer, unit, channel, picture), suffix=".png")
    run = fetched(run)
    model = open_subject(
        run,
        network=network,
        weights=weights,
        class_names=class_names,
        input_spec=input_spec,
        output=output,
        device=device,
    )
    require(
        model.input_spec.mean_picture is None,
        "this run takes a mean picture off its inputs, in which a dream has no place; name a run without one",
    )
    require_pictures(model.input_spec, "striate dream")
    indices = _indices(kind, class_name, unit, channel, model.class_names)
    require(
        picture is None or len(indices) == 1,
        f"a picture is dreamt on by one {kind} at a time, got {len(indices)}; name one",
    )
    settings: dict[str, Any] = {"kind": kind, "octaves": octaves, "seed": seed, "output": output}
    if steps is not None:
        settings["steps"] = steps
    epochs = epochs_of(run) if film else ()
    models = (one for _, one in models_of(run, epochs, network, device)) if film else iter([model])
    made: list[Dreams] = []
    for number, one in enumerate(models):
        watch = partial(_watched, observer, number, len(epochs) or 1)
        if picture is None:
            made.append(_from_nothing(one, indices, layer, size, settings, watch))
        else:
            made.append(_from_picture(one, picture, indices[0], layer, size, settings, watch, observer))
    write_atomically(place, png([sheet(_pixels(dreams)) for dreams in made]))
    dreams = made[-1]
    names = _names(dreams, model.class_names)
    for name, deviations in zip(names, dreams.deviations.tolist(), strict=True):
        if deviations <= 0:
            few = "it may be dead" if steps is None else f"it may be dead, or {counted(steps, 'step')} too few"
            observer.warn(f"{name}: nothing was found that raises it above what noise gives; {few}")
    return Dreamt(dreams=dreams, names=names, place=place, epochs=epochs)


# -- what is meant ------------------------------------------------------------------------------


def _kind(class_name: object, layer: str | None, unit: object, channel: object, picture: object) -> Kind:
    """Which kind of dream these arguments ask for. Raises InputError where they contradict each other."""
    require(unit is None or channel is None, "a dream is of a unit or of a channel; leave --unit or --channel away")
    for name, value in (("unit", unit), ("channel", channel)):
        require(value is None or layer is not None, f"{name} {value}: say of which layer, with --layer")
    require(
        class_name is None or layer is None,
        f"a dream is of a class or of a layer; leave --class {class_name} or --layer {layer} away",
    )
    if unit is not None:
        return "unit"
    if channel is not None:
        return "channel"
    return "layer" if layer is not None or (picture is not None and class_name is None) else "class"


def _indices(
    kind: Kind,
    class_name: str | int | Sequence[str | int] | None,
    unit: int | Sequence[int] | None,
    channel: int | Sequence[int] | None,
    names: Sequence[str],
) -> tuple[int, ...]:
    """The classes or channels that are meant. Raises InputError."""
    if kind == "layer":
        return (0,)
    if kind != "class":
        numbers = unit if kind == "unit" else channel
        assert numbers is not None
        return (numbers,) if isinstance(numbers, int) else tuple(numbers)
    if class_name is None:
        require(
            len(names) <= MOST_CLASSES,
            f"which of the {len(names):,} classes? name one with --class, such as '{names[0] if names else ''}'; or "
            "a --layer",
        )
        return tuple(range(len(names)))
    wanted = [class_name] if isinstance(class_name, str | int) else list(class_name)
    return tuple(class_number(one, names) for one in wanted)


def _names(dreams: Dreams, class_names: Sequence[str]) -> tuple[str, ...]:
    if dreams.kind == "class":
        return tuple(class_names[index] for index in dreams.indices)
    if dreams.kind == "layer":
        return (f"{dreams.layer}",)
    return tuple(f"{dreams.layer} {dreams.kind} {index}" for index in dreams.indices)


def _file_name(class_name: object, layer: str | None, unit: object, channel: object, picture: object) -> str:
    """ "dream-tiger", "dream-features.3-unit-7", "dream-cat"."""
    parts = [Path(picture).stem] if isinstance(picture, str | Path) else []
    parts += [str(one) for one in (class_name, layer) if isinstance(one, str | int)]
    parts += [f"{name}-{value}" for name, value in (("unit", unit), ("channel", channel)) if isinstance(value, int)]
    return plain_name("-".join(["dream", *parts]))[:80].rstrip("-.")


# -- dreaming -----------------------------------------------------------------------------------


def _from_nothing(
    model: Model,
    indices: Sequence[int],
    layer: str | None,
    size: int | None,
    settings: dict[str, Any],
    watch: Callable[[int, int], None],
) -> Dreams:
    from striate.views.dreams import dream as dream_of

    spec = model.input_spec
    own = (spec.height, spec.width)
    return dream_of(
        model.network,
        indices,
        layer=layer,
        size=own if size is None else _scaled(own, size),
        mean=spec.mean,
        deviation=spec.deviation,
        observe=watch,
        **settings,
    )


def _from_picture(
    model: Model,
    picture: str | Path | np.ndarray,
    index: int,
    layer: str | None,
    size: int | None,
    settings: dict[str, Any],
    watch: Callable[[int, int], None],
    observer: Observer,
) -> Dreams:
    import torch
    from torch.nn import functional

    from striate.data.resample import to_channels
    from striate.taps.unchanged import unchanged
    from striate.views.deepdream import deepdream
    from striate.views.dreams import shown_to
    from striate.views.excitement import middle_layer

    spec = model.input_spec
    pixels = one_picture(picture).pixels
    own = (pixels.shape[0], pixels.shape[1])
    wanted = _scaled(own, min(LONGER_SIDE, max(own)) if size is None else size)
    plain = torch.from_numpy(np.array(to_channels(pixels, spec.channels), dtype=np.float32)).permute(2, 0, 1)[None]
    start = functional.interpolate(plain, size=wanted, mode="bilinear", antialias=True, align_corners=False)[0]
    with unchanged(model.network) as bare:
        shown = shown_to(bare, spec.mean, spec.deviation, (spec.height, spec.width))
        if size is None and not shown.takes(wanted):
            observer.say(f"the network takes no pictures of this size: it is brought to {_times(spec)}")
            start = model.prepare(pixels).float()
        if layer is None and settings["kind"] == "layer":
            layer = middle_layer(bare, shown.blank((spec.height, spec.width)), settings["output"])
            observer.say(f"layer {layer}, in the middle of the network; name another with --layer")
    return deepdream(
        model.network,
        start.clamp(0, 255) / 255,
        index,
        layer=layer,
        mean=spec.mean,
        deviation=spec.deviation,
        observe=watch,
        **settings,
    )


def _scaled(size: tuple[int, int], longer: int) -> tuple[int, int]:
    """The same shape with this longer side."""
    return (max(1, round(size[0] * longer / max(size))), max(1, round(size[1] * longer / max(size))))


def _times(spec: InputSpec) -> str:
    return f"{spec.width}x{spec.height}"


def _watched(observer: Observer, number: int, count: int, done: int, total: int) -> None:
    observer.progress("dreaming", number * total + done, count * total)


def _pixels(dreams: Dreams) -> np.ndarray:
    whole: np.ndarray = (255 * dreams.pixels).round().byte().permute(0, 2, 3, 1).contiguous().numpy()
    return whole
