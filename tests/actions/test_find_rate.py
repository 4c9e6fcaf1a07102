"""`striate train --find-rate`: a figure, a page, and no run; the parts of a training through whole runs."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest

import striate

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "cli"))
from command import here, write_pictures


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    write_pictures(tmp_path / "pictures", count=20)
    return tmp_path


COMMON = ["--network", "linear", "--device", "cpu", "--threads", "1", "--augment", "none"]


def test_a_page_and_a_figure_and_no_run(place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    result = here(capsys, "train", "pictures", "--find-rate", "--json", "--optimizer", "sgd", *COMMON)
    found = json.loads(result.out)
    assert found["network"] == "linear"
    assert found["optimizer"] == "sgd"
    assert 1e-6 < found["suggested"] < 10
    assert len(found["rates"]) == len(found["losses"]) == len(found["smoothed"])
    assert sorted(path.name for path in place.iterdir()) == ["pictures", "rate-pictures.html"]
    page = (place / "rate-pictures.html").read_text(encoding="utf-8")
    assert f"{found['suggested']:g}" in page
    assert "striate train --find-rate" in page


def test_the_page_is_replaced_where_it_is_named_again(place: Path) -> None:
    settings = {"network": "linear", "device": "cpu", "threads": 1, "seed": 3}
    first = striate.find_rate("pictures", out="rates.html", **settings)
    again = striate.find_rate("pictures", out="rates.html", **settings)
    assert first == again
    assert sorted(path.name for path in place.iterdir()) == ["pictures", "rates.html"]
