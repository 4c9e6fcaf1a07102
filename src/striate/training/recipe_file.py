"""A recipe as a file, `recipe.toml`: what was asked, the source, and under `[resolved]` what was decided."""

from __future__ import annotations

import contextlib
import os
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from striate.errors import InputError, require
from striate.training.recipe import Recipe
from striate.training.settings import from_mapping, shown, to_mapping

SCHEMA = 1
RESOLVED, SOURCE, STARTED_IN = "resolved", "source", "started_in"
BYTES = "bytes"
LARGEST = 2**20  # bytes of a recipe


def read_recipe(path: Path) -> tuple[Recipe, dict[str, Any]]:
    """The recipe in a TOML file, and what stands under `[resolved]` (empty where nothing does).

    Raises InputError where the file is missing, does not parse, or holds what no recipe has.
    """
    values = _read_toml(path)
    resolved = values.pop(RESOLVED, {})
    require(isinstance(resolved, dict), f"{path}: [resolved] must be a table")
    schema = values.pop("schema", SCHEMA)
    require(
        type(schema) is int and 1 <= schema <= SCHEMA,
        f"{path}: recipe of schema {shown(schema)}, this version reads up to {SCHEMA}; update striate",
    )
    for name in (SOURCE, STARTED_IN):
        values.pop(name, None)
    return from_mapping(Recipe, values, str(path)), resolved


def read_source(path: Path) -> str:
    """The source that a run's `recipe.toml` names. Raises InputError where it names none."""
    source = _read_toml(path).get(SOURCE)
    if not isinstance(source, str):
        raise InputError(f"{path}: names no source, so there is nothing to go on with")
    return source


def read_started_in(path: Path) -> str | None:
    """The folder from which the relative names in a run's `recipe.toml` start; None where it does not say."""
    folder = _read_toml(path).get(STARTED_IN)
    return folder if isinstance(folder, str) and os.path.isabs(folder) else None  # noqa: PTH117 - any text


def _read_toml(path: Path) -> dict[str, Any]:
    try:
        text = path.read_bytes()
    except OSError as error:
        raise InputError(f"{path}: the recipe cannot be read ({error.strerror})") from error
    require(len(text) <= LARGEST, f"{path}: too large to be a recipe")
    try:
        values: dict[str, Any] = _from_plain(tomllib.loads(text.decode("utf-8")))
        return values
    except ValueError as error:  # of the encoding, of TOML, and of numbers with thousands of digits
        raise InputError(f"{path}: not a recipe in TOML: {error}") from error
    except RecursionError as error:
        raise InputError(f"{path}: not a recipe in TOML: nested too deeply") from error


def recipe_text(recipe: Recipe, resolved: Mapping[str, Any], source: str) -> str:
    """The TOML text of `recipe.toml`: what was asked, and under `[resolved]` what was decided.

    Names stay as they were given; where one is relative, the folder that it starts from (the working one) is noted,
    so that the run can be resumed from anywhere.
    """
    import tomli_w

    asked: dict[str, Any] = {"schema": SCHEMA, SOURCE: source}
    if not all(map(os.path.isabs, filter(None, (source, recipe.labels, recipe.root, recipe.weights)))):
        with contextlib.suppress(FileNotFoundError):  # a working folder that was removed cannot be named
            asked[STARTED_IN] = os.getcwd()  # noqa: PTH109
    asked.update(to_mapping(recipe))
    return tomli_w.dumps(_to_plain({**asked, **({RESOLVED: dict(resolved)} if resolved else {})}))


def _to_plain(value: Any) -> Any:
    """Names of files that are no Unicode, which TOML cannot hold, as {bytes = "hexadecimal"}."""
    if isinstance(value, str):
        try:
            value.encode("utf-8")
        except UnicodeEncodeError:
            return {BYTES: os.fsencode(value).hex()}
    if isinstance(value, Mapping):
        return {key: _to_plain(one) for key, one in value.items()}
    if isinstance(value, list | tuple):
        return [_to_plain(one) for one in value]
    return value


def _from_plain(value: Any) -> Any:
    """What `_to_plain` was given."""
    if isinstance(value, dict):
        if list(value) == [BYTES] and isinstance(value[BYTES], str):
            return os.fsdecode(bytes.fromhex(value[BYTES]))
        return {key: _from_plain(one) for key, one in value.items()}
    return [_from_plain(one) for one in value] if isinstance(value, list) else value
