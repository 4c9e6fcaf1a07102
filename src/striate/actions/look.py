"""`striate look`: a gallery of what a network has learned: layers as chapters, units with what excites them."""

from __future__ import annotations

import itertools
import shlex
import zipfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from striate.actions.look_data import Looked, blank_picture, of_run, of_source, shape_of, words
from striate.actions.look_page import compose
from striate.actions.look_result import Layer, Look, layer_of
from striate.actions.places import page_place
from striate.actions.subject import open_subject
from striate.errors import InputError, require
from striate.machine.files import write_atomically
from striate.machine.threads import threads_for, usable_cores
from striate.models.claim import check_outside
from striate.models.run import Run, is_run
from striate.observer import SILENT, Observer

if TYPE_CHECKING:
    from torch import nn

    from striate.data.samples import Samples
    from striate.models.input_spec import InputSpec
    from striate.models.model import Model
    from striate.reports.sheets import Sheet
    from striate.taps.fields import Fields
    from striate.taps.places import Place
    from striate.views.top_index import Found, Index

UNPOOLED = "no layer of max-pooling was found: the deconvnet shows the weights then, and hardly the picture"
UNITS = tuple(range(16))  # of each layer, where nobody has said


def look(
    run: Run | Model | nn.Module | str | Path | None = None,
    *,
    layers: Sequence[str] | None = None,
    units: Sequence[int] | Literal["all"] = UNITS,
    data: Any = None,
    labels: str | None = None,
    root: str | None = None,
    network: str | nn.Module | None = None,
    weights: str | Path | None = None,
    class_names: str | Path | Sequence[str] | None = None,
    input_spec: InputSpec | None = None,
    output: str | int | None = None,
    out: str | Path | None = None,
    write: bool = True,
    device: str = "auto",
    observer: Observer = SILENT,
) -> Look:
    """What the units of a network respond to, as a page (`out`, or `look.html`) and arrays beside it (`.npz`).

    run: a run folder, a `Model` or a module; or `network` (a name) with `weights` (a file): see `open_subject`.
    layers: by name; None: one of each size of map and the last vectors. units: those that the page shows of each.
    data: pictures, in any form that `train` takes, or a folder of pictures without labels (`labels`, `root`: as there);
    None: those that the run learned from and chose by. Without any, the page shows weights alone. At most 10,000
    pictures, evenly spaced, are looked at. output: which of several outputs holds the scores. write: False makes no
    files. The strongest pictures are kept in the cache folder; the next look at the same finds them there.

    Raises InputError: for what cannot be opened, an unknown layer, units that no layer has, and places that are taken.
    """
    import torch

    from striate.taps.multiply_adds import multiply_adds
    from striate.taps.places import find_places, place_named
    from striate.views.chapters import chapters
    from striate.views.top_patches import AT_ONCE

    files = _files(out, data) if write else None
    model = open_subject(
        run, network=network, weights=weights, class_names=class_names, input_spec=input_spec, device=device
    )
    torch.set_num_threads(threads_for(AT_ONCE * multiply_adds(model.network, blank_picture(model)), usable_cores()))
    places = find_places(model.network, blank_picture(model), output=output)
    chosen = [place_named(places, name) for name in dict.fromkeys(layers or chapters(model.network, places))]
    shown = _shown(chosen, units)
    samples = _samples(run, data, labels, root, observer)
    looked = None if samples is None else Looked(samples, model, observer)
    seen = _Seen(notes=("no pictures were looked at: name some with --data",))
    if looked is not None:
        pooled = any("MaxPool" in place.kind for place in places)
        seen = _see(looked, chosen, shown, draw_units=write, pooled=pooled, output=output)
    left_out = next((one.left_out for one in seen.found.values()), ())
    names = () if looked is None else looked.samples.names
    for row, reason in left_out:
        observer.warn(f"left out: {names[row]}: {reason}")
    result = Look(
        network=_name_of(run, network, model),
        page=None if files is None else files[0],
        arrays=None if files is None else files[1],
        looked="" if looked is None else words(looked.samples),
        pictures=next((one.units.pictures for one in seen.found.values()), 0),
        layers=tuple(layer_of(place, seen.fields.get(place.name)) for place in chosen),
        found=seen.found,
        names=names,
        class_names=() if looked is None else looked.samples.class_names,
        left_out=tuple((names[row], reason) for row, reason in left_out),
        notes=seen.notes,
    )
    if files is not None:
        page, arrays = compose(
            result,
            model,
            looked,
            places=places,
            shown=shown,
            sheets=seen.sheets,
            fields=seen.fields,
            reconstructed=seen.reconstructed,
            command=_command(run, network, weights, class_names, layers, units, data),
            output=output,
        )
        write_atomically(files[1], arrays)
        write_atomically(files[0], page)
    return result


def list_layers(
    run: Run | Model | nn.Module | str | Path | None = None,
    *,
    network: str | nn.Module | None = None,
    weights: str | Path | None = None,
    class_names: str | Path | Sequence[str] | None = None,
    input_spec: InputSpec | None = None,
    output: str | int | None = None,
    device: str = "auto",
) -> tuple[Layer, ...]:
    """The layers of a network that can be looked at, in order of execution, with what a unit of each sees."""
    from striate.taps.fields import receptive_fields
    from striate.taps.places import find_places

    model = open_subject(
        run, network=network, weights=weights, class_names=class_names, input_spec=input_spec, device=device
    )
    every = find_places(model.network, blank_picture(model), output=output)
    places = [place for place in every if place.layout != "other"]
    fields = receptive_fields(model.network, [place.name for place in places], shape_of(model), output=output)
    return tuple(layer_of(place, fields[place.name]) for place in places)


# -- what is looked at --------------------------------------------------------------------------


def _samples(run: Any, data: Any, labels: str | None, root: str | None, observer: Observer) -> Samples | None:
    if data is not None:
        samples = of_source(data, labels=labels, root=root, observer=observer)
    elif isinstance(run, Run) or (isinstance(run, str | Path) and is_run(Path(run))):
        found = of_run(run if isinstance(run, Run) else Run(Path(run)), observer)
        if found is None:
            return None
        samples = found
    else:
        observer.warn("no pictures are named, so weights alone are shown; name some with --data")
        return None
    require(len(samples) > 0, f"{samples.source}: there are no pictures to look at")
    return samples


def _shown(places: Sequence[Place], units: Sequence[int] | Literal["all"]) -> dict[str, tuple[int, ...]]:
    """The units of each layer that the page shows. Raises InputError where there are none at all."""
    require(bool(places), "no layer of this network has units that could be shown")
    if isinstance(units, str):
        return {place.name: tuple(range(place.channels)) for place in places}
    shown = {place.name: tuple(unit for unit in units if 0 <= unit < place.channels) for place in places}
    last = places[-1]
    require(
        any(shown.values()),
        f"no layer has unit {min(units, default='')}; {last.name} has units 0 to {last.channels - 1}",
    )
    return shown


@dataclass(frozen=True, kw_only=True, eq=False)
class _Seen:
    """What the pictures told. reconstructed: whether the sheets show the deconvnet beside the patches."""

    found: Mapping[str, Found] = field(default_factory=dict)
    fields: Mapping[str, Fields] = field(default_factory=dict)
    sheets: Mapping[str, Mapping[int, Sheet]] = field(default_factory=dict)
    reconstructed: bool = False
    notes: tuple[str, ...] = ()


def _see(
    looked: Looked,
    places: Sequence[Place],
    shown: Mapping[str, tuple[int, ...]],
    *,
    draw_units: bool,
    pooled: bool,
    output: str | int | None,
) -> _Seen:
    from striate.actions.look_cells import Wanted, draw
    from striate.reports.gallery import side_for
    from striate.taps.rectifiers import require_rectifiers
    from striate.views.top_index import look_through

    model, observer = looked.model, looked.observer
    index = _index(looked, output)
    found = look_through(
        model.network,
        looked.batches,
        [place.name for place in places],
        classes=len(looked.samples.class_names),
        index=index,
        left_out=lambda: looked.left_out,
        output=output,
        observer=observer,
    )
    fields = _fields(model, places, index, output, observer)
    deconvnet, notes = True, () if pooled else (UNPOOLED,)
    try:
        require_rectifiers(model.network, blank_picture(model), "the deconvnet reconstruction")
    except InputError as error:
        deconvnet, notes = False, (f"patches alone: {error}",)
    sheets: dict[str, dict[int, Sheet]] = {}
    if draw_units:
        wanted = [
            Wanted(
                layer=place.name,
                units=tuple(unit for unit in shown[place.name] if not found[place.name].units.dead[unit]),
                top=found[place.name].top,
                fields=fields[place.name],
            )
            for place in places
        ]
        side = side_for(sum(map(len, shown.values())))
        sheets = draw(looked, wanted, side=side, deconvnet=deconvnet, index=index, output=output)
    return _Seen(found=found, fields=fields, sheets=sheets, reconstructed=deconvnet, notes=notes)


def _index(looked: Looked, output: str | int | None) -> Index | None:
    """Where it is kept; None where nothing is to be kept."""
    from striate.data.kept import cache_budget
    from striate.views.top_index import Index, content_of

    if cache_budget() == 0:
        return None
    model = looked.model
    settings = {
        "input": model.input_spec.to_json(),
        "device": model.device.partition(":")[0],
        "precision": model.precision,
        "output": output,
    }
    return Index(content_of(model.network, looked.digest(), settings))


def _fields(
    model: Model, places: Sequence[Place], index: Index | None, output: str | int | None, observer: Observer
) -> dict[str, Fields]:
    """The receptive fields of these layers, kept with the index."""
    from striate.taps.fields import Fields, receptive_fields
    from striate.views.top_index import keep_arrays, read_arrays

    found: dict[str, Fields] = {}
    for place in places:
        kept = None if index is None else read_arrays(index.place(f"{place.name}\nfields"), observer)
        if kept is not None:
            rows, columns = (tuple((int(a), int(b)) for a, b in kept[name]) for name in ("rows", "columns"))
            found[place.name] = Fields(rows, columns)
    missing = [place.name for place in places if place.name not in found]
    for name, own in receptive_fields(model.network, missing, shape_of(model), output=output).items():
        found[name] = own
        if index is not None:
            arrays = {"rows": np.array(own.rows, dtype=np.int64), "columns": np.array(own.columns, dtype=np.int64)}
            keep_arrays(index.place(f"{name}\nfields"), arrays, observer)
    return found


# -- what is written ----------------------------------------------------------------------------


def _files(out: str | Path | None, data: Any) -> tuple[Path, Path]:
    """The page and the arrays beside it. Raises InputError where either place is taken by something else, or lies in
    the pictures."""
    page, arrays = _places(out)
    if isinstance(data, str | Path):
        check_outside(page, str(data), "it would lie")
    return page, arrays


def _places(out: str | Path | None) -> tuple[Path, Path]:
    if out is None:
        numbered = (Path(f"look{'' if number == 1 else f'-{number}'}.html") for number in itertools.count(1))
        page = next(place for place in numbered if not place.exists() and not place.with_suffix(".npz").exists())
        return page_place(page, name="look", command="look"), page.with_suffix(".npz")
    page = page_place(out, name="look", command="look")
    arrays = page.with_suffix(".npz")
    require(arrays != page, f"{page} is the name of the page; the arrays go beside it, with .npz at the end")
    require(
        not arrays.exists() or _is_ours(arrays),
        f"{arrays} is there and was not written by striate look; name another file with --out",
    )
    return page, arrays


def _is_ours(path: Path) -> bool:
    try:
        with zipfile.ZipFile(path) as archive:
            return "made_by.npy" in archive.namelist()
    except (OSError, zipfile.BadZipFile):
        return False


def _name_of(run: Any, network: Any, model: Model) -> str:
    """For the title of the page."""
    if isinstance(run, Run | str | Path):
        return str(run)
    return network if isinstance(network, str) else type(model.network).__name__


def _command(
    run: Any, network: Any, weights: Any, class_names: Any, layers: Sequence[str] | None, units: Any, data: Any
) -> str:
    """What was typed, or would be for the same."""
    words = ["striate", "look"]
    words += [str(run)] if isinstance(run, Run | str | Path) else []
    for flag, value in (("network", network), ("weights", weights), ("class-names", class_names), ("data", data)):
        if isinstance(value, str | Path):
            words += [f"--{flag}", str(value)]
    for layer in layers or ():
        words += ["--layer", layer]
    if units != UNITS:
        words += ["--units", units if isinstance(units, str) else ",".join(map(str, units))]
    return shlex.join(words)
