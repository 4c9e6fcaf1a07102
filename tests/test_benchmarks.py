"""The arithmetic of the benchmarks against plain Python, and that their page says what was recorded."""

from __future__ import annotations

import importlib
import importlib.util
import json
import math
import random
import re
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

REPOSITORY = Path(__file__).resolve().parent.parent
PROGRAMS = REPOSITORY / "benchmarks"
MODULES = ("judging", "commands", "page", "harness")


@pytest.fixture
def programs(monkeypatch: pytest.MonkeyPatch) -> Iterator[dict[str, ModuleType]]:
    """The shared modules of benchmarks/, which are no package: they lie beside the programs."""
    monkeypatch.syspath_prepend(str(PROGRAMS))
    yield {name: importlib.import_module(name) for name in MODULES}
    for name in MODULES:
        sys.modules.pop(name, None)


def middle(values: list[float]) -> float:
    """The median, by its definition."""
    ordered = sorted(values)
    half = len(ordered) // 2
    return ordered[half] if len(ordered) % 2 else (ordered[half - 1] + ordered[half]) / 2


@pytest.mark.parametrize("count", [1, 2, 3, 4, 9])
def test_a_spread_is_median_least_and_greatest(programs: dict[str, ModuleType], count: int) -> None:
    values = [random.Random(count).uniform(1, 9) for _ in range(count)]
    found = programs["judging"].spread(values)
    assert (found.median, found.low, found.high, found.count) == (middle(values), min(values), max(values), count)


def test_ratios_are_taken_within_a_round(programs: dict[str, ModuleType]) -> None:
    # The machine is ten times slower in the second round, and b was left out of the third.
    rounds = {"a": [{"x": 6.0}, {"x": 0.6}, {"x": 9.0}], "b": [{"x": 3.0}, {"x": 0.2}, None]}
    assert programs["judging"].ratios(rounds, "x", "a", "b") == pytest.approx([2.0, 3.0])
    assert programs["judging"].ratios(rounds, "x", "b", "a") == pytest.approx([1 / 2, 1 / 3])
    assert programs["judging"].ratios(rounds, "y", "a", "b") == []


@pytest.mark.parametrize(
    ("settings", "rounds", "reached", "measured", "rival", "missed"),
    [
        # Against the best of the rivals, by the median of the rounds.
        ({"at_least": 1.5, "against": ("b", "c")}, {"b": (4, 5, 5), "c": (8, 8, 2)}, False, 10 / 8, "c", 1 / 6),
        ({"at_least": 1.2, "against": ("b", "c")}, {"b": (4, 5, 5), "c": (8, 8, 2)}, True, 10 / 8, "c", 0),
        # Seconds: theirs over ours.
        ({"at_least": 4, "against": ("b",), "inverted": True}, {"b": (30, 50, 20)}, False, 3, "b", 0.25),
        # Not above: the worst rival is the one that is smallest.
        ({"at_most": 1.5, "against": ("b", "c")}, {"b": (8, 8, 8), "c": (5, 5, 5)}, False, 2, "c", 1 / 3),
        ({"at_most": 10}, {}, True, 10, "", 0),
        ({"at_least": 11}, {}, False, 10, "", 1 / 11),
        # A rival that was not measured does not count; without any there is no verdict.
        ({"at_least": 2, "against": ("b", "gone")}, {"b": (5, 5, 5)}, True, 2, "b", 0),
        ({"at_least": 2, "against": ("gone",)}, {}, None, None, "", 0),
    ],
)
def test_goals_are_judged_by_the_median_against_the_strongest_rival(
    programs: dict[str, ModuleType],
    settings: dict[str, Any],
    rounds: dict[str, tuple[float, ...]],
    reached: bool | None,
    measured: float | None,
    rival: str,
    missed: float,
) -> None:
    judging = programs["judging"]
    measures = {name: [{"x": float(one)} for one in values] for name, values in {"a": (10, 10, 10), **rounds}.items()}
    verdict = judging.judge(judging.Goal(words="it", figure="x", contender="a", **settings), measures)
    assert (verdict.reached, verdict.rival) == (reached, rival)
    assert verdict.missed_by == pytest.approx(missed)
    assert measured is None or verdict.measured.median == pytest.approx(measured)
    assert verdict.sentence().startswith({True: "reached", False: "missed by", None: "not measured"}[reached])


def test_strictly_above_one_is_not_reached_by_equals(programs: dict[str, ModuleType]) -> None:
    judging = programs["judging"]
    goal = judging.Goal(words="", figure="x", contender="a", against=("b",), at_least=math.nextafter(1.0, 2.0))
    assert not judging.judge(goal, {"a": [{"x": 0.9375}], "b": [{"x": 0.9375}]}).reached
    assert judging.judge(goal, {"a": [{"x": 0.94}], "b": [{"x": 0.9375}]}).reached


@pytest.mark.parametrize("bounds", [{}, {"at_least": 1.0, "at_most": 2.0}])
def test_a_goal_has_one_bound(programs: dict[str, ModuleType], bounds: dict[str, float]) -> None:
    with pytest.raises(ValueError, match="at_least or at_most"):
        programs["judging"].Goal(words="it", figure="x", contender="a", **bounds)


def test_contenders_take_turns_and_one_that_fails_is_named(programs: dict[str, ModuleType]) -> None:
    harness, order = programs["harness"], []

    def measure(name: str) -> Any:
        def tell() -> dict[str, float]:
            order.append(name)
            if name == "broken":
                raise programs["commands"].FailedError("no such file")
            if name == "endless":
                raise programs["commands"].TooLongError(5.0)
            return {"x": float(len(order))}

        return tell

    contenders = [
        harness.Contender(name=name, way="", measure=measure(name), most_rounds=most)
        for name, most in (("a", None), ("broken", None), ("rare", 1), ("endless", None), ("b", None))
    ]
    rounds, failures, stopped = harness.measure_in_turn(contenders, 3)
    assert order == ["a", "broken", "rare", "endless", "b", "a", "b", "a", "b"]
    assert rounds["a"] == [{"x": 1.0}, {"x": 6.0}, {"x": 8.0}]
    assert rounds["rare"] == [{"x": 3.0}, None, None]
    assert rounds["endless"] == [{"seconds": 5.0}, None, None]
    assert failures == {"broken": "no such file"}
    assert list(stopped) == ["endless"]


def test_a_process_is_timed_and_says_its_figures(programs: dict[str, ModuleType]) -> None:
    commands = programs["commands"]
    found = commands.run([sys.executable, "-c", "print('warming up'); print('{\"x\": 3}')"])
    assert found["x"] == 3
    assert found["seconds"] > 0
    with pytest.raises(commands.FailedError, match="no good"):
        commands.run([sys.executable, "-c", "import sys; sys.exit('no good')"])
    with pytest.raises(commands.FailedError, match="no figures"):
        commands.run([sys.executable, "-c", "print('nothing')"])
    with pytest.raises(commands.TooLongError):
        commands.run([sys.executable, "-c", "while True: pass"], limit=0.2)


def record(**more: Any) -> dict[str, Any]:
    """What a small run leaves."""
    rounds = {
        "striate": [{"rate": 20.0}, {"rate": 30.0}, {"rate": 40.0}],
        "peer": [{"rate": 10.0}, {"rate": 10.0}, None],
    }
    return {
        "name": "mnist_throughput",
        "date": "2026-01-01 00:00 UTC",
        "commit": "abc",
        "command": "make bench NAME=mnist_throughput",
        "load_before": 0.1,
        "machine": {"processor": "P", "threads": "2 of 2", "system": "Linux"},
        "versions": {"torch": "1"},
        "peers": {"keras": "3"},
        "contenders": [{"name": name, "way": "w", "note": "", "rounds": figures} for name, figures in rounds.items()],
        "failures": {},
        "stopped": {},
        "goals": [],
        "columns": [{"figure": "rate", "heading": "pictures/s", "percent": False}],
        "compared": {"figure": "rate", "contender": "striate", "inverted": False},
        "facts": ["A fact."],
        **more,
    }


def test_a_table_shows_medians_spreads_and_ratios_within_rounds(programs: dict[str, ModuleType]) -> None:
    text = "\n".join(programs["page"].section(record()))
    assert "| striate | w | 3 | 30.0 (20.0 to 40.0) |  |" in text
    assert "| peer | w | 2 | 10.0 (10.0 to 10.0) | 2.50x |" in text  # (20 / 10 and 30 / 10)
    assert "- A fact." in text
    failed = "\n".join(programs["page"].section(record(failures={"peer": "it fell"})))
    assert "failed: it fell" in failed


def test_a_table_may_compare_nothing_and_small_figures_are_shown(programs: dict[str, ModuleType]) -> None:
    rounds = [{"rate": 0.000012}]
    contenders = [{"name": "gradient", "way": "w", "note": "", "rounds": rounds}]
    text = "\n".join(programs["page"].section(record(compared=None, contenders=contenders)))
    assert "| contender | used | runs | pictures/s |\n|---|---|---:|---:|\n| gradient | w | 1 | 1.2e-05 |" in text


def test_the_page_says_what_is_recorded(programs: dict[str, ModuleType]) -> None:
    text = programs["page"].PAGE.read_text(encoding="utf-8")
    for one in programs["page"].recorded():
        assert programs["page"].with_section(text, one) == text, "run: python benchmarks/page.py"


def test_every_program_has_a_place_on_the_page_and_a_table_replaces_what_was_there(
    programs: dict[str, ModuleType],
) -> None:
    page = programs["page"]
    text = page.PAGE.read_text(encoding="utf-8")
    named = set(re.findall(r"make bench NAME=(\w+)`", text))
    all_programs = importlib.import_module("run_all").PROGRAMS
    sys.modules.pop("run_all")
    assert set(all_programs) <= named
    once = page.with_section(text, record())
    assert "30.0 (20.0 to 40.0)" in once
    assert page.with_section(once, record()) == once
    for name in ("few_photos_hymenoptera", "resnet18_folder_128"):  # several tables of one program
        placed = page.with_section(text, record(name=name))
        assert page.with_section(placed, record(name=name)) == placed != text
    with pytest.raises(ValueError, match="lacks the marks"):
        page.with_section(text, record(name="nowhere"))


def test_what_is_recorded_judges_its_goals_anew(programs: dict[str, ModuleType]) -> None:
    """No verdict is written by hand: the recorded one follows from the recorded figures."""
    judging = programs["judging"]
    for one in programs["page"].recorded():
        rounds = {contender["name"]: contender["rounds"] for contender in one["contenders"]}
        for verdict in one["goals"]:
            settings = {**verdict["goal"], "against": tuple(verdict["goal"]["against"])}
            again = judging.judge(judging.Goal(**settings), rounds)
            assert again.reached == verdict["reached"], (one["name"], verdict["words"])
            assert json.loads(json.dumps(again.missed_by)) == verdict["missed_by"]


@pytest.mark.parametrize("program", sorted(PROGRAMS.glob("*.py")), ids=lambda path: path.stem)
def test_what_a_program_takes_from_striate_is_there(program: Path) -> None:
    for module, names in re.findall(r"^ *from (striate[\w.]*) import ([\w, ]+)$", program.read_text(), re.MULTILINE):
        for name in names.split(", "):
            found = importlib.import_module(module)
            assert hasattr(found, name) or importlib.util.find_spec(f"{module}.{name}"), f"{module}.{name}"
