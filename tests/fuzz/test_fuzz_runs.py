"""Files of a run folder: unmutated they load exactly; whatever is done to them, they load or raise InputError."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from mutations import fuzz_settings, mutated, within_memory

from striate.actions.compared import compare, measured
from striate.actions.runs import runs
from striate.actions.train import train
from striate.errors import InputError
from striate.models.loading import load_model
from striate.models.mean_picture import MeanPicture
from striate.models.run import Run
from striate.models.run_files import read_config
from striate.training.checkpoint import Progress, load_checkpoint, save_checkpoint
from striate.training.recipe_file import read_recipe, read_source
from striate.training.resolved import Resolved


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("fuzz") / "run"
    pictures = np.random.default_rng(0).integers(0, 256, (16, 8, 8, 3), dtype=np.uint8)
    settings = {"network": "mlp", "epochs": 2, "threads": 1, "precision": "float32", "device": "cpu"}
    train((pictures, [f"class {k % 2}" for k in range(16)]), out=folder, **settings)
    return folder


def resolve(folder: Path) -> object:
    path = folder / "recipe.toml"
    recipe, values = read_recipe(path)
    return recipe, read_source(path), Resolved.from_mapping(values, str(path)) if values else None


def load(folder: Path) -> object:
    model = load_model(folder, device="cpu")
    height, width = model.input_spec.height, model.input_spec.width
    if height * width > 64 * 64:  # a size that could be, and that this network does not mind
        return read_config(folder)
    return model.predict(np.zeros((8, 8, 3), np.uint8))[0].probabilities.tolist()


def listed(folder: Path) -> object:
    """Broken runs are listed, so that not even InputError comes out; and the list is one that can be sorted."""
    (one,) = runs(folder)
    assert one.state in ("finished", "unfinished", "broken")
    return one


def beside_itself(folder: Path) -> object:
    """What it answered, picture by picture."""
    own = measured(Run(folder), "validation")
    return compare(own, own)


def with_mean_picture(folder: Path) -> None:
    """The run, as if it took a mean picture off its inputs."""
    config = json.loads((folder / "config.json").read_text())
    spec = config["input"]
    config["input"]["mean_picture"] = True
    (folder / "config.json").write_text(json.dumps(config))
    values = np.full((spec["channels"], spec["height"], spec["width"]), 0.5, dtype=np.float32)
    (folder / "mean.safetensors").write_bytes(MeanPicture(values).to_bytes())


CASES: dict[str, tuple[str, Callable[[Path], object]]] = {
    "settings": ("config.json", load),
    "weights": ("model.safetensors", load),
    "mean picture": ("mean.safetensors", load),
    "recipe": ("recipe.toml", resolve),
    "figures in the list": ("metrics.json", listed),
    "answers beside others": ("predictions.csv", beside_itself),
    "recipe in the list": ("recipe.toml", listed),
    "settings in the list": ("config.json", listed),
}


@pytest.mark.parametrize("case", CASES)
def test_a_mutated_file_of_a_run_loads_or_raises_input_error(case: str, finished: Path, tmp_path: Path) -> None:
    name, read = CASES[case]
    folder = tmp_path / "run"
    shutil.copytree(finished, folder)
    if case == "settings in the list":
        (folder / "recipe.toml").unlink()
    if case == "mean picture":
        with_mean_picture(folder)
    whole = (folder / name).read_bytes()
    assert read(folder) == read(folder)

    @fuzz_settings
    @given(st.data())
    def mutate(data: st.DataObject) -> None:
        (folder / name).write_bytes(data.draw(mutated(whole)))
        with within_memory(), suppress(InputError):
            read(folder)

    mutate()
    (folder / name).write_bytes(whole)
    read(folder)


# Values of every kind in every place of the settings.
NUMBERS = [0, -1, 3, 10**9, 10**30, 0.5, -0.0, float("nan"), float("inf")]
TEXTS = ["", "linear", "../../etc", "\ud800", "x" * 1000]
LISTS = [[], [[]], ["a"] * 3, [1, 2], [None, None], [10**12] * 2, [["a"], ["b"]], [float("nan")] * 3]
STRANGE = st.sampled_from([None, True, {}, {"a": 1}, *NUMBERS, *TEXTS, *LISTS])


def places(values: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    pairs = values.items() if isinstance(values, dict) else enumerate(values) if isinstance(values, list) else ()
    return [path, *(place for key, value in pairs for place in places(value, (*path, key)))]


def test_strange_values_anywhere_in_the_settings(finished: Path, tmp_path: Path) -> None:
    import copy

    folder = tmp_path / "run"
    shutil.copytree(finished, folder)
    config = json.loads((folder / "config.json").read_text())
    config["network"]["arguments"] = {"hidden": [512, 256], "dropout": 0.0}
    (folder / "config.json").write_text(json.dumps(config))
    load(folder)
    where = [place for part in ("network", "task", "input") for place in places(config[part], (part,))]

    @fuzz_settings
    @given(st.lists(st.tuples(st.sampled_from(where), STRANGE), min_size=1, max_size=3))
    def strange(changes: list[tuple[tuple[Any, ...], Any]]) -> None:
        changed = copy.deepcopy(config)
        for place, value in changes:
            inner = changed
            try:
                for key in place[:-1]:
                    inner = inner[key]
                inner[place[-1]] = copy.deepcopy(value)  # one value in two places would be one list inside itself
            except (KeyError, TypeError, IndexError):
                continue  # an earlier change took the place away
        (folder / "config.json").write_text(json.dumps(changed))
        with within_memory(), suppress(InputError):
            load(folder)

    strange()


def test_a_mutated_checkpoint_loads_or_raises_input_error(tmp_path: Path) -> None:
    def state() -> tuple[torch.nn.Module, torch.optim.Optimizer]:
        torch.manual_seed(0)
        network = torch.nn.Linear(3, 2)
        return network, torch.optim.AdamW(network.parameters(), lr=0.1)

    network, optimizer = state()
    network(torch.ones(4, 3)).sum().backward()  # type: ignore[no-untyped-call]
    optimizer.step()
    path = tmp_path / "last.safetensors"
    progress = Progress(step=1, epoch=1, plans=[[0, 0.0, 9]], history=[{"epoch": 1, "loss": 0.5}], best_value=0.5)
    save_checkpoint(path, progress, network, None, optimizer)
    whole = path.read_bytes()
    fresh, its_optimizer = state()
    assert load_checkpoint(path, fresh, None, its_optimizer) == progress
    assert torch.equal(fresh.weight, network.weight)

    @fuzz_settings
    @given(mutated(whole))
    def mutate(data: bytes) -> None:
        path.write_bytes(data)
        other, another = state()
        with within_memory(), suppress(InputError):
            load_checkpoint(path, other, None, another)

    mutate()
