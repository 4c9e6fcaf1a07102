"""Thumbnails, curves, the reliability diagram, the matrix: against what they are made from."""

from __future__ import annotations

import io
import math
import re
import xml.etree.ElementTree as ElementTree

import numpy as np
import pytest
from PIL import Image

from striate.reports import confusion, text
from striate.reports.drawing import Chart
from striate.reports.lines import Series, decades, line_chart, ticks
from striate.reports.reliability import Bin, reliability_chart
from striate.reports.thumbnails import image, thumbnail


def opened(data: bytes) -> Image.Image:
    return Image.open(io.BytesIO(data))


def points(chart: Chart, style: str) -> np.ndarray:
    road = next(
        one.attrib["d"]
        for one in ElementTree.fromstring(chart.svg).iter("path")
        if one.attrib["class"] == f"line {style}"
    )
    return np.array([[float(part) for part in pair.split()] for pair in road.removeprefix("M").split("L")])


@pytest.mark.parametrize(
    ("shape", "mode"), [((28, 28, 1), "L"), ((28, 20, 3), "RGB"), ((1, 1, 3), "RGB"), ((9, 9), "L")]
)
def test_tiny_pictures_stay_bit_for_bit(shape: tuple[int, ...], mode: str) -> None:
    pixels = np.random.default_rng(0).integers(0, 256, shape, dtype=np.uint8)
    got = opened(thumbnail(pixels))
    assert (got.format, got.mode) == ("PNG", mode)
    np.testing.assert_array_equal(np.asarray(got).reshape(shape), pixels)
    np.testing.assert_array_equal(np.asarray(opened(thumbnail(pixels.astype(np.float32)))), np.asarray(got))


@pytest.mark.parametrize(
    ("shape", "size"), [((400, 200, 3), (56, 112)), ((100, 3000, 1), (112, 4)), ((5, 9000, 3), (112, 1))]
)
def test_large_pictures_keep_their_aspect_and_colour(shape: tuple[int, ...], size: tuple[int, int]) -> None:
    pixels = np.full(shape, 200, dtype=np.uint8)
    got = opened(thumbnail(pixels, 112))
    assert got.size == size
    assert np.abs(np.asarray(got).astype(int) - 200).max() <= 3


def test_the_smaller_format_is_taken() -> None:
    rng = np.random.default_rng(1)
    photo = rng.normal(128, 40, (120, 120, 3)).clip(0, 255).astype(np.uint8)
    assert opened(thumbnail(photo)).format == "JPEG"
    assert opened(thumbnail(np.zeros((120, 120, 3), dtype=np.uint8))).format == "PNG"
    values = np.array([[[-50.0, np.nan, 300.0]]], dtype=np.float32)
    assert np.asarray(opened(thumbnail(values))).tolist() == [[[0, 0, 255]]]
    with pytest.raises(ValueError, match="pixels must be"):
        thumbnail(np.zeros((0, 4, 3), dtype=np.uint8))


def test_an_image_says_what_it_shows() -> None:
    shown = image(thumbnail(np.zeros((4, 4, 1), dtype=np.uint8)), '"><b> \udcff')
    assert shown.endswith('alt="&#34;&gt;&lt;b&gt; \\xff">')
    assert 'class="pixel"' in shown


def test_a_line_lies_where_its_values_are() -> None:
    chart = line_chart("Loss", [1, 2, 3, 5], [Series(name="training", values=[1.0, 0.5, 0.25, 0.0])])
    assert chart is not None
    places = points(chart, "one")
    # Both axes are linear: what is equal apart in the numbers is equal apart on the page.
    np.testing.assert_allclose(np.diff(places[:, 0]) / (places[-1, 0] - places[0, 0]), [0.25, 0.25, 0.5], atol=1e-3)
    np.testing.assert_allclose(
        (places[:, 1] - places[-1, 1]) / (places[0, 1] - places[-1, 1]), [1, 0.5, 0.25, 0], atol=2e-3
    )
    assert places[0, 1] < places[-1, 1]  # up is more


def test_whiskers_reach_from_the_low_to_the_high_end() -> None:
    line = Series(name="accuracy", values=[0.0, 0.5, 1.0], ranges=[None, (0.25, 0.5), (1.0, 2.0)])
    chart = line_chart("Accuracy", [1, 2, 3], [line])
    assert chart is not None
    places = points(chart, "one")
    drawn = [
        one.attrib["d"] for one in ElementTree.fromstring(chart.svg).iter("path") if "whisker" in one.attrib["class"]
    ]
    found = np.array([[float(number) for number in re.findall(r"[\d.]+", one.split("M")[1])] for one in drawn])
    a_half = places[0, 1] - places[1, 1]
    bottom = places[0, 1]
    expected = [
        [places[1, 0], bottom - a_half / 2, bottom - a_half],
        [places[2, 0], bottom - 2 * a_half, bottom - 4 * a_half],  # the axis has room for it
    ]
    np.testing.assert_allclose(found, expected, atol=0.4)
    assert found[1, 2] > 0


def test_a_logarithmic_line_falls_evenly() -> None:
    chart = line_chart("x", range(5), [Series(name="a", values=[10.0**-k for k in range(5)])], logarithmic=True)
    assert chart is not None
    np.testing.assert_allclose(np.diff(points(chart, "one")[:, 1], 2), 0, atol=0.21)  # drawn to a tenth
    assert line_chart("x", [1, 2], [Series(name="a", values=[0.0, -1.0])], logarithmic=True) is None


def test_what_is_no_number_is_no_point() -> None:
    nothing = [math.nan, None, math.inf]
    assert line_chart("x", [1, 2, 3], [Series(name="a", values=nothing)]) is None
    chart = line_chart("x", [1, 2, 3], [Series(name="a", values=nothing), Series(name="b", values=[math.nan, 1, 2])])
    assert chart is not None
    assert chart.legend == (("b", "one"),)
    assert "nan" not in chart.svg


def test_a_long_line_is_thinned_and_keeps_its_peak() -> None:
    values = [0.5 + 0.1 * math.sin(k) for k in range(50_000)]
    values[31_234] = 9.0
    chart = line_chart("x", range(50_000), [Series(name="a", values=values)])
    assert chart is not None
    places = points(chart, "one")
    assert len(places) <= 600
    assert (places[:, 1].max() - places[:, 1].min()) > 100
    assert "9.00" not in chart.svg  # the label tells the ends only
    assert (np.diff(places[:, 0]) >= 0).all()


@pytest.mark.parametrize(("low", "high"), [(0, 1), (0.97, 0.98), (-3, 250_000), (1e-6, 2e-6), (5, 5)])
def test_ticks_are_round_and_inside(low: float, high: float) -> None:
    found = ticks(low, high)
    assert 1 <= len(found) <= 7
    assert all(low - 1e-9 <= value <= high + 1e-9 for value in found)


@pytest.mark.parametrize(("low", "high"), [(1e-4, 1e-3), (0.3, 0.31), (1e-9, 1e9), (2.0, 90.0)])
def test_decades_are_inside(low: float, high: float) -> None:
    found = decades(low, high)
    assert 1 <= len(found) <= 8
    assert all(low * 0.99 <= value <= high * 1.01 for value in found)


def test_reliability_shows_each_bin_at_its_place() -> None:
    bins = [
        Bin(confidence=0.25, accuracy=0.5, count=10, low=0.2, high=0.8),
        Bin(confidence=0.75, accuracy=0.75, count=12_345),
    ]
    chart = reliability_chart(bins, [(0.2, 0.3), (0.7, 0.8)])
    assert chart is not None
    dots = [
        (float(one.attrib["cx"]), float(one.attrib["cy"])) for one in ElementTree.fromstring(chart.svg).iter("circle")
    ]
    rule = next(
        one.attrib["d"] for one in ElementTree.fromstring(chart.svg).iter("path") if one.attrib["class"] == "rule"
    )
    x0, y0, x1, y1 = (float(part) for part in re.findall(r"[\d.]+", rule))
    for (x, y), one in zip(dots, bins, strict=True):
        assert (x - x0) / (x1 - x0) == pytest.approx(one.confidence, abs=2e-3)
        assert (y - y0) / (y1 - y0) == pytest.approx(one.accuracy, abs=2e-3)
    assert {"10", "12k"} <= {one.text for one in ElementTree.fromstring(chart.svg).iter("text")}
    assert reliability_chart([], []) is None
    for unit in ("picture", "row", "answer"):
        named = reliability_chart(bins, [(0.2, 0.3), (0.7, 0.8)], unit)
        assert named is not None
        assert f"{unit}s" in {one.text for one in ElementTree.fromstring(named.svg).iter("text")}


def test_pairs_are_ordered_and_leave_the_diagonal_out() -> None:
    matrix = np.array([[90, 3, 0], [3, 2, 0], [0, 7, 0]])
    found = confusion.pairs(matrix, ["a", "b", "c"])
    assert [(one.target, one.prediction, one.count, one.of) for one in found] == [
        ("c", "b", 7, 7),
        ("b", "a", 3, 5),
        ("a", "b", 3, 93),
    ]
    assert confusion.pairs(np.diag([5, 5]), ["a", "b"]) == []
    assert confusion.cells(matrix, "abc")[0][0].level == 8
    assert [one.level for one in confusion.cells(np.zeros((2, 2), dtype=int), "ab")[0]] == [0, 0]


@pytest.mark.parametrize("classes", [40, 1000])
def test_heat_picture_has_right_on_its_diagonal_and_wrong_beside(classes: int) -> None:
    matrix = np.diag(np.full(classes, 10))
    matrix[5, classes - 1] = 4
    paint = np.asarray(opened(confusion.heat_picture(matrix))).astype(int)
    assert max(paint.shape) <= 400
    block = -(-classes // 400)
    diagonal = paint[np.arange(len(paint)), np.arange(len(paint))]
    assert (diagonal[:, 2] > diagonal[:, 0]).all()  # blue
    assert (diagonal[:, 3] > 100).all()
    odd = paint[5 // block, -1]
    assert odd[0] > odd[2]
    assert odd[3] > 100
    assert (paint[-1, 0, 3], paint[0, 1 + len(paint) // 2, 3]) == (0, 0)


@pytest.mark.parametrize(
    ("got", "expected"),
    [
        (text.percent(0.975), "97.5\xa0%"),
        (text.percent(math.nan), "–"),
        (text.percent(None), "–"),
        (text.percent("0.5"), "–"),
        (text.count(1234567), "1,234,567"),
        (text.decimal(0.03124), "0.0312"),
        (text.decimal(1234.56), "1,235"),
        (text.decimal(0.000012), "1.2e-5"),
        (text.decimal(0), "0"),
        (text.decimal(1e9), "1e9"),
        (text.duration(3.14), "3.1\xa0s"),
        (text.duration(59.6), "1\xa0min 0\xa0s"),
        (text.duration(7500), "2\xa0h 5\xa0min"),
        (text.duration(math.inf), "–"),
        (text.setting(True), "yes"),
        (text.setting(None), "–"),
        (text.setting(1e-5), "1e-05"),
        (text.setting((3, 224.0)), "3, 224"),
        (text.sentence("validation is 15 % of it"), "Validation is 15\xa0% of it."),
        (text.sentence("Done."), "Done."),
        (text.sentence(""), ""),
        (text.clip("a" * 50 + "b" * 50, 21), "a" * 8 + "…" + "b" * 12),
        (text.flat({"a": {"b": 1, "c": {}}, "d": False}), [("a.b", "1"), ("a.c", "–"), ("d", "no")]),
    ],
)  # fmt: skip
def test_values_as_text(got: object, expected: object) -> None:
    assert got == expected
