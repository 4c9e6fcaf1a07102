"""Which learning rate trains best, beside the default and what `--find-rate` suggests: benchmarks/results/rates.json.

    python benchmarks/rates.py                        all cases, about an hour on one core
    python benchmarks/rates.py --only lenet5 iris     those whose names hold one of the words; the others stay recorded

A case is a source, a network and a number of epochs. Everything is prepared as by `striate train`; then the network
learns from the same beginning at each rate of a grid, and is judged as a run is: the weights of the best epoch, their
certainty fitted on validation, answer the test split; the figure is their log loss, the mean over the seeds. Pictures
are those of the shared data pack (MNIST and Fashion-MNIST: so many of the training pictures, evenly spaced, and others
for validation and test), rows those of scikit-learn's sets. `python docs/make_pages.py` makes a table of the record, in
docs/defaults.md.
"""

from __future__ import annotations

import argparse
import csv
import gzip
import json
import math
import os
import statistics
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from striate.machine.description import describe_machine, versions
from striate.machine.threads import usable_cores

if TYPE_CHECKING:
    from striate.actions.steps import Prepared

REPOSITORY = Path(__file__).resolve().parent.parent
RESULTS = Path(__file__).resolve().parent / "results" / "rates.json"
SHARED = Path(os.environ.get("STRIATE_SHARED", REPOSITORY.parent / "shared")) / "data"
HELD_BACK, TESTED = 1000, 2000
NEARLY = 0.1


@dataclass(frozen=True)
class Case:
    """source: makes what is learned from, in a folder that is given; settings: of the recipe; rates: the grid."""

    source: Callable[[Path], Any]
    settings: dict[str, Any]
    rates: tuple[float, ...]
    seeds: tuple[int, ...] = (0, 1)


def half_decades(lowest: float, highest: float) -> tuple[float, ...]:
    """1 and 3 times the powers of ten from `lowest` to `highest`."""
    powers = range(math.floor(math.log10(lowest)), math.ceil(math.log10(highest)) + 1)
    every = [float(f"{factor}e{power}") for power in powers for factor in (1, 3)]
    return tuple(rate for rate in every if lowest * 0.99 <= rate <= highest * 1.01)


def digits(name: str, count: int) -> Callable[[Path], Any]:
    """`count` training pictures of the IDX files in `name`, evenly spaced, and others that are held back."""

    def read(file: str, start: int) -> np.ndarray:
        return np.frombuffer(gzip.decompress((SHARED / name / file).read_bytes())[start:], dtype=np.uint8)

    def source(_: Path) -> Any:
        pictures = read("train-images-idx3-ubyte.gz", 16).reshape(-1, 28, 28)
        labels = read("train-labels-idx1-ubyte.gz", 8).astype(np.int64)
        first = len(labels) - HELD_BACK - TESTED
        rows = {
            "train": np.linspace(0, first - 1, count).astype(np.int64),
            "validation": np.arange(first, first + HELD_BACK),
            "test": np.arange(first + HELD_BACK, len(labels)),
        }
        return {split: (pictures[some], labels[some]) for split, some in rows.items()}

    return source


def rows_of(name: str) -> Callable[[Path], Any]:
    """A table of one of scikit-learn's sets."""

    def source(folder: Path) -> Any:
        import sklearn.datasets

        data = getattr(sklearn.datasets, f"load_{name}")()
        place = folder / f"{name}.csv"
        with place.open("w", newline="") as file:
            writer = csv.writer(file)
            writer.writerow([*(str(one) for one in data.feature_names), "target"])
            for row, target in zip(data.data.tolist(), data.target, strict=True):
                writer.writerow([*row, str(data.target_names[target])])
        return place

    return source


def photographs(name: str) -> Callable[[Path], Any]:
    """A folder of the data pack."""
    return lambda _: str(SHARED / name)


FOUR = (0, 1, 2, 3)
GREY = {"mnist": "MNIST", "fashion-mnist": "Fashion-MNIST"}
CASES: dict[str, Case] = {
    **{
        f"{called}, small-conv": Case(
            digits(name, 10_000), {"network": "small-conv", "epochs": 2}, half_decades(0.01, 1.0)
        )
        for name, called in GREY.items()
    },
    **{
        f"{called}, {network}": Case(digits(name, 10_000), {"network": network, "epochs": 3}, rates)
        for network, rates in (
            ("lenet5", half_decades(1e-3, 0.1)),
            ("mlp", half_decades(1e-4, 0.03)),
            ("linear", half_decades(3e-4, 0.1)),
        )
        for name, called in GREY.items()
    },
    "MNIST, 500 pictures, lenet5": Case(
        digits("mnist", 500), {"network": "lenet5", "epochs": 30}, half_decades(3e-4, 0.1)
    ),
    "Fashion-MNIST, 2,000 pictures, resnet18": Case(
        digits("fashion-mnist", 2000), {"network": "resnet18", "epochs": 3}, half_decades(3e-4, 0.03), (0,)
    ),
    **{
        f"{name.replace('_', ' ')}, {network}": Case(rows_of(name), {"network": network}, rates, FOUR)
        for network, rates in (("mlp", half_decades(1e-3, 0.1)), ("linear", half_decades(3e-3, 0.3)))
        for name in ("iris", "wine", "breast_cancer")
    },
    "hymenoptera, efficientnet-lite0 pretrained": Case(
        photographs("hymenoptera"),
        {"network": "efficientnet-lite0", "pretrained": True, "epochs": 3, "size": 128},
        half_decades(3e-5, 1e-2),
    ),
}


def main(arguments: Sequence[str] | None = None) -> int:
    """Train, compare, write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", nargs="+", metavar="WORD", help="cases whose names hold one of these words")
    given = parser.parse_args(arguments)
    record: dict[str, Any] = json.loads(RESULTS.read_text(encoding="utf-8")) if RESULTS.exists() else {"cases": {}}
    for name, case in CASES.items():
        if given.only and not any(word in name for word in given.only):
            continue
        began = time.process_time()
        record["cases"][name] = one = measured(case)
        print(
            f"{name}: best {one['best']:g}, nearly as good {one['nearly_as_good']}, by default {one['default']:.3g}, "
            f"suggested {one['suggested']} ({time.process_time() - began:.0f} s)\n   {one['mean_log_loss']}",
            flush=True,
        )
        record["cases"] = {one: record["cases"][one] for one in CASES if one in record["cases"]}
        record.update(
            date=datetime.now(UTC).strftime("%Y-%m-%d"),
            command="python benchmarks/rates.py",
            machine=describe_machine("cpu", usable_cores()),
            versions=versions(),
        )
        RESULTS.write_text(json.dumps(record, indent=1) + "\n", encoding="utf-8")
    return 0


def measured(case: Case) -> dict[str, Any]:
    """What each rate reached with each seed; what is suggested and what would be taken by itself."""
    from striate.actions.find_rate import risen

    found: dict[str, Any] = {"rates": {f"{rate:g}": [] for rate in case.rates}, "suggested": [], "seeds": case.seeds}
    by_default: list[dict[str, float] | None] = []
    with tempfile.TemporaryDirectory() as folder:
        source = case.source(Path(folder))
        for seed in case.seeds:
            begun = prepared(source, {**case.settings, "seed": seed})
            start = {key: value.clone() for key, value in begun.loop.network.state_dict().items()}
            found["suggested"].append(risen(begun.loop).suggested)
            plan = begun.loop.plan
            for rate in case.rates:
                found["rates"][f"{rate:g}"].append(trained(begun, start, rate))
            by_default.append(trained(begun, start, plan.learning_rate))
            found.update(
                default=plan.learning_rate,
                optimizer=plan.optimizer.name,
                batch_size=plan.batch_size,
                epochs=plan.epochs,
                pictures=len(begun.loop.batches.rows),
            )
    found["log_loss_by_default"] = statistics.mean(math.inf if one is None else one["log_loss"] for one in by_default)
    return {**found, **judged(found)}


def prepared(source: Any, settings: dict[str, Any]) -> Prepared:
    """A training by steps before its first one, of which nothing is written."""
    from striate.actions.job import Job
    from striate.actions.train import as_recipe
    from striate.actions.work import prepare_by_steps
    from striate.data.sources import open_dataset
    from striate.models.run import Run
    from striate.observer import SILENT

    asked, _, _ = as_recipe(None, None, {"threads": 1, **settings})
    job = Job(
        run=Run(Path("no run")),
        recipe=asked,
        resolved=None,
        network=None,
        observer=SILENT,
        started=time.monotonic(),
        start=None,
    )
    begun = prepare_by_steps(job, open_dataset(source))
    begun.loop.on_split = None
    return begun


def trained(begun: Prepared, start: dict[str, Any], rate: float) -> dict[str, float] | None:
    """Log loss and accuracy on the test split after a training at this rate, from `start`; None where it diverged."""
    from striate.training.diverged import Diverged
    from striate.training.loop import Loop

    one = begun.loop
    one.network.load_state_dict(start)
    loop = Loop(one.model, one.batches, one.validation, replace(one.plan, learning_rate=rate))
    try:
        loop.run()
    except Diverged:
        return None
    assert loop.validation is not None
    held = loop.validation
    task = loop.model.task.calibrated(loop.model.answer(held.pictures).numpy(), held.targets)
    answers = replace(loop.model, task=task).answer(begun.material.held_back["test"]).numpy()
    targets = begun.material.samples.targets[begun.material.samples.rows("test")]
    right = float((answers.argmax(axis=1) == targets).mean())
    return {"log_loss": float(task.losses(answers, targets).mean()), "accuracy": right}


def judged(found: dict[str, Any]) -> dict[str, Any]:
    """The mean log loss of each rate over the seeds (none where one diverged), the best rate, and the least and the
    greatest that come within a tenth of it."""
    means = {
        rate: statistics.mean(one["log_loss"] for one in runs)
        for rate, runs in found["rates"].items()
        if None not in runs
    }
    best = min(means, key=lambda rate: means[rate])
    good = [float(rate) for rate, loss in means.items() if loss <= (1 + NEARLY) * means[best]]
    return {"mean_log_loss": means, "best": float(best), "nearly_as_good": [min(good), max(good)]}


if __name__ == "__main__":
    raise SystemExit(main())
