"""Checkpoints: everything comes back in its own layout; a broken file is a sentence."""

from __future__ import annotations

import json
import struct

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from torch import nn

from striate.errors import InputError
from striate.training.checkpoint import Progress, load_checkpoint, read_tensors, save_checkpoint, write_tensors
from striate.training.optimizers import build_optimizer
from striate.training.part_settings import OptimizerSettings


def network(seed=0, layout=torch.channels_last):
    torch.manual_seed(seed)
    module = nn.Sequential(nn.Conv2d(3, 5, 3), nn.BatchNorm2d(5), nn.Flatten(), nn.Linear(5, 2))
    return module.to(memory_format=layout)


def trained(module, optimizer, steps):
    for step in range(steps):
        torch.manual_seed(step)
        inputs = torch.randn(4, 3, 3, 3)

        def evaluate(inputs=inputs):
            optimizer.zero_grad()
            loss = module(inputs).square().mean()
            loss.backward()
            return loss

        optimizer.step(evaluate)


def rules():
    return {
        "sgd": lambda module: build_optimizer(module, OptimizerSettings(name="sgd", weight_decay=0.1), 0.05),
        "adamw": lambda module: build_optimizer(module, OptimizerSettings(name="adamw", weight_decay=0.1), 0.05),
        "l-bfgs": lambda module: torch.optim.LBFGS(module.parameters(), lr=0.1, max_iter=3, history_size=4),
    }


@pytest.mark.parametrize("rule", rules())
def test_training_goes_on_bit_for_bit_from_a_file(tmp_path, rule):
    # L-BFGS of torch flattens gradients by `view`.
    layout = torch.contiguous_format if rule == "l-bfgs" else torch.channels_last
    module = network(layout=layout)
    optimizer = rules()[rule](module)
    trained(module, optimizer, 3)
    progress = Progress(step=3, best_value=0.1 + 0.2, history=[{"epoch": 1, "loss": 1 / 3}], plans=[[0, 0.0, 9]])
    save_checkpoint(tmp_path / "last.safetensors", progress, module, None, optimizer)
    other = network(seed=5, layout=layout)
    other_optimizer = rules()[rule](other)
    assert load_checkpoint(tmp_path / "last.safetensors", other, None, other_optimizer) == progress
    trained(module, optimizer, 4)
    trained(other, other_optimizer, 4)
    for name, value in module.state_dict().items():
        assert torch.equal(value, other.state_dict()[name]), name


def test_the_average_comes_back(tmp_path):
    module, average, optimizer = network(0), network(1), rules()["sgd"](network(0))
    save_checkpoint(tmp_path / "a", Progress(), module, average, optimizer)
    target = network(2)
    load_checkpoint(tmp_path / "a", network(3), target, rules()["sgd"](network(0)))
    assert all(torch.equal(value, target.state_dict()[name]) for name, value in average.state_dict().items())


def test_tensors_that_share_memory_are_written_apart(tmp_path):
    one = torch.arange(6.0)
    write_tensors(tmp_path / "a", {"x": one, "y": one[:3], "z": one.view(2, 3).T}, {"n": 1})
    tensors, described = read_tensors(tmp_path / "a")
    assert described == {"n": 1}
    assert torch.equal(tensors["y"], one[:3])
    assert torch.equal(tensors["z"], one.view(2, 3).T)


def valid(tmp_path):
    module = network()
    optimizer = rules()["sgd"](module)
    trained(module, optimizer, 1)
    save_checkpoint(tmp_path / "last", Progress(), module, None, optimizer)
    return (tmp_path / "last").read_bytes()


@settings(max_examples=200, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_a_damaged_file_is_refused_in_a_sentence_or_read(tmp_path, data):
    content = bytearray(valid(tmp_path))
    # Most damage in the header, where it is described what follows.
    header = 8 + struct.unpack("<Q", content[:8])[0]
    for _ in range(data.draw(st.integers(1, 4))):
        content[data.draw(st.integers(0, header - 1))] = data.draw(st.integers(0, 255))
    content = content[: data.draw(st.integers(0, len(content)))] if data.draw(st.booleans()) else content
    (tmp_path / "last").write_bytes(content)
    module = network()
    said = "last"
    try:
        load_checkpoint(tmp_path / "last", module, None, rules()["sgd"](module))
    except InputError as error:
        said = str(error)
    assert "last" in said


@pytest.mark.parametrize(
    "described",
    [
        {},
        {"schema": 99, "progress": {}, "optimizer": {}},
        {"schema": 1, "progress": {"unknown": 1}, "optimizer": {}},
        {"schema": 1, "progress": [], "optimizer": {}},
        {"schema": 1, "progress": {}, "optimizer": {"99": {"momentum_buffer": {"tensor": "network/0.weight"}}}},
        {"schema": 1, "progress": {}, "optimizer": {"0": {"momentum_buffer": {"tensor": "nowhere"}}}},
        {"schema": 1, "progress": {}, "optimizer": 3},
    ],
)
def test_metadata_of_something_else_is_refused(tmp_path, described):
    module = network()
    tensors = {f"network/{name}": value for name, value in module.state_dict().items()}
    write_tensors(tmp_path / "last", tensors, described)
    with pytest.raises(InputError, match="last: "):
        load_checkpoint(tmp_path / "last", module, None, rules()["sgd"](module))


def test_metadata_is_json(tmp_path):
    valid(tmp_path)
    content = (tmp_path / "last").read_bytes()
    size = struct.unpack("<Q", content[:8])[0]
    described = json.loads(json.loads(content[8 : 8 + size])["__metadata__"]["striate"])
    assert described["schema"] == 1
