"""`striate.dream`: what is meant, where it goes, films of epochs; the same as the view that it calls."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from torch import nn

import striate
from striate.actions.dream_picture import png, sheet
from striate.errors import InputError
from striate.models.mean_picture import MeanPicture
from striate.views.dreams import dream as dream_of

QUICK = {"network": "small-conv", "width": 4, "epochs": 3, "threads": 1, "precision": "float32"}


@pytest.fixture(scope="module")
def run(pictures: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Of three classes, with the weights of its three epochs."""
    return striate.train(pictures, out=tmp_path_factory.mktemp("dream") / "run", keep_epochs=1, **QUICK).folder


@pytest.fixture(autouse=True)
def _place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def opened(place: Path) -> np.ndarray:
    with Image.open(place) as image:
        return np.array(image)


def test_a_run_of_few_classes_dreams_of_all_of_them(run: Path) -> None:
    found = striate.dream(run, steps=6)
    assert found.names == ("dark", "light", "striped")
    assert found.place == Path("dream.png")
    model = striate.load(run)
    spec = model.input_spec
    expected = dream_of(
        model.network, [0, 1, 2], size=(spec.height, spec.width), mean=spec.mean, deviation=spec.deviation, steps=6
    )
    assert torch.equal(found.dreams.pixels, expected.pixels)
    assert np.array_equal(opened(found.place), sheet(found.pixels)[:, :, 0])
    # A name that is taken is never written over.
    before = found.place.read_bytes()
    assert striate.dream(run, steps=1).place == Path("dream-2.png")
    assert found.place.read_bytes() == before


def test_what_is_meant_by_name_number_and_layer(run: Path) -> None:
    by_name, by_number = (striate.dream(run, class_name=name, steps=2) for name in ("striped", 2))
    assert torch.equal(by_name.dreams.pixels, by_number.dreams.pixels)
    assert (by_name.place, by_number.place) == (Path("dream-striped.png"), Path("dream-2.png"))
    model = striate.load(run)
    layer = "features.0.0"
    for given, names, place in (
        ({"unit": 1}, ("features.0.0 unit 1",), "dream-features.0.0-unit-1.png"),
        ({"channel": (0, 3)}, ("features.0.0 channel 0", "features.0.0 channel 3"), "dream-features.0.0.png"),
        ({}, (layer,), "dream-features.0.0-2.png"),
    ):
        found = striate.dream(model, layer=layer, steps=2, size=20, **given)
        assert (found.names, found.place) == (names, Path(place))
        assert found.pixels.shape == (len(names), 20, 20, 1)


def test_a_film_shows_each_kept_epoch(run: Path) -> None:
    found = striate.dream(run, class_name="light", steps=4, film=True)
    assert found.epochs == (1, 2, 3)
    with Image.open(found.place) as film:
        assert film.n_frames == 3
        frames = []
        for number in range(3):
            film.seek(number)
            frames.append(np.array(film.convert("L")))
    for epoch, frame in zip(found.epochs, frames, strict=True):
        one = striate.dream(striate.load(run, epoch=epoch), class_name="light", steps=4)
        assert np.array_equal(frame, sheet(one.pixels)[:, :, 0])
    assert found.to_json()["epochs"] == [1, 2, 3]
    assert not np.array_equal(frames[0], frames[2])


def test_a_run_that_kept_no_epochs_has_no_film(run: Path, pictures: Path, tmp_path: Path) -> None:
    plain = striate.train(pictures, out=tmp_path / "plain", **{**QUICK, "epochs": 1})
    with pytest.raises(InputError, match="plain: keeps no weights of epochs; train with --keep-epochs 1"):
        striate.dream(plain, film=True)
    with pytest.raises(InputError, match="name the folder of a run"):
        striate.dream(striate.load(run), film=True)
    assert not list(tmp_path.glob("*.png"))


def test_a_picture_is_dreamt_on_in_its_own_shape(run: Path, pictures: Path) -> None:
    told: list[str] = []

    class Said(striate.Observer):
        def say(self, text: str) -> None:
            told.append(text)

    picture = next((pictures / "striped").iterdir())
    found = striate.dream(run, picture=picture, steps=3, observer=Said())
    assert found.place == Path(f"dream-{picture.stem}.png")
    assert found.pixels.shape == (1, 12, 12, 1)
    assert any("in the middle of the network; name another with --layer" in text for text in told)
    wide = np.random.default_rng(0).integers(0, 256, (20, 40, 3)).astype(np.uint8)
    assert striate.dream(run, picture=wide, layer="features.0.0", steps=1).pixels.shape == (1, 20, 40, 1)
    assert striate.dream(run, picture=wide, class_name="dark", steps=1, size=24).pixels.shape == (1, 12, 24, 1)


def test_a_network_of_one_size_gets_the_picture_brought_to_it() -> None:
    network = nn.Sequential(nn.Conv2d(1, 2, 3), nn.Flatten(), nn.Linear(2 * 36, 3))
    spec = striate.InputSpec(channels=1, height=8, width=8, mean=(0.5,), deviation=(0.25,))
    wide = np.zeros((20, 40), np.uint8)
    found = striate.dream(network, input_spec=spec, picture=wide, layer="0", steps=1)
    assert found.pixels.shape == (1, 8, 8, 1)
    with pytest.raises(InputError, match="cannot take pictures of 16x8"):
        striate.dream(network, input_spec=spec, picture=wide, layer="0", steps=1, size=16)


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"class_name": "strpied"}, "no class 'strpied'; did you mean 'striped'"),
        ({"class_name": 3}, "no class 3; there are 3, counted from 0"),
        ({"class_name": "dark", "layer": "head"}, "leave --class dark or --layer head away"),
        ({"unit": 3}, "unit 3: say of which layer"),
        ({"layer": "head", "unit": 1, "channel": 1}, "leave --unit or --channel away"),
        ({"layer": "haed"}, "no layer 'haed'; did you mean 'head'"),
        ({"steps": 0}, "steps must be 1 to 100,000, got 0"),
        ({"size": 5000}, "size must be 1 to 2,048, got 5000"),
        ({"size": 5}, "at least 8 pixels a side"),
        ({"picture": "none.png"}, "none.png"),
        ({"picture": "none.png", "class_name": ["dark", "light"]}, "by one class at a time, got 2"),
        ({"out": "taken.png"}, "taken.png is there already"),
        ({"out": "dream.jpg"}, "a name that ends with .png"),
        ({"out": "nowhere/dream.png"}, "nowhere is no folder"),
        ({"network": "resnet18"}, "give the run or the network"),
    ],
)
def test_bad_input_is_one_sentence_and_leaves_nothing(
    run: Path, tmp_path: Path, given: dict[str, object], said: str
) -> None:
    (tmp_path / "taken.png").write_bytes(b"mine")
    with pytest.raises(InputError, match=said) as error:
        striate.dream(run, **given)  # type: ignore[arg-type]
    assert "\n" not in str(error.value)
    assert [path.name for path in tmp_path.iterdir()] == ["taken.png"]
    assert (tmp_path / "taken.png").read_bytes() == b"mine"


def test_a_network_that_is_shown_less_than_a_mean_picture_has_no_dreams() -> None:
    mean = MeanPicture(np.full((1, 8, 8), 0.5, dtype=np.float32))
    spec = striate.InputSpec(channels=1, height=8, width=8, mean=(0.5,), deviation=(0.25,), mean_picture=mean)
    network = nn.Sequential(nn.Flatten(), nn.Linear(64, 2))
    with pytest.raises(InputError, match="takes a mean picture off its inputs"):
        striate.dream(None, network=network, input_spec=spec)


def test_of_many_classes_one_must_be_named() -> None:
    network = nn.Sequential(nn.Flatten(), nn.Linear(64, 11))
    spec = striate.InputSpec(channels=1, height=8, width=8, mean=(0.5,), deviation=(0.25,))
    with pytest.raises(InputError, match="which of the 11 classes\\? name one with --class, such as 'class 0'"):
        striate.dream(network, input_spec=spec)


def test_dreams_stand_row_by_row_on_white_large_enough_to_see() -> None:
    pictures = np.zeros((3, 100, 80, 3), np.uint8)
    pictures[1, 10, 20] = (1, 2, 3)
    whole = sheet(pictures)
    assert whole.shape == (2 * 200 + 2, 2 * 160 + 2, 3)
    assert whole[20:22, 162 + 40 : 162 + 42].tolist() == [[[1, 2, 3]] * 2] * 2
    assert bool((whole[200:202] == 255).all())
    assert bool((whole[202:, 162:] == 255).all())
    assert not whole[202:, :160].any()
    large = np.zeros((1, 300, 200, 1), np.uint8)
    assert sheet(large).shape == (300, 200, 1)
    assert png([sheet(large)]).startswith(b"\x89PNG")


def test_a_dead_unit_is_said_to_be_one() -> None:
    network = nn.Sequential(nn.Conv2d(1, 2, 3), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(2, 3))
    with torch.no_grad():
        network[0].weight.fill_(1.0)
        network[0].bias.copy_(torch.tensor([-100.0, 0.0]))
    spec = striate.InputSpec(channels=1, height=8, width=8, mean=(0.5,), deviation=(0.25,))
    warned: list[str] = []

    class Warned(striate.Observer):
        def warn(self, text: str) -> None:
            warned.append(text)

    striate.dream(network, input_spec=spec, layer="1", unit=[0, 1], steps=30, observer=Warned())
    few = "it may be dead, or 30 steps too few"
    assert warned == [f"1 unit 0: nothing was found that raises it above what noise gives; {few}"]
