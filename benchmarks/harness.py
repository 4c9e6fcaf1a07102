"""What every benchmark shares: contenders in turn (A B C A B C ...), the record of a run, and its place in the docs.

A program names its contenders, its columns and its goals and calls `carry_out`. Every goal is judged by what was
measured (`judging.py`); nothing is written by hand.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import page
from commands import FailedError, TooLongError, run
from judging import Goal, judge

REPOSITORY = Path(__file__).resolve().parent.parent
PROGRAMS = Path(__file__).resolve().parent
RECORDS = PROGRAMS / "results"
PEERS_VARIABLE = "STRIATE_PEERS"
STRIATE, ORDINARY, BEST, BARE = "Striate", "ordinary", "best settings", "bare step"


@dataclass(frozen=True, kw_only=True)
class Contender:
    """Something that is measured once a round. `way`: whose and how it is used, one of the words above.

    measure: its figures. most_rounds: fewer than the program's, for what is slow and not close.
    """

    name: str
    way: str
    measure: Callable[[], Mapping[str, Any]]
    most_rounds: int | None = None
    note: str = ""


def options(text: str, *, rounds: int, minutes: float) -> argparse.ArgumentParser:
    """The options that every program has; `minutes`: what a whole run takes."""
    parser = argparse.ArgumentParser(
        description=f"{text}\nA whole run takes about {minutes:g} minutes on two cores.",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--rounds", type=int, default=None, metavar="N", help=f"rounds of all contenders [{rounds}]")
    parser.add_argument("--only", nargs="+", metavar="WORD", help="contenders whose names hold a WORD; not recorded")
    parser.add_argument("--quick", action="store_true", help="as small as can be, to see that it runs; not recorded")
    parser.set_defaults(own_rounds=rounds, minutes=minutes)
    return parser


@contextmanager
def workplace() -> Iterator[Path]:
    """A folder for the time of the program."""
    with tempfile.TemporaryDirectory(prefix="striate-benchmark-") as folder:
        yield Path(folder)


def striate_command() -> Path:
    """The command `striate` of the environment that runs this program."""
    return Path(sys.executable).parent / "striate"


def peers_python() -> Path:
    """The interpreter of the peers' environment. Ends the program where there is none."""
    named = os.environ.get(PEERS_VARIABLE)
    path = Path(named) if named else REPOSITORY / ".peers" / "bin" / "python"
    if not path.is_file():
        print(
            f"{path}: no environment of the peers; 'make bench NAME=...' makes one, "
            f"or name its python in {PEERS_VARIABLE}",
            file=sys.stderr,
        )
        raise SystemExit(2)
    return path


def peer(script: str, *arguments: object, **settings: Any) -> Callable[[], Mapping[str, Any]]:
    """A script of `peers/` as something to measure; `settings` are those of `commands.run`."""
    command = [peers_python(), PROGRAMS / "peers" / f"{script}.py", *map(str, arguments)]
    return lambda: run(command, **settings)


def own(script: str, *arguments: object, **settings: Any) -> Callable[[], Mapping[str, Any]]:
    """A script of this folder in Striate's own environment as something to measure."""
    command = [sys.executable, PROGRAMS / f"{script}.py", *map(str, arguments)]
    return lambda: run(command, **settings)


def carry_out(
    name: str,
    contenders: Sequence[Contender],
    *,
    given: argparse.Namespace,
    columns: Sequence[page.Column],
    goals: Sequence[Goal],
    compared: page.Compared | None,
    facts: Sequence[str] = (),
    program: str | None = None,
    peers: bool = True,
) -> int:
    """Measure, judge, print, and record under `name`; the exit status: 1 where a contender failed.

    compared: the last column; None where rates and times are not what is compared. facts: sentences that go with the
    table. program: whose record it is, where its name differs.
    peers: whether their versions belong to the record; else no environment of theirs is needed.
    A run with --quick, --only or other rounds is printed and not recorded.
    """
    chosen = [one for one in contenders if not given.only or any(word in one.name for word in given.only)]
    rounds, failures, stopped = measure_in_turn(chosen, given.rounds or (1 if given.quick else given.own_rounds))
    record = {
        "name": name,
        "date": datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC"),
        "commit": commit(),
        "command": f"make bench NAME={program or name}",
        "load_before": LOAD_BEFORE,
        **origin(peers),
        "contenders": [
            {"name": one.name, "way": one.way, "note": one.note, "rounds": rounds[one.name]} for one in chosen
        ],
        "failures": failures,
        "stopped": stopped,
        "goals": [{**asdict(judge(goal, rounds)), "goal": asdict(goal)} for goal in goals],
        "columns": [asdict(one) for one in columns],
        "compared": None if compared is None else asdict(compared),
        "facts": list(facts),
    }
    print("\n".join(page.section(record)))
    if given.quick or given.only or given.rounds not in (None, given.own_rounds):
        print("\nnot recorded: this was not the whole run")
    else:
        RECORDS.mkdir(exist_ok=True)
        (RECORDS / f"{name}.json").write_text(json.dumps(record, indent=1) + "\n", encoding="utf-8")
        page.write_page([record])
    return 1 if failures else 0


# Before the first contender: others' work on the machine shows here.
LOAD_BEFORE = round(os.getloadavg()[0], 2)


def measure_in_turn(
    contenders: Sequence[Contender], count: int
) -> tuple[dict[str, list[dict[str, Any] | None]], dict[str, str], dict[str, str]]:
    """So many rounds of all of them; why one failed, and what was stopped at its limit, by name.

    Neither is tried again. What was stopped counts as if it had ended then.
    """
    rounds: dict[str, list[dict[str, Any] | None]] = {one.name: [] for one in contenders}
    failures: dict[str, str] = {}
    stopped: dict[str, str] = {}
    for number in range(count):
        for one in contenders:
            skipped = one.name in {**failures, **stopped} or (one.most_rounds is not None and number >= one.most_rounds)
            figures: dict[str, Any] | None = None
            if not skipped:
                try:
                    figures = dict(one.measure())
                except FailedError as error:
                    failures[one.name] = str(error)
                except TooLongError as error:
                    stopped[one.name] = str(error)
                    figures = {"seconds": error.limit}
                words = (
                    failures.get(one.name)
                    or stopped.get(one.name)
                    or ", ".join(
                        f"{key} {value:.4g}" for key, value in (figures or {}).items() if isinstance(value, int | float)
                    )
                )
                print(f"round {number + 1}/{count}  {one.name}: {words}", file=sys.stderr, flush=True)
            rounds[one.name].append(figures)
    return rounds, failures, stopped


def origin(peers: bool = True) -> dict[str, Any]:
    """The machine, and the versions of Striate's environment and, unless they take no part, of the peers'."""
    from striate.machine.description import describe_machine, versions
    from striate.machine.threads import usable_cores

    found: dict[str, Any] = {"machine": describe_machine("cpu", usable_cores()), "versions": versions(), "peers": {}}
    if not peers:
        return found
    names = [line.partition("==")[0] for line in (PROGRAMS / "peers.txt").read_text().split() if "==" in line]
    asked = f"import importlib.metadata as m, json; print(json.dumps({{name: m.version(name) for name in {names!r}}}))"
    done = subprocess.run([peers_python(), "-c", asked], check=True, capture_output=True, text=True)
    found["peers"] = json.loads(done.stdout)
    return found


def commit() -> str:
    """The commit that ran, "+" where files of the source differ from it; "" outside a repository."""

    def git(*arguments: str) -> str:
        done = subprocess.run(["git", *arguments], cwd=REPOSITORY, check=True, capture_output=True, text=True)
        return done.stdout.strip()

    try:
        return git("rev-parse", "--short", "HEAD") + ("+" if git("status", "--porcelain", "--", "src") else "")
    except (OSError, subprocess.CalledProcessError):
        return ""
