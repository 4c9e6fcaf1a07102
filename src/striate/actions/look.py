"""`striate look`: a gallery of what a network has learned: layers as chapters, units with what excites them."""

from __future__ import annotations

import itertools
import shlex
import zipfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from striate.actions.kept_epochs import epochs_of, models_of
from striate.actions.look_data import Looked, blank_picture, of_run, of_source, words
from striate.actions.look_page import compose
from striate.actions.look_result import Layer, Look, layer_of
from striate.actions.places import page_place
from striate.actions.rows import require_pictures
from striate.actions.subject import open_subject
from striate.data.samples import CLASSIFICATION
from striate.errors import require
from striate.machine.files import write_atomically
from striate.machine.threads import threads_for, usable_cores, with_threads
from striate.models.claim import check_outside
from striate.models.hub import fetched
from striate.models.run import Run
from striate.models.run_files import is_run
from striate.observer import SILENT, Observer

if TYPE_CHECKING:
    from torch import nn

    from striate.actions.look_fields import Sight
    from striate.data.samples import Samples
    from striate.models.input_spec import InputSpec
    from striate.models.model import Model
    from striate.taps.places import Place

UNITS = tuple(range(16))  # of each layer, where nobody has said


@with_threads()
def look(
    run: Run | Model | nn.Module | str | Path | None = None,
    *,
    layers: Sequence[str] | None = None,
    units: Sequence[int] | Literal["all"] = UNITS,
    data: Any = None,
    labels: str | None = None,
    root: str | None = None,
    invariance: bool = False,
    through_training: bool = False,
    feature_space: str | None = None,
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
    pictures, evenly spaced, are looked at. invariance: also how much each layer changes as some of the pictures are
    moved, scaled and turned. through_training: also what the first units of each layer saw after the epochs that the
    run has kept (`keep_epochs`). feature_space: "pca" or "t-sne", the way in which some of the pictures are laid out by
    what the network finds alike. output: which of several outputs holds the scores. write: False makes no files. The
    strongest pictures are kept in the cache folder; the next look at the same finds them there.

    Raises InputError: for what cannot be opened, weights that are not finite, an unknown layer, units that no layer
    has, places that are taken, and for `invariance` and `feature_space` without pictures, and `through_training`
    without kept epochs.
    """
    import torch

    from striate.actions.look_films import some_epochs
    from striate.actions.look_seen import Seen, see
    from striate.taps.multiply_adds import multiply_adds
    from striate.taps.places import find_places
    from striate.taps.rectifiers import require_rectifiers
    from striate.views.feature_space import way_named
    from striate.views.one_pass import AT_ONCE

    way = None if feature_space is None else way_named(feature_space)
    files = _files(out, data) if write else None
    named, run = run, fetched(run)
    epochs = some_epochs(epochs_of(run)) if through_training else ()
    model = open_subject(
        run,
        network=network,
        weights=weights,
        class_names=class_names,
        input_spec=input_spec,
        output=output,
        device=device,
    )
    require_pictures(model.input_spec, "striate look")
    for name, weight in model.network.named_parameters():
        require(
            not weight.is_floating_point() or bool(weight.isfinite().all()),
            f"the weights {name} are not finite (NaN or infinity): there is nothing to be seen in them",
        )
    torch.set_num_threads(threads_for(AT_ONCE * multiply_adds(model.network, blank_picture(model)), usable_cores()))
    places = find_places(model.network, blank_picture(model), output=output)
    chosen = _chosen(model, places, layers)
    shown = _shown(chosen, units)
    if through_training:
        require_rectifiers(model.network, blank_picture(model), "features through training")
    samples = _samples(run, data, labels, root, observer)
    require(
        samples is not None or not (invariance or through_training),
        "without pictures no change of them can be shown; name some with --data",
    )
    require(samples is not None or way is None, "without pictures none can be found alike; name some with --data")
    looked = None if samples is None else Looked(samples, model, observer)
    sight = _sight(model, places, output, observer)
    seen = Seen(notes=("no pictures were looked at: name some with --data",))
    if looked is not None:
        seen = see(
            looked,
            chosen,
            shown,
            sight,
            draw_units=write,
            pooled=any("MaxPool" in place.kind for place in places),
            invariance=invariance,
            way=way,
            networks=((epoch, one.network) for epoch, one in models_of(run, epochs, network, device)),
            epochs=len(epochs),
            output=output,
        )
    names = () if looked is None else looked.samples.names
    for row, reason in seen.left_out:
        observer.warn(f"left out: {names[row]}: {reason}")
    result = Look(
        network=_name_of(named, network, model),
        page=None if files is None else files[0],
        arrays=None if files is None else files[1],
        looked="" if looked is None else words(looked.samples),
        pictures=next((one.units.pictures for one in seen.found.values()), 0),
        layers=tuple(layer_of(place, sight.fields[place.name], sight.steps[place.name]) for place in chosen),
        found=seen.found,
        names=names,
        class_names=() if looked is None or looked.samples.task != CLASSIFICATION else looked.samples.class_names,
        left_out=tuple((names[row], reason) for row, reason in seen.left_out),
        notes=seen.notes,
        changes=seen.changes,
        films=seen.films,
        alike=seen.alike,
    )
    if files is not None:
        page, arrays = compose(
            result,
            model,
            looked,
            every=_layers(places, sight),
            shown=shown,
            sheets=seen.sheets,
            fields=sight.fields,
            reconstructed=seen.reconstructed,
            command=_command(
                named,
                {
                    "network": network,
                    "weights": weights,
                    "class-names": class_names,
                    "layer": layers,
                    "units": None if units == UNITS else units,
                    "data": data,
                    "labels": labels,
                    "root": root,
                    "invariance": invariance,
                    "through-training": through_training,
                    "feature-space": way,
                    "output": output,
                },
            ),
            output=output,
        )
        write_atomically(files[1], arrays)
        write_atomically(files[0], page)
    return result


def list_layers(model: Model, *, output: str | int | None = None, observer: Observer = SILENT) -> tuple[Layer, ...]:
    """The layers of a network that can be looked at, in order of execution, with what a unit of each sees."""
    from striate.taps.places import find_places

    places = find_places(model.network, blank_picture(model), output=output)
    return _layers(places, _sight(model, places, output, observer))


# -- what is looked at --------------------------------------------------------------------------


def _layers(places: Sequence[Place], sight: Sight) -> tuple[Layer, ...]:
    return tuple(
        layer_of(place, sight.fields[place.name], sight.steps[place.name])
        for place in places
        if place.name in sight.fields
    )


def _sight(model: Model, places: Sequence[Place], output: str | int | None, observer: Observer) -> Sight:
    from striate.actions.look_fields import sight_of

    return sight_of(model, [place for place in places if place.layout != "other"], output, observer)


def _chosen(model: Model, places: Sequence[Place], layers: Sequence[str] | None) -> list[Place]:
    """The places that are meant. Raises InputError for one that there is not, and for one that has no units."""
    from striate.taps.places import place_named
    from striate.views.chapters import chapters

    chosen = [place_named(places, name) for name in dict.fromkeys(layers or chapters(model.network, places))]
    for place in chosen:
        require(place.layout != "other", f"{place.name} ({place.kind}) gives no maps and no vector: it has no units")
    return chosen


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


def _command(run: Any, given: Mapping[str, Any]) -> str:
    """What was typed, or would be for the same; what is no text (arrays, a module) is left out. given: by flag."""
    words = ["striate", "look"]
    words += [str(run)] if isinstance(run, Run | str | Path) else []
    for flag, value in given.items():
        if value is True:
            words += [f"--{flag}"]
        elif isinstance(value, str | int | Path) and value is not False:
            words += [f"--{flag}", str(value)]
        elif flag == "units" and value is not None:
            words += [f"--{flag}", ",".join(map(str, value))]
        elif flag == "layer":
            words += [word for layer in value or () for word in (f"--{flag}", layer)]
    return shlex.join(words)
