"""`--batch-size auto`, and batches that memory really refuses."""

from __future__ import annotations

import subprocess
import sys

import numpy as np
import pytest
import torch
from torch import nn

import striate
from striate.training.recipe_file import read_recipe
from striate.training.resolved import Resolved


def arrays(count: int, side: int = 8) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(0)
    targets = np.arange(count) % 2
    pictures = rng.integers(0, 120, (count, side, side, 1), dtype=np.uint8)
    pictures[targets == 1] += 100
    return pictures, targets


def decided(run: striate.Run) -> Resolved:
    path = run.folder / "recipe.toml"
    recipe, values = read_recipe(path)
    assert recipe.batch_size == "auto"
    return Resolved.from_mapping(values, str(path))


class Said(striate.Observer):
    def __init__(self) -> None:
        self.lines: list[str] = []

    def say(self, text: str) -> None:
        self.lines.append(text)


SETTINGS = {"batch_size": "auto", "epochs": 1, "device": "cpu", "threads": 1, "augment": {"name": "none"}}


class Narrow(nn.Module):
    """Takes as long for one picture as for a hundred, and has no memory for more than `most`."""

    def __init__(self, most: int) -> None:
        super().__init__()
        self.most, self.head, self.seen = most, nn.Linear(64, 2), set[int]()

    def forward(self, pictures: torch.Tensor) -> torch.Tensor:
        if self.training:
            torch.ones(800, 800) @ torch.ones(800, 800)
            if len(pictures) > self.most:
                raise torch.OutOfMemoryError("out of memory")
            self.seen.add(len(pictures))
        scores: torch.Tensor = self.head(pictures.flatten(1))
        return scores


@pytest.mark.parametrize(
    ("most", "chosen", "why"),
    [(300, 256, "512 at once do not fit into memory"), (1000, 512, "larger ones would leave too few steps an epoch")],
)
def test_the_batch_grows_while_it_pays_and_fits(tmp_path, most, chosen, why):
    said, network = Said(), Narrow(most)
    # Some 14,000 of them are for training: the default is 128, and 512 leave 27 steps an epoch.
    run = striate.train(arrays(20_000), out=tmp_path / "run", network=network, observer=said, **SETTINGS)
    resolved = decided(run)
    assert resolved.batch_size == chosen
    assert resolved.splits == ()
    assert network.seen == {chosen}  # it was measured on copies
    assert any(
        line.startswith(f"batches of {chosen} of those measured: ") and line.endswith(why) for line in said.lines
    )


def test_the_rate_follows_the_batch_and_a_resumed_run_keeps_it(tmp_path):
    settings = {**SETTINGS, "network": "small-conv", "width": 16}
    auto = decided(striate.train(arrays(1200), out=tmp_path / "auto", **settings))
    default = striate.train(arrays(1200), out=tmp_path / "default", **{**settings, "batch_size": None})
    _, values = read_recipe(default.folder / "recipe.toml")
    ratio = auto.batch_size / values["batch_size"]
    assert ratio >= 1
    assert auto.learning_rate == pytest.approx(values["learning_rate"] * min(8.0, ratio))
    said = Said()
    with pytest.raises(striate.InputError, match="learned from arrays; give them again"):
        striate.resume(tmp_path / "auto", epochs=2)
    striate.resume(tmp_path / "auto", epochs=2, source=arrays(1200), observer=said)
    assert decided(striate.Run(tmp_path / "auto")).batch_size == auto.batch_size
    assert not [line for line in said.lines if "of those measured" in line]


LIMITED = """
import resource, sys
import numpy as np, torch
from torch import nn
import striate

class Wide(nn.Module):
    def __init__(self):
        super().__init__()
        torch.manual_seed(0)
        self.layers = nn.Sequential(
            nn.Conv2d(1, 32, 3, padding=1), nn.ReLU(), nn.Conv2d(32, 32, 3, padding=1), nn.ReLU(),
            nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(32, 2))

    def forward(self, pictures):
        return self.layers(pictures)

class Limit(striate.Observer):
    # From the moment that everything is there but the first step, so much more and no more.
    def say(self, text):
        if text.startswith("1 epoch of"):
            with open("/proc/self/statm") as file:
                size = int(file.read().split()[0]) * resource.getpagesize()
            resource.setrlimit(resource.RLIMIT_AS, (size + int(sys.argv[2]) * 2**20, -1))

rng = np.random.default_rng(0)
targets = np.arange(400) % 2
pictures = rng.integers(0, 120, (400, 64, 64, 1), dtype=np.uint8)
pictures[targets == 1] += 100
run = striate.train((pictures, targets), out=sys.argv[1], network=Wide(), epochs=1, batch_size=256,
                    device="cpu", threads=1, precision="float32", augment={"name": "none"}, observer=Limit())
"""


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="needs a limit of memory that the system keeps")
def test_memory_that_the_system_refuses(tmp_path):
    splits = {}
    for megabytes in (100_000, 300):
        run = tmp_path / str(megabytes)
        done = subprocess.run(
            [sys.executable, "-c", LIMITED, str(run), str(megabytes)], capture_output=True, check=False
        )
        assert done.returncode == 0, done.stderr.decode()
        path = run / "recipe.toml"
        splits[megabytes] = Resolved.from_mapping(read_recipe(path)[1], str(path)).splits
        losses = (run / "history.csv").read_text().splitlines()[1].split(",")[3]
        splits[run] = float(losses)
    assert splits[100_000] == ()
    assert splits[300][0][0] == 1
    assert splits[300][0][1] > 1
    assert splits[tmp_path / "300"] == pytest.approx(splits[tmp_path / "100000"], rel=1e-3)
