"""Numbers and what others say in sentences: one picture, two pictures."""

from __future__ import annotations


def counted(number: int, one: str, many: str | None = None) -> str:
    """'1 picture', '2 pictures'; with `many` where the plural is another word, or more than a word ("pictures are")."""
    return f"{number:,} {one if number == 1 else many or one + 's'}"


def in_short(text: object, most: int = 200) -> str:
    """What another library says, on one line of about `most` characters, cut between words."""
    line = " ".join(str(text).split())
    if len(line) <= most:
        return line
    return f"{line[:most].rpartition(' ')[0] or line[:most]} ..."


def none_can(number: int) -> str:
    """How a sentence on pictures that all fail begins: "none of the 20 pictures can", "the only picture cannot"."""
    return f"none of the {number:,} pictures can" if number != 1 else "the only picture cannot"
