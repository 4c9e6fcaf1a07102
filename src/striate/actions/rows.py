"""Rows of a table of numbers where pictures are usual: what a training on them may be asked for, and whose rows fit."""

from __future__ import annotations

from dataclasses import fields, replace
from pathlib import Path

from striate.data.samples import Samples
from striate.data.sources.number_rows import NumberRows
from striate.errors import InputError, did_you_mean, require
from striate.models.hub import is_address
from striate.models.input_spec import InputSpec
from striate.models.run import Run
from striate.models.run_files import read_config
from striate.models.start import Start
from striate.networks import NETWORKS
from striate.training.part_settings import AugmentSettings
from striate.training.recipe import Recipe
from striate.words import counted

# Settings of a recipe that mean something for pictures alone.
OF_PICTURES = ("pretrained", "width", "size", "fit", "stream")


def check_settings(recipe: Recipe, samples: Samples, start: Start | None) -> None:
    """Refuse what cannot be asked of rows of numbers, before any work. Raises InputError."""
    known = None if start is None else start.input_spec.fields
    if not samples.fields:
        require(
            known is None,
            f"{samples.source}: the run to start from learned from a table of numbers, these are pictures; leave "
            "--from away",
        )
        return
    taking = [name for name, part in NETWORKS.items() if part.takes_rows]
    require(
        recipe.network is None or recipe.network in taking,
        f"{samples.source}: a table of numbers, which network {recipe.network} does not take; use --network "
        f"{' or '.join(taking)}",
    )
    for name in OF_PICTURES:
        require(not getattr(recipe, name), f"{samples.source}: a table of numbers has no pictures; leave --{name} away")
    for field in fields(AugmentSettings):
        off = field.name == "name" or not getattr(recipe.augment, field.name)
        require(
            off,
            f"{samples.source}: rows of a table of numbers are not varied; leave "
            f"--augment.{field.name.replace('_', '-')} away",
        )
    require(
        recipe.mean != "picture", f"{samples.source}: a table of numbers has no mean picture; leave --mean picture away"
    )
    require(start is None, f"{samples.source}: a table of numbers is learned anew; leave --from away")


def require_one_view(tta: str) -> None:
    """Refuse several views of what is no picture. Raises InputError."""
    require(tta == "none", f"--tta {tta}: a row of a table of numbers has one view; leave --tta away")


def require_pictures(spec: InputSpec, what: str) -> None:
    """Refuse to look into a network that sees no pictures; `what` begins the sentence. Raises InputError."""
    require(spec.fields is None, _for_pictures(what))


def _for_pictures(what: str) -> str:
    return f"{what} needs a network that takes pictures; this one takes rows of a table of numbers"


def require_run_of_pictures(run: object, what: str) -> None:
    """`require_pictures` by the settings of a run, before its weights are read and before any picture is; of one that
    has to be fetched first nothing is known yet. Raises InputError."""
    if isinstance(run, Run | str | Path) and not is_address(run):
        given = read_config(run.folder if isinstance(run, Run) else run)["input"]
        require(not given.get("fields"), _for_pictures(what))


def fitting(samples: Samples, spec: InputSpec) -> Samples:
    """The samples as inputs of this kind: rows of a table with its fields in its order, or pictures.

    Raises InputError where they are of the other kind, or a field is missing.
    """
    wanted = () if spec.fields is None else spec.fields.names
    if not wanted:
        require(
            not samples.fields, f"{samples.source}: a table of numbers, but the network takes pictures; name pictures"
        )
        return samples
    require(
        bool(samples.fields),
        f"{samples.source}: these are pictures, but the network takes rows of {counted(len(wanted), 'number')}; name a "
        "table",
    )
    for name in wanted:
        if name not in samples.fields:
            hint = did_you_mean(name, samples.fields) or "; it has " + ", ".join(samples.fields[:8])
            raise InputError(f"{samples.source}: no column '{name}', which the run learned from{hint}")
    rows = samples.pictures
    assert isinstance(rows, NumberRows)
    order = [samples.fields.index(name) for name in wanted]
    return replace(samples, pictures=rows.ordered(order), fields=wanted)
