"""What the page of a training tells beside its figures: sentences, counts, and which pictures are shown.

It is kept with the run (`actions.kept_page`), so that the page can be made anew. Legend: n pictures, F features.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from functools import partial

import numpy as np
import torch

from striate.actions.job import Trained
from striate.actions.kept_page import Mistaken, Page, Unsure
from striate.actions.told import TOLD
from striate.data.distribution import distributions
from striate.data.duplicates import Duplicates
from striate.data.pixel_store import PixelStore
from striate.data.resample import as_it_is
from striate.data.samples import REGRESSION, TEST, TRAIN, VALIDATION, Samples
from striate.models.model import Model
from striate.words import counted

MOST_PICTURES = 12  # worst mistakes and least sure answers on the page
NEIGHBOURS = 4
MOST_POINTS, MOST_NUMBERS = 600, 12  # of the drawings of numbers: pictures of each, and numbers
NEIGHBOURS_AMONG = 4000  # training pictures whose features are compared


def page_of(
    trained: Trained,
    duplicates: Duplicates,
    answers: Mapping[str, np.ndarray],
    shown: str | None,
    earlier: str,
) -> Page:
    """What is kept of a training for its page.

    answers: by split. shown: the split whose answers are shown; None where nothing was held back. earlier: a sentence
    where the run that this one started from had learned from what is held back here; "" where it had not.
    """
    samples = trained.material.samples
    numbers = samples.task == REGRESSION
    return Page(
        title=samples.source.rstrip("/").rpartition("/")[2] or samples.source,
        created=datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC"),
        split=shown or TEST,
        summary=_summary(trained),
        trust=_trust(trained, duplicates, shown, earlier),
        reasons=tuple(trained.reasons),
        counts={} if numbers else {name: count.tolist() for name, count in samples.counts().items()},
        mistakes=() if shown is None else _mistakes(trained, shown, answers[shown]),
        unsure=() if shown is None else _unsure(trained, shown, answers[shown]),
        pictures=samples.pictures_by_split(),
        distributions=distributions(samples.class_names, samples.targets, samples.splits, samples.labelled)
        if numbers
        else (),
        points=_points(samples, shown, answers[shown]) if numbers and shown is not None else (),
    )


def _points(samples: Samples, split: str, answers: np.ndarray) -> tuple[tuple[tuple[float, float], ...], ...]:
    """Of each number (target, answer) of pictures evenly spaced in the split."""
    rows = samples.rows(split)
    chosen = np.linspace(0, len(rows) - 1, min(MOST_POINTS, len(rows))).astype(np.int64)
    targets, given = samples.targets[rows[chosen]], answers[chosen]
    return tuple(
        tuple(
            (float(f"{target:.6g}"), float(f"{answer:.6g}"))
            for target, answer in zip(targets[:, k], given[:, k], strict=True)
        )
        for k in range(min(MOST_NUMBERS, len(samples.class_names)))
    )


def _summary(trained: Trained) -> tuple[str, ...]:
    samples, resolved = trained.material.samples, trained.resolved
    counts, learned = samples.pictures_by_split(), TOLD[samples.task].learned(samples)
    if trained.out_of_fold is not None:
        of = "of" if samples.task == "classification" else "with"
        tested = f"; {counts[TEST]:,} were held back to test it" if TEST in counts else ""
        return (
            f"{resolved.network} (pretrained), its head fitted on the features of {len(trained.out_of_fold[0]):,} "
            f"pictures {of} {learned}, with a penalty chosen by cross-validation{tested}.",
        )
    how = "its last stages fine-tuned" if resolved.method == "frozen" else counted(len(trained.history), "epoch")
    parts = ", ".join(f"{counts[name]:,} for {name}" for name in (VALIDATION, TEST) if name in counts)
    drawn = ("A row is drawn as bars, one for each field, from its smallest value to its largest.",)
    return (
        f"{resolved.network}{' (pretrained)' if resolved.pretrained else ''}, {how}, learned "
        f"{learned} from {counts[TRAIN]:,} {samples.noun}s" + (f"; held back: {parts}." if parts else "."),
        *(drawn if samples.fields else ()),
    )


def _trust(trained: Trained, duplicates: Duplicates, shown: str | None, earlier: str) -> tuple[str, ...]:
    """How far the figure carries, in plain sentences."""
    samples = trained.material.samples
    said = [f"{earlier}."] if earlier and shown == TEST else []
    if shown is None:
        return ("Nothing was held back: there is no telling how well this model answers.",)
    number, noun = len(samples.rows(shown)), samples.noun
    if shown == VALIDATION:
        said.append(f"There is no test split: these are validation {noun}s, on which the best epoch was chosen.")
    if number < 100:
        held = counted(number, f"{noun} was", f"{noun}s were")
        said.append(f"Only {held} held back for this, so the interval is wide.")
    # A head is fitted on validation pictures too; what is shown of those is then out of fold.
    both = trained.out_of_fold is not None and shown == TEST
    learned = (TRAIN, VALIDATION) if both else (TRAIN,)
    leaked = [row for row in duplicates.leaked(learned) if samples.splits[row] == shown]
    if leaked:
        equal = "equals" if len(leaked) == 1 else "equal"
        said.append(f"{len(leaked)} of the {shown} {noun}s {equal} one that was learned from: the figure is too good.")
    uneven = TOLD[samples.task].uneven(samples)
    if uneven:
        said.append(uneven)
    if samples.left_out:
        said.append(f"{counted(len(samples.left_out), noun)} could not be used, as is listed below.")
    if not said:
        said.append(f"The {shown} {noun}s played no part in training or in any choice.")
    return tuple(said)


def _mistakes(trained: Trained, split: str, answers: np.ndarray) -> tuple[Mistaken, ...]:
    """The worst answers, each with the training pictures nearest to it."""
    samples = trained.material.samples
    nearest = partial(_nearest_training, trained, split)
    return TOLD[samples.task].mistakes(samples, samples.rows(split), answers, MOST_PICTURES, nearest)


def _unsure(trained: Trained, split: str, answers: np.ndarray) -> tuple[Unsure, ...]:
    """The answers with the least certainty, right or wrong."""
    samples = trained.material.samples
    return TOLD[samples.task].unsure(samples, samples.rows(split), answers, MOST_PICTURES)


def _nearest_training(trained: Trained, split: str, wanted: np.ndarray) -> dict[int, list[tuple[int, float]]]:
    """For each position of `wanted` in its split the nearest training rows, by cosine distance of features."""
    if not len(wanted):
        return {}
    material = trained.material
    # To look for pictures that are alike the number format of the training does, at half the time of float32.
    model = trained.model.answering_in(trained.resolved.precision)
    train_rows = material.samples.rows(TRAIN)
    step = max(1, -(-len(train_rows) // NEIGHBOURS_AMONG))
    among = np.arange(0, len(train_rows), step)
    part = getattr(model.network, "features", None)
    part = part if isinstance(part, torch.nn.Module) else model.network
    if trained.features is not None:
        rows, features = trained.features
        known = _unit(features[torch.from_numpy(np.searchsorted(rows, train_rows[among]))])
    elif TRAIN in material.held_back:
        known = _unit(model.outputs(material.held_back[TRAIN][torch.from_numpy(among)], part))
    elif material.store is not None:
        known = _unit(model.outputs(_prepared(model, material.store, among), part))
    else:
        return {}
    asked = _unit(model.outputs(material.held_back[split][torch.from_numpy(wanted)], part))
    distances = 1 - asked @ known.T
    nearest = np.argsort(distances, axis=1, kind="stable")[:, :NEIGHBOURS]
    return {
        int(at): [(int(train_rows[among[k]]), float(distances[i, k])) for k in nearest[i]]
        for i, at in enumerate(wanted)
    }


def _prepared(model: Model, store: PixelStore, chosen: np.ndarray) -> torch.Tensor:
    """Pictures `chosen` (n,) of the store as the network takes them, (n, C, h, w); all at once where they are so."""
    if store.uniform and as_it_is(tuple(store.shapes[0].tolist()), model.input_spec):
        return torch.from_numpy(store.block(chosen)).permute(0, 3, 1, 2)
    return torch.stack([model.prepare(store.pixels(int(index))) for index in chosen])


def _unit(features: torch.Tensor) -> np.ndarray:
    flat = features.flatten(1).numpy().astype(np.float64)
    lengths = np.linalg.norm(flat, axis=1, keepdims=True)
    unit: np.ndarray = flat / np.maximum(lengths, 1e-12)
    return unit
