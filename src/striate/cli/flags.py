"""Flags made from the fields of a settings dataclass, and a parser whose errors are one sentence.

`learning_rate` becomes `--learning-rate`; the settings of a part become `--optimizer.momentum`, and its
`name` becomes `--optimizer`. Only what was given comes back, so that a recipe file can stand below it.
"""

from __future__ import annotations

import argparse
import dataclasses
from collections.abc import Sequence
from typing import Any, NoReturn

from striate.errors import InputError, did_you_mean
from striate.training.settings import Described, describe, kinds


class Parser(argparse.ArgumentParser):
    """argparse, but an error is an `InputError` with the nearest known name."""

    def __init__(self, **settings: Any) -> None:
        super().__init__(allow_abbrev=False, formatter_class=_Formatter, argument_default=argparse.SUPPRESS, **settings)

    def error(self, message: str) -> NoReturn:
        raise InputError(f"{message}; see {self.prog} --help")

    def parse_strictly(self, arguments: Sequence[str]) -> argparse.Namespace:
        """The parsed arguments. Raises InputError with "did you mean" for unknown flags."""
        parsed, rest = self.parse_known_args(arguments)
        flags = [text for text in rest if text.startswith("-") and text != "-"]
        if flags:
            name = flags[0].partition("=")[0]
            raise InputError(f"no option '{name}'" + (did_you_mean(name, self._known()) or f"; see {self.prog} --help"))
        if rest:
            raise InputError(f"'{rest[0]}' is one argument too many; see {self.prog} --help")
        return parsed

    def _known(self) -> list[str]:
        return [flag for action in self._actions for flag in action.option_strings]


class _Formatter(argparse.HelpFormatter):
    def __init__(self, prog: str) -> None:
        super().__init__(prog, max_help_position=34, width=None)


def add_flags(parser: argparse._ActionsContainer, settings: type, title: str | None = None, prefix: str = "") -> None:
    """A flag for every field of `settings`; the fields of parts are groups of their own."""
    group = parser.add_argument_group(title) if title else parser
    parts: list[tuple[str, type]] = []
    for field in dataclasses.fields(settings):
        kind, _ = kinds(settings, field.name)
        if dataclasses.is_dataclass(kind):
            parts.append((field.name, kind))
            continue
        described = describe(field)
        flag = "--" + f"{prefix}{field.name}".replace("_", "-")
        if prefix and field.name == "name":
            flag = "--" + prefix.rstrip(".")
        destination = f"{prefix}{field.name}"
        text = described.help.replace("%", "%%") + _default_words(field.default)
        if kind is bool:
            group.add_argument(flag, dest=destination, action=argparse.BooleanOptionalAction, help=text)
        else:
            group.add_argument(
                flag, dest=destination, type=_reader(kind, described), metavar=_metavar(kind, described), help=text
            )
    for name, kind in parts:
        add_flags(parser, kind, f"{name} settings", f"{prefix}{name}.")


def nested(given: dict[str, Any], settings: type) -> dict[str, Any]:
    """The flags of `given` that are fields of `settings`, dotted names as nested tables."""
    own = {field.name for field in dataclasses.fields(settings)}
    found: dict[str, Any] = {}
    for name, value in given.items():
        part, _, rest = name.partition(".")
        if part not in own:
            continue
        if rest:
            found.setdefault(part, {})[rest] = value
        else:
            found[part] = value
    return found


def _reader(kind: type, described: Described) -> Any:
    def read(text: str) -> Any:
        try:
            value = kind(text)
        except ValueError:
            words = {int: "a whole number", float: "a number"}.get(kind, kind.__name__)
            raise argparse.ArgumentTypeError(f"must be {words}, got '{text}'") from None
        if described.choices and value not in described.choices:
            hint = did_you_mean(text, described.choices)
            raise argparse.ArgumentTypeError(f"must be one of {', '.join(described.choices)}, got '{text}'{hint}")
        return value

    return read


def _metavar(kind: type, described: Described) -> str:
    if described.choices:
        return "|".join(described.choices)
    return {int: "N", float: "X", str: "NAME"}.get(kind, "VALUE")


def _default_words(default: Any) -> str:
    if default is None or default is dataclasses.MISSING:
        return ""
    shown = f"{default:g}" if isinstance(default, float) else str(default).lower()
    return f" [{shown}]"
