"""`striate export`: a file that answers raw pictures without Striate, after it was shown to answer as the run does."""

from __future__ import annotations

import copy
import os
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass, replace
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from striate.actions.places import new_file
from striate.actions.rows import require_pictures
from striate.actions.subject import open_subject
from striate.errors import InputError, require, unknown
from striate.exports import KINDS, Kind
from striate.machine.files import UNFINISHED, refused
from striate.machine.folders import OF_THE_COMPILER, redirect_caches
from striate.models.hub import fetched, is_address, parsed
from striate.models.run import Run
from striate.observer import SILENT, Observer
from striate.words import counted

if TYPE_CHECKING:
    from torch import nn

    from striate.exports.proving import Proof
    from striate.models.input_spec import InputSpec
    from striate.models.model import Model

MOST_HELD_OUT = 32  # pictures of the run's own source; as many again, and more, are generated
MOST_PIXELS = 4_000_000  # of a held-out picture: a large one takes seconds in float64 and shows nothing else


@dataclass(frozen=True, kw_only=True)
class Exported:
    """The file, what it takes and gives, the names of its answers, and the proof that it answers as the run does."""

    path: Path
    to: str
    takes: str
    gives: str
    names: tuple[str, ...]
    size: int  # bytes
    proof: Proof

    def to_json(self) -> dict[str, Any]:
        """Plain values."""
        told = {"file": str(self.path), "to": self.to, "takes": self.takes, "gives": self.gives, "bytes": self.size}
        return {**told, "names": list(self.names), "proof": self.proof.to_json()}


def export(
    run: Run | Model | nn.Module | str | Path | None = None,
    *,
    to: str = "onnx",
    out: str | Path | None = None,
    network: str | nn.Module | None = None,
    weights: str | Path | None = None,
    class_names: str | Path | Sequence[str] | None = None,
    input_spec: InputSpec | None = None,
    observer: Observer = SILENT,
) -> Exported:
    """Write a file that takes raw pictures (N, height, width, 3) `uint8`, RGB, of any size, and gives their answers
    (N, K) `float32`: probabilities for classes.

    run: a run, a `Model` or a module; or None, where `network` (with `weights`, `class_names`, `input_spec`) stands in
    its place: see `actions.subject.open_subject`. to: one of `striate.exports.KINDS`. out: a new file; None: the run's
    name in the current folder, with a number where that is taken.

    Resize, crop, normalisation, network and the decoding of its outputs are all in the file, the names of the classes
    in its metadata. Before it gets its name it is opened anew and shown at least 64 pictures; where one is answered
    otherwise than by the run, InputError says which layer differs first, and there is no file. Also raised: for an
    unknown kind, a place that cannot be written, a missing library, a network that cannot be exported (which layer).
    """
    if to not in KINDS:
        raise unknown("kind of export", to, KINDS)
    kind = KINDS[to]
    kind.require_libraries()
    place = new_file(out, name=_name(run, network), suffix=kind.suffix)
    run = fetched(run)
    model = _on_the_processor(
        open_subject(
            run, network=network, weights=weights, class_names=class_names, input_spec=input_spec, device="cpu"
        )
    )
    require_pictures(model.input_spec, "striate export")
    pictures, held_out = _pictures(run, model, observer)
    return _write(model, kind, to, place, pictures, held_out, observer)


def _write(
    model: Model, kind: Kind, to: str, place: Path, pictures: list[np.ndarray], held_out: int, observer: Observer
) -> Exported:
    from striate.exports.proving import prove
    from striate.exports.tracing import INPUT, output_name, traced

    names = model.class_names
    output = output_name(model)
    takes = f"{INPUT}: (N, height, width, 3) uint8, RGB, upright, of any size"
    gives = f"{output}: (N, {model.task.num_outputs}) float32"
    observer.say("the network becomes a graph")
    redirect_caches(OF_THE_COMPILER)  # its parts are asked for the graph
    program = traced(model)
    try:
        # Beside the file that it will be: only so is the last step a renaming.
        with tempfile.TemporaryDirectory(prefix=".striate-", suffix=UNFINISHED, dir=place.parent) as folder:
            candidate, proven = (Path(folder) / f"{name}{kind.suffix}" for name in ("candidate", "proven"))
            kind.write(program, candidate, output)
            opened = kind.open_file(candidate)
            observer.say(f"the file is tried on {counted(len(pictures), 'picture')} in {kind.replayed_in}")
            proof = prove(opened, model, pictures, held_out=held_out, observer=observer)
            proof = replace(proof, versions={"striate": version("striate"), **proof.versions})
            facts = {
                "striate": version("striate"),
                "takes": takes,
                "gives": gives,
                "class_names": list(names),
                "task": model.task.to_json(),
                "input": model.input_spec.to_json(),
                "proof": proof.to_json(),
            }
            opened.save(proven, facts)
            with proven.open("rb+") as file:
                os.fsync(file.fileno())
            size = proven.stat().st_size
            require(not os.path.lexists(place), f"{place} is there already; name another file with --out")
            proven.replace(place)
            candidate.unlink()
    except OSError as error:
        raise refused(place, error) from error
    return Exported(path=place, to=to, takes=takes, gives=gives, names=names, size=size, proof=proof)


def _on_the_processor(model: Model) -> Model:
    """The same model where files are made and tried, with answers in float32."""
    if model.device == "cpu":
        return model.answering_in("float32")
    return replace(model, network=copy.deepcopy(model.network).to("cpu"), device="cpu").answering_in("float32")


def _name(run: Any, network: Any) -> str:
    """What the file is called where nobody says."""
    if isinstance(run, Run | str | Path):
        if is_address(run):
            return parsed(str(run))[0].replace("/", "-")
        return Path(str(run)).absolute().name or "model"
    return network if isinstance(network, str) else "model"


def _pictures(run: Any, model: Model, observer: Observer) -> tuple[list[np.ndarray], int]:
    """At least 64 pictures (H, W, 3) `uint8`: those held out from the run's training where they can be had, then
    generated ones; and how many are held out."""
    from striate.exports.pictures import odd_pictures
    from striate.exports.proving import FEWEST

    held_out = _held_out(run if isinstance(run, Run) else Run(Path(run)), observer) if _is_run(run) else []
    spec = model.input_spec
    return [*held_out, *odd_pictures(max(FEWEST // 2, FEWEST - len(held_out)), spec.height, spec.width)], len(held_out)


def _is_run(run: Any) -> bool:
    return isinstance(run, Run | str | Path)


def _held_out(run: Run, observer: Observer) -> list[np.ndarray]:
    """Pictures of the run's source that it did not learn from, evenly spaced, as raw RGB; none where they are gone."""
    from striate.actions.run_source import divided, open_again
    from striate.data.reading import load_pixels
    from striate.data.resample import to_channels
    from striate.data.samples import TEST, VALIDATION
    from striate.data.streaming import in_turn

    try:
        drawn, _ = divided(*open_again(run))
    except InputError as error:
        observer.say(f"the run's own pictures cannot be had any more ({error}); generated ones are taken")
        return []
    rows = drawn.rows(TEST) if len(drawn.rows(TEST)) else drawn.rows(VALIDATION)
    chosen = rows[np.unique(np.linspace(0, len(rows) - 1, min(MOST_HELD_OUT, len(rows))).astype(np.int64))]
    found: list[np.ndarray] = []
    with in_turn(drawn, chosen) as turned:
        for row in chosen:
            try:
                pixels = load_pixels(turned, int(row))
            except InputError:
                continue  # such pictures were left out of the training, too
            # The file takes 8 bits a channel; deeper pictures are nobody's raw RGB.
            if pixels.dtype == np.uint8 and pixels.shape[0] * pixels.shape[1] <= MOST_PIXELS:
                found.append(np.ascontiguousarray(to_channels(pixels, 3)))
    return found
