"""From pictures in memory to a model: what `striate.train` decides and does, without a run, a split or a file.

All pictures are learned from; who wants some held back leaves them out, as scikit-learn's own tools do.
"""

from __future__ import annotations

import warnings
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

from striate.actions.building import MEAN_IS_KNOWN, as_asked, with_colour_axes
from striate.actions.few import ARGUMENTS, fit, put_head
from striate.data.augmentation import Augmentation
from striate.data.batches import Batches
from striate.errors import InputError, require
from striate.estimators.asked import idle_beside_a_head
from striate.estimators.layout import Stack
from striate.estimators.restraint import restrained
from striate.estimators.threads import cores_here, threads_for_batches
from striate.machine.devices import pick_device
from striate.machine.ranks import ALONE
from striate.models.input_spec import InputSpec, fit_input_spec
from striate.models.loading import load_model
from striate.models.mean_picture import mean_picture
from striate.models.model import MOST_AT_ONCE, Model
from striate.models.run_files import RECIPE, read_config
from striate.networks import NETWORKS, build_network, own_input
from striate.networks.built import InputDefaults
from striate.networks.heads import find_head
from striate.tasks.task import TableTask
from striate.training.defaults import (
    PRETRAINED,
    Facts,
    choose_augmentation,
    choose_network,
    resolve_steps,
    row_arguments,
)
from striate.training.loop import Loop
from striate.training.recipe import Recipe
from striate.training.recipe_file import read_recipe
from striate.training.resolved import Resolved
from striate.training.stepping import Stepping
from striate.words import counted

MOST_STEPS = 1 << 20  # of a pass: what is drawn in a step is drawn by its number
LARGEST_SIDE = 224  # of pictures that a network starts from nothing with


@dataclass(frozen=True, kw_only=True)
class Fitted:
    """A model, how to build its network again, and how it is trained on."""

    model: Model
    network: str
    arguments: dict[str, Any]
    plan: Resolved


def fit_model(
    pictures: Stack, targets: np.ndarray, task: TableTask, recipe: Recipe, *, weights: np.ndarray | None, line: bool
) -> Fitted:
    """The network that `recipe` names (None: chosen as `train` chooses it), trained on all `pictures` (n).

    targets: (n,) or (n, K), as the task encodes them; it is bound to them already. weights (n,): how much each counts;
    None: all alike. line: they are fields of numbers. Raises InputError.
    """
    fitted = begin(pictures, targets, task, recipe, line=line, all_there=True)
    if fitted.plan.method == "frozen":
        idle = ", ".join(idle_beside_a_head(recipe))
        if idle:
            told = f"{idle}: no part in fitting a head on the pretrained network; give epochs to train all of it"
            warnings.warn(told, stacklevel=4)
        return _with_head(fitted, task, pictures, targets, weights)
    if targets.ndim == 2:
        _answer_constants(fitted.model.network, targets)
    batches = _batches(fitted, pictures, weights)
    plan = restrained(fitted.plan, recipe, len(pictures)) if line else fitted.plan
    plan = replace(plan, steps=plan.epochs * batches.steps_per_epoch)
    with threads_for_batches(fitted.model, fitted.plan.batch_size):
        Loop(fitted.model, batches, None, plan).run()
    return fitted


def begin(
    pictures: Stack, targets: np.ndarray, task: TableTask, recipe: Recipe, *, line: bool, all_there: bool = False
) -> Fitted:
    """A network for these pictures that has learned nothing of them, and how it is to be trained. all_there: no others
    follow, so that a network for rows may be as wide as so many rows are worth."""
    device = pick_device(recipe.device)
    height, width, channels = (int(size) for size in pictures.shapes[0])
    facts = Facts(
        pictures=len(pictures),
        classes=task.num_outputs,
        smallest_class=int(np.bincount(targets).min()) if targets.ndim == 1 else 0,
        longer_side=float(max(height, width)),
        grey=channels == 1,
        task=task.name,
        fields=width if line else 0,
    )
    name, pretrained, _ = choose_network(recipe, facts)
    if line:
        taking = [one for one, part in NETWORKS.items() if part.takes_rows]
        require(
            name in taking,
            f"network {name} takes pictures, and X has rows of {counted(width, 'number')}; if they are the pixels of "
            f"pictures, say so by image_shape=(height, width), else take {' or '.join(taking)}",
        )
    frozen = name == PRETRAINED and pretrained and recipe.epochs is None
    own = own_input(name) if pretrained or recipe.weights is not None else None
    spec = _spec(pictures, recipe, own, line=line)
    arguments: dict[str, Any] = dict(ARGUMENTS) if frozen else {}
    if line and all_there:
        arguments |= row_arguments(name, facts)
    if recipe.width is not None:
        arguments["width"] = recipe.width
    built = build_network(
        name,
        num_outputs=task.num_outputs,
        channels=spec.channels,
        size=(spec.height, spec.width),
        pretrained=pretrained,
        weights=None if recipe.weights is None else Path(recipe.weights),
        arguments=arguments,
        seed=recipe.seed,
    )
    if built.size != (spec.height, spec.width):
        spec = _spec(pictures, replace(recipe, size=None), built.input_defaults or own, line=line, size=built.size)
    augmentation = Augmentation() if line else choose_augmentation(recipe, facts, name, spec)
    plan = resolve_steps(
        recipe,
        facts,
        spec,
        augmentation,
        network=name,
        arguments=arguments,
        pretrained=pretrained,
        device=device,
        precision="float32",
        threads=cores_here(),
    )
    plan = replace(
        plan,
        # Nothing is held back to calibrate by: targets are smoothed only where that is asked for.
        label_smoothing=recipe.label_smoothing or 0.0,
        augment=with_colour_axes(plan.augment, pictures, spec.channels),
        method="frozen" if frozen else plan.method,
    )
    as_asked(plan, built.network)
    network = built.network.to(device).to(memory_format=torch.channels_last)
    return Fitted(model=Model(network, spec, task, device), network=name, arguments=arguments, plan=plan)


def pass_once(
    fitted: Fitted, stepping: Stepping, passes: int, pictures: Stack, task: TableTask, weights: np.ndarray | None
) -> int:
    """Pass number `passes`, counted from 0, over `pictures`, whose targets `task` is bound to; the next number."""
    batches = _batches(replace(fitted, model=replace(fitted.model, task=task)), pictures, weights)
    fitted.model.network.train()
    try:
        with torch.random.fork_rng(devices=[]), threads_for_batches(fitted.model, fitted.plan.batch_size):
            for number, batch in enumerate(batches.epoch(passes), start=passes * MOST_STEPS + 1):
                stepping.step(batch, number, checked=True, on_split=lambda _words: None)
    finally:
        fitted.model.network.eval()
    return passes + 1


def stepping_of(fitted: Fitted) -> Stepping:
    """What takes steps, with an optimizer that has seen none."""
    return Stepping(fitted.model, fitted.plan, ALONE)


def _batches(fitted: Fitted, pictures: Stack, weights: np.ndarray | None) -> Batches:
    task, plan = fitted.model.task, fitted.plan
    return Batches(
        pictures,
        task=task,
        frame=fitted.model.input_spec,
        batch_size=min(plan.pictures_a_step, len(pictures)),
        seed=plan.seed,
        augmentation=Augmentation(**plan.augment),
        weights=weights,
        classes=task.targets(np.arange(len(pictures)), None).numpy() if plan.balance else None,
        ahead=False,
    )


def _answer_constants(network: nn.Module, targets: np.ndarray) -> None:
    """Of the numbers (n, K), those that never change: their outputs begin at zero, which is their mean, and what is
    right already is not moved by any step."""
    same = np.flatnonzero((targets == targets[0]).all(axis=0)).tolist()
    if not same:
        return
    layer = find_head(network).layer
    with torch.no_grad():
        layer.weight[same] = 0
        if layer.bias is not None:
            layer.bias[same] = 0


def _with_head(
    fitted: Fitted, task: TableTask, pictures: Stack, targets: np.ndarray, weights: np.ndarray | None
) -> Fitted:
    """A head on the features of the pretrained network, which stays as it is."""
    model = fitted.model
    head = fit(task, features(model, pictures), targets, fitted.plan.seed, weights)
    put_head(model.network, head)
    return fitted


def _prepared(model: Model, pictures: Stack) -> torch.Tensor:
    """(m, C, H, W) as the network takes them, m at least n: rows of fields are filled up with zeros to whole blocks.

    Of how many rows a matrix product is made decides in which order its sums are taken, and so their last bit: in
    blocks of one size an answer does not depend on how many others are asked for. Fields cost nearly nothing.
    """
    prepared = torch.stack([model.prepare(pictures.pixels(index)) for index in range(len(pictures))])
    missing = -len(prepared) % MOST_AT_ONCE if model.input_spec.height == 1 else 0
    return torch.cat([prepared, prepared.new_zeros(missing, *prepared.shape[1:])]) if missing else prepared


def answers(model: Model, pictures: Stack) -> np.ndarray:
    """Answers of the task (n, K), `float32`."""
    with threads_for_batches(model, MOST_AT_ONCE):
        answered: np.ndarray = model.answer(_prepared(model, pictures)).numpy()[: len(pictures)]
    return answered


def of_run(run: str | Path, device: str) -> Fitted:
    """The model of a run folder. Raises InputError."""
    described = read_config(run)["network"]
    _, resolved = read_recipe(Path(run) / RECIPE)
    return Fitted(
        model=load_model(run, device=device),
        network=str(described["name"]),
        arguments=dict(described.get("arguments", {})),
        plan=Resolved.from_mapping(resolved, str(run)),
    )


def features(model: Model, pictures: Stack) -> np.ndarray:
    """What the head of the network is given, (n, D) `float32`. Raises InputError where it has no `features`."""
    part = getattr(model.network, "features", None)
    if not isinstance(part, nn.Module):
        raise InputError("the network has no part called features; take another one")
    with threads_for_batches(model, MOST_AT_ONCE):
        found: np.ndarray = model.outputs(_prepared(model, pictures), part).flatten(1).numpy()[: len(pictures)]
    return found


def _spec(
    pictures: Stack,
    recipe: Recipe,
    own: InputDefaults | None,
    *,
    line: bool,
    size: tuple[int, int] | None = None,
) -> InputSpec:
    height, width, channels = (int(number) for number in pictures.shapes[0])
    if line:
        # Fields come with mean 0 and deviation 1 already.
        return InputSpec(channels=1, height=height, width=width, mean=(0.0,), deviation=(1 / 255,))
    known = own is not None and own.mean is not None
    spec, _ = fit_input_spec(
        pictures,
        size=size or recipe.size or (own.size if own is not None and known else None),
        fit=recipe.fit,
        channels=3 if known else channels,
        mean=own.mean if own is not None else None,
        deviation=own.deviation if own is not None else None,
        interpolation="bilinear" if own is None else own.interpolation,
        largest=LARGEST_SIDE,
    )
    if recipe.mean == "picture":
        require(not known, MEAN_IS_KNOWN)
        mean = mean_picture(spec.prepare(pictures.pixels(index)) for index in range(len(pictures)))
        return replace(spec, mean_picture=mean)
    return spec
