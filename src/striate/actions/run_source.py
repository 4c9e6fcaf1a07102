"""The pictures of a run: opened where its recipe says, and divided as it divided them."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np

from striate.data.parts import in_fold, read_fold, thinned
from striate.data.samples import Samples
from striate.data.sources import FOLDERS, open_dataset
from striate.data.sources.arrays import ARRAYS
from striate.data.splits import TEST_OF_SOURCE, assign_splits
from striate.errors import InputError
from striate.models.run import Run
from striate.models.run_files import RECIPE
from striate.observer import Observer
from striate.training.recipe import Recipe
from striate.training.recipe_file import read_recipe, read_source, read_started_in

# What `open_dataset` takes.
Source: TypeAlias = str | Path | tuple[np.ndarray, Any] | Mapping[str, Any]


def open_asked(source: Source, recipe: Recipe, *, stream: bool) -> Samples:
    """The table of a source, as the recipe asks for it. Raises InputError."""
    return open_dataset(
        source,
        labels=recipe.labels,
        root=recipe.root,
        stream=stream,
        task=recipe.task_asked,
        targets=recipe.targets,
    )


def found_again(run: Run, recipe: Recipe, named: Source | None = None) -> tuple[Source, Recipe]:
    """The source where the run was started, or `named`, and the recipe with names that lead there.

    Raises InputError where the run learned from arrays and none are named.
    """
    path = run.folder / RECIPE
    folder = read_started_in(path)

    def found(name: str) -> str:
        # A name of where the run was started, unless it leads nowhere from there any more.
        there = os.path.join(folder or "", name)  # noqa: PTH118 - any text
        elsewhere = folder is not None and folder != os.getcwd()  # noqa: PTH109
        return there if elsewhere and os.path.lexists(there) else name

    source: Source = named if named is not None else found(read_source(path))
    if source == ARRAYS and not os.path.lexists(ARRAYS):
        raise InputError(
            f"{run}: learned from arrays; give them again "
            "(striate.resume(run, source=arrays), striate.show_batch(arrays))"
        )
    return source, replace(
        recipe,
        labels=recipe.labels if recipe.labels in (None, FOLDERS) else found(recipe.labels),
        root=None if recipe.root is None else found(recipe.root),
        weights=None if recipe.weights is None else found(recipe.weights),
        from_run=None if recipe.from_run is None else found(recipe.from_run),
    )


def open_again(run: Run) -> tuple[Samples, Recipe]:
    """The table of the source that the run learned from, and its recipe. Raises InputError where it is gone."""
    recipe, resolved = read_recipe(run.folder / RECIPE)
    source, recipe = found_again(run, recipe)
    return open_asked(source, recipe, stream=bool(recipe.stream) or "buffer" in resolved), recipe


def divided(samples: Samples, recipe: Recipe) -> tuple[Samples, tuple[str, ...]]:
    """The table with its splits, of the fold and with the share of training rows that the recipe asks for; and
    sentences for the log. Raises InputError where there are too few rows."""
    said = []
    called = TEST_OF_SOURCE
    if recipe.fold is not None:
        samples, words = in_fold(samples, *read_fold(recipe.fold), seed=recipe.seed)
        said.append(words)
        called = "that part is the test split"
    samples, words = assign_splits(samples, seed=recipe.seed, test=called)
    said.append(words)
    if recipe.share is not None:
        samples, words = thinned(samples, recipe.share, seed=recipe.seed)
        said.append(words)
    return samples, tuple(said)


def source_of(run: Run, observer: Observer) -> Samples | None:
    """The table of the pictures that the run learned from; None, and said, where it cannot be had any more."""
    try:
        return open_again(run)[0]
    except InputError as error:
        observer.warn(f"its {run.noun}s cannot be had any more ({error})")
        return None
