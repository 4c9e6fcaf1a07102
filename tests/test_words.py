"""Numbers and what others say in sentences."""

from __future__ import annotations

import pytest

from striate.words import counted, in_short, none_can


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ((0, "picture"), "0 pictures"),
        ((1, "picture"), "1 picture"),
        ((1234, "picture"), "1,234 pictures"),
        ((1, "process", "processes"), "1 process"),
        ((2, "picture was", "pictures were"), "2 pictures were"),
    ],
)
def test_counted(given: tuple[int, str], expected: str) -> None:
    assert counted(*given) == expected


def test_all_that_fail() -> None:
    assert (none_can(1), none_can(20)) == ("the only picture cannot", "none of the 20 pictures can")


def test_what_another_library_says_is_one_line_cut_between_words() -> None:
    assert in_short(ValueError("two\n  lines")) == "two lines"
    assert in_short("one two three", 9) == "one two ..."
    assert in_short("x" * 300) == "x" * 200 + " ..."
