"""The mean training picture against numpy, taken off inputs, kept beside the weights, read back or refused."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.numpy import save_file

import striate
from striate.errors import InputError
from striate.models.input_spec import InputSpec
from striate.models.mean_picture import MeanPicture, mean_picture, read_mean_picture

SPEC = InputSpec(channels=3, height=6, width=8, mean=(0.5, 0.4, 0.3), deviation=(0.2, 0.3, 0.25))
VALUES = np.random.default_rng(0).uniform(0, 1, (3, 6, 8)).astype(np.float32)
PLAIN = {"precision": "float32", "layout": "channels-last", "threads": 1, "device": "cpu", "allocator": "plain"}


@pytest.mark.parametrize("dtype", [np.uint8, np.float32])
def test_it_is_the_mean_of_all_pictures(dtype) -> None:
    block = np.random.default_rng(1).uniform(0, 255, (50, 3, 6, 8)).astype(dtype)
    made = mean_picture(torch.from_numpy(one) for one in block)
    assert made.values.dtype == np.float32
    assert np.allclose(made.values, block.astype(np.float64).mean(axis=0) / 255, rtol=1e-6)
    with pytest.raises(InputError, match="no training pictures"):
        mean_picture(iter(()))


def test_it_is_taken_off_in_the_place_of_the_mean_of_channels() -> None:
    spec = replace(SPEC, mean_picture=MeanPicture(VALUES))
    block = np.random.default_rng(2).integers(0, 256, (4, 3, 6, 8), dtype=np.uint8)
    expected = (block / 255 - VALUES) / np.array(SPEC.deviation).reshape(3, 1, 1)
    assert np.allclose(spec.normalize(torch.from_numpy(block)).numpy(), expected, atol=1e-5)
    plain = SPEC.normalize(torch.from_numpy(block)).numpy()
    assert not np.allclose(plain, expected, atol=0.1)
    assert spec == replace(SPEC, mean_picture=MeanPicture(VALUES.copy()))
    assert hash(spec) == hash(replace(SPEC, mean_picture=MeanPicture(VALUES.copy())))
    assert spec != SPEC
    with pytest.raises(InputError, match="cannot be taken off"):
        replace(spec, height=7)


def test_settings_say_only_that_there_is_one() -> None:
    spec = replace(SPEC, mean_picture=MeanPicture(VALUES))
    plain = json.loads(json.dumps(spec.to_json()))
    assert plain.pop("mean_picture") is True
    assert plain == json.loads(json.dumps(SPEC.to_json()))
    asked = []

    def read(shape):
        asked.append(shape)
        return MeanPicture(VALUES)

    assert InputSpec.from_json({**plain, "mean_picture": True}, read) == spec
    assert asked == [(3, 6, 8)]
    assert InputSpec.from_json(plain, read) == SPEC
    for odd in ("yes", 1, None, []):
        with pytest.raises(InputError, match="mean_picture must be true or false"):
            InputSpec.from_json({**plain, "mean_picture": odd}, read)


def test_files_are_read_back_or_refused(tmp_path) -> None:
    picture = MeanPicture(VALUES)
    assert read_mean_picture(picture.to_bytes, "there", (3, 6, 8)) == picture
    with pytest.raises(InputError, match="there: not the mean of pictures of 3x8x6"):
        read_mean_picture(picture.to_bytes, "there", (3, 8, 6))
    with pytest.raises(InputError, match="there: the mean picture cannot be read"):
        read_mean_picture(lambda: picture.to_bytes()[:50], "there", (3, 6, 8))
    lying = {
        "numbers": {"mean": np.full((3, 6, 8), np.nan, np.float32)},
        "kind": {"mean": VALUES.astype(np.float64)},
        "name": {"average": VALUES},
        "more": {"mean": VALUES, "other": VALUES},
    }
    for name, tensors in lying.items():
        save_file(tensors, tmp_path / name)
        with pytest.raises(InputError, match=rf"{name}: (not the mean|the mean picture holds)"):
            read_mean_picture((tmp_path / name).read_bytes, name, (3, 6, 8))


@pytest.fixture(scope="module")
def pictures(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("pictures")
    chance = np.random.default_rng(0)
    for split, count in (("train", 20), ("val", 8), ("test", 8)):
        for number, name in enumerate(("a", "b")):
            place = folder / split / name
            place.mkdir(parents=True)
            for index in range(count):
                pixels = chance.integers(0, 200, (9, 12, 3)) + 50 * number
                Image.fromarray(pixels.astype(np.uint8)).save(place / f"{index}.png")
    return folder


def test_a_training_takes_it_off_keeps_it_and_goes_on_with_it(pictures, tmp_path) -> None:
    """From the command's settings to a run whose model, resumed and started from, subtracts the same picture."""
    settings = {**PLAIN, "network": "linear", "epochs": 2, "augment": {"name": "none"}}
    run = striate.train(pictures, out=tmp_path / "run", mean="picture", **settings)
    model = striate.load(run)
    mean = model.input_spec.mean_picture
    assert mean is not None
    files = sorted((pictures / "train").rglob("*.png"))
    block = np.stack([np.asarray(Image.open(file)) for file in files]).transpose(0, 3, 1, 2)
    assert np.allclose(mean.values, block.mean(axis=0) / 255, rtol=1e-6)
    # What answers is what was trained: the run's own figures come again.
    plain = striate.load(striate.train(pictures, out=tmp_path / "plain", **settings))
    assert plain.input_spec.mean_picture is None
    assert not (tmp_path / "plain" / "mean.safetensors").exists()
    again = striate.evaluate(run, pictures, split="test").evaluation
    assert again.log_loss.value == pytest.approx(run.metrics["test"]["log_loss"]["value"], rel=1e-6)
    further = striate.load(striate.resume(run, epochs=3))
    assert further.input_spec.mean_picture == mean
    started = striate.train(pictures, out=tmp_path / "on", from_run=run, **{**settings, "network": None, "epochs": 1})
    assert striate.load(started).input_spec.mean_picture == mean
    assert striate.load(striate.resume(started, epochs=2)).input_spec.mean_picture == mean
    with pytest.raises(InputError, match="leave --size away"):
        striate.train(pictures, out=tmp_path / "no", from_run=run, size=16, **{**settings, "network": None})
    (run.folder / "mean.safetensors").write_bytes(b"no tensors")
    with pytest.raises(InputError, match=r"mean\.safetensors: the mean picture cannot be read"):
        striate.load(run)
    (run.folder / "mean.safetensors").unlink()
    with pytest.raises(InputError, match=r"mean\.safetensors: the mean picture is missing"):
        striate.load(run)
