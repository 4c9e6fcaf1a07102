"""The style: every colour that carries text can be read on its ground, light, dark and printed."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

import striate.reports
from striate.reports import comparison

STYLE = (Path(striate.reports.__file__).parent / "templates" / "style.css").read_text(encoding="utf-8")
THEMES = [
    dict(re.findall(r"(--[\w-]+): ([^;]+);", block)) for block in re.findall(r":root \{([^}]*--paper[^}]*)\}", STYLE)
]
LEAST = 4.5  # WCAG 2.2, AA, for text of any size


def rgb(code: str) -> tuple[float, ...]:
    return tuple(int(code[place : place + 2], 16) / 255 for place in (1, 3, 5))


def luminance(colour: tuple[float, ...]) -> float:
    linear = [value / 12.92 if value <= 0.04045 else ((value + 0.055) / 1.055) ** 2.4 for value in colour]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def contrast(one: tuple[float, ...], other: tuple[float, ...]) -> float:
    light, dark = sorted((luminance(one), luminance(other)), reverse=True)
    return (light + 0.05) / (dark + 0.05)


def test_contrast_of_black_on_white_is_21() -> None:
    assert contrast((0, 0, 0), (1, 1, 1)) == pytest.approx(21)


def test_light_dark_and_print_define_the_same_colours() -> None:
    assert len(THEMES) == 3
    assert set(THEMES[0]) == set(THEMES[1]) == set(THEMES[2])
    assert "@media (prefers-color-scheme: dark)" in STYLE
    assert "@media print" in STYLE
    assert luminance(rgb(THEMES[0]["--paper"])) > 0.9 > 0.05 > luminance(rgb(THEMES[1]["--paper"]))
    used = set(re.findall(r"var\((--[\w-]+)\)", STYLE))
    assert used <= set(THEMES[0]) | {"--mono", "--run"}


@pytest.mark.parametrize("theme", range(3))
def test_text_can_be_read(theme: int) -> None:
    colours = {name: rgb(value) for name, value in THEMES[theme].items() if value.startswith("#")}
    for ground in ("--paper", "--panel", "--note"):
        for ink in ("--ink", "--muted", "--accent", "--wrong"):
            assert contrast(colours[ink], colours[ground]) >= LEAST, (ink, ground)


@pytest.mark.parametrize("theme", range(3))
def test_numbers_of_the_matrix_can_be_read(theme: int) -> None:
    values = THEMES[theme]
    rules = re.findall(r"\.([rw])(\d) \{ background: rgb\(var\(--([\w-]+)\) / ([\d.]+)\) !important;([^}]*)\}", STYLE)
    assert {(kind, int(level)) for kind, level, *_ in rules} == {
        (kind, level) for kind in "rw" for level in range(1, 9)
    }
    paper = rgb(values["--paper"])
    for kind, level, name, alpha, rest in rules:
        tint = tuple(int(part) / 255 for part in values[f"--{name}"].split())
        ground = tuple(float(alpha) * t + (1 - float(alpha)) * p for t, p in zip(tint, paper, strict=True))
        ink = rgb(values["--on-strong" if "--on-strong" in rest else "--ink"])
        assert contrast(ink, ground) >= LEAST, (kind, level)


def test_tints_are_the_colours_themselves() -> None:
    for values in THEMES:
        for name in ("accent", "wrong"):
            assert [round(255 * part) for part in rgb(values[f"--{name}"])] == [
                int(part) for part in values[f"--{name}-rgb"].split()
            ]


def test_the_style_asks_for_nothing() -> None:
    assert not re.search(r"url\(|@import|@font-face|</|expression", STYLE)


@pytest.mark.parametrize("theme", range(3))
def test_lines_of_runs_can_be_seen(theme: int) -> None:
    """3:1 is what WCAG 2.2 asks of what is no text."""
    paper = rgb(THEMES[theme]["--paper"])
    colours = re.findall(r"\.run(\d) \{ --run: (#\w{6}); \}", STYLE)
    assert [int(number) for number, _ in colours] == list(range(1, comparison.COLOURS + 1))
    assert len({code for _, code in colours}) == len(colours)
    for number, code in colours:
        assert contrast(rgb(code), paper) >= 3, (number, theme)
