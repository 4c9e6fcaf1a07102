"""`striate train`: from a source of pictures to a run folder with a model, its report and its answers."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import fields, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from striate.errors import InputError, did_you_mean, require
from striate.models.claim import claim_folder
from striate.models.run import LogFile, Run
from striate.models.run_files import OWN_NETWORK, RECIPE
from striate.observer import SILENT, Observer, Observers
from striate.training.own_parts import NOTHING_OWN, Loss, Metric, OwnParts
from striate.training.recipe import Recipe
from striate.training.recipe_file import read_recipe, recipe_text
from striate.training.settings import from_mapping, to_mapping

if TYPE_CHECKING:
    from torch import nn

    from striate.models.start import Start
    from striate.training.resolved import Resolved


def train(
    source: str | Path | tuple[np.ndarray, Any] | Mapping[str, Any],
    *,
    out: str | Path | None = None,
    overwrite: bool = False,
    recipe: Recipe | str | Path | None = None,
    network: str | nn.Module | None = None,
    loss: str | Loss | None = None,
    metrics: Mapping[str, Metric] | None = None,
    observer: Observer = SILENT,
    started: float | None = None,
    **settings: Any,
) -> Run:
    """Train a network on the pictures of `source` and write a run folder.

    source: a folder of class folders (also under train / validation / test), a folder with a table, IDX
    files, WebDataset tars or their address, or arrays: `(pictures, labels)`, `{"train": (pictures, labels), ...}`.
    out: the folder of the run; `runs/<source>-<n>` where None. recipe: a `Recipe` or a TOML file, in whose
    `[resolved]` nothing is decided anew; `settings` (fields of `Recipe`) stand above it. network: a name, or
    a module of your own that takes (B, C, H, W) and gives (B, classes). from_run (a setting): an earlier run whose
    network, weights and preprocessing are taken over; its outputs are kept for classes of the same name.
    loss: a name, or a function of your own of outputs (B, K) and targets, which gives (B,) or one number; metrics:
    {name: function of answers (N, K) and targets}, whose figures of each validation are noted beside the task's.
    started: `time.monotonic()` at which `minutes` began to count.

    Returns the finished `Run`. Raises InputError for what cannot be used, before any work where it can be
    known; an interrupted run (the KeyboardInterrupt carries its folder) goes on with `striate.resume`.
    """
    from striate.machine.ranks import processes_for, ranks_here
    from striate.training.resolved import Resolved

    started = time.monotonic() if started is None else started
    if isinstance(loss, str):
        settings["loss"], loss = loss, None
    asked, resolved_values, notes = as_recipe(recipe, network if isinstance(network, str) else None, settings)
    own = own_network(network)
    parts = _own_parts(asked, loss, metrics)
    if own is not None and resolved_values:
        require(resolved_values.get("network") == OWN_NETWORK, "the recipe is that of a named network, not of your own")
    resolved = Resolved.from_mapping(resolved_values, str(recipe)) if resolved_values else None
    if resolved is not None:
        parts.require_as_before(resolved, str(recipe))
    here = ranks_here()
    given: dict[str, Any] = {"out": out, "overwrite": overwrite, "notes": notes}
    processes = processes_for(asked.processes, asked.device, here)
    if processes == here.count:
        return train_asked(
            source, asked=asked, resolved=resolved, network=own, own=parts, observer=observer, started=started, **given
        )
    require(parts == NOTHING_OWN, "functions of your own cannot be handed to other processes; start them by torchrun")
    require(
        own is None,
        "a network of your own cannot be handed to other processes; start the program itself by torchrun instead",
    )
    from striate.actions.launch import arrays_as_files, launch

    given["out"] = None if out is None else str(out)
    with arrays_as_files(source) as files:
        told = {"asked": to_mapping(asked), "resolved": None if resolved is None else resolved.to_mapping()}
        order = {"source": files, "started": started, **told, **given}
        return launch("train", order, processes=processes, observer=observer)


def train_asked(
    source: Any,
    *,
    asked: Recipe,
    resolved: Resolved | None,
    notes: Sequence[str],
    out: str | Path | None,
    overwrite: bool,
    network: nn.Module | None,
    observer: Observer,
    started: float,
    own: OwnParts = NOTHING_OWN,
    began: Callable[[str], None] | None = None,
) -> Run:
    """`train` in this process, one of several or alone. began: told the folder of the run when it is there."""
    from striate.actions.agreement import begun_before, forget_begun, note_begun, require_same_settings, run_of
    from striate.actions.run_source import open_asked
    from striate.machine.joining import joined, together
    from striate.machine.ranks import ranks_here
    from striate.training.unused import require_used

    here = ranks_here()
    with joined(here, asked.device):
        with together(here):
            check_early(asked)
            if resolved is None:  # what was decided by an earlier version stays as it was
                require_used(asked, asked.optimizer.name, asked.schedule.name)
            start = start_of(asked, network, out)
            stream = bool(asked.stream) or (resolved is not None and resolved.buffer is not None)
            samples = open_asked(source, asked, stream=stream)
        require_same_settings(here, asked, samples)
        forget_begun(here)
        before = begun_before(here)
        if before is not None:
            run = run_of(here, Run(before).hold() if here.first else None)
            if run.finished:
                return run
            resolved, notes = _resolved_of(run), ["started anew by torchrun"]
        else:
            with together(here):
                claimed = claim_folder(out, samples.source, overwrite=overwrite) if here.first else None
            run = run_of(here, claimed)
            note_begun(here, run)
        if began is not None:
            began(str(run))
        watch: Observer = Observers(LogFile(run), observer) if here.first else SILENT
        try:
            # The recipe first: with it alone a run that is killed can go on.
            if before is None:
                run.write(RECIPE, recipe_text(asked, {} if resolved is None else resolved.to_mapping(), samples.source))
            for note in notes:
                watch.say(note)
            from striate.actions.job import Job
            from striate.actions.work import carry_out

            job = Job(
                run=run,
                recipe=asked,
                resolved=resolved,
                network=network,
                observer=watch,
                started=started,
                resuming=before is not None,
                start=start,
                ranks=here,
                own=own,
            )
            carry_out(job, samples)
        except InputError:
            # What cannot be trained leaves nothing behind; what was begun can be resumed.
            run.give_up_if_empty()
            raise
        except KeyboardInterrupt as stop:
            # Whoever stopped it wants to know how to go on.
            raise KeyboardInterrupt(str(run)) from stop
        finally:
            run.let_go()
        return run


def own_network(network: str | nn.Module | None) -> nn.Module | None:
    """The user's own module; None where a network is named, or none. Raises InputError for what is neither."""
    if network is None or isinstance(network, str):
        return None
    if isinstance(network, type):
        raise InputError(f"network is the class {network.__name__}; make one of it: network={network.__name__}(...)")
    from torch import nn

    kind = type(network).__name__
    require(isinstance(network, nn.Module), f"network must be a name or a torch.nn.Module, got {kind}")
    return network


def _own_parts(asked: Recipe, loss: Loss | None, metrics: Mapping[str, Metric] | None) -> OwnParts:
    """What the user brought. Raises InputError where the recipe asks for another loss, or for more of it."""
    if loss is not None:
        for name in ("loss", "class_weights", "label_smoothing"):
            value = getattr(asked, name, None)
            said = f"{name} {value} is for the losses of striate; a loss of your own does that itself, so leave it away"
            require(value in (None, "none"), said)
    return OwnParts(loss=loss, metrics={} if metrics is None else metrics)


def _resolved_of(run: Run) -> Resolved | None:
    """What the run has resolved so far."""
    from striate.training.resolved import Resolved

    _, values = read_recipe(run.folder / RECIPE)
    return Resolved.from_mapping(values, str(run.folder / RECIPE)) if values else None


def start_of(recipe: Recipe, own: nn.Module | None, out: str | Path | None) -> Start | None:
    """The earlier run to start from, where one was named. Raises InputError."""
    if recipe.from_run is None:
        return None
    from striate.models.start import read_start

    start = read_start(recipe.from_run, network=recipe.network if own is None else own)
    require(
        out is None or Path(out).resolve() != Path(recipe.from_run).resolve(),
        f"{out}: is the run to start from, so the new one cannot take its place; name another with --out",
    )
    return start


def _as_text(value: Any) -> Any:
    """Runs and paths as settings hold them."""
    return str(value) if isinstance(value, Run | Path) else value


def as_recipe(
    recipe: Recipe | str | Path | None, network: str | None, settings: Mapping[str, Any]
) -> tuple[Recipe, dict[str, Any], list[str]]:
    """The recipe, the `[resolved]` that still holds, and notes for the log."""
    names = [field.name for field in fields(Recipe)]
    for name in settings:
        if name not in names:
            raise InputError(f"no setting '{name}'" + did_you_mean(name, names))
    resolved: dict[str, Any] = {}
    base = recipe if isinstance(recipe, Recipe) else Recipe()
    if isinstance(recipe, str | Path):
        base, resolved = read_recipe(Path(recipe))
    given = {name: _as_text(value) for name, value in settings.items() if value is not None}
    if network is not None:
        given["network"] = network
    parts = {name: value for name, value in given.items() if isinstance(value, Mapping)}
    plain = {name: value for name, value in given.items() if name not in parts}
    changed = replace(base, **plain) if plain else base
    for name, values in parts.items():
        merged = {**to_mapping(getattr(changed, name)), **values}
        changed = replace(changed, **{name: from_mapping(type(getattr(changed, name)), merged, "settings", f"{name}.")})
    notes = []
    if resolved and changed != base:
        notes.append(f"what {recipe} had resolved is decided anew, because {', '.join(sorted(given))} was given")
        resolved = {}
    elif resolved:
        notes.append(f"everything as {recipe} had resolved it")
    return changed, resolved, notes


def check_early(recipe: Recipe) -> None:
    """What can be known to be wrong before a picture is opened."""
    from striate.data.augmentation import Augmentation
    from striate.machine.devices import pick_device
    from striate.machine.precision import pick_precision

    if recipe.network is not None:
        from striate.networks import NETWORKS, own_input

        if recipe.network not in NETWORKS:
            own_input(recipe.network)  # raises for a name that nobody knows
    asked = {field.name: getattr(recipe.augment, field.name, None) for field in fields(Augmentation)}
    Augmentation(
        **{name: value for name, value in asked.items() if value is not None}
    )  # raises what contradicts itself
    if recipe.weights is not None:
        require(Path(recipe.weights).is_file(), f"{recipe.weights}: there is no such file of weights")
    pick_precision(recipe.precision, pick_device(recipe.device))
