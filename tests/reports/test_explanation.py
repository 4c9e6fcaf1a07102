"""The page that tells why: what it shows of a right answer and of a mistake, and squares that are drawn where they are.

That it is closed to the outside, in balance and safe from any name is tested with the other pages.
"""

from __future__ import annotations

import io

import numpy as np
import pytest
from explained import drawing, explanation, method
from PIL import Image
from test_pages import Page

from striate.reports.explanation import draw_square, enlarged, explanation_page, on_page, png
from striate.reports.thumbnails import thumbnail


def pictures(page: Page) -> list[str]:
    return [attributes["alt"] for tag, attributes in page.tags if tag == "img"]


def test_a_right_answer_has_its_class_alone() -> None:
    page = Page(explanation_page(explanation()))
    assert "93.0 % sure: bee" in page.text
    assert "Right: that is its label" in page.text
    assert "gone wrong" not in page.text
    assert "mistake" not in page.ids()
    maps = [alt for alt in pictures(page) if " for bee, " in alt]
    assert len(maps) == 2 * 3  # over the picture and alone, three methods
    assert "Not for this network" in page.text
    assert "one pass and back; two in striate explain; here" in page.text


def test_a_mistake_has_both_classes_side_by_side_and_the_neighbours_of_either() -> None:
    page = Page(explanation_page(explanation("bee", "ant")))
    assert "A mistake: its label is ant" in page.text
    for name in ("bee", "ant"):
        assert len([alt for alt in pictures(page) if f" for {name}, " in alt]) == 2 * 3
    assert "bee , its answer" in page.text
    assert "ant , the label" in page.text
    assert len([alt for alt in pictures(page) if alt.startswith("train/")]) == 8
    assert "All 4 nearest are bees." in page.text
    assert "similarity 0.87" in page.text
    assert "#mistake" in [attributes["href"] for tag, attributes in page.tags if tag == "a"]


def test_an_unknown_label_is_no_mistake() -> None:
    page = Page(explanation_page(explanation(label=None)))
    assert "The label is not known" in page.text
    assert "gone wrong" not in page.text


def test_the_part_that_the_network_saw_is_framed() -> None:
    page = Page(explanation_page(explanation()))
    (rectangle,) = [attributes for tag, attributes in page.tags if tag == "rect" and attributes.get("class") == "cut"]
    assert [float(rectangle[key]) for key in ("x", "y", "width", "height")] == [12.5, 0, 75, 100]
    whole = Page(explanation_page(explanation(whole=None, frame=None)))
    assert not [tag for tag, _ in whole.tags if tag == "rect"]


def test_how_each_map_fared_is_told_with_its_figures() -> None:
    ill = method("smoothgrad", ("bee",))
    assert ill.fared is not None
    page = Page(explanation_page(explanation(methods=(method("grad-cam", ("bee",), fared=None), ill), occlusion=None)))
    assert "Smoothgrad 11 % 37–42 % 83 % 51–64 %" in page.text
    none = Page(explanation_page(explanation(methods=(method("grad-cam", ("bee",), fared=None),), occlusion=None)))
    assert "trust" not in none.ids()


@pytest.mark.parametrize(("side", "times"), [(8, 32), (28, 10), (100, 3), (128, 1), (224, 1), (600, 1)])
def test_small_pictures_are_enlarged_by_whole_pixels(side: int, times: int) -> None:
    pixels = np.random.default_rng(side).integers(0, 255, (side, side - 1, 3), dtype=np.uint8)
    drawn = enlarged(pixels)
    assert drawn.shape == (times * side, times * (side - 1), 3)
    assert np.array_equal(drawn[::times, ::times], pixels)
    assert np.array_equal(drawn[times - 1 :: times, times - 1 :: times], pixels)


def test_a_square_is_drawn_where_it_is() -> None:
    pixels = np.zeros((200, 300, 3), dtype=np.uint8)
    drawn = draw_square(pixels, (20, 100, 70, 150), (9, 9, 9))
    changed = np.argwhere(drawn.any(axis=2))
    assert changed.min(axis=0).tolist() in ([20, 100], [22, 102])  # its outline may be black
    assert drawn[45, 125].tolist() == [9, 9, 9]
    assert not drawn[:20].any()
    assert not drawn[70:].any()
    assert not drawn[:, :100].any()
    assert not drawn[:, 150:].any()
    grey = draw_square(np.zeros((8, 8, 1), dtype=np.uint8), (0, 6, 2, 8), (200,))
    assert grey.shape == (256, 256, 3)
    assert grey[32, 224].tolist() == [200, 200, 200]
    assert not grey[64:].any()


def test_a_picture_of_the_page_is_the_file_beside_it_or_a_jpeg_where_that_is_much_smaller() -> None:
    flat = np.zeros((224, 224, 3), dtype=np.uint8)
    flat[::2] = 200
    assert on_page(flat, png(flat)) == png(flat)
    rough = np.random.default_rng(0).integers(0, 255, (224, 200, 3), dtype=np.uint8)
    found = on_page(rough, png(rough))
    assert found == thumbnail(rough, side=448)
    with Image.open(io.BytesIO(found)) as image:
        assert (image.format, image.size) == ("JPEG", (200, 224))
    grey = flat[:, :, :1]
    assert np.array_equal(np.asarray(Image.open(io.BytesIO(on_page(grey, png(grey))))), grey[:, :, 0])
    large = np.random.default_rng(1).integers(0, 255, (300, 600, 3), dtype=np.uint8)
    assert Image.open(io.BytesIO(on_page(large, png(large)))).size == (448, 224)


@pytest.mark.parametrize("channels", [1, 3])
def test_a_picture_comes_back_from_its_file(channels: int) -> None:
    pixels = np.random.default_rng(0).integers(0, 255, (20, 30, channels), dtype=np.uint8)
    back = np.asarray(Image.open(io.BytesIO(png(pixels))))
    assert np.array_equal(back.reshape(pixels.shape), pixels)
    assert drawing().startswith(b"\x89PNG")
