"""What is kept of a look: found again by content alone, mended where it is damaged, and never in the way."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import fields
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from striate.observer import Observer
from striate.views.one_pass import Batch
from striate.views.top_index import Found, Index, content_of, look_through
from striate.views.top_patches import Top
from striate.views.units import Units

LAYERS = ["0", "1", "3"]


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("STRIATE_CACHE", str(tmp_path / "cache"))
    monkeypatch.delenv("STRIATE_CACHE_BUDGET", raising=False)
    return tmp_path / "cache"


class Told(Observer):
    def __init__(self) -> None:
        self.lines: list[str] = []

    def say(self, text: str) -> None:
        self.lines.append(text)


def network(seed: int = 0) -> nn.Sequential:
    torch.manual_seed(seed)
    return nn.Sequential(nn.Conv2d(1, 3, 3), nn.ReLU(), nn.Flatten(), nn.Linear(3 * 36, 2))


class Pictures:
    """Batches, and how often they were asked for."""

    def __init__(self, count: int = 20) -> None:
        draws = torch.Generator().manual_seed(4)
        self.given = torch.randn(count, 1, 8, 8, generator=draws)
        self.targets = torch.arange(count) % 2
        self.passes = 0

    def __call__(self) -> Iterable[Batch]:
        self.passes += 1
        for rows in torch.split(torch.arange(len(self.given)), 8):
            yield Batch(self.given[rows], rows, self.targets[rows])


def look(net: nn.Module, pictures: Pictures, layers: list[str] = LAYERS, **more: object) -> dict[str, Found]:
    index = Index(content_of(net, "pictures", {"size": 8}))
    left_out = lambda: [(20, "no picture")]  # noqa: E731
    return look_through(net, pictures, layers, classes=2, index=index, left_out=left_out, **more)


def same(one: Found, other: Found) -> bool:
    tops = all(np.array_equal(getattr(one.top, f.name), getattr(other.top, f.name)) for f in fields(Top))
    units = all(
        np.array_equal(np.asarray(getattr(one.units, f.name)), np.asarray(getattr(other.units, f.name)), equal_nan=True)
        for f in fields(Units)
        if f.name not in ("dead",)
    )
    return tops and units and np.array_equal(one.units.dead, other.units.dead) and one.left_out == other.left_out


def test_the_second_look_passes_over_no_picture_and_finds_the_same() -> None:
    pictures, net = Pictures(), network()
    first = look(net, pictures)
    again = look(network(), pictures)  # the same weights in another object
    assert pictures.passes == 1
    assert list(again) == LAYERS
    assert all(same(first[name], again[name]) for name in LAYERS)
    assert first["1"].left_out == ((20, "no picture"),)


def test_without_an_index_the_same_is_found_and_nothing_kept(cache: Path) -> None:
    pictures = Pictures()
    found = look_through(network(), pictures, LAYERS, classes=2, left_out=lambda: [(20, "no picture")])
    assert not cache.exists()
    kept = look(network(), pictures)
    assert all(same(found[name], kept[name]) for name in LAYERS)


def test_only_the_layers_that_are_missing_are_looked_for() -> None:
    pictures, net = Pictures(), network()
    first = look(net, pictures, ["1"])
    watched: list[str] = []
    net[0].register_forward_hook(lambda *_: watched.append("0"))
    both = look(net, pictures, ["0", "1"])
    assert list(both) == ["0", "1"]
    assert pictures.passes == 2
    assert same(first["1"], both["1"])
    assert watched


class Twice(nn.Module):
    def __init__(self, factor: float) -> None:
        super().__init__()
        self.conv = nn.Conv2d(1, 1, 1)
        self.factor = factor

    def forward(self, given: Tensor) -> Tensor:
        return self.conv(given).relu()


class Thrice(Twice):
    def forward(self, given: Tensor) -> Tensor:
        return self.conv(given).tanh()


def test_what_changes_the_content_is_looked_for_anew() -> None:
    net = network()
    told = {content_of(net, "pictures", {"size": 8})}
    with torch.no_grad():
        net[3].bias[1] += 1e-6
    told.add(content_of(net, "pictures", {"size": 8}))
    told.add(content_of(net, "other pictures", {"size": 8}))
    told.add(content_of(net, "pictures", {"size": 9}))
    net[1] = nn.ReLU6()
    told.add(content_of(net, "pictures", {"size": 8}))
    assert len(told) == 5
    assert content_of(network(), "", {}) == content_of(nn.DataParallel(network()), "", {})


def test_the_code_of_forward_counts() -> None:
    one, other = Twice(1.0), Thrice(1.0)
    other.load_state_dict(one.state_dict())
    Thrice.__qualname__ = Thrice.__name__ = "Twice"  # nothing but the code tells them apart
    assert repr(one) == repr(other)
    assert content_of(one, "", {}) != content_of(other, "", {})


@pytest.mark.parametrize("damage", ["cut", "digest", "header", "number", "empty"])
def test_a_damaged_file_is_said_and_made_anew(cache: Path, damage: str) -> None:
    pictures, net, told = Pictures(), network(), Told()
    first = look(net, pictures)
    for path in (cache / "looks").iterdir():
        content = bytearray(path.read_bytes())
        if damage in ("digest", "header", "number"):  # one bit of it is another
            content[{"digest": 0, "header": len(content) // 2, "number": -3}[damage]] ^= 1
        path.write_bytes({"cut": content[:-9], "empty": b""}.get(damage, content))
    again = look(net, pictures, observer=told)
    assert pictures.passes == 2
    assert all(same(first[name], again[name]) for name in LAYERS)
    assert len(told.lines) == 3
    assert all("looking anew" in line for line in told.lines)
    look(net, pictures)
    assert pictures.passes == 2


def test_nothing_is_kept_where_the_cache_may_hold_nothing(cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("STRIATE_CACHE_BUDGET", "0")
    pictures = Pictures()
    look(network(), pictures)
    look(network(), pictures)
    assert pictures.passes == 2
    assert not list(cache.rglob("*.look"))


def test_a_cache_folder_that_cannot_be_made_is_said_and_the_look_goes_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("STRIATE_CACHE", str(tmp_path / "file" / "cache"))
    told = Told()
    found = look(network(), Pictures(), observer=told)
    assert list(found) == LAYERS
    assert len(told.lines) == 3
    assert all("not kept" in line for line in told.lines)


def test_no_unfinished_file_stays(cache: Path) -> None:
    look(network(), Pictures())
    assert sorted(path.suffix for path in (cache / "looks").iterdir()) == [".look"] * 3
