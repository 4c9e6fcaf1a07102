"""What `inspect` says of a folder that was made to hold every oddity, and the page that it writes."""

from __future__ import annotations

import json
import re
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from striate.actions.inspect import inspect
from striate.data.contact_sheet import thumbnail_of
from striate.data.samples import Samples
from striate.data.survey import survey
from striate.data.variations import VARIATIONS
from striate.errors import InputError
from striate.observer import Observer

RNG = np.random.default_rng(8)


def colour(height: int, width: int) -> np.ndarray:
    return RNG.integers(0, 256, (height, width, 3), dtype=np.uint8)


@pytest.fixture
def odd_folder(tmp_path: Path) -> Path:
    """20 files in two classes: 12 cats (2 broken), 8 dogs."""
    folder = tmp_path / "odd pets"
    cats, dogs = folder / "cats", folder / "dogs"
    cats.mkdir(parents=True)
    dogs.mkdir()
    for number in range(4):
        Image.fromarray(colour(20, 30)).save(cats / f"{number}.png")
    exif = Image.Exif()
    exif[0x0112] = 6
    Image.fromarray(colour(20, 40)).save(cats / "4 turned.jpg", exif=exif)
    Image.fromarray(RNG.integers(0, 65536, (20, 30), dtype=np.uint16)).save(cats / "5 deep.png")
    Image.fromarray(np.full((20, 30), 128, dtype=np.uint8)).save(cats / "6 flat.png")
    twin = Image.fromarray(colour(20, 30))
    twin.save(cats / "7 twin.png")
    twin.save(cats / "8 twin.bmp")
    Image.fromarray(colour(20, 30)).save(cats / "9 both.png")
    (cats / "10 empty.png").write_bytes(b"")
    (cats / "11 cut.png").write_bytes((cats / "0.png").read_bytes()[:200])
    (dogs / "0 both.png").write_bytes((cats / "9 both.png").read_bytes())
    for number in range(1, 8):
        Image.fromarray(colour(10, 50)).save(dogs / f"{number}.png")
    return folder


def test_everything_is_counted(odd_folder: Path, tmp_path: Path) -> None:
    found = inspect(odd_folder, out=tmp_path / "page.html")
    assert (found.found, found.used, found.left_out_count) == (20, 18, 2)
    assert {name.rpartition("/")[2] for name, _ in found.left_out} == {"10 empty.png", "11 cut.png"}
    assert dict(found.left_out)["cats/10 empty.png"] == "the file is empty"
    assert found.class_names == ("cats", "dogs")
    assert np.sum(list(found.counts.values()), axis=0).tolist() == [10, 8]
    assert set(found.counts) == {"train", "validation", "test"}
    assert found.sizes["width"] == {"min": 20, "median": 30, "max": 50}
    assert found.sizes["height"] == {"min": 10, "median": 20, "max": 40}
    assert found.sizes["aspect_ratio"] == {"min": 0.5, "median": 1.5, "max": 5}
    assert found.formats == {"PNG": 16, "BMP": 1, "JPEG": 1}
    assert found.modes == {"RGB": 16, "I;16": 1, "L": 1}
    assert found.bits_a_channel == {"8": 17, "16": 1}
    assert found.orientations == {"as stored": 17, "turned by EXIF": 1}
    assert found.grey_share == pytest.approx(2 / 18)
    assert found.constant_share == pytest.approx(1 / 18)
    assert found.imbalance == 1.25
    twins, both = ("cats/7 twin.png", "cats/8 twin.bmp"), ("cats/9 both.png", "dogs/0 both.png")
    assert found.conflicts == (both,)
    assert set(found.duplicates) | set(found.leaks) == {twins, both}
    text = json.dumps(found.to_json())
    assert json.loads(text)["counts"] == {split: list(numbers) for split, numbers in found.counts.items()}


def test_mean_and_deviation_are_those_of_all_pixels(tmp_path: Path) -> None:
    pictures = [colour(6, 7) for _ in range(9)]
    for number, pixels in enumerate(pictures):
        for name in ("a", "b"):
            (tmp_path / "set" / name).mkdir(parents=True, exist_ok=True)
            Image.fromarray(pixels // (1 + (name == "b"))).save(tmp_path / "set" / name / f"{number}.png")
    everything = np.stack([*pictures, *(pixels // 2 for pixels in pictures)]).reshape(-1, 3) / 255
    found = inspect(tmp_path / "set", out=tmp_path / "page.html")
    assert found.mean == pytest.approx(everything.mean(axis=0), abs=1e-5)
    assert found.deviation == pytest.approx(everything.std(axis=0), abs=1e-5)


def test_the_page_shows_the_pictures_and_never_replaces_a_strangers_file(
    odd_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "inspect-odd-pets.html").write_text("mine")
    inspect(odd_folder)
    inspect(odd_folder, augment=True)
    assert (tmp_path / "inspect-odd-pets.html").read_text() == "mine"
    plain, augmented = ((tmp_path / f"inspect-odd-pets-{n}.html").read_text() for n in (2, 3))
    assert "11 cut.png" in plain
    # of the eight that are chosen of each class, those that can be read
    assert 14 <= plain.count("data:image/") <= 16
    assert augmented.count("data:image/") >= plain.count("data:image/") + 8 * 8
    assert "What training will see" in augmented
    assert "What training will see" not in plain

    strange = tmp_path / "notes.html"
    strange.write_text("<p>mine</p>")
    with pytest.raises(InputError, match="is no page of striate inspect"):
        inspect(odd_folder, out=strange)
    assert strange.read_text() == "<p>mine</p>"
    inspect(odd_folder, out="inspect-odd-pets-2.html")
    assert not (tmp_path / "inspect-odd-pets-4.html").exists()
    with pytest.raises(InputError, match="is a folder"):
        inspect(odd_folder, out=tmp_path)
    with pytest.raises(InputError, match="is no folder"):
        inspect(odd_folder, out=tmp_path / "nowhere" / "page.html")


@pytest.mark.parametrize("channels", [1, 3])
def test_every_part_of_the_variation_is_drawn_alone(channels: int, tmp_path: Path) -> None:
    y, x = np.mgrid[0:40, 0:40]
    for number, name in enumerate(("a", "b")):
        (tmp_path / "pets" / name).mkdir(parents=True)
        for index in range(6):
            waves = [127 + 100 * np.sin((x + index) / (3 + number) + c) * np.cos(y / (4 + c)) for c in range(channels)]
            pixels = np.stack(waves, axis=2).astype(np.uint8).squeeze()
            Image.fromarray(pixels).save(tmp_path / "pets" / name / f"{index}.png")
    inspect(tmp_path / "pets", out=tmp_path / "page.html", augment=True)
    section = (tmp_path / "page.html").read_text().partition('id="varied"')[2].partition("</section>")[0]
    rows = {}
    for row in section.split("<h3>")[1:]:
        flags = re.search(r"<code>--augment\.([a-z-]+)", row)
        assert flags is not None
        rows[flags[1].replace("-", "_")] = re.findall(r'src="data:image/\w+;base64,([^"]+)"', row)
    expected = [name for name, part in VARIATIONS.items() if channels == 3 or not part.needs_colour]
    assert list(rows) == expected
    for name, pictures in rows.items():
        assert len(pictures) == 8, name
        assert len(set(pictures)) >= (2 if "flip" in name else 3), name  # those that are drawn differ


def test_nothing_is_written_beside_the_page(odd_folder: Path, tmp_path: Path) -> None:
    before = sorted(odd_folder.rglob("*"))
    (tmp_path / "out").mkdir()
    inspect(odd_folder, out=tmp_path / "out" / "page.html")
    assert sorted(odd_folder.rglob("*")) == before
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["page.html"]


def test_strict_and_unreadable_sources_are_refused(odd_folder: Path, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"2 of 20 pictures cannot be used, the first is cats/10 empty.png"):
        inspect(odd_folder, out=tmp_path / "page.html", strict=True)
    assert not (tmp_path / "page.html").exists()
    for path in odd_folder.rglob("*.*"):
        path.write_bytes(b"nothing")
    with pytest.raises(InputError, match="none of the 20 pictures can be used"):
        inspect(odd_folder, out=tmp_path / "page.html")


def test_what_cannot_be_split_is_still_looked_at(tmp_path: Path) -> None:
    for name in ("a", "b"):
        (tmp_path / "few" / name).mkdir(parents=True)
        Image.fromarray(colour(4, 4)).save(tmp_path / "few" / name / "only.png")
    heard: list[str] = []

    class Listen(Observer):
        def say(self, text: str) -> None:
            heard.append(text)

    found = inspect(tmp_path / "few", out=tmp_path / "page.html", observer=Listen())
    assert found.splits.startswith("no splits: ")
    assert found.used == 2
    assert any(str(tmp_path / "page.html") in line for line in heard)
    with pytest.raises(InputError, match="no training pictures"):
        inspect(tmp_path / "few", out=tmp_path / "page.html", augment=True)


def test_threads_change_nothing_and_arrays_are_named_as_such() -> None:
    class Arrays:
        def load(self, index: int) -> np.ndarray:
            return np.full((5, 6), index, dtype=np.uint8)

    samples = Samples(
        source="arrays",
        how="given",
        pictures=Arrays(),
        index=np.arange(40),
        names=tuple(str(i) for i in range(40)),
        targets=np.arange(40) % 2,
        class_names=("even", "odd"),
        splits=np.full(40, ""),
    )
    one, four = (survey(samples, threads=threads) for threads in (1, 4))
    assert one[0] == four[0]
    assert one[1] == four[1]
    assert one[0].formats == {"array": 40}
    assert one[0].constant_share == 1
    assert len(one[0].mean) == 1
    assert [thumbnail.label for thumbnail in one[1]] == ["even"] * 8 + ["odd"] * 8


@pytest.mark.parametrize("shape", [(300, 1000, 3), (1, 1, 1), (40, 5, 1), (5, 3000, 3)])
def test_thumbnails_are_small_and_keep_the_aspect(shape: tuple[int, int, int]) -> None:
    import io

    image = Image.open(io.BytesIO(thumbnail_of(RNG.random(shape, dtype=np.float32) * 255)))
    assert max(image.size) <= 96
    assert min(image.size) >= 1
    if max(shape) <= 96:
        assert image.size == (shape[1], shape[0])
