"""Names from outside as text that every file, page and screen can take."""

from __future__ import annotations

import pytest

from striate.names import on_one_line, visible


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("plain", "plain"),
        ("\x1b[31mred", r"\x1b[31mred"),
        ("tab\tand\nline", "tab\tand\nline"),
        ("\udcff", r"\xff"),
        ("\ud800", r"\ud800"),
        ("\x00\x7f\x9f", r"\x00\x7f\x9f"),
        ("a\u202eb\u2066", r"a\u202eb\u2066"),
        ("👩‍👩‍👧 שלום é", "👩‍👩‍👧 שלום é"),
        ("\ufeff\uffff", r"\ufeff\uffff"),
    ],
)
def test_visible_writes_out_what_cannot_be_held(text: str, expected: str) -> None:
    assert visible(text) == expected
    visible(text).encode("utf-8")


def test_on_one_line_no_name_begins_a_line_of_its_own() -> None:
    assert on_one_line("a\nb\tc\r\udcff") == r"a\nb\tc\x0d\xff"
