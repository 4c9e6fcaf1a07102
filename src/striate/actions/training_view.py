"""How training would vary the pictures of a source, or varied those of a run, for those who want to look at it.

Nothing is trained: a few training pictures are decoded, and what training draws for them is drawn. Legend: n pictures.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from striate.data.samples import CLASSIFICATION, TRAIN, Samples
from striate.data.store import build_store
from striate.errors import require

if TYPE_CHECKING:
    from striate.data.augmentation import Augmentation
    from striate.data.pixel_store import PixelStore
    from striate.models.input_spec import InputSpec
    from striate.models.run import Run

# Pictures that the network's input is fitted on, for a look only.
FITTED_ON = 64


@dataclass(frozen=True, kw_only=True)
class TrainingView:
    """Some training pictures and what happens to them. rows: of `samples`, whose splits are drawn; store: the pixels of
    these, in that order."""

    samples: Samples
    rows: np.ndarray  # (n,) int64
    store: PixelStore
    input_spec: InputSpec
    augmentation: Augmentation
    seed: int

    def varied(self, chosen: np.ndarray, *, first: int = 0, times: int = 1) -> np.ndarray:
        """What training sees of the pictures at `chosen` (m,) of `store` from epoch `first` on:
        (m, times, h, w, C) `uint8`."""
        from striate.data.augment import preview

        pictures = [self.store.pixels(int(index)) for index in chosen]
        # Training counts its own pictures, from 0.
        rows = np.searchsorted(self.samples.rows(TRAIN), self.rows[chosen])
        return preview(
            pictures, self.augmentation, self.input_spec, seed=self.seed, rows=rows, times=times, first=first
        )


def view_of_samples(samples: Samples, *, seed: int, count: int = FITTED_ON) -> TrainingView:
    """What training by default would do to `count` of the training pictures of `samples`, evenly spread over them.

    Raises InputError where there are none.
    """
    from striate.models.input_spec import fit_input_spec
    from striate.training.defaults import Facts, choose_augmentation, choose_network
    from striate.training.recipe import Recipe

    rows = samples.rows(TRAIN)
    require(len(rows) > 0, f"{samples.source}: there are no training pictures to vary")
    some = _spread(rows, count)
    read = build_store(samples, some)
    require(len(read.rows) > 0, f"{samples.source}: none of its training pictures can be read")
    store = read.store
    grey = bool((store.shapes[:, 2] == 1).all())
    classes = samples.classes[rows] if samples.task == CLASSIFICATION else np.zeros(0, dtype=np.int64)
    facts = Facts(
        pictures=len(rows),
        classes=len(samples.class_names),
        smallest_class=int(np.bincount(classes[classes >= 0]).min()) if len(classes) else len(rows),
        longer_side=float(np.median(store.shapes[:, :2].max(axis=1))),
        grey=grey,
        mirrors=not grey,
        task=samples.task,
    )
    recipe = Recipe(seed=seed)
    name, _, _ = choose_network(recipe, facts)
    spec, _ = fit_input_spec(store)
    return TrainingView(
        samples=samples,
        rows=read.rows,
        store=store,
        input_spec=spec,
        augmentation=choose_augmentation(recipe, facts, name, spec),
        seed=seed,
    )


def view_of_run(run: Run, *, count: int = FITTED_ON) -> TrainingView:
    """What the run did to `count` of its training pictures, by what it has resolved.

    Raises InputError where the folder holds no run with a model, and where its pictures are not there any more.
    """
    from striate.actions.run_source import divided, found_again, open_asked
    from striate.data.augmentation import Augmentation
    from striate.models.input_spec import InputSpec
    from striate.models.run_files import RECIPE
    from striate.training.recipe_file import read_recipe
    from striate.training.resolved import Resolved

    spec = InputSpec.from_json(run.config["input"])
    path = run.folder / RECIPE
    recipe, values = read_recipe(path)
    resolved = Resolved.from_mapping(values, str(path))
    source, recipe = found_again(run, recipe)
    samples, _ = divided(open_asked(source, recipe, stream=False), recipe)
    read = build_store(samples, _spread(samples.rows(TRAIN), count))
    require(len(read.rows) > 0, f"{samples.source}: none of the run's training pictures can be read")
    return TrainingView(
        samples=samples,
        rows=read.rows,
        store=read.store,
        input_spec=spec,
        augmentation=Augmentation(**resolved.augment),
        seed=resolved.seed,
    )


def _spread(rows: np.ndarray, count: int) -> np.ndarray:
    """`count` of these, evenly spread; all of them where they are fewer."""
    places: np.ndarray = np.linspace(0, len(rows) - 1, min(count, len(rows))).astype(np.int64)
    some: np.ndarray = rows[places]
    return some
