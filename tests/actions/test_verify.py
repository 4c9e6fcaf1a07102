"""`resume --verify`: the steps before the last checkpoint again, compared bit for bit, and nothing changed."""

from __future__ import annotations

import hashlib
import shutil
from pathlib import Path

import pytest
import torch

import striate
from striate.cli.main import status
from striate.errors import InputError
from striate.training.checkpoint import read_progress, read_tensors, write_tensors

SETTINGS = {
    "network": "small-conv",
    "width": 16,
    "batch_size": 8,
    "device": "cpu",
    "threads": 1,
    "seed": 3,
    "precision": "float32",
}


def contents(folder: Path) -> dict[str, tuple[str, int]]:
    return {
        str(path): (hashlib.sha256(path.read_bytes()).hexdigest(), path.stat().st_mtime_ns)
        for path in folder.rglob("*")
        if path.is_file()
    }


@pytest.fixture(scope="module")
def often(pictures, tmp_path_factory):
    """A finished run with a checkpoint after every step: the last two are the last two steps."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("striate.training.loop.CHECKPOINT_SECONDS", 0.0)
        return striate.train(pictures, out=tmp_path_factory.mktemp("often") / "run", epochs=2, **SETTINGS).folder


@pytest.fixture
def run(often, tmp_path) -> Path:
    return Path(shutil.copytree(often, tmp_path / "run"))


def test_a_run_repeats_bit_for_bit_and_nothing_changes(run):
    before = contents(run)
    found = striate.verify(run)
    assert found.repeats
    last = read_progress(run / "checkpoints/last.safetensors").step
    assert (found.first, found.last, found.steps) == (last - 1, last, 1)
    assert str(found) == f"{run}: repeats bit for bit: 1 step ({last} to {last})"
    assert contents(run) == before


def test_with_one_checkpoint_it_repeats_from_the_beginning(run):
    (run / "checkpoints/previous.safetensors").unlink()
    found = striate.verify(run)
    assert found.repeats
    assert found.first == 0
    assert found.steps == read_progress(run / "checkpoints/last.safetensors").step


def changed(path: Path, name: str) -> None:
    """The last bit of one number of a checkpoint turned."""
    tensors, described = read_tensors(path)
    value = tensors[name].clone()
    bits = value.reshape(-1).view(torch.int32)
    bits[0] ^= 1
    tensors[name] = value
    write_tensors(path, tensors, described)


@pytest.mark.parametrize("part", ["network/", "average/", "optimizer/"])
def test_one_bit_that_differs_is_found_and_named(run, part, capsys):
    last = run / "checkpoints/last.safetensors"
    names = [
        name for name, value in read_tensors(last)[0].items() if name.startswith(part) and value.is_floating_point()
    ]
    changed(last, names[-1])
    before = contents(run)
    assert status(["resume", str(run), "--verify"]) == 1
    said = capsys.readouterr().out
    assert f"first in {names[-1]}, by up to" in said
    assert contents(run) == before


def test_the_command_says_so_too(run, capsys):
    assert status(["resume", str(run), "--verify", "--json"]) == 0
    assert '"repeats": true' in capsys.readouterr().out
    assert status(["resume", str(run), "--verify", "--epochs", "9"]) == 2


def test_a_head_has_no_steps_to_repeat(run):
    recipe = run / "recipe.toml"
    recipe.write_text(recipe.read_text().replace('method = "steps"', 'method = "frozen"'))
    with pytest.raises(InputError, match="fitted in one go"):
        striate.verify(run)


def test_without_a_checkpoint_there_is_nothing_to_repeat(run):
    shutil.rmtree(run / "checkpoints")
    with pytest.raises(InputError, match="has no checkpoint to repeat"):
        striate.verify(run)
