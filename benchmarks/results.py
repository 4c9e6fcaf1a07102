"""Accuracy by the default command: one run of this program writes docs/results.md.

    python benchmarks/results.py                       every set, seeds 0 1 2, then the page
    python benchmarks/results.py --minutes-curve       cifar10-jpeg in 1, 3 and 10 minutes, then the page
    python benchmarks/results.py --page                the page alone, from what was recorded (also by tables.py)

Each figure comes from a whole process, `striate train SOURCE --seed S`, timed from its start to its end. What came out
is added to benchmarks/results/*.jsonl, one line a run, so that the work can be interrupted: a (set, seed, version) that
is recorded is not run again, unless --again says so. The runs themselves go to a temporary folder and are removed.
The pictures: the shared data pack, `../shared` beside the repository or the folder that STRIATE_SHARED names.
"""

from __future__ import annotations

import argparse
import json
import os
import shlex
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parent))

import tables
from records import (
    RECORDS,
    REPOSITORY,
    by_set,
    commit,
    of_newest_version,
    read_records,
    version,
    versions,
    write_record,
)

ACCURACY, CURVE = RECORDS / "accuracy.jsonl", RECORDS / "minutes.jsonl"
PAGE = REPOSITORY / "docs" / "results.md"
SEEDS = (0, 1, 2)
CURVE_SET, CURVE_MINUTES = "cifar10-jpeg", (1.0, 3.0, 10.0)
# What a person would write who has heard of no minutes: the network and its settings stay, only the number of epochs
# is chosen, so that it takes as long. Batch 128, rate 0.1, weight decay 5e-4 and cosine are those of He et al. 2016,
# section 4.2, and of most CIFAR recipes since.
FIXED_RECIPE = (
    *("--network", "small-resnet", "--batch-size", "128", "--optimizer", "sgd", "--learning-rate", "0.1"),
    *("--optimizer.weight-decay", "0.0005", "--schedule", "cosine", "--label-smoothing", "0", "--averaging", "0"),
)


@dataclass(frozen=True)
class Goal:
    """A set of the data pack: what accuracy is aimed at, what there is to beat, and the options beside the seed."""

    accuracy: float
    to_beat: str
    options: tuple[str, ...] = ()


# "To beat" is stated with the data pack, and was measured there, not here.
GOALS: dict[str, Goal] = {
    "mnist": Goal(0.994, "92.4 %: logistic regression on pixels"),
    "fashion-mnist": Goal(0.925, "84.4 %: logistic regression on pixels"),
    "hymenoptera": Goal(0.965, "95.5 %: logistic regression on frozen EfficientNet-Lite0 features"),
    "caltech101-20": Goal(0.955, "93.75 %: logistic regression on frozen EfficientNet-Lite0 features"),
    "cifar10-jpeg": Goal(0.88, "", ("--minutes", "10")),
}


def main(arguments: Sequence[str] | None = None) -> int:
    """Run what is not recorded yet, then write the page."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sets", nargs="+", choices=GOALS, default=list(GOALS), metavar="SET", help=", ".join(GOALS))
    parser.add_argument("--seeds", nargs="+", type=int, default=list(SEEDS), metavar="N", help="seeds [0 1 2]")
    parser.add_argument("--minutes-curve", action="store_true", help="accuracy against --minutes, instead of the sets")
    parser.add_argument("--again", action="store_true", help="run again what is recorded")
    parser.add_argument("--page", action="store_true", help="run nothing, write the page")
    parser.add_argument("--out", type=Path, default=PAGE, metavar="FILE", help="the page [docs/results.md]")
    given = parser.parse_args(arguments)
    try:
        if not given.page:
            shared = Path(os.environ.get("STRIATE_SHARED", REPOSITORY.parent / "shared")) / "data"
            if not shared.is_dir():
                print(f"{shared}: the data pack is not there; say where with STRIATE_SHARED=FOLDER", file=sys.stderr)
                return 2
            if given.minutes_curve:
                run_curve(shared / CURVE_SET, given.seeds[0], again=given.again)
            else:
                run_sets(shared, given.sets, given.seeds, again=given.again)
    finally:
        # Also where the work was interrupted: the page says what the records say.
        write_page(given.out)
    return 0


def run_sets(shared: Path, sets: Sequence[str], seeds: Sequence[int], *, again: bool) -> None:
    """`striate train` for every set and seed that is not recorded of this version; seed by seed, all sets each."""
    known = {(one["set"], one["seed"], one["version"]) for one in read_records(ACCURACY)}
    for seed in seeds:
        for name in sets:
            if (name, seed, version()) in known and not again:
                print(f"{name}, seed {seed}: recorded before")
                continue
            options = ("--seed", str(seed), *GOALS[name].options)
            add_record(ACCURACY, {"set": name, "seed": seed, **train(shared / name, options)})


def run_curve(source: Path, seed: int, *, again: bool) -> None:
    """One set in 1, 3 and 10 minutes, and a fixed recipe with as many epochs as take as long."""
    known = {(one["minutes"], one["kind"], one["seed"], one["version"]) for one in read_records(CURVE)}
    pace: tuple[float, float] | None = None
    for minutes in CURVE_MINUTES:
        common = {"minutes": minutes, "seed": seed}
        if again or (minutes, "planned", seed, version()) not in known:
            found = train(source, ("--seed", str(seed), "--minutes", f"{minutes:g}"))
            add_record(CURVE, {"kind": "planned", **common, **found})
        if again or (minutes, "fixed", seed, version()) not in known:
            if pace is None:
                # One epoch tells what all of it takes beside the epochs, and what each of them takes.
                one = train(source, ("--seed", str(seed), *FIXED_RECIPE, "--epochs", "1"))
                pace = one["seconds"] - one["seconds_training"], one["seconds_training"]
            epochs = max(1, round((60 * minutes - pace[0]) / pace[1]))
            found = train(source, ("--seed", str(seed), *FIXED_RECIPE, "--epochs", str(epochs)))
            add_record(CURVE, {"kind": "fixed", **common, "epochs": epochs, **found})


def train(source: Path, options: Sequence[str]) -> dict[str, Any]:
    """One whole process of `striate train`; its test accuracy in [0, 1] with the interval, its wall time and origin."""
    command = ["striate", "train", source.name, *options]
    print(f"$ {shlex.join(command)}", flush=True)
    with tempfile.TemporaryDirectory(prefix="striate-results-") as folder:
        place = ["--out", str(Path(folder) / "run"), "--json"]
        began = time.monotonic()
        done = subprocess.run(
            [sys.executable, "-m", "striate", "train", str(source), *options, *place],
            check=False,
            stdout=subprocess.PIPE,
            text=True,
        )
        seconds = time.monotonic() - began
    if done.returncode:
        raise SystemExit(f"{shlex.join(command)} ended with status {done.returncode}")
    return record(json.loads(done.stdout), seconds, command)


def record(metrics: Mapping[str, Any], seconds: float, command: Sequence[str]) -> dict[str, Any]:
    """What is kept of a run: of what `striate train --json` printed, the seconds it took, and where."""
    accuracy = metrics["test"]["accuracy"]
    machine = dict(metrics.get("machine") or {})
    return {
        "accuracy": accuracy["value"],
        "low": accuracy["low"],
        "high": accuracy["high"],
        "pictures": accuracy["n"],
        "seconds": round(seconds, 1),
        "seconds_training": metrics["seconds"].get("training"),
        "command": shlex.join(command),
        "machine": ", ".join(f"{machine[key]}" for key in ("processor", "device", "system") if key in machine)
        + (f", threads {machine['threads']}" if "threads" in machine else ""),
        "versions": versions(),
        "version": version(),
        "commit": commit(),
        "date": datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC"),
    }


def write_page(place: Path = PAGE) -> None:
    """The page of everything that is recorded."""
    records = (read_records(path) for path in (ACCURACY, CURVE, tables.TABLES))
    place.write_text(page(*records), encoding="utf-8")
    print(f"wrote {place}")


def page(
    accuracy: Sequence[Mapping[str, Any]],
    curve: Sequence[Mapping[str, Any]],
    of_tables: Sequence[Mapping[str, Any]] = (),
) -> str:
    """docs/results.md of the records; of several runs of one (set, seed) the last one counts."""
    newest = of_newest_version(accuracy)
    lines = [
        "# Results",
        "",
        "<!-- Written by `python benchmarks/results.py`; changes by hand are lost. -->",
        "",
        "Every figure on this page was written by a command, with no option beyond those shown. The source of each run "
        "is a set of the shared data pack (described in the pack's own README), the figure is the accuracy on its test "
        "split, which took no part in training or in any choice.",
        "",
        "## The default command",
        "",
    ]
    if newest:
        lines += [*_accuracy_table(newest), "", *_verdicts(newest), "", *_each_run(newest), ""]
    else:
        lines += ["No run is recorded yet.", ""]
    lines += [
        "To repeat all of it, or one set:",
        "",
        "```sh",
        "make bench NAME=results",
        "python benchmarks/results.py --sets hymenoptera --seeds 0 --again",
        "```",
        "",
        '"± deviation" is the standard deviation over the seeds (n - 1). The seed draws the validation split, the '
        "initial weights, the order of the pictures and how they are varied; the test split is that of the source. "
        "What is there to beat was measured by the makers of the data pack, and is quoted from there.",
        "",
        "## Accuracy against minutes",
        "",
        f"`striate train {CURVE_SET} --minutes M` plans network, size and schedule for the time that it is given. "
        "Beside it a fixed recipe, with as many epochs as take as long on the same machine (at least one).",
        "",
    ]
    lines += _curve_table(of_newest_version(curve)) if curve else ["No run is recorded yet."]
    lines += ["", "```sh", "python benchmarks/results.py --minutes-curve", "```", ""]
    lines += tables.section(of_newest_version(of_tables))
    origin = [*newest, *of_newest_version(curve), *of_newest_version(of_tables)]
    if origin:
        lines += ["## Machine and versions", "", *_origins(origin), ""]
    return "\n".join(lines)


def _accuracy_table(records: Sequence[Mapping[str, Any]]) -> list[str]:
    lines = [
        "| set | test pictures | goal | mean of the seeds | each seed | seconds | what is there to beat |",
        "|---|---:|---:|---:|---|---:|---|",
    ]
    for name, runs in by_set(records, tuple(GOALS)).items():
        goal = GOALS[name]
        shown = ", ".join(f"{100 * one['accuracy']:.2f}" for one in runs)
        seconds = statistics.mean(one["seconds"] for one in runs)
        lines.append(
            f"| {name}{_options(goal)} | {runs[0]['pictures']:,} | ≥ {_percent(goal.accuracy)} | {_mean(runs)} "
            f"| {shown} | {seconds:.0f} | {goal.to_beat or '–'} |"
        )
    return lines


def _verdicts(records: Sequence[Mapping[str, Any]]) -> list[str]:
    """A sentence a set: whether its goal is met by the mean, and by how much it is missed where it is not."""
    said = []
    for name, runs in by_set(records, tuple(GOALS)).items():
        by = 100 * (statistics.mean(one["accuracy"] for one in runs) - GOALS[name].accuracy)
        error = _standard_error(runs)
        if by >= -1e-9:
            said.append(f"- **{name}**: the goal is met, by {abs(by):.2f} points.")
        else:
            said.append(
                f"- **{name}**: the goal is missed by {-by:.2f} points; one standard error of the mean, from the "
                f"{runs[0]['pictures']:,} test pictures alone, is {error:.2f} points."
            )
        if len(runs) < len(SEEDS):
            said[-1] += f" Only {len(runs)} of {len(SEEDS)} seeds are recorded."
    return said


def _standard_error(runs: Sequence[Mapping[str, Any]]) -> float:
    """In points. The seeds share their test pictures, so that more of them do not make it smaller."""
    share = statistics.mean(one["accuracy"] for one in runs)
    return 100 * float((share * (1 - share) / runs[0]["pictures"]) ** 0.5)


def _each_run(records: Sequence[Mapping[str, Any]]) -> list[str]:
    lines = [
        "| command | accuracy | 95 % interval | seconds | date | commit |",
        "|---|---:|---:|---:|---|---|",
    ]
    for runs in by_set(records, tuple(GOALS)).values():
        for one in runs:
            interval = f"{100 * one['low']:.2f} to {100 * one['high']:.2f}"
            cells = [f"`{one['command']}`", _percent(one["accuracy"]), interval, f"{one['seconds']:.0f}", one["date"]]
            lines.append("| " + " | ".join([*cells, one.get("commit") or "–"]) + " |")
    return lines


def _curve_table(records: Sequence[Mapping[str, Any]]) -> list[str]:
    lines = [
        "| minutes asked for | accuracy | whole process, seconds | of the time | fixed recipe | epochs | seconds |",
        "|---:|---:|---:|---:|---:|---:|---:|",
    ]
    for minutes in sorted({one["minutes"] for one in records}):
        of = {one["kind"]: one for one in records if one["minutes"] == minutes}
        planned, fixed = of.get("planned"), of.get("fixed")
        cells = [f"{minutes:g}", "–", "–", "–", "–", "–", "–"]
        if planned:
            share = planned["seconds"] / (60 * minutes)
            cells[1:4] = [_percent(planned["accuracy"]), f"{planned['seconds']:.0f}", f"{100 * share:.0f} %"]
        if fixed:
            cells[4:] = [_percent(fixed["accuracy"]), str(fixed["epochs"]), f"{fixed['seconds']:.0f}"]
        lines.append("| " + " | ".join(cells) + " |")
    fixed = next((one for one in records if one["kind"] == "fixed"), None)
    if fixed:
        lines += ["", f"The fixed recipe: `{fixed['command'].rpartition(' --epochs')[0]} --epochs N`."]
    return lines


def _origins(records: Sequence[Mapping[str, Any]]) -> list[str]:
    machines = sorted({one["machine"] for one in records})
    found = sorted({", ".join(f"{name} {number}" for name, number in one["versions"].items()) for one in records})
    return [*(f"- {text}" for text in machines), *(f"- {text}" for text in found)]


def _mean(runs: Sequence[Mapping[str, Any]]) -> str:
    values = [100 * one["accuracy"] for one in runs]
    spread = f" ± {statistics.stdev(values):.2f}" if len(values) > 1 else ""
    return f"{statistics.mean(values):.2f}{spread} %"


def _percent(share: float) -> str:
    return f"{100 * share:.2f} %"


def _options(goal: Goal) -> str:
    return f", `{' '.join(goal.options)}`" if goal.options else ""


def add_record(path: Path, one: Mapping[str, Any]) -> None:
    """Add a line, and tell it."""
    write_record(path, one)
    print(f"  {100 * one['accuracy']:.2f} % in {one['seconds']:.0f} s", flush=True)


if __name__ == "__main__":
    sys.exit(main())
