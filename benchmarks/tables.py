"""Numbers and labels on real pictures by the default command, with seeds: benchmarks/results/tables.jsonl.

    python benchmarks/tables.py                       all three sets, seeds 0 1 2
    python benchmarks/tables.py --sets mnist-rotation --seeds 0 --again
    python benchmarks/results.py --page              docs/results.md alone, which this writes too

The tables are those of the shared data pack (`tables/`, described in its README). Before a training, a folder is
prepared beside which nothing is written: a table and the pictures that it names. For `mnist-rotation` the pictures are
made first: each digit turned counter-clockwise by its angle about the centre, bilinear, outside 0. Each figure comes
from a whole process, `striate train FOLDER --seed S`, and is that of the test split of the table, which took no part in
training or in any choice; what is there to beat was measured by the makers of the data pack. One line a run is added,
so that the work can be interrupted: a (set, seed, version) that is recorded is not run again, unless --again says so.
"""

from __future__ import annotations

import argparse
import csv
import gzip
import json
import os
import shlex
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parent))

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

TABLES = RECORDS / "tables.jsonl"
SEEDS = (0, 1, 2)
ERROR = "mean absolute error"


@dataclass(frozen=True)
class Goal:
    """A table: the options beside the seed, how its folder is prepared, and what is there to beat.

    figures: of the metrics of the test split, each name with its value. best: what must be surpassed, by name;
    larger: whether more is better; to_beat: what reached that.
    """

    options: tuple[str, ...]
    prepare: Callable[[Path, Path], None]
    figures: Callable[[Mapping[str, Any]], dict[str, float]]
    best: Mapping[str, float]
    larger: bool
    measure: str = ""  # what the figures are, where their names do not say it
    to_beat: str = ""


def link_camvid(name: str) -> Callable[[Path, Path], None]:
    """The table called `name` beside a link to the pictures that it names."""

    def prepare(shared: Path, folder: Path) -> None:
        (folder / "camvid-150").symlink_to((shared / "camvid-150").resolve())
        (folder / name).write_bytes((shared / "tables" / name).read_bytes())

    return prepare


def turn_digits(shared: Path, folder: Path) -> None:
    """The digits of mnist-rotation as PNG files, and labels.csv with path, split and angle."""
    import numpy as np
    from PIL import Image

    pictures: dict[str, Any] = {}
    lines = [["path", "split", "angle"]]
    (folder / "pictures").mkdir()
    with (shared / "tables" / "mnist-rotation.csv").open(encoding="utf-8", newline="") as file:
        for number, row in enumerate(csv.DictReader(file)):
            name = row["idx_file"]
            if name not in pictures:
                data = gzip.decompress((shared / "mnist" / name).read_bytes())
                pictures[name] = np.frombuffer(data, dtype=np.uint8, offset=16).reshape(-1, 28, 28)
            digit = Image.fromarray(pictures[name][int(row["index"])])
            path = f"pictures/{number:05d}.png"
            # Pillow turns counter-clockwise about the centre and fills with 0.
            digit.rotate(float(row["angle_deg"]), resample=Image.Resampling.BILINEAR).save(folder / path)
            lines.append([path, row["split"], row["angle_deg"]])
    with (folder / "labels.csv").open("w", encoding="utf-8", newline="") as file:
        csv.writer(file).writerows(lines)


def precision_of(metrics: Mapping[str, Any]) -> dict[str, float]:
    """Of labels: the mean over them of the average precision."""
    return {"mean average precision": float(metrics["mean_average_precision"]["value"])}


def errors_of(metrics: Mapping[str, Any]) -> dict[str, float]:
    """Of numbers: the mean absolute error of each."""
    return {one["name"]: float(one["mae"]["value"]) for one in metrics["by_number"]}


GOALS: dict[str, Goal] = {
    "camvid-multilabel": Goal(
        (),
        link_camvid("camvid-multilabel.csv"),
        precision_of,
        {"mean average precision": 0.70},
        larger=True,
        to_beat="logistic regression on frozen EfficientNet-Lite0 features",
    ),
    "camvid-fractions": Goal(
        ("--targets", "building,tree,road,car"),
        link_camvid("camvid-fractions.csv"),
        errors_of,
        {"building": 0.048, "tree": 0.044, "road": 0.049, "car": 0.021},
        larger=False,
        measure=ERROR,
        to_beat="ridge regression on frozen EfficientNet-Lite0 features",
    ),
    "mnist-rotation": Goal(
        ("--angles", "angle"),
        turn_digits,
        errors_of,
        {"angle": 6.0},
        larger=False,
        measure=f"{ERROR} in degrees",
    ),
}


def main(arguments: Sequence[str] | None = None) -> int:
    """Run what is not recorded yet, and print how the records compare with the goals."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sets", nargs="+", choices=GOALS, default=list(GOALS), metavar="SET", help=", ".join(GOALS))
    parser.add_argument("--seeds", nargs="+", type=int, default=list(SEEDS), metavar="N", help="seeds [0 1 2]")
    parser.add_argument("--again", action="store_true", help="run again what is recorded")
    given = parser.parse_args(arguments)
    shared = Path(os.environ.get("STRIATE_SHARED", REPOSITORY.parent / "shared")) / "data"
    if not shared.is_dir():
        print(f"{shared}: the data pack is not there; say where with STRIATE_SHARED=FOLDER", file=sys.stderr)
        return 2
    try:
        for name in given.sets:
            run_set(shared, name, given.seeds, again=given.again)
            compare(name)
    finally:
        from results import write_page  # which shows these records beside its own

        write_page()
    return 0


def run_set(shared: Path, name: str, seeds: Sequence[int], *, again: bool) -> None:
    """`striate train` for every seed of a set that is not recorded of this version."""
    known = {(one["set"], one["seed"], one["version"]) for one in read_records(TABLES)}
    with tempfile.TemporaryDirectory(prefix="striate-tables-") as place:
        source = Path(place) / name
        source.mkdir()
        GOALS[name].prepare(shared, source)
        for seed in seeds:
            if (name, seed, version()) in known and not again:
                print(f"{name}, seed {seed}: recorded before")
                continue
            add(name, seed, train(source, ("--seed", str(seed), *GOALS[name].options), Path(place)))


def train(source: Path, options: Sequence[str], place: Path) -> dict[str, Any]:
    """One whole process of `striate train`: its figures on the test split, its wall time and origin."""
    command = ["striate", "train", source.name, *options]
    print(f"$ {shlex.join(command)}", flush=True)
    start = [sys.executable, "-m", "striate", "train"]
    began = time.monotonic()
    done = subprocess.run(
        [*start, str(source), *options, "--json", "--overwrite", "--out", str(place / "run")],
        check=False,
        stdout=subprocess.PIPE,
        text=True,
    )
    seconds = time.monotonic() - began
    if done.returncode:
        raise SystemExit(f"{shlex.join(command)} ended with status {done.returncode}")
    metrics = json.loads(done.stdout)
    machine = dict(metrics.get("machine") or {})
    return {
        "figures": GOALS[source.name].figures(metrics["test"]),
        "pictures": metrics["test"]["n"],
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


def add(name: str, seed: int, one: Mapping[str, Any]) -> None:
    """Add a line, and tell it."""
    write_record(TABLES, {"set": name, "seed": seed, **one})
    print("  " + ", ".join(f"{what} {value:.4f}" for what, value in one["figures"].items()), flush=True)


def compare(name: str) -> None:
    """Print the mean over the seeds of the newest version beside the goal, and by how many seeds it is met."""
    records = [one for one in read_records(TABLES) if one["version"] == version()]
    last = by_set(of_newest_version(records), [name]).get(name, [])
    for what, best in GOALS[name].best.items():
        values = [one["figures"][what] for one in last]
        if not values:
            continue
        met = sum(value > best if GOALS[name].larger else value < best for value in values)
        spread = f" ± {statistics.stdev(values):.4f}" if len(values) > 1 else ""
        sign = ">" if GOALS[name].larger else "<"
        print(
            f"{name}: {what} {statistics.mean(values):.4f}{spread}, goal {sign} {best:g}: {met} of {len(values)} seeds"
        )


def section(records: Sequence[Mapping[str, Any]]) -> list[str]:
    """The part of docs/results.md on these tables. records: the last one of each (set, seed)."""
    lines = [
        "## Labels and numbers",
        "",
        "Which of seven things a photograph of a street shows (`camvid-multilabel`), which share of it is building, "
        "tree, road and car (`camvid-fractions`), and by how many degrees a digit is turned (`mnist-rotation`, whose "
        "pictures are turned beforehand as the table says): by the same command, on the test split of each table.",
        "",
    ]
    runs_of = by_set(records, tuple(GOALS))
    if not runs_of:
        return [*lines, "No run is recorded yet.", ""]
    lines += [
        "| set | figure | test pictures | goal | mean of the seeds | each seed | seconds | what is there to beat |",
        "|---|---|---:|---:|---:|---|---:|---|",
    ]
    verdicts = []
    for name, runs in runs_of.items():
        goal = GOALS[name]
        options = f", `{' '.join(goal.options)}`" if goal.options else ""
        seconds = f"{statistics.mean(one['seconds'] for one in runs):.0f}"
        for what, best in goal.best.items():
            values = [one["figures"][what] for one in runs]
            figure = f"{what}: {goal.measure}" if goal.measure else what
            aim = f"{'>' if goal.larger else '<'} {best:g}"
            shown = ", ".join(map(_told, values))
            cells = [name + options, figure, f"{runs[0]['pictures']:,}", aim, _mean(values), shown, seconds]
            lines.append("| " + " | ".join([*cells, goal.to_beat or "–"]) + " |")
        verdicts.append(_verdict(name, runs))
    lines += ["", *verdicts, "", "| command | figures | seconds | date | commit |", "|---|---|---:|---|---|"]
    for runs in runs_of.values():
        for one in runs:
            figures = ", ".join(f"{what} {_told(value)}" for what, value in one["figures"].items())
            cells = [f"`{one['command']}`", figures, f"{one['seconds']:.0f}", one["date"], one.get("commit") or "–"]
            lines.append("| " + " | ".join(cells) + " |")
    again = "python benchmarks/tables.py --sets mnist-rotation --seeds 0 --again"
    return [*lines, "", "```sh", "python benchmarks/tables.py", again, "```", ""]


def _verdict(name: str, runs: Sequence[Mapping[str, Any]]) -> str:
    """Whether the mean of each figure meets its goal, and by how much it misses it where it does not."""
    goal = GOALS[name]
    missed = []
    for what, best in goal.best.items():
        mean = statistics.mean(one["figures"][what] for one in runs)
        if not (mean > best if goal.larger else mean < best):
            missed.append(f"{what} by {_told(abs(mean - best))}")
    met = "the goal is met." if len(goal.best) == 1 else "all goals are met."
    said = f"- **{name}**: {'missed: ' + ', '.join(missed) + '.' if missed else met}"
    if len(runs) < len(SEEDS):
        said += f" Recorded: {len(runs)} of {len(SEEDS)} seeds."
    return said


def _mean(values: Sequence[float]) -> str:
    mean = statistics.mean(values)
    spread = f" ± {statistics.stdev(values):.{_digits(mean)}f}" if len(values) > 1 else ""
    return f"{_told(mean)}{spread}"


def _told(value: float) -> str:
    return f"{value:.{_digits(value)}f}"


def _digits(value: float) -> int:
    """Behind the point."""
    return 4 if abs(value) < 1 else 2


if __name__ == "__main__":
    sys.exit(main())
