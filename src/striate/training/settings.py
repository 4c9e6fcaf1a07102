"""Frozen dataclasses as settings: described by their fields, read from plain values, checked once.

A field made by `setting` carries its help, its choices and its bounds; flags, `recipe.toml` and the
docs are all read off the fields.
"""

from __future__ import annotations

import dataclasses
import functools
import math
import types
import typing
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeVar

from striate.errors import InputError, did_you_mean, require

T = TypeVar("T")


@dataclass(frozen=True, kw_only=True)
class Described:
    """What a field says of itself."""

    help: str
    choices: tuple[str, ...] = ()
    words: tuple[str, ...] = ()  # that may stand in the place of a number
    at_least: float | None = None
    at_most: float | None = None
    above: float | None = None


def setting(
    default: T,
    help: str,  # noqa: A002 - the word that argparse uses
    *,
    choices: Sequence[str] = (),
    words: Sequence[str] = (),
    at_least: float | None = None,
    at_most: float | None = None,
    above: float | None = None,
) -> T:
    """A dataclass field with its description. None as default means: chosen from the data, and said."""
    described = Described(
        help=help, choices=tuple(choices), words=tuple(words), at_least=at_least, at_most=at_most, above=above
    )
    made: T = field(default=default, metadata={"described": described})
    return made


def describe(field_: dataclasses.Field[Any]) -> Described:
    """The description of a field made by `setting`; an empty one for other fields."""
    described: Described = field_.metadata.get("described", Described(help=""))
    return described


@functools.cache
def _hints(settings: type) -> dict[str, Any]:
    """Resolving annotations that are text costs a millisecond a class: once is enough."""
    return typing.get_type_hints(settings)


def kinds(settings: type, name: str) -> tuple[type, bool]:
    """The plain type of a field, and whether None is allowed."""
    hint = _hints(settings)[name]
    if isinstance(hint, types.UnionType) or typing.get_origin(hint) is typing.Union:
        plain = [kind for kind in typing.get_args(hint) if kind is not type(None)]
        return typing.get_origin(plain[0]) or plain[0], type(None) in typing.get_args(hint)
    return typing.get_origin(hint) or hint, False


def check(settings: Any, prefix: str = "") -> None:
    """Check every field against its type, choices and bounds. For `__post_init__`. Raises InputError."""
    for field_ in dataclasses.fields(settings):
        kind, optional = kinds(type(settings), field_.name)
        value = getattr(settings, field_.name)
        name = f"{prefix}{field_.name}"
        if dataclasses.is_dataclass(kind):
            such = f", such as {{'name': {shown(value)}}}" if isinstance(value, str) else ""
            require(isinstance(value, kind), f"{name} must be a table of settings{such}, got {shown(value)}")
            continue
        if value is None and optional:
            continue
        described = describe(field_)
        if isinstance(value, str) and value in described.words:
            continue
        if kind is tuple and isinstance(value, list):  # TOML has lists only
            value = tuple(value)
            object.__setattr__(settings, field_.name, value)
        if kind is float and isinstance(value, int) and not isinstance(value, bool):
            value = _as_float(value, name)
            object.__setattr__(settings, field_.name, value)
        fits = isinstance(value, kind) and not (kind is not bool and isinstance(value, bool))
        or_words = "".join(f" or {word}" for word in described.words)
        require(fits, f"{name} must be {_words(kind)}{or_words}, got {shown(value)}")
        if isinstance(value, float):
            require(math.isfinite(value), f"{name} must be a finite number, got {shown(value)}")
        if described.choices and value not in described.choices:
            raise InputError(
                f"{name} must be one of {', '.join(described.choices)}, got {shown(value)}"
                + did_you_mean(str(value), described.choices)
            )
        _check_bounds(name, value, described)


def _as_float(value: int, name: str) -> float:
    try:
        return float(value)
    except OverflowError:
        raise InputError(f"{name} must be a finite number, got {shown(value)}") from None


def shown(value: Any) -> str:
    """A value for an error sentence: as Python writes it, short. Whole numbers too long to write are named so."""
    if isinstance(value, int) and value.bit_length() > 256:
        return f"a whole number of {value.bit_length():,} bits"
    try:
        text = repr(value)
    except ValueError:  # such a number inside of a list
        text = f"a {type(value).__name__}"
    return text if len(text) <= 120 else f"{text[:120]}..."


def _check_bounds(name: str, value: Any, described: Described) -> None:
    if described.at_least is not None:
        require(value >= described.at_least, f"{name} must be at least {described.at_least:g}, got {shown(value)}")
    if described.above is not None:
        require(value > described.above, f"{name} must be above {described.above:g}, got {shown(value)}")
    if described.at_most is not None:
        require(value <= described.at_most, f"{name} must be at most {described.at_most:g}, got {shown(value)}")


def _words(kind: type) -> str:
    return {int: "a whole number", float: "a number", bool: "true or false", str: "a text"}.get(kind, kind.__name__)


def from_mapping(settings: type[T], values: Mapping[str, Any], where: str, prefix: str = "") -> T:
    """Make `settings` of plain values (a TOML table). Raises InputError with the nearest name for unknown keys."""
    names = [field_.name for field_ in dataclasses.fields(settings)]  # type: ignore[arg-type]
    given: dict[str, Any] = {}
    for key, value in values.items():
        if key not in names:
            raise InputError(f"{where}: no setting '{prefix}{key}'" + did_you_mean(key, names))
        kind, _ = kinds(settings, key)
        if dataclasses.is_dataclass(kind):
            require(isinstance(value, Mapping), f"{where}: {prefix}{key} must be a table, [{prefix}{key}]")
            value = from_mapping(typing.cast(type, kind), value, where, f"{prefix}{key}.")
        given[key] = value
    try:
        return settings(**given)
    except InputError as error:
        raise InputError(f"{where}: {error}") from error


def to_mapping(settings: Any) -> dict[str, Any]:
    """Plain values for TOML: what is None is left out, since TOML has no null."""
    plain: dict[str, Any] = {}
    for field_ in dataclasses.fields(settings):
        value = getattr(settings, field_.name)
        if dataclasses.is_dataclass(value):
            value = to_mapping(value)
            if not value:
                continue
        if value is not None:
            plain[field_.name] = value
    return plain
