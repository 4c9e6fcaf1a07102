"""`striate dream` on the command line: what it names, its JSON, mistakes."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from command import here
from PIL import Image


def test_it_names_the_picture_and_tells_the_same_as_json(run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    said = here(capsys, "dream", run, "--steps", "4", "--seed", "3")
    assert said.code == 0, said
    lines = said.out.splitlines()
    assert lines[0].split() == ["dream", "value", "on", "noise", "deviations", "above", "it"]
    assert [line.split()[0] for line in lines[1:3]] == ["a", "b"]
    assert lines[-1] == "picture  dream.png"
    told = json.loads(here(capsys, "dream", run, "--class", "b", "--steps", "4", "--seed", "3", "--json").out)
    assert told["picture"] == "dream-b.png"
    (one,) = told["dreams"]
    assert one["of"] == "b"
    assert one["deviations"] == pytest.approx((one["value"] - one["noise_mean"]) / one["noise_deviation"], rel=1e-4)
    assert f"{one['value']:.4g}" == lines[2].split()[1]
    with Image.open(run.parent / "dream-b.png") as image:
        assert image.format == "PNG"


def test_several_units_and_a_place_of_its_own(run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    layer = json.loads(here(capsys, "describe", run, "--json").out)["layers"][0]["name"]
    said = here(capsys, "dream", run, "--layer", layer, "--unit", "0-1", "--steps", "2", "--out", "units.png", "--json")
    assert said.code == 0, said
    told = json.loads(said.out)
    assert told["picture"] == "units.png"
    assert [one["of"] for one in told["dreams"]] == [f"{layer} unit 0", f"{layer} unit 1"]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--class", "c"), "no class 'c'; known: a, b"),
        (("--unit", "1"), "say of which layer"),
        (("--layer", "none"), "no layer 'none'"),
        (("--layer", "head", "--unit", "3-1"), "from the lower to the higher, got '3-1'"),
        (("--layer", "head", "--unit", "x"), "must be numbers such as 7, 0-15 or 1,4,9, got 'x'"),
        (("--layer", "head", "--unit", "0-999999999"), "must be 1 to 256 numbers"),
        (("--seed", "-1"), "must be a whole number of at least 0"),
        (("--steps", "0"), "must be a whole number of at least 1"),
        (("--film",), "keeps no weights of epochs"),
        (("--picture", "none.png"), "none.png"),
        (("--out", "run/config.json"), "is there already"),
        (("--class", "a", "more"), "'more' is one argument too many"),
    ],
)
def test_mistakes(run: Path, capsys: pytest.CaptureFixture[str], arguments: tuple[str, ...], message: str) -> None:
    assert message in here(capsys, "dream", run, *arguments).sentence
    assert not list(run.parent.glob("*.png"))
