"""`striate explain`: why the answer for one picture, as a page that a person can read, pictures, arrays and JSON.

Legend: C channels, H W pixels of what the network saw, K classes that maps are of, N classes that it knows.
"""

from __future__ import annotations

import shlex
from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from striate.actions.explanation import OCCLUSION, Details, Explanation, short_name
from striate.actions.explanation_files import write
from striate.actions.maps import maps_of, methods_of, turned_by_square
from striate.actions.one_picture import one_picture
from striate.actions.places import new_folder
from striate.actions.rows import require_pictures, require_run_of_pictures
from striate.actions.subject import class_number, open_subject
from striate.data.samples import MULTILABEL, REGRESSION
from striate.errors import require, unknown
from striate.machine.threads import with_threads
from striate.models.hub import fetched
from striate.models.run import Run
from striate.observer import SILENT, Observer

if TYPE_CHECKING:
    from torch import Tensor, nn

    from striate.actions.mistake import Near, RunPictures
    from striate.models.input_spec import InputSpec
    from striate.models.model import Model
    from striate.reports.training_report import Neighbour

UNSURE = 0.5  # an answer with less is one of several
SQUASHED = 1.02  # ratio by which a side is pressed together, from which it is said


@with_threads()
def explain(
    run: Run | Model | nn.Module | str | Path | None,
    picture: str | Path | np.ndarray,
    *,
    method: str | Sequence[str] | None = None,
    class_name: str | int | None = None,
    label: str | None = None,
    layer: str | None = None,
    out: str | Path | None = None,
    network: str | nn.Module | None = None,
    weights: str | Path | None = None,
    class_names: str | Path | Sequence[str] | None = None,
    input_spec: InputSpec | None = None,
    output: str | int | None = None,
    device: str = "auto",
    observer: Observer = SILENT,
) -> Explanation:
    """Why a network answers so for a picture: maps of where the answer comes from, and what changes it.

    run: a run, a `Model` or a module; or None, where `network` (with `weights`, `class_names`, `input_spec`) stands in
    its place: see `actions.subject.open_subject`. picture: a file, or an array (H, W) or (H, W, C) of `uint8`, or of
    `float32` in [0, 255]. method: names of `VIEWS` of the group "map", several with commas, or "all"; None: a quick and
    good set. What cannot be right for the network is left out and named, unless it was asked for by name.
    class_name: the class to explain, by name or number; None: the answer; of a run of labels the label (None: the most
    probable), whose two answers are "car" and "no car". label: what the picture is; None: as the
    run's source says, where the picture is one of it. For a mistake the maps are of both classes, and the training
    pictures of either that are nearest are looked up. layer: for the methods that look at one. output: which one,
    where a network gives a dictionary or a tuple.

    Everything is written into the folder `out`, which must be new or empty; None: `explain-<picture>` in the current
    folder, with a number where that name is taken. Raises InputError where something of this cannot be used.
    """
    from striate.actions.one_label import INSIDE, inner, said_of

    methods, by_name = methods_of(method, layer)
    require_run_of_pictures(run, "striate explain")
    place = new_folder(out, name=_folder_name(picture))
    shown = one_picture(picture)
    named, run = run, fetched(run)
    model = open_subject(
        run,
        network=network,
        weights=weights,
        class_names=class_names,
        input_spec=input_spec,
        output=output,
        device=device,
    )
    require_pictures(model.input_spec, "striate explain")
    require(
        model.task.name != REGRESSION,
        f"{'the model' if not isinstance(run, Run | str | Path) else run}: answers numbers, and what an explanation "
        "measures is how the probability of an answer falls; striate dream --class NAME shows what raises one",
    )
    folder = Run(Path(run)) if isinstance(run, str | Path) else run if isinstance(run, Run) else None
    source = None if folder is None else _pictures_of(folder, observer)
    if source is not None:
        source.refuse_inside(place)
    prepared = model.prepare(shown.pixels)
    of = None  # the label that is explained, where the run answers labels
    wanted, seen_layer, whole = class_name, layer, model
    if model.task.name == MULTILABEL:
        of, model = _of_one_label(model, prepared, class_name, output)
        wanted, seen_layer = None, inner(layer)
    names = model.class_names
    inputs = model.inputs(prepared[None].to(model.device))
    probabilities = _probabilities(model, prepared, inputs, output)
    answer = names[int(probabilities.argmax())]
    if label is not None and label not in names:
        raise unknown("class", label, names)
    if label is None and source is not None and shown.path is not None:
        said = source.label_of(shown.path) if of is None else said_of(source, shown.path, of)
        label = said if said in names else None  # the source may have other classes by now
    asked = answer if wanted is None else names[class_number(wanted, names)]
    both: tuple[str, ...] = (answer, label) if label is not None and label != answer else ()
    classes = tuple(dict.fromkeys([asked, *both]))
    maps, left_out = maps_of(
        model, inputs, [names.index(name) for name in classes], methods, by_name, seen_layer, output, observer
    )
    maps = [replace(one, layer=one.layer.removeprefix(INSIDE)) if of and one.layer else one for one in maps]
    turned = turned_by_square(model, inputs, output) if OCCLUSION in methods else None
    notes = _notes(names, probabilities, answer)
    near: dict[str, tuple[Near, ...]] = {}
    neighbours: dict[str, tuple[Neighbour, ...]] = {}
    reasons: list[str] = []
    counts: dict[str, int] = {}
    if source is not None:
        if source.learned_from(shown.checksum):
            well = ", and answers wrongly all the same" if both else ": a right answer to it says little"
            notes.insert(0, f"the run learned from this very picture{well}")
        if both:
            near = source.nearest(whole, prepared, both, but=shown.checksum, of=of)
            neighbours = source.drawn(near)
            counts = source.learned_counts() if of is None else {}
        notes += source.notes
    if both:
        from striate.actions.mistake import reasons_for

        shares = dict(zip(names, map(float, probabilities), strict=True))
        reasons = reasons_for(answer, both[1], shares, near, counts)
    if both and turned is not None and turned.answer == both[1]:
        reasons.append(f"with one square covered it answers {both[1]}: what misled it may lie there")
    frame, seen_words = _fitted(model.input_spec, shown.pixels)
    given = {
        "network": network,
        "weights": weights,
        "class-names": class_names,
        "method": method,
        "class": class_name,
        "label": label,
        "layer": layer,
        "output": output,
    }
    whose = str(named) if isinstance(named, Run | str | Path) else str(network) if isinstance(network, str) else ""
    found = Explanation(
        picture=shown.name,
        folder=place,
        seen=_as_seen(prepared),
        class_names=names,
        probabilities=probabilities,
        label=label,
        classes=classes,
        maps=tuple(maps),
        left_out=tuple(left_out),
        turned=turned,
        nearest=near,
        reasons=tuple(reasons),
        notes=tuple(notes),
        one_of=of,
        details=Details(
            pixels=shown.pixels,
            frame=frame,
            seen_words=seen_words,
            fill=np.rint(255 * np.clip(model.input_spec.mean, 0, 1)).astype(np.uint8),
            network=whose or type(model.network).__name__,
            command=_command(named, picture, given),
            created=datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC"),
            settings=_settings(model),
            neighbours=neighbours,
        ),
    )
    write(found)
    return found


def _of_one_label(
    model: Model, prepared: Tensor, wanted: str | int | None, output: str | int | None
) -> tuple[str, Model]:
    """The label that is meant, the most probable one where none is, and the model asked for it alone."""
    from striate.actions.one_label import one_label

    require(output is None, f"--output {output}: a run of labels has one output; leave it away")
    names = model.class_names
    probabilities = model.answer(prepared[None])[0].numpy()
    number = int(probabilities.argmax()) if wanted is None else class_number(wanted, names)
    return names[number], one_label(model, number)


def _pictures_of(run: Run, observer: Observer) -> RunPictures:
    from striate.actions.mistake import RunPictures

    return RunPictures(run, observer)


def _folder_name(picture: str | Path | np.ndarray) -> str:
    return "explain-picture" if isinstance(picture, np.ndarray) else f"explain-{short_name(Path(picture).stem)}"


def _probabilities(model: Model, prepared: Tensor, inputs: Tensor, output: str | int | None) -> np.ndarray:
    """(N,) float32. The one path of every answer, but for a network that gives several outputs."""
    import torch

    from striate.taps.outputs import scores
    from striate.taps.unchanged import unchanged

    if output is None:
        answered: np.ndarray = model.answer(prepared[None])[0].numpy()
        return answered
    with torch.no_grad(), unchanged(model.network) as bare:
        found: np.ndarray = model.task.decode(scores(bare, inputs, output).cpu())[0].numpy()
    return found


def _notes(names: Sequence[str], probabilities: np.ndarray, answer: str) -> list[str]:
    """What a reader has to know before anything else."""
    if float(probabilities.max()) >= UNSURE:
        return []
    second = names[int(np.argsort(-probabilities, kind="stable")[1])]
    return [f"the network is not sure: {answer} is only its first guess, before {second}"]


def _fitted(spec: InputSpec, pixels: np.ndarray) -> tuple[tuple[float, float, float, float] | None, str]:
    """Which part of the whole picture the network saw (left, top, width, height; None for all), and how, in words."""
    from striate.data.resample import fitted

    height, width = pixels.shape[:2]
    tall, wide, top, left = (int(one[0]) for one in fitted(np.array([height]), np.array([width]), spec))
    size = f"{spec.width}x{spec.height} pixels" + (", in grey" if spec.channels == 1 and pixels.shape[2] == 3 else "")
    told = "What the network saw: "
    if spec.fit == "pad" and (tall, wide) != (spec.height, spec.width):
        return None, f"{told}the whole picture in its own shape, with a margin, at {size}"
    if (top, left) != (0, 0):
        frame = (left / wide, top / tall, spec.width / wide, spec.height / tall)
        return frame, f"{told}the middle of the picture, {100 * frame[2] * frame[3]:.0f} % of it, at {size}"
    pressed = (width / height) / (spec.width / spec.height)
    if max(pressed, 1 / pressed) > SQUASHED:
        return None, f"{told}the whole picture, pressed into {size}"
    return None, f"{told}the whole picture at {size}"


def _as_seen(prepared: Tensor) -> np.ndarray:
    """(C, H, W) in [0, 255] -> (H, W, C) uint8."""
    seen: np.ndarray = prepared.float().round().clamp(0, 255).byte().permute(1, 2, 0).cpu().contiguous().numpy()
    return seen


def _settings(model: Model) -> dict[str, Any]:
    """What it was computed with."""
    from importlib.metadata import version

    return {
        "device": model.device,
        "precision": "float32",
        "classes": len(model.class_names),
        "striate": version("striate"),
        "torch": version("torch"),
    }


def _command(run: object, picture: object, given: Mapping[str, object]) -> str:
    """The command that does the same again; "" where it was called from Python with what no command can name."""
    words = ["striate", "explain"]
    for value in (run, picture):
        if isinstance(value, Run | str | Path):
            words.append(str(value))
        elif value is not None:
            return ""
    for flag, value in given.items():
        if value is None:
            continue
        if isinstance(value, list | tuple) and flag == "method":
            value = ",".join(map(str, value))
        if not isinstance(value, str | int | Path):
            return ""
        words += [f"--{flag}", str(value)]
    return shlex.join(words)
