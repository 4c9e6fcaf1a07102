"""Pictures in the plane: each where its numbers say, framed by its class, its name as text."""

from __future__ import annotations

import re
from xml.etree import ElementTree

import pytest
from test_pages import HOSTILE, picture

from striate.names import visible
from striate.reports.plane import COLOURS, WIDTH, Point, pictures_in_plane


def points(*places: tuple[float, float], labels: tuple[str, ...] = ()) -> list[Point]:
    return [
        Point(x=x, y=y, picture=picture(), name=f"{number}.png", label=labels[number] if labels else "")
        for number, (x, y) in enumerate(places)
    ]


def middles(svg: str) -> list[tuple[float, float]]:
    """Of the pictures, in the drawing."""
    form = r'<image x="([-\d.]+)" y="([-\d.]+)" width="([\d.]+)" height="([\d.]+)"'
    return [
        (float(x) + float(width) / 2, float(y) + float(height) / 2) for x, y, width, height in re.findall(form, svg)
    ]


def test_pictures_lie_in_proportion_with_y_upwards() -> None:
    made = pictures_in_plane("Alike", points((0, 0), (10, 0), (10, 4), (5, 2)))
    first, right, above, middle = middles(made.svg)
    assert right[0] - first[0] > WIDTH / 2
    assert right[1] == pytest.approx(first[1])
    assert (right[1] - above[1]) / (right[0] - first[0]) == pytest.approx(0.4, abs=1e-3)
    assert middle == pytest.approx(((first[0] + above[0]) / 2, (first[1] + above[1]) / 2), abs=0.2)
    box = re.search(r'viewBox="0 0 ([\d.]+) ([\d.]+)"', made.svg)
    assert box is not None
    assert all(0 <= x <= float(box[1]) and 0 <= y <= float(box[2]) for x, y in middles(made.svg))


@pytest.mark.parametrize("places", [((3, 3),), ((3, 3), (3, 3)), ((0, 0), (0, 900)), ((0, 5), (1e-30, 5))])
def test_points_in_one_place_or_in_a_line_are_drawn(places: tuple[tuple[float, float], ...]) -> None:
    made = pictures_in_plane("Alike", points(*places))
    assert len(middles(made.svg)) == len(places)
    assert "nan" not in made.svg
    assert "inf" not in made.svg


def test_frames_have_the_colours_of_few_classes_and_of_many_none() -> None:
    few = pictures_in_plane("Alike", points((0, 0), (1, 1), (2, 0), labels=("ant", "bee", "ant")))
    assert few.legend == (("ant", "run1"), ("bee", "run2"))
    assert re.findall(r'class="frame (run\d)"', few.svg) == ["run1", "run2", "run1"]
    assert "2 of ant, 1 of bee" in few.svg
    many = COLOURS + 1
    labels = tuple(f"class {number}" for number in range(many))
    made = pictures_in_plane("Alike", points(*((number, 0) for number in range(many)), labels=labels))
    assert made.legend == ()
    assert "frame" not in made.svg
    assert "<title>8.png: class 8</title>" in made.svg


@pytest.mark.parametrize("hostile", HOSTILE)
def test_names_are_text(hostile: str) -> None:
    made = pictures_in_plane(hostile, [Point(x=0, y=0, picture=picture(), name=hostile, label=hostile)])
    drawn = ElementTree.fromstring(made.svg)
    assert {one.tag for one in drawn.iter()} <= {"svg", "g", "title", "image", "rect"}
    (title,) = drawn.iter("title")
    assert (title.text or "") == (f"{visible(hostile)}: {visible(hostile)}" if hostile else "")


def test_no_picture_is_no_plane() -> None:
    with pytest.raises(ValueError, match="without pictures"):
        pictures_in_plane("Alike", [])
