"""Names and texts from outside as text that every file, page and screen can take."""

from __future__ import annotations

import re


def visible(text: str) -> str:
    r"""The text with what UTF-8, YAML or HTML cannot hold written out: byte 0xff as `\xff`, NUL as `\x00`.

    So are characters that change how what follows is laid out ("exe.gpj" must not read "jpg.exe"), and those that
    would move a terminal's cursor. Tabs and line ends stay. The result always encodes to UTF-8.
    """
    if text.isascii() and text.isprintable():
        return text
    return "".join(one if one in "\n\t" or _allowed(ord(one)) else _written(ord(one)) for one in text)


def on_one_line(text: str) -> str:
    r"""`visible` text in which tabs and line ends are written out, too: a name with one cannot begin a line."""
    return visible(text).replace("\n", "\\n").replace("\t", "\\t")


def _allowed(code: int) -> bool:
    controls = code < 0x20 or 0x7F <= code < 0xA0
    overrides = 0x202A <= code <= 0x202E or 0x2066 <= code <= 0x2069 or code in (0x2028, 0x2029, 0xFEFF)
    return not (controls or overrides or 0xD800 <= code < 0xE000 or code & 0xFFFE == 0xFFFE)


def _written(code: int) -> str:
    if 0xDC80 <= code <= 0xDCFF:  # a byte that was no UTF-8, as os.fsdecode keeps it
        code -= 0xDC00
    return f"\\x{code:02x}" if code < 0x100 else f"\\u{code:04x}"


def plain_name(text: str) -> str:
    """The text as a part of the name of a file: letters and digits of ASCII, `_`, `-` and `.`, dashes in the place of
    all else; "" where nothing of it is left."""
    return re.sub(r"[^\w.-]+", "-", text, flags=re.ASCII).strip("-.")
