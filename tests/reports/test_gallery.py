"""The gallery: tiles where they belong, names as text, and a page that stays light."""

from __future__ import annotations

import base64
import io
import re

import numpy as np
import pytest
from PIL import Image
from test_pages import HOSTILE, Page, picture

from striate.reports.gallery import (
    Cell,
    Change,
    Chapter,
    Drawn,
    Filmed,
    Gallery,
    Grown,
    drawn_film,
    drawn_filters,
    drawn_maps,
    drawn_matrix,
    drawn_strength,
    drawn_strip,
    gallery_page,
    lazy,
    side_for,
)
from striate.reports.lines import Series, line_chart
from striate.reports.sheets import BETWEEN, GAP, Sheet, framed, sheet, signed, unsigned


def opened(made: Sheet) -> np.ndarray:
    with Image.open(io.BytesIO(made.data)) as image:
        assert image.size == (made.width, made.height)
        return np.asarray(image.convert("RGBA"))


def tile(value: int, side: int = 5) -> np.ndarray:
    return framed(np.full((side, side, 1), value, dtype=np.uint8), (side, side), (0, 0))


def test_every_tile_of_a_sheet_lies_in_its_place_and_nothing_in_between() -> None:
    made = sheet([[tile(value) for value in range(1, 10)], [tile(100 + value) for value in range(1, 6)]], side=12)
    pixels, step = opened(made), 10 + GAP  # enlarged twice
    block = 3 * 10 + 2 * GAP
    assert pixels.shape == (block, 2 * block + BETWEEN, 4)
    for number in range(9):
        row, column = divmod(number, 3)
        part = pixels[row * step : row * step + 10, column * step : column * step + 10]
        assert (part == (number + 1, number + 1, number + 1, 255)).all()
        other = pixels[row * step :, block + BETWEEN + column * step :][:10, :10]
        assert (other[..., 3] == (255 if number < 5 else 0)).all()
        assert number >= 5 or (other[..., 0] == 101 + number).all()
    assert not pixels[:, 10 : 10 + GAP, 3].any()
    assert not pixels[:, block : block + BETWEEN, 3].any()


def test_a_patch_at_the_border_keeps_its_place() -> None:
    patch = np.full((3, 4, 3), 7, dtype=np.uint8)
    made = framed(patch, (5, 5), (2, 1))
    assert (made[2:, 1:] == (7, 7, 7, 255)).all()
    assert not made[:2].any()
    assert not made[:, :1].any()


def test_large_tiles_are_reduced_to_the_side_that_is_asked_for() -> None:
    made = sheet([[tile(200, 100)]], side=40)
    assert (made.width, made.height) == (3 * 40 + 2 * GAP, 3 * 40 + 2 * GAP)
    assert not made.squares
    assert opened(made)[20, 20] == pytest.approx([200, 200, 200, 255], abs=3)


def test_numbers_become_greys() -> None:
    values = np.array([[[-2.0], [0.0], [1.0]]])
    assert signed(values)[0, :, 0].tolist() == [0, 128, 191]
    assert unsigned(values)[0, :, 0].tolist() == [0, 170, 255]
    most = np.array([[[0.0], [1.0], [-1.0], [1.0], [100.0]]])
    assert signed(most, 0.5).ravel().tolist() == [128, 255, 0, 255, 255]
    assert signed(np.zeros((1, 2, 1))).ravel().tolist() == [128, 128]
    assert unsigned(np.ones((1, 2, 1))).ravel().tolist() == [0, 0]


def test_weights_and_maps_are_drawn() -> None:
    draws = np.random.default_rng(0)
    filters = draws.normal(size=(6, 3, 3, 3))
    pixels = opened(drawn_filters(filters))
    assert (pixels[:48, :48, :3] == signed(filters[0]).repeat(16, 0).repeat(16, 1)).all()
    assert opened(drawn_strength(np.abs(filters[..., 0]))).shape[0] == 48
    assert opened(drawn_matrix(draws.normal(size=(4, 400)))).shape[:2] == (4, 400)
    assert opened(drawn_maps(draws.normal(size=(40, 4, 4)))).shape[:2] == (2 * 72 + GAP, 8 * 72 + 7 * GAP)


def cell(unit: int, **more: object) -> Cell:
    drawn = sheet([[tile(unit % 200)]], side=12)
    values = {"unit": unit, "picture": drawn, "strongest": ("tiger", "tiger", "cat"), "fires": 0.5, "highest": 3.25}
    return Cell(**{**values, **more})  # type: ignore[arg-type]


def gallery(**more: object) -> Gallery:
    values = {
        "title": "runs/photos-1",
        "network": "resnet18",
        "created": "2026-01-01 00:00 UTC",
        "looked": "40 training pictures of photos",
        "command": "striate look runs/photos-1",
        "reconstructed": True,
        "chapters": (
            Chapter(
                layer="features.layer1",
                kind="Sequential",
                facts=(("shape", "64 x 32 x 32"),),
                units=64,
                dead=1,
                twins=2,
                cells=(
                    cell(0, classes=("tiger", "cat"), selectivity=0.75, twin=5),
                    cell(1, picture=None, dead=True),
                ),
                maps=drawn_maps(np.random.default_rng(0).normal(size=(3, 4, 4))),
            ),
        ),
        "weights": (Drawn(title="head", said="its weights", picture=drawn_matrix(np.ones((2, 2)))),),
        "example": picture(80),
        "example_name": "a.jpg",
        "layers": (
            {
                "layer": "features.layer1",
                "kind": "Sequential",
                "shape": "64 x 32 x 32",
                "stride": "4 x 4",
                "sees": "43 x 43",
            },
        ),
    }
    return Gallery(**{**values, **more})  # type: ignore[arg-type]


def test_the_page_says_what_is_there() -> None:
    html = gallery_page(gallery())
    page = Page(html)
    for words in (
        *("64 units in 1 layer of resnet18", "40 training pictures of photos", "features.layer1", "64 x 32 x 32"),
        *("mostly", "tiger, cat", "fires in 50", "twin of 5", "dead: the same value", "and 62 more units"),
        *("Made by striate look", "striate look runs/photos-1"),
    ):
        assert words in page.text, words
    pictures = [attributes for tag, attributes in page.tags if tag == "img"]
    assert len(pictures) == 4  # weights, the example, its maps, one cell
    assert all(one["src"].startswith("data:image/") and one["alt"] for one in pictures)
    assert "Unit 0: its strongest pictures are tiger (2), cat" in [one["alt"] for one in pictures]
    assert {one.removeprefix("#") for one in re.findall(r'href="(#[^"]+)"', html)} <= page.ids()


def test_a_page_of_weights_alone() -> None:
    text = Page(gallery_page(gallery(looked="", chapters=(), example=None))).text
    assert "Name pictures" in text
    assert "dead" not in text


def moved() -> Change:
    strip = drawn_strip([np.full((6, 8, 1), value, dtype=np.uint8) for value in (10, 90, 200)])
    lines = [Series(name=name, values=[0.4, 0.0, 0.5], style="run1") for name in ("conv1", "head")]
    chart = line_chart("How far features move, %", [-25, 0, 25], lines, x_name="moved", as_percent=True, mark=0)
    assert chart is not None
    return Change(title="Moved", picture=strip, amounts=("-25 %", "0", "+25 %"), charts=(chart,))


def filmed(layer: str = "conv1") -> Filmed:
    drawn = drawn_film([tile(10), tile(20)], [tile(30), tile(40)], side=12)
    jumping = Grown(unit=3, picture=drawn, first=0.5, last=4.25, pictures=2, since=9)
    steady = Grown(unit=7, picture=drawn, first=0.5, last=4.25, pictures=1, since=1)
    return Filmed(layer=layer, epochs=(1, 9), units=(jumping, steady))


def test_pictures_stand_side_by_side_and_a_film_has_a_column_an_epoch() -> None:
    pixels = opened(moved().picture)
    assert pixels.shape[:2] == (6 * 14, 3 * 8 * 14 + 2 * GAP)
    assert [int(pixels[3, 8 * 14 * number + GAP * number + 5, 0]) for number in range(3)] == [10, 90, 200]
    drawn = opened(filmed().units[0].picture)
    step = 10 + GAP
    assert drawn.shape[:2] == (10 + step, 10 + step)
    assert [int(drawn[row * step, column * step, 0]) for row in (0, 1) for column in (0, 1)] == [10, 20, 30, 40]


def test_sections_that_were_asked_for_are_there_and_others_are_not() -> None:
    html = gallery_page(gallery(changes=(moved(),), changed="2 pictures: a, b", films=(filmed(),)))
    page = Page(html)
    for words in (
        *("Moved, scaled, turned", "How far features move", "-25 %", "+25 %", "2 pictures: a, b."),
        *("Through training", "After epochs 1, 9", "up to 0.500 after epoch 1, 4.25 after epoch 9"),
        *("another picture at last", "the same picture throughout"),
    ):
        assert words in page.text, words
    assert {"invariance", "training"} <= page.ids()
    assert {one.removeprefix("#") for one in re.findall(r'href="(#[^"]+)"', html)} <= page.ids()
    assert all(attributes["alt"] for tag, attributes in page.tags if tag == "img")
    plain = gallery_page(gallery())
    assert "Through training" not in plain
    assert "Moved" not in plain


@pytest.mark.parametrize("name", HOSTILE)
def test_names_are_text(name: str) -> None:
    chapter = Chapter(layer=name, kind=name, units=1, cells=(cell(0, name=name, classes=(name,), strongest=(name,)),))
    more = {"changes": (moved(),), "films": (filmed(name),)}
    html = gallery_page(
        gallery(
            title=name,
            network=name,
            looked=name or "x",
            notes=(name,),
            chapters=(chapter,),
            example_name=name,
            changed=name,
            **more,
        )
    )
    page = Page(html)
    html.encode("utf-8")
    assert not any(tag == "script" or "onerror" in attributes for tag, attributes in page.tags)
    assert "http" not in re.sub(r"data:image/[a-z]+;base64,[A-Za-z0-9+/=]+", "", html).replace("http-equiv", "")


def test_a_page_of_too_many_pictures_leaves_units_away_and_says_so() -> None:
    noise = np.random.default_rng(0).bytes(60_000)
    heavy = Sheet(b"RIFF\0\0\0\0WEBP" + noise, 10, 10)
    cells = tuple(cell(unit, picture=heavy) for unit in range(400))
    html = gallery_page(gallery(chapters=(Chapter(layer="a", kind="ReLU", units=400, cells=cells),)))
    assert len(html) < 15_000_000
    shown = html.count("Unit ")
    assert 150 < shown < 400
    assert f"and {400 - shown} more units" in Page(html).text


def test_the_more_units_the_smaller_their_patches() -> None:
    sides = [side_for(units) for units in (1, 128, 129, 512, 701, 5000)]
    assert sides == [64, 64, 44, 44, 32, 32]


def test_a_sheet_is_decoded_when_it_is_seen() -> None:
    made = lazy(sheet([[tile(3)]], side=12), 'a "name"')
    assert 'loading="lazy"' in made
    assert 'decoding="async"' in made
    assert "&#34;name&#34;" in made
    data = re.search(r"base64,([^\"]+)", made)
    assert data is not None
    assert base64.b64decode(data[1])[8:12] == b"WEBP"
