"""The network and what it takes, for the pictures at hand: input specification, mirrors, first layer."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch.nn.parameter import is_lazy

from striate.actions.first_look import SIDE_FROM_NOTHING
from striate.actions.job import Job
from striate.data.mirrors import mirror_evidence, sample_rows
from striate.data.pixel_store import Pixels, PixelStore
from striate.data.principal import colour_axes
from striate.data.samples import REGRESSION, Samples
from striate.data.store import StoreResult
from striate.errors import InputError, require
from striate.machine.memory import is_out_of_memory
from striate.models.input_spec import InputSpec, fit_input_spec, fit_row_spec
from striate.models.mean_picture import mean_picture
from striate.networks import BuiltNetwork, InputDefaults, build_network, own_input
from striate.networks.blocks import freeze
from striate.networks.heads import drop_before_head
from striate.networks.small_resnet import SmallResNet
from striate.taps.unchanged import unchanged
from striate.training.defaults import Facts, choose_network, row_arguments
from striate.training.planning import arguments_for
from striate.training.recipe import Recipe
from striate.training.resolved import Resolved
from striate.words import counted

if TYPE_CHECKING:
    from torch import nn

STEM_PICTURES = 2000
MEAN_IS_KNOWN = (
    "mean picture: weights that learned from other pictures know their own mean; add --no-pretrained, or name a "
    "network without such weights, or leave --mean away"
)


@dataclass(frozen=True)
class Chosen:
    """Which network is trained, how it is built, and why this one."""

    name: str
    arguments: dict[str, Any]
    pretrained: bool
    why: str


def chosen_network(job: Job, facts: Facts) -> Chosen:
    """That of the run to start from, the one that was resolved before, the one that is asked for, or one by rule."""
    recipe = job.recipe
    name, pretrained, why = choose_network(recipe, facts)
    arguments: dict[str, Any] = {} if recipe.width is None else {"width": recipe.width}
    if job.start is not None:
        name, pretrained, why = job.start.network, False, f"that of {job.start.run}"
        arguments = dict(job.start.arguments)
    elif job.network is None and facts.fields:
        arguments = row_arguments(name, facts)
    elif job.network is None and recipe.network is None and recipe.width is None and recipe.epochs is not None:
        arguments = arguments_for(name, recipe.epochs)
        if arguments:
            plain = "" if arguments.get("residual", True) else " without residual convolutions"
            why += f"; width {arguments['width']}{plain} for so few epochs, in which more would only take longer"
    if job.resolved is not None:
        name, pretrained, arguments = job.resolved.network, job.resolved.pretrained, job.resolved.arguments
    return Chosen(name, arguments, pretrained, why)


def network_and_input(
    job: Job, chosen: Chosen, samples: Samples, reading: StoreResult, size: int | tuple[int, int] | None
) -> tuple[nn.Module, InputSpec, str]:
    """The network (the job's own, or the chosen one, built), its input, and the sentence on that for the log.

    size: as in `fit_spec`.
    """
    published = job.network is None and (chosen.pretrained or job.recipe.weights is not None)
    spec, words = fit_spec(job, reading, size, own_input(chosen.name) if published else None, samples.fields)
    if job.network is not None:
        _require_taken(job.network, spec)
        return job.network, spec, words
    built = network_for(job, chosen.name, len(samples.class_names), spec, chosen.pretrained, chosen.arguments)
    if built.size != (spec.height, spec.width):
        spec, words = fit_spec(job, reading, built.size, built.input_defaults)
    for note in built.notes:
        job.observer.say(note)
    return built.network, spec, words


def _require_taken(network: nn.Module, spec: InputSpec) -> None:
    """Raise InputError, in torch's words, where a network of the user's own cannot take such inputs."""
    weights = list(network.parameters())
    if any(is_lazy(weight) for weight in weights):
        return  # its first batch makes them
    pictures = torch.zeros(2, spec.channels, spec.height, spec.width, device=weights[0].device if weights else "cpu")
    try:
        with unchanged(network) as bare, torch.no_grad():
            bare(pictures)
    except RuntimeError as error:
        if is_out_of_memory(error):
            raise
        raise InputError(
            f"your network does not take inputs of 2x{spec.channels}x{spec.height}x{spec.width} in float32 (pictures, "
            f"channels, height, width): {str(error).splitlines()[0]}"
        ) from error


def fit_spec(
    job: Job,
    reading: StoreResult,
    size: int | tuple[int, int] | None,
    own: InputDefaults | None,
    fields: tuple[str, ...] = (),
) -> tuple[InputSpec, str]:
    """The input specification for the pictures that were read, and the sentence for the log.

    size: a side, or (height, width) of a network of one size only. own: the input of published weights. fields: where
    rows of a table of numbers were read, what they are. Raises InputError where a mean picture is wanted, or brought
    along, that does not fit.
    """
    if fields:
        return fit_row_spec(reading.store, fields)
    spec, words = _fit_spec(job, reading, size, own)
    known = None if job.start is None else job.start.input_spec
    if known is not None and known.mean_picture is not None:
        require(
            (known.height, known.width) == (spec.height, spec.width),
            f"{known.width}x{known.height} is the size of the mean picture that the earlier run takes off its inputs, "
            f"so {spec.width}x{spec.height} cannot be that of this one; leave --size away",
        )
        return replace(spec, mean_picture=known.mean_picture), words
    if not (job.recipe.mean == "picture" if job.resolved is None else job.resolved.mean_picture):
        return spec, words
    require(own is None or own.mean is None, MEAN_IS_KNOWN)
    store = reading.store
    mean = mean_picture(spec.prepare(store.pixels(index)) for index in range(len(store)))
    return replace(spec, mean_picture=mean), f"{words}; the mean picture is taken off"


def with_colour_axes(augment: dict[str, Any], store: Pixels, channels: int) -> dict[str, Any]:
    """The settings of the variation with the axes that a shift of colours needs, fitted on the training pictures."""
    if not augment.get("pca_colour") or augment.get("pca_axes"):
        return augment
    return {**augment, "pca_axes": colour_axes(store, channels)}


def _fit_spec(
    job: Job, reading: StoreResult, size: int | tuple[int, int] | None, own: InputDefaults | None
) -> tuple[InputSpec, str]:
    """The same with the mean of each channel."""
    recipe, resolved = job.recipe, job.resolved
    store, sizes = reading.store, reading.sizes
    if resolved is not None:
        spec, _ = fit_input_spec(
            store,
            sizes=sizes,
            size=(resolved.height, resolved.width),
            fit=resolved.fit,
            channels=resolved.channels,
            crop_share=resolved.crop_share,
            interpolation=resolved.interpolation,
            mean=resolved.mean or (None if own is None else own.mean),
            deviation=resolved.deviation or (None if own is None else own.deviation),
        )
        return spec, f"the network's input is {resolved.width}x{resolved.height}, as resolved before"
    if job.start is not None:
        known = job.start.input_spec
        spec, _ = fit_input_spec(
            store,
            size=size if isinstance(size, tuple) else recipe.size or (known.height, known.width),
            fit=recipe.fit or known.fit,
            channels=known.channels,
            mean=known.mean,
            deviation=known.deviation,
            crop_share=known.crop_share,
            interpolation=known.interpolation,
        )
        shape = f"{spec.width}x{spec.height} with {counted(spec.channels, 'channel')}"
        return spec, f"the network's input is {shape} ({spec.fit}), mean and deviation those of {job.start.run}"
    if own is not None and own.mean is not None:
        return fit_input_spec(
            store,
            sizes=sizes,
            size=recipe.size or own.size,
            fit=recipe.fit,
            channels=3,
            mean=own.mean,
            deviation=own.deviation,
            interpolation=own.interpolation,
        )
    if isinstance(size, tuple):  # a network of one size only
        return fit_input_spec(store, sizes=sizes, size=size, fit=recipe.fit)
    return fit_input_spec(store, sizes=sizes, size=recipe.size, fit=recipe.fit, largest=size or SIDE_FROM_NOTHING)


def network_for(
    job: Job, name: str, num_outputs: int, spec: InputSpec, pretrained: bool, arguments: dict[str, Any]
) -> BuiltNetwork:
    """The network called `name` for this input, with the weights that the recipe names."""
    return build_network(
        name,
        num_outputs=num_outputs,
        channels=spec.channels,
        size=(spec.height, spec.width),
        pretrained=pretrained,
        weights=None if job.recipe.weights is None else Path(job.recipe.weights),
        arguments=arguments,
        seed=job.recipe.seed,
    )


def as_asked(recipe: Recipe | Resolved, network: nn.Module) -> list[str]:
    """Put dropout before the head and freeze layers, in place, where the recipe says so; sentences for the log."""
    said = []
    if recipe.dropout is not None:
        drop_before_head(network, recipe.dropout)
        said.append(f"dropout of {recipe.dropout:g} before the head")
    if recipe.freeze is not None:
        said.append(freeze(network, recipe.freeze))
    return said


def ask_mirrors(
    recipe: Recipe, facts: Facts, spec: InputSpec, store: PixelStore, targets: np.ndarray
) -> tuple[Facts, str]:
    """Whether mirrored training pictures keep their label, where that is not said in the recipe."""
    if recipe.augment.flip_horizontal is not None or recipe.augment.name == "none" or facts.fields:
        return facts, ""
    if facts.task == REGRESSION:
        # Not asked of the pictures: an angle that is mirrored is wrong, however little that is seen in a few of them.
        if facts.turning:
            return facts, " (no further than to the angles of the training pictures)"
        return facts, " (a number may change with its picture; --augment says how it may vary)"
    # Grey pictures are not mirrored in any case (see `choose_augmentation`).
    if facts.grey:
        return facts, ""
    chosen = sample_rows(len(store), recipe.seed)
    side = replace(spec, height=min(spec.height, 32), width=min(spec.width, 32), fit="squash", mean_picture=None)
    pictures = torch.stack([side.prepare(store.pixels(int(index))) for index in chosen])
    evidence = mirror_evidence(pictures, targets[chosen], grey=bool(facts.grey))
    words = "keeps its label" if evidence.harmless else "may look like another class"
    return replace(facts, mirrors=evidence.harmless), f" (a mirrored picture {words} here)"


def fit_stem(network: nn.Module, spec: InputSpec, store: PixelStore) -> None:
    """Let a network that starts from the statistics of its pictures see some of them."""
    if isinstance(network, SmallResNet):
        some = np.linspace(0, len(store) - 1, min(STEM_PICTURES, len(store))).astype(np.int64)
        pictures = torch.stack([spec.prepare(store.pixels(int(index))) for index in some])
        network.fit_stem(spec.normalize(pictures))
