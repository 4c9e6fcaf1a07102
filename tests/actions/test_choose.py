"""How steps are computed is measured, remembered, fixed by flags, written down; and a run depends on nothing else."""

from __future__ import annotations

import csv
import json
import os
import shutil

import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from torch import nn

import striate
from striate.actions import choose, measured_steps
from striate.errors import InputError
from striate.machine import threads
from striate.training.recipe_file import read_recipe

SETTINGS = {"network": "lenet5", "epochs": 2, "batch_size": 16, "device": "cpu", "seed": 4}
CHOSEN = ("precision", "layout", "threads", "compile", "allocator", "reference")


class Watch(striate.Observer):
    def __init__(self) -> None:
        self.said: list[str] = []

    def say(self, text: str) -> None:
        self.said.append(text)

    def line(self) -> str:
        (line,) = (one for one in self.said if one.startswith("steps in "))
        return line


def train(pictures, out, **settings) -> tuple[striate.Run, dict, str]:
    """The run, what was resolved of how steps are computed, and the line that said so."""
    watch = Watch()
    run = striate.train(pictures, out=out, observer=watch, **{**SETTINGS, **settings})
    _, resolved = read_recipe(run.folder / "recipe.toml")
    return run, {name: resolved[name] for name in CHOSEN}, watch.line()


def assert_same(run, other) -> None:
    def results(one) -> tuple[dict[str, torch.Tensor], list[dict[str, str]], bytes]:
        with (one.folder / "history.csv").open(newline="") as file:
            rows = [{name: value for name, value in row.items() if name != "seconds"} for row in csv.DictReader(file)]
        return load_file(one.folder / "model.safetensors"), rows, (one.folder / "predictions.csv").read_bytes()

    (weights, history, predictions), (others, other_history, other_predictions) = results(run), results(other)
    assert history == other_history
    assert weights.keys() == others.keys()
    assert all(torch.equal(weights[name], others[name]) for name in weights)
    assert predictions == other_predictions


@pytest.fixture
def cache(monkeypatch, tmp_path):
    monkeypatch.setenv("STRIATE_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache" / "choices"


@pytest.fixture
def measuring(monkeypatch, cache):
    """Every run is long enough to be measured; the folder of what is remembered."""
    monkeypatch.setattr(measured_steps, "LEAST_RUN", 0.0)
    monkeypatch.setattr(measured_steps, "SHARE", 1e4)
    monkeypatch.setattr(measured_steps, "MOST_SECONDS", 0.2)
    monkeypatch.setattr(measured_steps, "COMPILING", float("inf"))
    monkeypatch.setattr(measured_steps, "STEADY", float("inf"))
    monkeypatch.setattr(choose, "usable_cores", lambda: 1)
    return cache


# -- measured -----------------------------------------------------------------------------------


@pytest.mark.usefixtures("measuring")
def test_measuring_leaves_the_run_as_the_same_choice_by_flags_would_make_it(pictures, tmp_path):
    # It has batch norm, whose statistics would tell of steps that do not belong to the training.
    network = {"network": "small-conv", "width": 16}
    run, chosen, line = train(pictures, tmp_path / "auto", **network)
    assert "measured in" in line
    fixed = {name: chosen[name] for name in ("precision", "layout", "threads", "compile", "allocator")}
    same, again, line = train(pictures, tmp_path / "flags", **network, **fixed)
    assert "as asked" in line
    assert again == chosen
    assert_same(run, same)


def test_the_second_run_remembers(pictures, tmp_path, measuring):
    run, chosen, line = train(pictures, tmp_path / "first")
    assert "measured in" in line
    (path,) = measuring.iterdir()
    kept = json.loads(path.read_text())["choice"]
    assert kept == {name: chosen[name] for name in kept}
    # What is remembered is what is done, also where a measurement would say otherwise.
    second, again, line = train(pictures, tmp_path / "second")
    assert "remembered" in line
    assert again == chosen
    assert_same(run, second)
    # Another network is another question.
    assert "measured in" in train(pictures, tmp_path / "other", network="mlp")[2]
    assert len(list(measuring.iterdir())) == 2


def test_a_file_that_was_tampered_with_is_measured_anew(pictures, tmp_path, measuring):
    train(pictures, tmp_path / "first")
    (path,) = measuring.iterdir()
    sound = path.read_text()
    path.write_text(sound.replace('"threads": ', '"threads": 9'))
    _, chosen, line = train(pictures, tmp_path / "second")
    assert "measured in" in line
    assert chosen["threads"] == 1
    assert "remembered" in train(pictures, tmp_path / "third")[2]


def test_where_nothing_can_be_remembered_it_is_said(pictures, tmp_path, measuring):
    measuring.parent.mkdir(exist_ok=True)
    measuring.write_text("a file where the folder should be")
    _, _, line = train(pictures, tmp_path / "run")
    assert "measured in" in line
    assert "cannot be remembered" in line


@pytest.mark.usefixtures("cache")
def test_a_short_run_is_not_measured(pictures, tmp_path, cache):
    _, chosen, line = train(pictures, tmp_path / "run")
    assert "not measured, the run takes about" in line
    assert chosen["layout"] == "channels-last"
    assert chosen["threads"] == 1
    assert not cache.exists() or not list(cache.iterdir())


def test_a_run_for_minutes_is_measured_too(pictures, tmp_path, measuring, monkeypatch):
    monkeypatch.setattr("striate.training.planning.SECONDS_FOR_RESULTS", 0.5)
    _, _, line = train(pictures, tmp_path / "run", epochs=None, minutes=0.03)
    assert "measured in" in line
    assert len(list(measuring.iterdir())) == 1


class Counting(nn.Module):
    """A network of one's own that would be another after a pass that does not belong to its training."""

    def __init__(self) -> None:
        super().__init__()
        self.head = nn.Linear(144, 3)
        self.passes: list[int] = []

    def forward(self, pictures: torch.Tensor) -> torch.Tensor:
        if self.training:
            self.passes.append(len(pictures))
        scores: torch.Tensor = self.head(pictures.view(len(pictures), -1))
        return scores


def test_a_network_of_ones_own_is_not_run_before_its_training(pictures, tmp_path, measuring):
    network = Counting()
    run, chosen, line = train(pictures, tmp_path / "run", network=network)
    assert "of your own is not measured" in line
    assert chosen["layout"] == "contiguous"
    _, resolved = read_recipe(run.folder / "recipe.toml")
    assert len(network.passes) == resolved["steps"]
    assert not measuring.exists() or not list(measuring.iterdir())


# -- fixed --------------------------------------------------------------------------------------


@pytest.mark.usefixtures("measuring")
@pytest.mark.parametrize(
    "fixed",
    [
        {"precision": "float32"},
        {"precision": "bfloat16", "layout": "contiguous"},
        {"layout": "channels-last", "threads": 1},
        {"threads": 2, "precision": "float32", "compile": False, "allocator": "plain"},
    ],
    ids=str,
)
def test_each_can_be_fixed(fixed, pictures, tmp_path):
    _, chosen, line = train(pictures, tmp_path / "run", epochs=1, **fixed)
    assert "measured in" in line or "no other way" in line  # where bfloat16 is not native there may be none
    assert {name: chosen[name] for name in fixed} == fixed
    # What is fixed is not tried otherwise.
    tried = line.partition("measured in")[2]
    others = {
        "float32": "bfloat16",
        "bfloat16": "float32",
        "contiguous": "channels-last",
        "channels-last": "contiguous",
    }
    assert not any(others[value] in tried for value in fixed.values() if value in others)
    assert "threads" not in fixed or "thread" not in tried


@pytest.mark.usefixtures("cache")
def test_not_more_threads_than_the_control_group_allows(pictures, tmp_path, monkeypatch):
    (tmp_path / "group").mkdir()
    (tmp_path / "group" / "cpu.max").write_text("100000 100000")
    read = threads._read
    monkeypatch.setattr(threads, "GROUPS", tmp_path / "group")
    monkeypatch.setattr(threads, "_read", lambda path: "0::/\n" if str(path) == "/proc/self/cgroup" else read(path))
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: set(range(16)), raising=False)
    monkeypatch.setattr("striate.machine.threads.SMALL_STEP", 0.0)  # the rule takes all that there are
    _, chosen, _ = train(pictures, tmp_path / "run", epochs=1)
    assert chosen["threads"] == 1


def test_float16_is_refused_without_a_gpu_before_anything_is_written(pictures, tmp_path):
    with pytest.raises(InputError, match="CUDA devices only"):
        striate.train(pictures, out=tmp_path / "run", precision="float16", device="cpu")
    assert not (tmp_path / "run").exists()


# -- written down -------------------------------------------------------------------------------


def test_what_was_resolved_is_not_decided_anew(pictures, tmp_path, measuring, monkeypatch):
    run, chosen, _ = train(pictures, tmp_path / "run")
    shutil.rmtree(measuring)
    watch = Watch()
    again = striate.train(pictures, out=tmp_path / "again", recipe=run.folder / "recipe.toml", observer=watch)
    assert "as resolved before" in watch.line()
    assert not measuring.exists() or not list(measuring.iterdir())
    assert {name: read_recipe(again.folder / "recipe.toml")[1][name] for name in CHOSEN} == chosen
    assert_same(run, again)
    striate.resume(again, epochs=3, observer=(watch := Watch()))
    assert "as resolved before" in watch.line()
    assert not measuring.exists() or not list(measuring.iterdir())


# -- the reference ------------------------------------------------------------------------------


@pytest.mark.usefixtures("measuring")
def test_the_reference_turns_everything_off_and_repeats_bit_for_bit(pictures, tmp_path):
    seen = []

    class Look(Watch):
        def on_step(self, record):
            seen.append((torch.are_deterministic_algorithms_enabled(), torch.get_num_threads()))

    watch = Look()
    run = striate.train(pictures, out=tmp_path / "one", reference=True, observer=watch, **SETTINGS)
    _, resolved = read_recipe(run.folder / "recipe.toml")
    assert {name: resolved[name] for name in CHOSEN} == {
        "precision": "float32",
        "layout": "contiguous",
        "threads": 1,
        "compile": False,
        "allocator": "plain",
        "reference": True,
    }
    assert "(reference)" in watch.line()
    assert set(seen) == {(True, 1)}
    assert not torch.are_deterministic_algorithms_enabled()
    assert_same(run, train(pictures, tmp_path / "two", reference=True)[0])
    repeated = striate.train(pictures, out=tmp_path / "three", recipe=run.folder / "recipe.toml", observer=watch)
    assert set(seen) == {(True, 1)}
    assert_same(run, repeated)
    _, chosen, _ = train(pictures, tmp_path / "four", reference=True, threads=2)
    assert chosen["threads"] == 2


@pytest.mark.parametrize(
    "contrary",
    [{"precision": "bfloat16"}, {"layout": "channels-last"}, {"compile": True}, {"allocator": "keep"}],
    ids=str,
)
def test_the_reference_and_its_contrary_are_refused_together(contrary, pictures, tmp_path):
    (name,) = contrary
    with pytest.raises(InputError, match=f"reference means {name}"):
        striate.train(pictures, out=tmp_path / "run", reference=True, **contrary)
    assert not (tmp_path / "run").exists()


# -- answers ------------------------------------------------------------------------------------


@pytest.mark.usefixtures("cache")
def test_answers_are_float32_unless_less_is_asked_for(pictures, tmp_path):
    run, _, _ = train(pictures, tmp_path / "run", precision="bfloat16", epochs=8)
    assert run.metrics["test"]["accuracy"]["value"] > 0.6
    files = sorted(pictures.glob("*/*.png"))[:30]

    def answers(**settings) -> np.ndarray:
        return np.stack([one.probabilities for one in striate.predict(run, files, device="cpu", **settings).answers])

    full, less = answers(), answers(precision="bfloat16")
    assert np.array_equal(full, answers(precision="float32"))
    assert not np.array_equal(full, less)
    assert np.abs(full - less).max() < 0.05
    whole = striate.evaluate(run, pictures, device="cpu")
    rounded = striate.evaluate(run, pictures, device="cpu", precision="bfloat16")
    assert 0 < abs(whole.evaluation.log_loss.value - rounded.evaluation.log_loss.value) < 0.05
    with pytest.raises(InputError, match="no precision 'half'"):
        answers(precision="half")


# -- long ---------------------------------------------------------------------------------------


@pytest.mark.long
@pytest.mark.usefixtures("cache")
def test_bfloat16_is_as_accurate_as_float32_over_three_seeds(tmp_path):
    from sklearn.datasets import load_digits

    digits = load_digits()
    source = (digits.images * (255 / 16)).round().astype(np.uint8), digits.target
    accuracy: dict[str, list[float]] = {"float32": [], "bfloat16": []}
    for seed in range(3):
        for precision, found in accuracy.items():
            run = striate.train(source, out=tmp_path / f"{precision}-{seed}", seed=seed, precision=precision)
            found.append(run.metrics["test"]["accuracy"]["value"])
    assert min(accuracy["float32"] + accuracy["bfloat16"]) > 0.97
    # One run of 270 test pictures has a standard deviation of about 0.7 points; so have both means together.
    assert abs(np.mean(accuracy["float32"]) - np.mean(accuracy["bfloat16"])) < 0.012


@pytest.mark.long
@pytest.mark.filterwarnings("default")  # torch's own compiler warns of what it will do without
@pytest.mark.skipif(not any(map(shutil.which, ("g++", "c++", "clang++"))), reason="compiling needs a C++ compiler")
@pytest.mark.usefixtures("cache")
def test_a_compiled_training_is_the_same_training(pictures, tmp_path):
    plain, _, _ = train(pictures, tmp_path / "plain", precision="float32", threads=1, compile=False, epochs=1)
    compiled, chosen, line = train(
        pictures, tmp_path / "compiled", precision="float32", threads=1, compile=True, epochs=1
    )
    assert chosen["compile"]
    assert "compiled" in line
    one, other = (load_file(run.folder / "model.safetensors") for run in (plain, compiled))
    assert one.keys() == other.keys()
    assert all(torch.allclose(one[name], other[name], rtol=1e-3, atol=1e-4) for name in one)


@pytest.mark.long
@pytest.mark.usefixtures("cache")
def test_what_cannot_be_compiled_is_said_in_one_sentence(pictures, tmp_path, monkeypatch):
    monkeypatch.setenv("CXX", str(tmp_path / "no-compiler"))
    monkeypatch.setattr("torch._inductor.config.cpp.cxx", (str(tmp_path / "no-compiler"),))
    monkeypatch.setattr("torch._inductor.config.force_disable_caches", True)
    with pytest.raises(InputError, match=r"the network cannot be compiled here .*leave --compile away"):
        train(pictures, tmp_path / "run", network="mlp", compile=True)
