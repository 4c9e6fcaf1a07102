"""How far do dreams raise what they are of? Ten networks, units at two depths of each and classes, against noise.

    python benchmarks/dreams.py [--runs FOLDER]

Two networks are published ones (SqueezeNet 1.0 of the data pack, EfficientNet-Lite0 of the installation), eight are
trained here for an epoch or more on sets of the data pack. Of each, two units in the middle of the convolution (or the
linear layer) a third and two thirds of the way up to the scores, and two classes, all drawn by seed 0, are dreamt of
with the settings of `striate dream`. The figure is how many standard deviations the unit's activation for its dream, as
the file keeps it, lies above its mean over 32 pictures of uniform noise; the goal is 10 for each.

For a unit that stays below, the most that it can be brought to is looked for, unmindful of what the picture is like:
every pixel is moved to where the unit rises, from the dream and from grey, for `CLIMB` steps.
"""

from __future__ import annotations

import statistics
import sys
import time
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import striate
from harness import Contender, carry_out, options, workplace
from judging import Goal
from page import Column
from pictures import data_pack
from striate.data.draws import permutation
from striate.models.model import Model

NAME = "dreams"
GOAL = 10.0
UNITS = 2  # of each layer, and classes
SHARES = (1 / 3, 2 / 3)  # of the way up
CLIMB = 200
LONGEST, SHORTEST = 0.1, 1 / 255  # steps of the climb, of the range of a pixel
PUBLISHED, TRAINED = "published weights", "trained here"
# Name, the folder of the data pack (None: published weights), settings of the training.
NETWORKS: tuple[tuple[str, str | None, dict[str, Any]], ...] = (
    ("lenet5", "mnist", {"epochs": 1}),
    ("mlp", "mnist", {"epochs": 1}),
    ("small-conv", "mnist", {"epochs": 1}),
    ("lenet5", "fashion-mnist", {"epochs": 2}),
    ("small-conv", "fashion-mnist", {"epochs": 1}),
    ("small-resnet", "cifar10-jpeg", {"epochs": 1, "width": 16}),
    ("shufflenet_v2_x0_5", "cifar10-jpeg", {"epochs": 1}),
    ("resnet18", "caltech101-20", {"epochs": 8, "size": 64}),
    ("squeezenet1_0", None, {}),
    ("efficientnet-lite0", None, {}),
)


def main(arguments: Sequence[str] | None = None) -> int:
    """Train, dream, judge, record."""
    parser = options(__doc__ or "", rounds=1, minutes=15)
    parser.add_argument("--runs", type=Path, metavar="FOLDER", help="where trained networks are kept, and found again")
    given = parser.parse_args(arguments)
    titles = [title_of(name, source) for name, source, _ in NETWORKS]
    chosen = [title for title in titles if not given.only or any(word in title for word in given.only)]
    found: dict[str, dict[str, Any]] = {}
    with workplace() as temporary:
        for title, (name, source, settings) in zip(titles, NETWORKS, strict=True):
            if title in chosen:
                model, accuracy = subject(name, source, settings, (given.runs or temporary) / folder_of(title))
                found[title] = {**accuracy, **measured(model, steps=4 if given.quick else None)}
                print(f"{title}: {found[title]}", file=sys.stderr, flush=True)
    ways = {title: TRAINED if source else PUBLISHED for title, (_, source, _) in zip(titles, NETWORKS, strict=True)}
    return carry_out(
        NAME,
        [Contender(name=title, way=ways[title], measure=partial(found.__getitem__, title)) for title in chosen],
        given=given,
        columns=[
            Column("accuracy", "test accuracy", percent=True),
            Column("least", "least of its units"),
            Column("median", "median"),
            Column("reaching", "at least 10", percent=True),
            Column("seconds", "processor s a dream"),
        ],
        goals=[
            Goal(words=f"{title}: each at least 10", figure="least", contender=title, at_least=GOAL) for title in chosen
        ],
        compared=None,
        facts=[sentence for title in chosen for sentence in sentences(title, found[title]["units"])],
        peers=False,
    )


def title_of(name: str, source: str | None) -> str:
    """The network, and what it was trained on."""
    return f"{name} ({source or 'ImageNet'})"


def folder_of(title: str) -> str:
    """A name for its run."""
    return title.replace(" (", "-").rstrip(")")


def subject(name: str, source: str | None, settings: dict[str, Any], folder: Path) -> tuple[Model, dict[str, float]]:
    """The network, and its test accuracy where it was trained here."""
    if source is None:
        weights = data_pack() / "weights" / f"{name}.safetensors"
        return striate.load(network=name, weights=weights if weights.is_file() else None, device="cpu"), {}
    run = striate.Run(folder)
    if not (folder.is_dir() and run.finished):
        run = striate.train(data_pack() / source, network=name, out=folder, seed=0, device="cpu", **settings)
    return striate.load(run, device="cpu"), {"accuracy": run.metrics["test"]["accuracy"]["value"]}


def measured(model: Model, steps: int | None = None) -> dict[str, Any]:
    """The least and the median of the deviations, and for each unit what `striate dream` tells of it, with `highest`,
    in deviations too, for those below the goal."""
    import torch
    from torch import nn

    from striate.taps.places import find_places

    spec = model.input_spec
    blank = torch.zeros(1, spec.channels, spec.height, spec.width)
    # By what they are, not by the name of their class: padding as TensorFlow's has one of its own.
    weighted = {name for name, module in model.network.named_modules() if isinstance(module, nn.Conv2d | nn.Linear)}
    places = [place for place in find_places(model.network, blank) if place.name in weighted]
    below = places[:-1]  # the last one gives the scores, which are dreamt of as classes
    seconds, units = 0.0, []
    asked: list[dict[str, Any]] = [{"class_name": drawn(len(model.class_names))}]
    for share in SHARES:
        place = below[round(share * (len(below) - 1))]
        asked.append({"layer": place.name, "unit": drawn(place.channels)})
    for one in asked:
        began = time.process_time()
        with TemporaryDirectory() as folder:
            found = striate.dream(model, out=Path(folder) / "dream.png", steps=steps, **one)
        seconds += time.process_time() - began
        for number, told in enumerate(found.to_json()["dreams"]):
            if told["deviations"] < GOAL:
                told["highest"] = highest(model, found.dreams, number)
            units.append(told)
    deviations = [unit["deviations"] for unit in units]
    return {
        "least": min(deviations),
        "median": statistics.median(deviations),
        "reaching": statistics.mean(float(value >= GOAL) for value in deviations),
        "seconds": seconds / len(units),
        "units": units,
    }


def drawn(count: int) -> list[int]:
    """Which of so many units."""
    return [int(number) for number in permutation(0, 0, count)[:UNITS]]


def highest(model: Model, dreams: Any, number: int) -> float:
    """The most that moving single pixels finds for this one of the dreams, in deviations above its mean on noise."""
    import torch

    from striate.taps.unchanged import unchanged
    from striate.views.ascent import as_kept, gradient_of
    from striate.views.dreams import shown_to
    from striate.views.excitement import find_target

    spec = model.input_spec
    dream = dreams.pixels[number][None]
    best = float(dreams.values[number])
    with unchanged(model.network) as bare:
        shown = shown_to(bare, spec.mean, spec.deviation, dream.shape[2:])
        target = find_target(bare, shown.blank(dream.shape[2:]), dreams.kind, [dreams.indices[number]], dreams.layer)

        def raised(pixels: Any) -> Any:
            return target.of(bare, shown.inputs(pixels))[:, 0]

        pixels = torch.cat([dream, torch.full_like(dream, 0.5)])
        for step in range(CLIMB):
            length = SHORTEST + (LONGEST - SHORTEST) * (1 - step / CLIMB)
            pixels = (pixels + length * gradient_of(raised, pixels).sign()).clamp(0, 1)
            best = max(best, float(shown.answers(target, as_kept(pixels)).max()))
    return (best - float(dreams.noise_mean[number])) / float(dreams.noise_deviation[number])


def sentences(title: str, units: Sequence[dict[str, Any]]) -> list[str]:
    """What is to be said of the units that stay below the goal."""
    found = []
    for unit in units:
        if unit["deviations"] < GOAL:
            found.append(
                f"{title}, {unit['of']}: {unit['deviations']:.1f}. The most that moving pixels one by one found "
                f"for it, whatever picture that makes, is {unit['highest']:.1f}."
            )
    return found


if __name__ == "__main__":
    sys.exit(main())
