"""`striate inspect SOURCE`: what is there, before training, as numbers and as a page with a contact sheet."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from striate.actions.places import page_place, source_name
from striate.data.contact_sheet import Thumbnail, thumbnail_of
from striate.data.row_survey import survey_rows
from striate.data.survey import Survey, survey
from striate.errors import require
from striate.observer import SILENT, Observer
from striate.words import counted

if TYPE_CHECKING:
    from striate.data.pixel_store import PixelStore
    from striate.data.samples import Samples
    from striate.models.input_spec import InputSpec
    from striate.reports.pages import Augmented, Varied

# Of the page that shows what training will see.
AUGMENTED_PICTURES = 8
AUGMENTED_TIMES = 7  # with the picture itself, a row of the page


def inspect(
    source: Any,
    *,
    out: str | Path | None = None,
    labels: str | None = None,
    root: str | None = None,
    task: str | None = None,
    targets: str | None = None,
    seed: int = 0,
    augment: bool = False,
    strict: bool = False,
    observer: Observer = SILENT,
) -> Survey:
    """Read every picture of `source` once and tell everything about it.

    The page goes to `out` (a file; a page of ours that lies there is replaced, anything else refused), never into
    `source`; None: `inspect-<name>.html` in the current folder, with a number where that name is taken.
    `augment`: it also shows what training will see of a few pictures. `labels`, `root`, `task`, `targets`: as in
    `open_dataset`. `seed` draws the splits.

    Raises InputError where the source cannot be understood or holds no readable picture, and where the page cannot
    go there; if `strict`, where any picture cannot be read.
    """
    from striate.data.sources import open_dataset
    from striate.machine.files import write_atomically
    from striate.models.claim import check_outside

    place = _place(source, out)
    if isinstance(source, (str, Path)):
        check_outside(place, str(source), "the page would lie")
    samples = open_dataset(source, labels=labels, root=root, task=task, targets=targets)
    observer.say(samples.how)
    for doubt in samples.doubts:
        observer.warn(doubt)
    if samples.fields:
        require(not augment, f"{samples.source}: rows of a table of numbers are not varied; leave --augment away")
        found, kept = survey_rows(samples, seed=seed, strict=strict), samples
        thumbnails: tuple[Thumbnail, ...] = ()
    else:
        found, thumbnails, kept = survey(samples, seed=seed, observer=observer, strict=strict)
    observer.say(found.splits)
    if found.left_out_count:
        there = counted(found.found, samples.noun)
        observer.warn(f"{there} found = {found.used:,} used + {found.left_out_count:,} left out")
    drawn, varied = _augmented(kept, found, seed) if augment else ((), ())
    write_atomically(place, _page(found, thumbnails, drawn, varied))
    observer.say(f"page: {place}")
    return found


def _page(
    found: Survey, thumbnails: tuple[Thumbnail, ...], drawn: tuple[Augmented, ...], varied: tuple[Varied, ...]
) -> str:
    from striate.reports import pages

    return pages.inspect_page(found.to_json(), thumbnails, drawn, varied)


def _place(source: Any, out: str | Path | None) -> Path:
    return page_place(out, name=f"inspect-{source_name(source)}", command="inspect")


def _augmented(samples: Samples, found: Survey, seed: int) -> tuple[tuple[Augmented, ...], tuple[Varied, ...]]:
    """What training by default would see of a few training pictures, in its first epochs; and each part alone."""
    import numpy as np

    from striate.actions.training_view import view_of_samples
    from striate.data.samples import TRAIN
    from striate.reports import pages

    trained = len(samples.rows(TRAIN)) > 0
    require(trained, f"{samples.source}: there are no training pictures to vary ({found.splits})")
    view = view_of_samples(samples, seed=seed)
    store = view.store
    chosen = np.linspace(0, len(store) - 1, min(AUGMENTED_PICTURES, len(store))).astype(np.int64)
    by_default = tuple(
        pages.Augmented(
            name=samples.names[int(view.rows[index])],
            label=samples.label(int(view.rows[index])),
            picture=thumbnail_of(store.pixels(int(index))),
            drawn=tuple(thumbnail_of(one) for one in times),
        )
        for index, times in zip(chosen, view.varied(chosen, times=AUGMENTED_TIMES), strict=True)
    )
    return by_default, _varied(store, view.input_spec, seed)


def _varied(store: PixelStore, spec: InputSpec, seed: int) -> tuple[Varied, ...]:
    """Each part of augmentation alone, on the picture in the middle and, where pairs are mixed, the one after it."""
    from striate.data.augment import preview
    from striate.data.augmentation import Augmentation
    from striate.data.principal import colour_axes
    from striate.data.variations import VARIATIONS, as_flags, settings_for
    from striate.reports import pages

    middle = len(store) // 2
    pictures = [store.pixels(index % len(store)) for index in (middle, middle + 1)]
    axes = colour_axes(store, spec.channels)
    rows = []
    for name, part in VARIATIONS.items():
        if part.needs_colour and spec.channels == 1:
            continue
        settings = settings_for(name, min(spec.height, spec.width))
        alone = Augmentation(**settings, pca_axes=axes)
        drawn = preview(pictures, alone, spec, seed=seed, times=AUGMENTED_TIMES)[0]
        rows.append(
            pages.Varied(
                name=name,
                says=part.says,
                settings=as_flags(settings),
                picture=thumbnail_of(pictures[0]),
                drawn=tuple(thumbnail_of(one) for one in drawn),
            )
        )
    return tuple(rows)
