"""`look`: the page and the arrays of a run, of a network by its name, of three pictures; kept for the next look."""

from __future__ import annotations

import hashlib
import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from torch import nn

import striate
from striate.actions.look import list_layers
from striate.actions.look_cells import cut
from striate.actions.look_films import some_epochs
from striate.data.samples import TEST
from striate.data.splits import assign_splits
from striate.errors import InputError
from striate.models.input_spec import InputSpec
from striate.observer import Observer
from striate.taps.fields import Fields
from striate.taps.watching import watching
from striate.views.feature_space import Way, feature_space
from striate.views.invariance import invariance

LAYERS = ["features.0", "features.7"]


class Told(Observer):
    def __init__(self) -> None:
        self.said: list[str] = []
        self.warned: list[str] = []
        self.work: set[str] = set()

    def say(self, text: str) -> None:
        self.said.append(text)

    def warn(self, text: str) -> None:
        self.warned.append(text)

    def progress(self, what: str, done: int, total: int) -> None:
        self.work.add(what)


@pytest.fixture(scope="module")
def run(pictures: Path, tmp_path_factory: pytest.TempPathFactory) -> striate.Run:
    out = tmp_path_factory.mktemp("looked") / "run"
    settings = {"network": "small-conv", "width": 4, "threads": 1, "precision": "float32"}
    return striate.train(pictures, out=out, epochs=3, keep_epochs=1, **settings)


@pytest.fixture(autouse=True)
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("STRIATE_CACHE", str(tmp_path / "cache"))
    monkeypatch.chdir(tmp_path)
    return tmp_path


def content(folder: Path) -> dict[str, str]:
    files = (path for path in sorted(folder.rglob("*")) if path.is_file())
    return {str(path): hashlib.sha256(path.read_bytes()).hexdigest() for path in files}


def test_a_run_is_looked_at_with_the_pictures_it_learned_from(run: striate.Run, pictures: Path) -> None:
    before = content(run.folder)
    found = striate.look(run)
    assert content(run.folder) == before
    drawn, _ = assign_splits(striate.open_dataset(pictures), seed=0)
    used = [name for name, split in zip(drawn.names, drawn.splits, strict=True) if split != TEST]
    assert sorted(found.names) == sorted(used)
    assert found.pictures == len(used)
    assert found.class_names == ("dark", "light", "striped")
    assert (found.page, found.arrays) == (Path("look.html"), Path("look.npz"))
    page = found.page.read_text(encoding="utf-8")
    assert page.count("Unit ") == sum(
        min(16, len(found.found[one.name].units.dead)) - int(found.found[one.name].units.dead[:16].sum())
        for one in found.layers
    )
    assert f"{len(used)} training and validation pictures" in page
    assert "what counts in them" in page  # small-conv has rectifiers
    assert found.notes == ()  # and max-pooling
    # Each strongest value is what the network gives for that picture there.
    model = striate.load(run)
    by_name = {name: row for row, name in enumerate(striate.open_dataset(pictures).names)}
    samples = striate.open_dataset(pictures)
    top = found.found[found.layers[0].name].top
    for unit in range(4):
        for value, row, (r, c) in top.of(unit):
            with Image.open(pictures / samples.names[by_name[found.names[row]]]) as image:
                prepared = model.prepare(np.asarray(image)[..., None])
            with torch.no_grad():
                maps = model.network.features[:3](model.inputs(prepared[None]))
            assert found.layers[0].name == "features.2"
            assert float(maps[0, unit, r, c]) == pytest.approx(value, rel=1e-4)
            assert float(maps[0, unit].max()) == pytest.approx(value, rel=1e-4)


def test_the_second_look_reads_no_pixels_and_shows_the_same(run: striate.Run) -> None:
    first, again = Told(), Told()
    one = striate.look(run, layers=LAYERS, observer=first)
    other = striate.look(run, layers=LAYERS, observer=again)
    assert "looking" in first.work
    assert "drawing units" in first.work
    assert again.work.isdisjoint({"looking", "drawing units"})
    assert other.page == Path("look-2.html")
    assert one.page is not None

    def pictures_of(page: Path) -> list[str]:
        return [line for line in page.read_text().splitlines() if "<img" in line]

    assert pictures_of(one.page) == pictures_of(other.page)
    assert json.dumps(one.to_json()["layers"]) == json.dumps(other.to_json()["layers"])


def test_more_units_are_drawn_beside_those_that_are_kept(run: striate.Run) -> None:
    few = striate.look(run, layers=LAYERS, units=[0, 2])
    more = Told()
    both = striate.look(run, layers=LAYERS, units=[0, 1, 2, 3], observer=more)
    assert "looking" not in more.work
    assert few.page is not None
    assert both.page is not None
    assert both.page.read_text().count("Unit ") > few.page.read_text().count("Unit ")


def test_the_arrays_hold_what_was_found(run: striate.Run) -> None:
    found = striate.look(run, layers=LAYERS)
    assert found.arrays is not None
    with np.load(found.arrays, allow_pickle=False) as arrays:
        assert str(arrays["made_by"]) == "striate look"
        assert arrays["names"].tolist() == list(found.names)
        for layer in found.layers:
            top, units = found.found[layer.name].top, found.found[layer.name].units
            assert np.array_equal(arrays[f"{layer.name}/rows"], top.rows)
            assert np.array_equal(arrays[f"{layer.name}/values"], top.values)
            assert np.array_equal(arrays[f"{layer.name}/class_means"], units.class_means)
            patches = arrays[f"{layer.name}/patches"]
            assert layer.field is not None
            assert (patches[..., 2] - patches[..., 0]).max() <= layer.field[0]
            assert (patches >= 0).all()
        assert arrays["weights/features.0.0"].shape[:2] == (4, 1)


def test_a_folder_of_three_pictures_without_labels_gives_three(run: striate.Run, pictures: Path, place: Path) -> None:
    (place / "three").mkdir()
    for number in range(3):
        shutil.copy(pictures / "light" / f"{number}.png", place / "three")
    told = Told()
    found = striate.look(run, layers=["features.0"], data="three", observer=told)
    assert found.pictures == 3
    assert all(sorted(found.found["features.0"].top.rows[unit, :3]) == [0, 1, 2] for unit in range(4))
    assert (found.found["features.0"].top.rows[:, 3:] == -1).all()
    assert found.class_names == ()
    assert any("without labels" in line for line in told.warned)


def test_pictures_that_cannot_be_read_are_named_each_time(run: striate.Run, pictures: Path, place: Path) -> None:
    shutil.copytree(pictures, place / "some")
    (place / "some" / "dark" / "3.png").write_bytes(b"no picture")
    for _ in range(2):
        told = Told()
        found = striate.look(run, layers=["features.0"], data="some", observer=told)
        assert found.pictures == 59
        assert [name for name, _ in found.left_out] == ["dark/3.png"]
        assert any("left out: dark/3.png" in line for line in told.warned)


def test_without_pictures_the_weights_alone_are_shown(pictures: Path, place: Path) -> None:
    shutil.copytree(pictures, place / "gone")
    run = striate.train("gone", out="run", network="linear", epochs=1, threads=1, precision="float32")
    shutil.rmtree("gone")
    told = Told()
    found = striate.look(run, observer=told)
    assert found.found == {}
    assert any("--data" in line for line in told.warned)
    assert found.page is not None
    page = found.page.read_text()
    assert "templates, one an output" in page
    assert "Name pictures" in page


def test_a_module_of_ones_own_that_has_no_rectifiers_shows_patches_alone(pictures: Path) -> None:
    net = nn.Sequential(nn.Conv2d(1, 3, 5), nn.GELU(), nn.Flatten(), nn.Linear(3 * 64, 2))
    spec = InputSpec(channels=1, height=12, width=12, mean=(0.5,), deviation=(0.5,))
    found = striate.look(net, data=pictures, input_spec=spec)
    assert any("GELU" in note and "patches alone" in note for note in found.notes)
    assert found.page is not None
    assert "what counts in them" not in found.page.read_text()
    assert [layer.name for layer in found.layers] == ["1", "3"]
    assert net.training
    assert not any(module._forward_hooks for module in net.modules())


def test_every_layer_is_listed_with_what_a_unit_sees(run: striate.Run) -> None:
    listed = {one.name: one for one in list_layers(striate.load(run))}
    first = listed["features.0.0"]
    assert (first.kind, first.shape[0], first.field) == ("Conv2d", 4, (3, 3))
    assert listed["head"].shape == (3,)
    assert listed["head"].field == (12, 12)


def test_nothing_is_written_where_none_is_asked_for(run: striate.Run, place: Path) -> None:
    found = striate.look(run, layers=["features.0"], write=False)
    assert (found.page, found.arrays) == (None, None)
    assert [path.name for path in place.iterdir()] == ["cache"]


def test_what_lies_there_is_replaced_only_where_it_is_ours(run: striate.Run, place: Path) -> None:
    (place / "mine.html").write_text("mine")
    with pytest.raises(InputError, match=r"mine\.html is there and is no page of striate look"):
        striate.look(run, out="mine.html")
    np.savez(place / "other.npz", rows=np.arange(3))
    with pytest.raises(InputError, match=r"other\.npz is there and was not written by striate look"):
        striate.look(run, out="other.html")
    striate.look(run, layers=["features.0"], out="page.html")
    striate.look(run, layers=["features.0"], out="page.html", units=[0])
    (place / "look.npz").write_bytes(b"mine")
    assert striate.look(run, layers=["features.0"]).page == Path("look-2.html")
    assert (place / "look.npz").read_bytes() == b"mine"


def test_the_page_does_not_go_into_the_pictures(run: striate.Run, pictures: Path) -> None:
    before = content(pictures)
    with pytest.raises(InputError, match="inside the source"):
        striate.look(run, data=str(pictures), out=str(pictures / "look.html"))
    assert content(pictures) == before


@pytest.mark.parametrize(
    ("settings", "says"),
    [
        ({"layers": ["featurs.0"]}, "no layer 'featurs.0'; did you mean 'features.0'"),
        ({"units": [99]}, "no layer has unit 99"),
        ({"data": "nowhere"}, "nowhere: no such file or folder"),
    ],
)
def test_bad_input_is_one_sentence(run: striate.Run, place: Path, settings: dict[str, object], says: str) -> None:
    with pytest.raises(InputError, match=says):
        striate.look(run, **settings)
    assert not list(place.glob("*.html"))


def test_weights_that_are_not_finite_are_named(run: striate.Run, pictures: Path, place: Path) -> None:
    model = striate.load(run)
    with torch.no_grad():
        next(model.network.features[7].parameters())[0] = torch.nan
    with pytest.raises(InputError, match=r"the weights features\.7\.\S+ are not finite"):
        striate.look(model, data=pictures)
    assert list(place.glob("*.html")) == []


def test_a_deconvnet_without_max_pooling_is_said_to_show_little(pictures: Path) -> None:
    net = nn.Sequential(nn.Conv2d(1, 3, 5, stride=2), nn.ReLU(), nn.Flatten(), nn.Linear(3 * 16, 2))
    spec = InputSpec(channels=1, height=12, width=12, mean=(0.5,), deviation=(0.5,))
    found = striate.look(net, data=pictures, input_spec=spec, units=[0])
    assert any("no layer of max-pooling" in note for note in found.notes)
    assert found.page is not None
    assert "what counts in them" in found.page.read_text()


def test_patches_are_cut_to_the_field_and_keep_their_place_at_the_border() -> None:
    """Fields of 3 pixels at a stride of 2 and a padding of 1: the first is cut off by the border, the last is not."""
    fields = Fields(rows=((0, 2), (1, 4), (3, 6)), columns=((0, 2), (1, 4), (3, 5)))
    picture = np.arange(30, dtype=np.uint8).reshape(6, 5, 1)
    whole = cut(picture, fields, (1, 1))
    assert whole.shape == (3, 3, 4)
    assert (whole[..., 0] == picture[1:4, 1:4, 0]).all()
    assert (whole[..., 3] == 255).all()
    corner = cut(picture, fields, (0, 0))
    assert (corner[1:, 1:, 0] == picture[:2, :2, 0]).all()
    assert corner[..., 3].tolist() == [[0, 0, 0], [0, 255, 255], [0, 255, 255]]
    far = cut(picture, fields, (2, 2))
    assert (far[:, :2, 0] == picture[3:6, 3:5, 0]).all()
    assert far[..., 3].tolist() == [[255, 255, 0]] * 3


def test_steps_and_fields_of_layers_are_those_of_their_units() -> None:
    """Without padding 24 pixels over 9 cells are 2.67, and units still lie two apart."""
    net = nn.Sequential(nn.Conv2d(1, 3, 7, stride=2), nn.ReLU(), nn.MaxPool2d(9), nn.Flatten(), nn.Linear(3, 2))
    spec = InputSpec(channels=1, height=24, width=24, mean=(0.5,), deviation=(0.5,))
    model = striate.load(network=net, input_spec=spec)
    listed = {one.name: one for one in list_layers(model)}
    assert (listed["1"].shape, listed["1"].stride, listed["1"].field) == ((3, 9, 9), (2, 2), (7, 7))
    assert (listed["2"].stride, listed["2"].field) == (None, (23, 23))  # one cell has no neighbour
    assert (listed["4"].stride, listed["4"].field) == (None, (23, 23))
    assert list_layers(model) == tuple(listed.values())  # out of what was kept


def test_what_a_layer_makes_of_moved_pictures_stands_in_a_section(run: striate.Run, pictures: Path) -> None:
    told, again = Told(), Told()
    found = striate.look(run, layers=LAYERS, units=[0], invariance=True, observer=told)
    assert found.changes is not None
    assert [one.change for one in found.changes.found] == ["translation", "scale", "rotation"]
    names = [found.names[row] for row in found.changes.rows]
    assert len(names) == 5
    assert found.changes.labelled
    model = striate.load(run)
    prepared = []
    for name in names:
        with Image.open(pictures / name) as image:
            prepared.append(model.prepare(np.asarray(image)[..., None]))
    classes = [model.class_names.index(name.partition("/")[0]) for name in names]
    asked = torch.tensor(classes)[:, None]
    expected = invariance(model.network, model.inputs(torch.stack(prepared)), asked, layers=LAYERS)
    for one, other in zip(found.changes.found, expected, strict=True):
        assert one.layers == tuple(LAYERS)
        assert one.classes.tolist() == classes
        for part in ("amounts", "distances", "lengths", "probabilities"):
            assert torch.allclose(getattr(one, part), getattr(other, part), rtol=1e-4, atol=1e-5), part
    (moved, _, turned) = found.to_json()["invariance"]
    shares = expected[0].distances[0].mean(dim=0) / expected[0].lengths[0].mean()
    assert moved["distances"][LAYERS[0]] == pytest.approx(shares.tolist(), rel=1e-3, abs=1e-5)
    assert turned["amounts"] == [30.0 * number for number in range(-6, 7)]
    assert found.page is not None
    assert found.arrays is not None
    assert 'id="invariance"' in found.page.read_text()
    with np.load(found.arrays, allow_pickle=False) as arrays:
        assert np.array_equal(arrays["invariance/scale/distances"], found.changes.found[1].distances.numpy())
        assert arrays["invariance/rows"].tolist() == list(found.changes.rows)
    # The second time nothing is computed.
    kept = striate.look(run, layers=LAYERS, units=[0], invariance=True, observer=again)
    assert "moving, scaling, turning" in told.work - again.work
    assert kept.to_json()["invariance"] == found.to_json()["invariance"]


@pytest.mark.parametrize("way", ["pca", "t-sne"])
def test_pictures_lie_where_the_features_before_the_scores_put_them(run: striate.Run, pictures: Path, way: Way) -> None:
    told, again = Told(), Told()
    found = striate.look(run, layers=LAYERS, units=[0], feature_space=way, observer=told)
    assert found.alike is not None
    assert found.alike.rows == tuple(range(len(found.names)))
    model = striate.load(run)
    prepared = []
    for name in found.names:
        with Image.open(pictures / name) as image:
            prepared.append(model.prepare(np.asarray(image)[..., None]))
    expected = feature_space(model.network, model.inputs(torch.stack(prepared)), way=way)
    if way == "pca":
        assert torch.allclose(found.alike.found.points, expected.points, atol=1e-3)
    told_json = found.to_json()["feature_space"]
    assert (told_json["way"], told_json["layer"]) == (way, expected.layer)
    assert [one["path"] for one in told_json["points"]] == list(found.names)
    assert (told_json["explained"] is None) == (way == "t-sne")
    assert found.page is not None
    assert found.arrays is not None
    page = found.page.read_text()
    assert page.count("<image ") == len(found.names)
    assert all(f"<title>{name}: {name.partition('/')[0]}</title>" in page for name in found.names)
    with np.load(found.arrays, allow_pickle=False) as arrays:
        assert np.array_equal(arrays["feature-space/points"], found.alike.found.points.numpy())
        assert arrays["feature-space/rows"].tolist() == list(found.alike.rows)
    # The second time nothing is computed.
    kept = striate.look(run, layers=LAYERS, units=[0], feature_space=way, observer=again)
    assert "comparing" in told.work - again.work
    assert kept.to_json()["feature_space"] == told_json


def test_pictures_of_other_classes_are_moved_by_what_is_answered(run: striate.Run, pictures: Path, place: Path) -> None:
    shutil.copytree(pictures / "dark", place / "others" / "night")
    shutil.copytree(pictures / "light", place / "others" / "day")
    found = striate.look(run, data="others", layers=LAYERS, units=[0], invariance=True)
    assert found.changes is not None
    assert not found.changes.labelled
    assert found.page is not None
    assert "what the network answers" in found.page.read_text()


def test_units_are_followed_through_the_kept_epochs(run: striate.Run, pictures: Path) -> None:
    found = striate.look(run, layers=LAYERS, units=[0, 1, 2, 3], through_training=True)
    assert found.films is not None
    assert list(found.films.by_layer) == LAYERS
    model = striate.load(run)
    given = []
    for row in found.films.rows:
        with Image.open(pictures / found.names[row]) as image:
            given.append(model.prepare(np.asarray(image)[..., None]))
    inputs = model.inputs(torch.stack(given))
    for layer, film in found.films.by_layer.items():
        assert film.epochs == (1, 2, 3)
        dead = found.found[layer].units.dead
        assert film.units == tuple(unit for unit in range(4) if not dead[unit])
        for number, epoch in enumerate(film.epochs):
            network = striate.load(run, epoch=epoch).network
            with torch.no_grad(), watching(network, [layer]) as seen:
                network(inputs)
            best = seen[layer].flatten(2).amax(dim=(0, 2))[list(film.units)]
            assert torch.allclose(film.activations[number], best, rtol=1e-4)
    told = found.to_json()["through_training"]
    assert [one["layer"] for one in told] == LAYERS
    assert told[0]["units"][0]["pictures"][0] in found.names
    assert found.page is not None
    assert found.arrays is not None
    assert 'id="training"' in found.page.read_text()
    with np.load(found.arrays, allow_pickle=False) as arrays:
        film = found.films.by_layer[LAYERS[0]]
        assert np.array_equal(arrays[f"training/{LAYERS[0]}/reconstructions"], film.reconstructions.numpy())
        rows = np.array(found.films.rows)[film.rows.numpy()]
        assert np.array_equal(arrays[f"training/{LAYERS[0]}/rows"], rows)


def test_of_many_epochs_the_first_and_the_last_are_shown_and_early_ones_closer_together() -> None:
    assert some_epochs((2, 4, 6)) == (2, 4, 6)
    chosen = some_epochs(range(1, 65))
    assert len(chosen) == 8
    assert (chosen[0], chosen[-1]) == (1, 64)
    steps = np.diff(chosen)
    assert (np.diff(steps) >= 0).all()
    for count in range(1, 30):
        assert len(some_epochs(range(count))) == len(set(some_epochs(range(count)))) == min(8, count)


def test_a_network_of_several_outputs_is_looked_at_by_the_one_that_is_named(pictures: Path) -> None:
    class Two(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.body = nn.Sequential(nn.Conv2d(1, 3, 5), nn.ReLU(), nn.Flatten())
            self.head = nn.Linear(3 * 64, 2)

        def forward(self, given: torch.Tensor) -> dict[str, torch.Tensor]:
            features = self.body(given)
            return {"features": features, "scores": self.head(features)}

    torch.manual_seed(0)
    net, spec = Two(), InputSpec(channels=1, height=12, width=12, mean=(0.5,), deviation=(0.5,))
    with pytest.raises(InputError, match="say which holds the scores"):
        striate.look(net, data=pictures, input_spec=spec)
    found = striate.look(net, data=pictures, input_spec=spec, output="scores", invariance=True)
    assert found.layers[-1].name == "head"
    assert found.changes is not None
    assert found.page is not None
    assert "--output scores" in found.page.read_text()
    dreamt = striate.dream(net, input_spec=spec, output="scores", class_name=1, steps=2)
    assert dreamt.names == ("class 1",)
    with pytest.raises(InputError, match="no output 'score'; did you mean 'scores'"):
        striate.look(net, data=pictures, input_spec=spec, output="score")


@pytest.mark.parametrize(
    ("settings", "says"),
    [
        ({"through_training": True}, "keeps no weights of epochs; train with --keep-epochs 1"),
        ({"invariance": True, "data": None}, "name some with --data"),
        ({"feature_space": "pca", "data": None}, "none can be found alike; name some with --data"),
        ({"feature_space": "tsne"}, "did you mean 't-sne'"),
    ],
)
def test_what_cannot_be_shown_is_said_before_any_work(
    pictures: Path, place: Path, settings: dict[str, bool], says: str
) -> None:
    shutil.copytree(pictures, place / "gone")
    made = striate.train("gone", out="run", network="linear", epochs=1, threads=1, precision="float32")
    shutil.rmtree("gone")
    with pytest.raises(InputError, match=says):
        striate.look(made, **settings)
    assert not list(place.glob("*.html"))
