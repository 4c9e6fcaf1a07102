"""Flags made from the fields of a settings dataclass, and a parser whose errors are one sentence.

`learning_rate` becomes `--learning-rate`; the settings of a part become `--optimizer.momentum`, and its
`name` becomes `--optimizer`. Only what was given comes back, so that a recipe file can stand below it.
"""

from __future__ import annotations

import argparse
import dataclasses
import itertools
import re
import shutil
from collections.abc import Callable, Iterable, Sequence
from typing import Any, NoReturn

from striate.errors import InputError, did_you_mean
from striate.training.settings import Described, describe, kinds

MOST_IN_USAGE = 10  # arguments
MOST_DIGITS = 18
LONGEST_CHOICE = 60  # characters, before choices go into the text, where lines may be broken
# Of settings whose type does not tell what is to be named.
METAVARS = {"weights": "FILE", "from_run": "RUN", "labels": "FILE|folders", "root": "FOLDER"}
# `from` is a word of Python's own and can be no field.
SPELLED = {"from_run": "--from"}


class Parser(argparse.ArgumentParser):
    """argparse, but an error is an `InputError` with the nearest known name."""

    def __init__(self, **settings: Any) -> None:
        super().__init__(
            allow_abbrev=False,
            add_help=False,
            formatter_class=_Formatter,
            argument_default=argparse.SUPPRESS,
            **settings,
        )
        self._positionals.title = "what to name"
        self.add_argument("-h", "--help", action="help", help="show this")
        # argparse takes -1 for a value but not -1e-3, which would then be an unknown option.
        self._negative_number_matcher = re.compile(r"-\.?\d")
        self._stands_aside: list[tuple[argparse.Action, str]] = []

    def error(self, message: str) -> NoReturn:
        raise InputError(f"{message.removeprefix('argument ')}; see {self.prog} --help")

    def stand_aside(self, positional: argparse.Action, flag: str) -> None:
        """Where `flag` is given, nothing is named for `positional`."""
        self._stands_aside.append((positional, flag))

    def parse_strictly(self, arguments: Sequence[str]) -> argparse.Namespace:
        """The parsed arguments. Raises InputError with "did you mean" for unknown flags."""
        known = self._known()
        texts = itertools.takewhile(lambda text: text != "--", arguments)
        flags = [text.partition("=")[0] for text in texts if text.startswith("--")]
        # Before argparse, which would first complain of what is missing because of the unknown one.
        for name in flags:
            if name not in known:
                raise InputError(f"no option '{name}'" + (did_you_mean(name, known) or f"; see {self.prog} --help"))
        for positional, flag in self._stands_aside:
            if flag in flags:
                positional.nargs = argparse.SUPPRESS  # it takes nothing, and is not asked for
        parsed, rest = self.parse_known_args(arguments)
        if rest:
            if rest[0].startswith("-"):
                raise InputError(f"no option '{rest[0]}'; see {self.prog} --help")
            raise InputError(f"'{rest[0]}' is one argument too many; see {self.prog} --help")
        return parsed

    def _known(self) -> list[str]:
        return [flag for action in self._actions for flag in action.option_strings]


class _Formatter(argparse.HelpFormatter):
    def __init__(self, prog: str) -> None:
        columns = shutil.get_terminal_size().columns
        super().__init__(prog, max_help_position=30, width=max(40, min(columns, 100) - 2))

    def add_usage(
        self, usage: str | None, actions: Iterable[argparse.Action], groups: Any, prefix: str | None = None
    ) -> None:
        """Fifty flags in a row help nobody: the usage of such a command names what must be given."""
        actions = list(actions)
        if len(actions) > MOST_IN_USAGE:
            named = [action for action in actions if not action.option_strings]
            usage = " ".join(["%(prog)s", *(str(action.metavar) for action in named), "[OPTION ...]"])
        super().add_usage(usage, actions, groups, prefix)

    def _format_action_invocation(self, action: argparse.Action) -> str:
        if isinstance(action, argparse.BooleanOptionalAction):
            return f"--[no-]{action.option_strings[0].removeprefix('--')}"
        return super()._format_action_invocation(action)


def positive(text: str) -> int:
    """A whole number of at least 1, for argparse."""
    if not (text.isascii() and text.isdecimal()) or len(text) > MOST_DIGITS or int(text) < 1:
        raise argparse.ArgumentTypeError(f"must be a whole number of at least 1, got '{text}'")
    return int(text)


def positive_or_auto(text: str) -> int | str:
    """A whole number of at least 1, or "auto", for argparse."""
    return text if text == "auto" else positive(text)


def one_of(choices: Sequence[str]) -> Callable[[str], str]:
    """One of `choices`, for argparse, with the nearest for what is none of them."""

    def read(text: str) -> str:
        if text not in choices:
            hint = did_you_mean(text, choices)
            raise argparse.ArgumentTypeError(f"must be one of {', '.join(choices)}, got '{text}'{hint}")
        return text

    return read


def flag_of(name: str, prefix: str = "") -> str:
    """How a setting is spelled as a flag: "--learning-rate", "--optimizer.momentum", and its `name` "--optimizer"."""
    if prefix and name == "name":
        return "--" + prefix.rstrip(".")
    return SPELLED.get(name) or "--" + f"{prefix}{name}".replace("_", "-")


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
        flag = flag_of(field.name, prefix)
        destination = f"{prefix}{field.name}"
        text = described.help.replace("%", "%%")
        if len("|".join(described.choices)) > LONGEST_CHOICE:
            text += f": {', '.join(described.choices)}"
        text += _default_words(field.default)
        if kind is bool:
            group.add_argument(flag, dest=destination, action=argparse.BooleanOptionalAction, help=text)
        else:
            group.add_argument(
                flag,
                dest=destination,
                type=_reader(kind, described),
                metavar=METAVARS.get(destination) or _metavar(kind, described),
                help=text,
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
        if text in described.words:
            return text
        try:
            value = kind(text)
        except ValueError:
            words = {int: "a whole number", float: "a number"}.get(kind, kind.__name__)
            words += "".join(f" or {word}" for word in described.words)
            raise argparse.ArgumentTypeError(f"must be {words}, got '{text}'") from None
        return one_of(described.choices)(text) if described.choices else value

    return read


def _metavar(kind: type, described: Described) -> str:
    if described.choices and len("|".join(described.choices)) <= LONGEST_CHOICE:
        return "|".join(described.choices)
    plain = {int: "N", float: "X", str: "NAME"}.get(kind, "VALUE")
    return "|".join([plain, *described.words])


def _default_words(default: Any) -> str:
    if default is None or default is dataclasses.MISSING:
        return ""
    if isinstance(default, bool):
        return f" [{'yes' if default else 'no'}]"
    shown = f"{default:g}" if isinstance(default, float) else str(default).lower()
    return f" [{shown}]"
