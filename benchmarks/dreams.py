"""How far do dreams raise what they are of? Ten networks, units at three depths of each, against pictures of noise.

    python benchmarks/dreams.py                    about 15 minutes on two cores
    python benchmarks/dreams.py --only lenet5      networks whose name holds a word; not recorded

Two networks are published ones (SqueezeNet 1.0 of the data pack, EfficientNet-Lite0 of the installation), eight are
trained here for an epoch or two on sets of the data pack. Of each, two units in the middle of the convolution (or the
linear layer) a third and two thirds of the way up, and two classes, all drawn by seed 0, are dreamt of with the
settings of `striate dream`. The figure is how many standard deviations the unit's activation for its dream lies above
its mean over 32 pictures of uniform noise; the goal is 10 for each. Written to benchmarks/results/dreams.json.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import tempfile
import time
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import striate
from striate.data.draws import permutation
from striate.machine.description import describe_machine, versions
from striate.machine.threads import usable_cores
from striate.models.model import Model

REPOSITORY = Path(__file__).resolve().parent.parent
RESULTS = Path(__file__).resolve().parent / "results" / "dreams.json"
GOAL = 10.0
UNITS = 2  # of each layer
# Name, the folder of the data pack (None: published weights), settings of the training.
NETWORKS: tuple[tuple[str, str | None, dict[str, Any]], ...] = (
    ("squeezenet1_0", None, {}),
    ("efficientnet-lite0", None, {}),
    ("lenet5", "mnist", {"epochs": 1}),
    ("mlp", "mnist", {"epochs": 1}),
    ("small-conv", "mnist", {"epochs": 1}),
    ("lenet5", "fashion-mnist", {"epochs": 2}),
    ("small-conv", "fashion-mnist", {"epochs": 1}),
    ("small-resnet", "cifar10-jpeg", {"epochs": 1, "width": 16}),
    ("shufflenet_v2_x0_5", "cifar10-jpeg", {"epochs": 1}),
    ("resnet18", "caltech101-20", {"epochs": 8, "size": 64}),
)


def main(arguments: Sequence[str] | None = None) -> int:
    """Train, dream, compare, write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", metavar="WORD", help="networks whose name holds WORD; not recorded")
    given = parser.parse_args(arguments)
    shared = Path(os.environ.get("STRIATE_SHARED", REPOSITORY.parent / "shared")) / "data"
    rows = []
    with tempfile.TemporaryDirectory(prefix="striate-dreams-") as folder:
        for number, (name, source, settings) in enumerate(NETWORKS):
            title = f"{name} ({source or 'ImageNet'})"
            if given.only and given.only not in title:
                continue
            model, accuracy = subject(name, source, settings, shared, Path(folder) / str(number))
            rows.append({"network": title, "accuracy": accuracy, **measured(model)})
            print(line(rows[-1]), flush=True)
    print("\n".join(table(rows)))
    if given.only:
        return 0
    record = {
        "date": datetime.now(UTC).strftime("%Y-%m-%d"),
        "command": "python benchmarks/dreams.py",
        "goal": GOAL,
        "machine": describe_machine("cpu", usable_cores()),
        "versions": versions(),
        "networks": rows,
    }
    RESULTS.write_text(json.dumps(record, indent=1) + "\n", encoding="utf-8")
    print(f"wrote {RESULTS}")
    return 0


def subject(
    name: str, source: str | None, settings: dict[str, Any], shared: Path, folder: Path
) -> tuple[Model, float | None]:
    """The network, and its test accuracy where it was trained here."""
    if source is None:
        weights = shared / "weights" / f"{name}.safetensors"
        return striate.load(network=name, weights=weights if weights.is_file() else None), None
    run = striate.train(shared / source, network=name, out=folder, **settings)
    return striate.load(run), float(run.metrics["test"]["accuracy"]["value"])


def measured(model: Model) -> dict[str, Any]:
    """For each unit: of which layer, its activation for its dream, mean and deviation on noise."""
    import torch

    from striate.taps.places import find_places

    spec = model.input_spec
    blank = torch.zeros(1, spec.channels, spec.height, spec.width)
    layers = [place for place in find_places(model.network, blank) if place.kind in ("Conv2d", "Linear")]
    began, units = time.monotonic(), []
    for share in (1 / 3, 2 / 3):
        place = layers[round(share * (len(layers) - 1))]
        chosen = permutation(0, 0, place.channels)[:UNITS].tolist()
        units += dreamt(model, layer=place.name, unit=chosen)
    classes = permutation(0, 0, len(model.class_names))[:UNITS].tolist()
    units += dreamt(model, class_name=classes)
    return {"units": units, "seconds": (time.monotonic() - began) / len(units)}


def dreamt(model: Model, **what: Any) -> list[dict[str, Any]]:
    """What `striate dream` tells of each."""
    with tempfile.TemporaryDirectory() as folder:
        found = striate.dream(model, out=Path(folder) / "dream.png", **what).to_json()
    units: list[dict[str, Any]] = found["dreams"]
    return units


def table(rows: Sequence[dict[str, Any]]) -> list[str]:
    """As Markdown."""
    heading = "| network | test accuracy | least of its units | median | at least 10 | seconds a dream |"
    return [heading, "|---|---:|---:|---:|---:|---:|", *map(line, rows)]


def line(row: dict[str, Any]) -> str:
    """One network."""
    found = [unit["deviations"] for unit in row["units"]]
    accuracy = "published" if row["accuracy"] is None else f"{100 * row['accuracy']:.1f} %"
    reached = sum(value >= GOAL for value in found)
    return (
        f"| {row['network']} | {accuracy} | {min(found):,.1f} | {statistics.median(found):,.1f} | "
        f"{reached} of {len(found)} | {row['seconds']:.1f} |"
    )


if __name__ == "__main__":
    raise SystemExit(main())
