"""The run folder: whose it is, what is kept, and that nothing in it is executed."""

from __future__ import annotations

import json
import pickle
from pathlib import Path

import numpy as np
import pytest
import torch

from striate.errors import InputError
from striate.models.claim import claim_folder
from striate.models.input_spec import InputSpec
from striate.models.loading import load_model
from striate.models.model import Model
from striate.models.run import Run, json_text, write_model
from striate.models.run_files import epoch_file, kept_epochs, read_config
from striate.networks import build_network
from striate.tasks.classification import Classification

SPEC = InputSpec(channels=3, height=8, width=8, mean=(0.4, 0.5, 0.6), deviation=(0.2, 0.2, 0.3))


@pytest.fixture
def run(tmp_path: Path) -> Run:
    """A run folder with a model and nothing else."""
    built = build_network("mlp", num_outputs=3, channels=3, size=8, arguments={"hidden": [5]}, seed=1)
    model = Model(built.network.eval(), SPEC, Classification(("a", "é", "<b>")))
    run = claim_folder(tmp_path / "run", "somewhere")
    write_model(run, model, {"name": "mlp", "arguments": {"hidden": [5]}}, {"weights": "fresh"})
    return run


def test_what_is_written_is_loaded_bit_for_bit(run: Run) -> None:
    model = load_model(run.folder, device="cpu")
    assert model.input_spec == SPEC
    assert model.class_names == ("a", "é", "<b>")
    built = build_network("mlp", num_outputs=3, channels=3, size=8, arguments={"hidden": [5]}, seed=1)
    expected = built.network.state_dict()
    found = model.network.state_dict()
    assert found.keys() == expected.keys()
    assert all(torch.equal(found[name], expected[name]) for name in expected)
    assert not model.network.training


def test_a_module_of_the_users_own_is_filled_by_name_and_shape(run: Run) -> None:
    config = read_config(run.folder)
    config["network"] = {"name": "own", "arguments": {}}
    run.write("config.json", json.dumps(config))
    with pytest.raises(InputError, match="network=module"):
        load_model(run.folder)
    mine = build_network("mlp", num_outputs=3, channels=3, size=8, arguments={"hidden": [5]}, seed=9).network
    theirs = build_network("mlp", num_outputs=3, channels=3, size=8, arguments={"hidden": [5]}, seed=1).network
    assert torch.equal(load_model(run.folder, network=mine, device="cpu").network.head.weight, theirs.head.weight)
    other = build_network("mlp", num_outputs=3, channels=3, size=8, arguments={"hidden": [6]}, seed=9).network
    with pytest.raises(InputError, match="weights of another network: 3 tensors differ"):
        load_model(run.folder, network=other)


def test_weights_of_epochs_are_found_and_loaded(run: Run) -> None:
    from safetensors.torch import load_file, save_file

    with pytest.raises(InputError, match="keeps no weights of epochs; train with --keep-epochs"):
        load_model(run.folder, epoch=3)
    place = run.checkpoints()
    weights = load_file(run.folder / "model.safetensors")
    for epoch in (12, 3, 10_000):
        save_file({name: value + epoch for name, value in weights.items()}, place / epoch_file(epoch))
    # None of these is what striate writes for an epoch.
    for name in ("epoch-00003.safetensors", "epoch-5.safetensors", "epoch-0006.pt", ".epoch-0007.safetensors.x.part"):
        (place / name).write_bytes(b"")
    assert kept_epochs(run.folder) == (3, 12, 10_000)
    found = load_model(run.folder, epoch=12, device="cpu").network.state_dict()
    assert all(torch.equal(found[name], weights[name] + 12) for name in weights)
    with pytest.raises(InputError, match="keeps no weights of epoch 4; it has those of 3, 12, 10000"):
        load_model(run.folder, epoch=4)
    (place / epoch_file(3)).write_bytes(b"half of it")
    with pytest.raises(InputError, match="cannot be read"):
        load_model(run.folder, epoch=3)


class Boom:
    """Runs a command where it is unpickled."""

    def __init__(self, mark: Path) -> None:
        self.mark = mark

    def __reduce__(self) -> tuple[object, tuple[str, ...]]:
        return Path.touch, (self.mark,)


def test_a_pickle_in_the_place_of_the_weights_is_not_run(run: Run, tmp_path: Path) -> None:
    mark = tmp_path / "executed"
    torch.save({"head.weight": Boom(mark)}, run.folder / "model.safetensors")
    with pytest.raises(InputError, match="cannot be read"):
        load_model(run.folder)
    (run.folder / "model.safetensors").write_bytes(pickle.dumps(Boom(mark)))
    with pytest.raises(InputError, match="cannot be read"):
        load_model(run.folder)
    assert not mark.exists()


def lying_header(shape: list[int]) -> bytes:
    header = json.dumps({"head.weight": {"dtype": "F32", "shape": shape, "data_offsets": [0, 4]}}).encode()
    return len(header).to_bytes(8, "little") + header + bytes(4)


@pytest.mark.parametrize("shape", [[10**9, 10**9], [2**62], [-1], [3, 5]])
def test_a_header_that_lies_costs_no_memory(run: Run, shape: list[int]) -> None:
    import resource

    (run.folder / "model.safetensors").write_bytes(lying_header(shape))
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    with pytest.raises(InputError, match="the weights cannot be read"):
        load_model(run.folder)
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 100_000  # kB


@pytest.mark.parametrize("dtype", [torch.int64, torch.complex64, torch.bool])
def test_weights_of_another_kind(run: Run, dtype: torch.dtype) -> None:
    from safetensors.torch import load_file, save_file

    weights = load_file(run.folder / "model.safetensors")
    save_file({name: value.to(dtype) for name, value in weights.items()}, run.folder / "model.safetensors")
    with pytest.raises(InputError, match="of another kind"):
        load_model(run.folder)


def test_half_precision_weights_are_taken(run: Run) -> None:
    from safetensors.torch import load_file, save_file

    weights = load_file(run.folder / "model.safetensors")
    save_file({name: value.half() for name, value in weights.items()}, run.folder / "model.safetensors")
    answer = load_model(run.folder, device="cpu").predict(np.zeros((8, 8, 3), np.uint8))[0]
    assert answer.probabilities.dtype == np.float32


def test_json_has_null_for_what_is_no_number() -> None:
    text = json_text({"a": [float("nan"), float("-inf"), 1.5], "b": {"c": float("inf")}, "name": "\udcff", "n": 3})
    assert json.loads(text) == {"a": [None, None, 1.5], "b": {"c": None}, "name": "\udcff", "n": 3}
    text.encode("ascii")


# -- claiming a folder ------------------------------------------------------------------------------


def test_giving_up_leaves_what_was_found(tmp_path: Path) -> None:
    deep = tmp_path / "a/b/run"
    run = claim_folder(deep, "somewhere")
    run.write("recipe.toml", "x")
    run.write("log.txt", "x")
    run.give_up_if_empty()
    assert not (tmp_path / "a").exists()
    empty = tmp_path / "empty"
    empty.mkdir()
    run = claim_folder(empty, "somewhere")
    run.write("recipe.toml", "x")
    run.give_up_if_empty()
    assert empty.is_dir()  # it was the user's
    assert list(empty.iterdir()) == []


def test_without_a_name_the_next_free_number_is_taken(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    made = [claim_folder(None, "some/pictures/") for _ in range(3)]
    assert [str(run) for run in made] == ["runs/pictures-1", "runs/pictures-2", "runs/pictures-3"]
    assert made[0].made == (Path("runs/pictures-1"), Path("runs"))
    for run in reversed(made):
        run.give_up_if_empty()
        run.let_go()
    assert not list(tmp_path.iterdir())
    (tmp_path / "runs").write_text("mine")
    with pytest.raises(InputError, match="runs: is a file, and runs are kept in a folder of that name; use --out"):
        claim_folder(None, "some/pictures/")


def test_giving_up_keeps_what_was_learned(tmp_path: Path) -> None:
    run = claim_folder(tmp_path / "run", "somewhere")
    run.write("recipe.toml", "x")
    run.checkpoints()
    run.give_up_if_empty()
    assert (run.folder / "recipe.toml").is_file()


def earlier(folder: Path) -> dict[str, bytes]:
    """A run of before, and what it holds."""
    names = (
        "recipe.toml",
        "log.txt",
        "model.safetensors",
        "checkpoints/last.safetensors",
        "checkpoints/epoch-0003.safetensors",
    )
    held = {name: name.encode() for name in names}
    for name, content in held.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(content)
    return held


def holds(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_overwrite_can_be_killed_at_any_moment_and_taken_back(tmp_path: Path) -> None:
    folder = tmp_path / "run"
    held = earlier(folder)
    first = claim_folder(folder, "somewhere", overwrite=True)
    assert holds(folder) == {f".given-up/{name}": content for name, content in held.items()}
    first.write("recipe.toml", "new")
    first.let_go()  # as a kill does
    # Killed here, and begun again: what was set aside first is what counts.
    with pytest.raises(InputError, match=r"holds a run already|other files"):
        claim_folder(folder, "somewhere")
    second = claim_folder(folder, "somewhere", overwrite=True)
    second.write("recipe.toml", "newer")
    second.give_up_if_empty()
    second.let_go()
    assert holds(folder) == held
    third = claim_folder(folder, "somewhere", overwrite=True)
    third.write("recipe.toml", "newest")
    third.checkpoints()
    third.let_go()
    assert holds(folder) == {"recipe.toml": b"newest"}


def test_overwrite_takes_no_link_for_what_was_set_aside(tmp_path: Path) -> None:
    theirs = tmp_path / "theirs"
    held = earlier(theirs)
    folder = tmp_path / "run"
    folder.mkdir()
    (folder / ".given-up").symlink_to(theirs)
    with pytest.raises(InputError, match="other files"):
        claim_folder(folder, "somewhere", overwrite=True)
    earlier(folder)
    with pytest.raises(InputError, match="link"):
        claim_folder(folder, "somewhere", overwrite=True)
    assert holds(theirs) == held


def test_a_run_is_named_by_a_text_or_a_path(run: Run) -> None:
    named = Run(str(run.folder))
    assert named == run
    assert hash(named) == hash(run)
    assert named.folder == run.folder
    run.write("metrics.json", '{"schema": 1}')
    assert named.metrics == {"schema": 1}
    assert str(named) == str(run.folder)
    assert not named.finished
    with pytest.raises(InputError, match="there is no such run"):
        _ = Run("nowhere").config
    with pytest.raises(TypeError):
        Run(3)  # type: ignore[arg-type]
