"""`striate look` from the command line: what it prints, and what it refuses."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from command import here

from striate.cli.look_command import parse_units
from striate.errors import InputError

Capture = pytest.CaptureFixture[str]


@pytest.fixture(autouse=True)
def cache(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("STRIATE_CACHE", str(tmp_path_factory.mktemp("cache")))


def test_look_names_its_page_and_what_it_found(run: Path, capsys: Capture) -> None:
    said = here(capsys, "look", "run")
    assert said.code == 0
    assert "head" in said.out
    assert "page     look.html" in said.out
    assert Path("look.html").is_file()
    assert Path("look.npz").is_file()


def test_look_says_all_of_it_as_json(run: Path, capsys: Capture) -> None:
    said = here(capsys, "look", "run", "--units", "0", "--out", "page.html", "--json")
    found = json.loads(said.out)
    assert found["page"] == "page.html"
    (layer,) = found["layers"]
    assert (layer["name"], len(layer["units"])) == ("head", 2)
    top = layer["units"][0]["top"]
    assert len(top) == 9
    assert [one["value"] for one in top] == sorted((one["value"] for one in top), reverse=True)


def test_look_shows_what_moving_does_where_it_is_asked_for(run: Path, capsys: Capture) -> None:
    found = json.loads(here(capsys, "look", "run", "--invariance", "--json").out)
    assert [one["change"] for one in found["invariance"]] == ["translation", "scale", "rotation"]
    assert [len(one["probabilities"]) for one in found["invariance"]] == [5, 5, 5]
    assert "Moved, scaled, turned" in Path("look.html").read_text()
    assert "striate look run --invariance" in Path("look.html").read_text()


def test_look_lists_the_layers(run: Path, place: Path, capsys: Capture) -> None:
    said = here(capsys, "look", "run", "--list")
    assert said.code == 0
    assert said.out.splitlines()[0].split()[:4] == ["layer", "kind", "shape", "stride"]
    assert [line.split()[0] for line in said.out.splitlines()[1:]] == ["features", "head"]
    assert not list(place.glob("*.html"))
    listed = json.loads(here(capsys, "look", "run", "--list", "--json").out)["layers"]
    assert [one["name"] for one in listed] == ["features", "head"]


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        ("look", "required: RUN"),
        ("look gone", "there is no such run"),
        ("look run --layer haed", "did you mean 'head'"),
        ("look run --units 1-", "--units takes numbers and ranges"),
        ("look run --units 5-2", "ends before it begins"),
        ("look run --units 7", "no layer has unit 7"),
        ("look run --network linear", "'run' is one argument too many"),
        ("look run --out .", "is a folder"),
        ("look run --data pictures --out pictures/look.html", "inside the source"),
        ("look run --list --units 3", "--list names the layers and does nothing else; leave --units away"),
        ("look run --output logits", "leave output='logits' out"),
        ("look run --list --output 0", "leave output=0 out"),
        ("look run --through-training", "train with --keep-epochs 1"),
        ("look run --feature-space umap", "no way to the plane 'umap'"),
        ("look run --invarience", "did you mean '--invariance'"),
        ("look run --lyer head", "did you mean '--layer'"),
    ],
)
def test_mistakes_are_one_sentence(run: Path, place: Path, capsys: Capture, arguments: str, says: str) -> None:
    assert says in here(capsys, *arguments.split()).sentence
    assert not list(place.rglob("look*.html"))


def test_lists_of_units() -> None:
    assert parse_units("0-3") == (0, 1, 2, 3)
    assert parse_units("3,8, 20-21,3") == (3, 8, 20, 21)
    assert parse_units("all") == "all"
    for text in ("", "a", "1--2", "-1", "1,,2", "9" * 30):
        with pytest.raises(InputError, match="--units"):
            parse_units(text)
