"""The parts of benchmarks/trust_maps.py that can be checked by hand."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
import torch

from striate.models.input_spec import InputSpec
from striate.models.model import Model
from striate.tasks.classification import Classification

PROGRAMS = Path(__file__).resolve().parent.parent / "benchmarks"
MODULES = ("trust_maps", "harness", "pictures", "page", "judging", "commands")


@pytest.fixture
def trust_maps(monkeypatch: pytest.MonkeyPatch) -> Iterator[ModuleType]:
    monkeypatch.syspath_prepend(str(PROGRAMS))
    yield import_module("trust_maps")
    for name in MODULES:
        sys.modules.pop(name, None)


def test_the_edge_detector_finds_a_step_and_no_frame(trust_maps: ModuleType) -> None:
    grey = torch.zeros(6, 8)
    grey[:, 4:] = 10.0
    wanted = torch.zeros(6, 8)
    wanted[:, 3:5] = 40.0
    assert torch.equal(trust_maps.edges(grey), wanted)
    assert torch.equal(trust_maps.edges(grey.T.contiguous()), wanted.T)


def test_the_blob_is_highest_in_the_middle(trust_maps: ModuleType) -> None:
    blob = trust_maps.middle(torch.zeros(5, 9))
    assert int(blob.argmax()) == 2 * 9 + 4
    assert torch.equal(blob, blob.flip(0))
    assert torch.equal(blob, blob.flip(1))


def test_a_box_is_where_the_squashed_picture_shows_its_object(trust_maps: ModuleType) -> None:
    plain = {"mean": (0.0, 0.0, 0.0), "deviation": (1.0, 1.0, 1.0)}
    spec = InputSpec(channels=3, height=16, width=16, fit="squash", **plain)
    network = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(3 * 16 * 16, 2))
    pixels = np.zeros((32, 64, 3), np.uint8)
    pixels[8:16, 32:56] = 255
    box = [32 / 64, 8 / 32, 56 / 64, 16 / 32]  # left, top, right, bottom, as shares
    case = trust_maps.case_of(Model(network, spec, Classification(("a", "b"))), pixels, 1, [box])
    assert case.boxes.tolist() == [[8, 4, 14, 8]]
    assert case.class_index == 1
    bright = (case.grey > 127).nonzero()
    assert (bright.amin(dim=0).tolist(), bright.amax(dim=0).tolist()) == ([4, 8], [7, 13])


@pytest.mark.shared_data
def test_the_boxes_of_the_data_pack_are_shares(trust_maps: ModuleType, shared_data: Path) -> None:
    boxes = trust_maps.raccoon_boxes("test")
    assert (len(boxes), sum(map(len, boxes.values()))) == (40, 46)
    for left, top, right, bottom in (box for several in boxes.values() for box in several):
        assert 0 <= left < right <= 1
        assert 0 <= top < bottom <= 1
    assert all(file.is_file() for file in boxes)


def test_each_contender_reads_its_own_rounds(trust_maps: ModuleType) -> None:
    def judged(number: int) -> dict[str, dict[str, float]]:
        return {"a": {"figure": 10.0 + number}, "b": {"figure": 20.0 + number}}

    one, other = trust_maps.contender("a", judged), trust_maps.contender("b", judged)
    assert [one.measure()["figure"], other.measure()["figure"], one.measure()["figure"]] == [10.0, 20.0, 11.0]


def test_a_lead_needs_no_rival_that_points_at_anything(trust_maps: ModuleType) -> None:
    hits = {"a": 0.75, trust_maps.RANDOM_PIXELS: 0.25, trust_maps.RANDOM_SOFT: 0.5, trust_maps.EDGES: 0.0}
    found = trust_maps.with_leads({name: {"hit": hit, "share": 0.5} for name, hit in hits.items()})
    assert found["a"] == {"hit": 0.75, "share": 0.5, "lead_over_random": 1.25, "lead_over_edges": 1.75}
    assert found[trust_maps.EDGES]["lead_over_random"] == 0.5
