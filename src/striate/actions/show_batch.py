"""`striate.show_batch`: training pictures as training sees them, with what each is; for notebooks."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from striate.actions.rows import require_pictures
from striate.actions.training_view import view_of_run, view_of_samples
from striate.errors import require
from striate.models.input_spec import InputSpec
from striate.models.run import Run

MOST = 512  # pictures


@dataclass(frozen=True, kw_only=True, eq=False)
class ShownBatch:
    """Training pictures as the network gets them. pictures: (n, h, w, C) `uint8`; names, targets: of each, as texts;
    varied: by what, in words. A notebook shows it as a sheet."""

    source: str
    pictures: np.ndarray
    names: tuple[str, ...]
    targets: tuple[str, ...]
    varied: str

    def __len__(self) -> int:
        return len(self.names)

    def _repr_html_(self) -> str:
        """For notebooks."""
        from striate.reports.notebook import SIDE, Fragment, fragment
        from striate.reports.thumbnails import thumbnail

        height, width = self.pictures.shape[1:3]
        varied = "as they are" if self.varied == "none" else f"varied by {self.varied}"
        return fragment(
            Fragment(
                title=f"{self.source}: {len(self)} training pictures as the network gets them",
                lines=(f"{width}x{height} pixels, {varied}",),
                pictures=tuple(
                    (thumbnail(pixels, side=SIDE), target or name)
                    for pixels, target, name in zip(self.pictures, self.targets, self.names, strict=True)
                ),
            )
        )


def show_batch(
    source: Run | str | Path | tuple[np.ndarray, Any] | Mapping[str, Any],
    *,
    count: int = 16,
    epoch: int = 0,
    labels: str | None = None,
    root: str | None = None,
    task: str | None = None,
    targets: str | None = None,
    seed: int = 0,
) -> ShownBatch:
    """Training pictures after everything that training does to them, each with its target; nothing is trained.

    source: a run, or the folder of one, for what it did; or what `striate.train` takes, for what it would do by default
    (`labels`, `root`, `task`, `targets`: as there). count: pictures, evenly spread over the training split. epoch: the
    draws of this one, from 0. seed: from which splits and draws come, of a run its own. Mixed pictures have the next
    one of the sheet for a partner.

    Raises InputError where there are no training pictures, or a run's are not there any more.
    """
    from striate.data.sources import open_dataset
    from striate.data.splits import assign_splits
    from striate.models.run_files import is_run

    require(1 <= count <= MOST, f"count must be 1 to {MOST}, got {count}")
    require(epoch >= 0, f"epoch must be at least 0, got {epoch}")
    if isinstance(source, str | Path) and is_run(Path(source)):
        source = Run(Path(source))
    if isinstance(source, Run):
        spec = InputSpec.from_json(source.config["input"])
        require_pictures(spec, "striate.show_batch")
        view = view_of_run(source, count=count)
    else:
        samples = open_dataset(source, labels=labels, root=root, task=task, targets=targets)
        require(not samples.fields, f"{samples.source}: a table of numbers has no pictures to show")
        samples, _ = assign_splits(samples, seed=seed)
        view = view_of_samples(samples, seed=seed, count=count)
    every = np.arange(len(view.rows))
    return ShownBatch(
        source=view.samples.source,
        pictures=view.varied(every, first=epoch)[:, 0],
        names=tuple(view.samples.names[row] for row in view.rows),
        targets=tuple(view.samples.label(int(row)) for row in view.rows),
        varied=view.augmentation.in_words(),
    )
