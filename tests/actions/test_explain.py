"""`striate explain`: the answer of predict, maps of what was asked, what a mistake shows, and where it is written."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from torch import nn

import striate
from striate.data.reading import checksum, load_pixels
from striate.data.sources import open_dataset
from striate.errors import InputError
from striate.models.run_files import read_seen
from striate.tasks.classification import Classification
from striate.views.gradients import gradient

SETTINGS = {"network": "lenet5", "device": "cpu", "threads": 1, "batch_size": 16, "precision": "float32"}
METHODS = "grad-cam,gradient,occlusion"


@pytest.fixture(scope="module")
def run(pictures, tmp_path_factory) -> striate.Run:
    # So little is learned that a square can turn an answer.
    settings = {**SETTINGS, "epochs": 4, "seed": 1, "learning_rate": 1e-3}
    return striate.train(pictures, out=tmp_path_factory.mktemp("explain") / "run", **settings)


@pytest.fixture(scope="module")
def new(pictures, tmp_path_factory) -> Path:
    """A picture that the run has not seen, of no known label."""
    pixels = np.asarray(Image.open(pictures / "striped" / "3.png")).astype(int)
    place = tmp_path_factory.mktemp("new") / "new.png"
    Image.fromarray((255 - pixels).clip(0, 255).astype(np.uint8)).save(place)
    return place


@pytest.fixture(autouse=True)
def place(tmp_path, monkeypatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


def other(answer: str) -> str:
    return next(name for name in ("dark", "light", "striped") if name != answer)


def test_the_answer_is_that_of_predict_and_the_maps_are_those_of_the_views(run, new):
    model = striate.load(run)
    found = striate.explain(run, new, method="gradient", out="why")
    (expected,) = model.predict(new)
    assert found.answer == expected.label
    assert np.array_equal(found.probabilities, expected.probabilities)
    assert found.label is None
    assert not found.mistaken
    inputs = model.inputs(model.prepare(load_pixels(_samples(new), 0))[None])
    values = gradient(model.network, inputs, [model.class_names.index(found.answer)]).values[0]
    assert found.classes == (found.answer,)
    assert np.array_equal(found.maps[0].values, values.numpy())


def test_everything_lies_in_the_folder_and_says_the_same(run, new, place):
    found = striate.explain(run, new, method=METHODS, out="why")
    assert sorted(path.name for path in (place / "why").iterdir()) == sorted(
        [
            *("explanation.html", "explanation.json", "maps.npz", "picture.png"),
            *(f"{name}{end}.png" for name in METHODS.split(",") for end in ("", "-alone")),
            *(["smallest-square.png"] if found.turned is not None and found.turned.box is not None else []),
        ]
    )
    told = json.loads((place / "why" / "explanation.json").read_text())
    assert told["answer"] == found.answer
    assert [one["method"] for one in told["maps"]] == METHODS.split(",")
    assert sum(told["probabilities"].values()) == pytest.approx(1)
    with np.load(place / "why" / "maps.npz") as arrays:
        for one in found.maps:
            assert np.array_equal(arrays[one.method], one.values)
            assert one.values.shape == (1, *found.seen.shape[:2])
        assert arrays["class_names"].tolist() == ["dark", "light", "striped"]
    assert np.asarray(Image.open(place / "why" / "grad-cam.png")).shape == (264, 264, 3)  # 12 pixels, 22 times
    page = (place / "why" / "explanation.html").read_text()
    assert str(new) in page
    for one in found.maps:
        assert one.fared is not None
        assert one.fared.sentence().split(":")[0] in page


def test_another_class_is_explained_when_it_is_asked_for(run, new):
    answer = striate.explain(run, new, method="gradient", out="first").answer
    asked = striate.explain(run, new, method="gradient", class_name=other(answer), out="second")
    assert asked.answer == answer
    assert asked.classes == (other(answer),)
    number = striate.load(run).class_names.index(other(answer))
    by_number = striate.explain(run, new, method="gradient", class_name=str(number), out="third")
    assert np.array_equal(by_number.maps[0].values, asked.maps[0].values)


def test_the_label_is_what_the_source_says(run, pictures):
    samples = open_dataset(pictures)
    for row in (0, 25, 45):
        found = striate.explain(run, pictures / samples.names[row], method="gradient")
        assert found.label == samples.class_names[samples.targets[row]]
        assert found.mistaken == (found.answer != found.label)


def test_what_was_learned_from_is_said(run, pictures):
    samples, (learned, _) = open_dataset(pictures), read_seen(run.folder)
    known = np.array([checksum(load_pixels(samples, row)) in learned for row in range(len(samples))])
    assert 0 < known.sum() < len(known)
    for seen in (True, False):
        row = int(np.flatnonzero(known == seen)[0])
        notes = striate.explain(run, pictures / samples.names[row], method="gradient").notes
        assert any("learned from this very picture" in note for note in notes) == seen


def test_a_mistake_shows_both_classes_and_the_nearest_that_were_learned_from(run, new, pictures):
    answer = striate.explain(run, new, method="gradient", out="first").answer
    label = other(answer)
    found = striate.explain(run, new, method="gradient", label=label, out="why")
    assert found.mistaken
    assert found.classes == (answer, label)
    assert found.maps[0].values.shape[0] == 2
    assert sorted(path.name for path in Path("why").glob("gradient-*-alone.png")) == [
        f"gradient-{number + 1}-{name}-alone.png" for number, name in enumerate((answer, label))
    ]
    # All pictures of the source, one by one, in float64.
    model, samples, (learned, _) = striate.load(run), open_dataset(pictures), read_seen(run.folder)

    def features(pixels: np.ndarray) -> np.ndarray:
        with torch.no_grad():
            given = model.network.features(model.inputs(model.prepare(pixels)[None]))
        return given.flatten().double().numpy()

    own = features(load_pixels(_samples(new), 0))
    for name in (answer, label):
        cosines = {}
        for row in range(len(samples)):
            pixels = load_pixels(samples, row)
            if samples.class_names[samples.targets[row]] == name and checksum(pixels) in learned:
                one = features(pixels)
                cosines[samples.names[row]] = one @ own / np.linalg.norm(one) / np.linalg.norm(own)
        nearest = sorted(cosines, key=lambda picture: -cosines[picture])[:4]
        assert [one.name for one in found.nearest[name]] == nearest
        assert [one.similarity for one in found.nearest[name]] == pytest.approx([cosines[one] for one in nearest])
    like_answer, like_label = (found.nearest[name][0].similarity for name in (answer, label))
    nearer, farther = (answer, label) if like_answer > like_label else (label, answer)
    most, least = max(like_answer, like_label), min(like_answer, like_label)
    assert f"nearer to a training picture of {nearer} than to any of {farther}" in found.reasons[1]
    assert f"similarity {most:.2f} against {least:.2f}" in found.reasons[1]
    page = found.page.read_text()
    assert "Why it may have gone wrong" in page
    assert page.count(found.nearest[label][0].name) >= 1
    ranked = sorted(found.class_names, key=lambda name: -found.probabilities[found.class_names.index(name)])
    assert ("second choice" in found.reasons[0]) == (ranked[1] == label)


def test_a_picture_is_not_its_own_neighbour(run, pictures):
    samples, (learned, _) = open_dataset(pictures), read_seen(run.folder)
    row = next(row for row in range(len(samples)) if checksum(load_pixels(samples, row)) in learned)
    label = other(striate.explain(run, pictures / samples.names[row], method="gradient", out="first").answer)
    found = striate.explain(run, pictures / samples.names[row], method="gradient", label=label, out="why")
    assert all(len(near) == 4 for near in found.nearest.values())
    assert samples.names[row] not in {one.name for near in found.nearest.values() for one in near}


def test_where_the_pictures_are_gone_the_rest_is_told(run, new, tmp_path):
    copy = striate.Run(Path(shutil.copytree(run.folder, tmp_path / "copy")))
    recipe = copy.folder / "recipe.toml"
    source = striate.open_dataset(_source(run)).source
    recipe.write_text(recipe.read_text().replace(source, str(tmp_path / "gone")))
    answer = striate.explain(copy, new, method="gradient", out="first").answer
    found = striate.explain(copy, new, method="gradient", label=other(answer), out="why")
    assert found.nearest == {}
    assert any("cannot be had any more" in note for note in found.notes)


def test_the_smallest_square_really_turns_the_answer(run, pictures):
    model = striate.load(run)
    turned = 0
    for picture in (pictures / "light" / "1.png", pictures / "striped" / "1.png", pictures / "dark" / "1.png"):
        found = striate.explain(run, picture, method="occlusion")
        assert found.turned is not None
        if found.turned.box is None:
            continue
        turned += 1
        top, left, bottom, right = found.turned.box
        assert bottom - top == right - left
        inputs = model.inputs(model.prepare(load_pixels(_samples(picture), 0))[None]).clone()
        inputs[..., top:bottom, left:right] = 0
        with torch.no_grad():
            answered = model.task.decode(model.network(inputs))[0]
        assert model.class_names[int(answered.argmax())] == found.turned.answer != found.answer
        assert float(answered.max()) == pytest.approx(found.turned.probability, abs=1e-5)
    assert turned


def smooth(classes: int = 2) -> nn.Module:
    """A network without rectifiers."""
    torch.manual_seed(0)
    return nn.Sequential(
        nn.Conv2d(3, 4, 3, padding=1), nn.GELU(), nn.AdaptiveAvgPool2d(2), nn.Flatten(), nn.Linear(16, classes)
    )


SPEC = striate.InputSpec(channels=3, height=10, width=10, fit="crop", mean=(0.5,) * 3, deviation=(0.25,) * 3)
PIXELS = np.random.default_rng(0).integers(0, 255, (10, 20, 3), dtype=np.uint8)


def test_what_cannot_be_right_is_left_out_and_named_unless_it_was_asked_for():
    found = striate.explain(smooth(), PIXELS, input_spec=SPEC)
    assert [name for name, _ in found.left_out] == ["guided-grad-cam"]
    assert "GELU" in found.left_out[0][1]
    assert "GELU" in found.page.read_text()
    assert found.page.parent.name == "explain-picture"
    with pytest.raises(InputError, match="GELU"):
        striate.explain(smooth(), PIXELS, input_spec=SPEC, method="guided-grad-cam")
    assert not Path("explain-picture-2").exists()


def test_all_methods_are_all_rows_of_the_table():
    from striate.views import VIEWS

    found = striate.explain(smooth(), PIXELS, input_spec=SPEC, method="all")
    done = {one.method for one in found.maps} | {name for name, _ in found.left_out}
    assert done == {name for name, view in VIEWS.items() if view.group == "map"}
    assert len(found.maps) >= 6


def test_the_part_that_the_network_saw_is_told():
    found = striate.explain(smooth(), PIXELS, input_spec=SPEC, method="gradient")
    assert np.array_equal(found.seen, PIXELS[:, 5:15])
    assert found.details.frame == (0.25, 0, 0.5, 1)
    assert "50 % of it" in found.details.seen_words
    whole = striate.explain(smooth(), PIXELS[:, :10], input_spec=SPEC, method="gradient")
    assert whole.details.frame is None


class Dictionary(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.inner = smooth()

    def forward(self, pictures: torch.Tensor) -> dict[str, torch.Tensor]:
        scores = self.inner(pictures)
        return {"features": scores[:, :1], "scores": scores}


def test_which_output_holds_the_scores_has_to_be_said():
    with pytest.raises(InputError, match="features, scores"):
        striate.explain(Dictionary(), PIXELS, input_spec=SPEC, method="gradient")
    found = striate.explain(Dictionary(), PIXELS, input_spec=SPEC, output="scores", method=METHODS)
    plain = striate.explain(smooth(), PIXELS, input_spec=SPEC, method=METHODS)
    assert np.allclose(found.probabilities, plain.probabilities, atol=1e-6)
    for one, same in zip(found.maps, plain.maps, strict=True):
        assert np.allclose(one.values, same.values, atol=1e-6), one.method


def test_a_model_is_explained_and_stays_what_it_was(place):
    network = smooth().train()
    model = striate.Model(network, SPEC, Classification(("cat", "dog")))
    before = {name: value.clone() for name, value in network.state_dict().items()}
    found = striate.explain(model, PIXELS.astype(np.float32))
    assert found.answer in ("cat", "dog")
    assert network.training
    assert all(parameter.requires_grad and parameter.grad is None for parameter in network.parameters())
    assert all(torch.equal(value, before[name]) for name, value in network.state_dict().items())
    assert "<pre>" not in found.page.read_text()  # no command makes it again


def test_nothing_is_written_over(run, new, place):
    first = striate.explain(run, new, method="gradient")
    second = striate.explain(run, new, method="gradient")
    assert [first.folder.name, second.folder.name] == ["explain-new", "explain-new-2"]
    with pytest.raises(InputError, match="explain-new is there and holds files"):
        striate.explain(run, new, method="gradient", out="explain-new")
    (place / "empty").mkdir()
    assert striate.explain(run, new, method="gradient", out="empty").page == Path("empty/explanation.html")


def test_values_that_are_shares_are_refused(run):
    with pytest.raises(InputError, match="multiply them by 255"):
        striate.explain(run, PIXELS / 255)


def _samples(path: Path):
    from striate.data.sources.pictures import find_pictures

    return find_pictures([path])


def _source(run: striate.Run) -> str:
    from striate.training.recipe_file import read_source

    return read_source(run.folder / "recipe.toml")
