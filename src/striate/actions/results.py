"""What comes out of a training: the model, predictions, figures with intervals, the card and the report."""

from __future__ import annotations

import csv
import hashlib
import io
import time
from collections.abc import Mapping
from datetime import UTC, datetime
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from striate.actions.job import Job, Material, Trained, fingerprint
from striate.actions.page import Mistaken, Page, Unsure, compose
from striate.actions.told import TOLD
from striate.data.distribution import distributions
from striate.data.pixel_store import PixelStore
from striate.data.resample import as_it_is
from striate.data.samples import TEST, TRAIN, VALIDATION, Samples
from striate.data.splits import Duplicates, find_equal
from striate.evaluation import evaluate_answers
from striate.machine.description import describe_machine, versions
from striate.models import predictions
from striate.models.hub import fetched
from striate.models.model import Model
from striate.models.run import json_text, write_model, write_seen
from striate.models.run_files import CARD, HISTORY, METRICS, PREDICTIONS, REPORT, read_seen
from striate.training.history import history_text
from striate.training.parallel import shared_rows
from striate.words import counted

if TYPE_CHECKING:
    from striate.models.card import CardFacts
    from striate.reports.training_report import TrainingReport

MOST_PICTURES = 12  # worst mistakes and least sure answers on the page
NEIGHBOURS = 4
MOST_POINTS, MOST_NUMBERS = 600, 12  # of the drawings of numbers: pictures of each, and numbers
NEIGHBOURS_AMONG = 4000  # training pictures whose features are compared
SCHEMA = 1
OUT_OF_FOLD = "cross_validation"


def write_results(job: Job, trained: Trained) -> None:
    """Answer the held-back pictures and write every file of the run that is not there yet."""
    run, observer, model, material = job.run, job.observer, trained.model, trained.material
    samples = material.samples
    run.write(HISTORY, history_text(trained.history))
    duplicates = find_equal(material.checksums, samples)
    for sentence in duplicates.sentences():
        observer.warn(sentence)
    write_model(
        run,
        model,
        trained.described,
        {
            "weights": trained.weights_words,
            "versions": versions(),
            "data": {
                "source": samples.source,
                "fingerprint": fingerprint(material),
                "pictures": samples.pictures_by_split(),
            },
        },
    )
    learned, chosen = _seen(trained)
    if learned.all():  # streamed pictures are not looked at before they are learned from
        write_seen(run, learned, chosen)
    earlier = _seen_earlier(job, material)
    if earlier:
        observer.warn(earlier)
    began = time.monotonic()
    evaluations: dict[str, Any] = {}
    answers: dict[str, np.ndarray] = {}
    for split, pictures in material.held_back.items():
        if split == TRAIN:
            continue
        scores = trained.scores.get(split)
        if scores is None:
            watch = partial(observer.progress, f"answering {split}")
            scores = shared_rows(job.ranks, pictures, partial(model.outputs, part=model.network, observe=watch))
        if not job.ranks.first:
            continue  # it has answered its part; the first does the rest
        answers[split] = model.task.decode(scores).numpy()
        targets = samples.targets[samples.rows(split)]
        evaluations[split] = evaluate_answers(
            samples.task, answers[split], targets, samples.class_names, job.recipe.seed
        ).to_json()
    if not job.ranks.first:
        return
    if trained.out_of_fold is not None:
        rows, probabilities = trained.out_of_fold
        known = np.isfinite(probabilities[:, 0])
        if known.any():
            evaluations[OUT_OF_FOLD] = evaluate_answers(
                samples.task, probabilities[known], samples.targets[rows[known]], samples.class_names, job.recipe.seed
            ).to_json()
    shown = TEST if TEST in answers else VALIDATION if VALIDATION in answers else None
    seconds = {**trained.seconds, "evaluation": time.monotonic() - began}
    if shown is not None:
        rows = samples.rows(shown)
        run.write(PREDICTIONS, predictions_text(samples.select(rows), answers[shown]))
    left_out = [{"path": one.name, "reason": one.reason} for one in samples.left_out]
    seconds["total"] = time.monotonic() - job.started
    metrics = {
        "schema": SCHEMA,
        **evaluations,
        "counts": {
            "found": len(samples) + len(left_out),
            "used": len(samples),
            "left_out": len(left_out),
            "by_split": samples.pictures_by_split(),
        },
        "left_out": left_out,
        "equal_pictures": duplicates.to_json(),
        "best_epoch": trained.best_epoch,
        "tested": None if shown is None else _digest(material, shown),
        "seconds": {name: round(value, 3) for name, value in seconds.items()},
        "machine": describe_machine(model.device, trained.resolved.threads),
        "page": _page(trained, duplicates, answers, shown, earlier).to_json(),
    }
    run.write(METRICS, json_text(metrics))
    from striate.models.card import model_card
    from striate.reports.pages import training_report

    report, _ = compose(run, samples)
    run.write(CARD, model_card(_card(job, trained, report, evaluations.get(shown) if shown else None)))
    run.write(REPORT, training_report(report))


def _seen(trained: Trained) -> tuple[np.ndarray, np.ndarray]:
    """Checksums of the pictures that were learned from, and of those that the best weights were chosen by. A head that
    was fitted on training and validation learned from both."""
    samples, checksums = trained.material.samples, trained.material.checksums
    training, validation = checksums[samples.rows(TRAIN)], checksums[samples.rows(VALIDATION)]
    if trained.out_of_fold is not None:
        return checksums[trained.out_of_fold[0]], validation[:0]
    return training, validation


def _seen_earlier(job: Job, material: Material) -> str:
    """A sentence where pictures that are held back here were learned from by the run that this one started from."""
    seen = None if job.start is None else read_seen(fetched(job.start.run))
    if job.start is None or seen is None:
        return ""
    rows = material.samples.rows(TEST)
    number = int(np.isin(material.checksums[rows], seen[0]).sum())
    if not number:
        return ""
    return (
        f"{number:,} of the {len(rows):,} test pictures {'was' if number == 1 else 'were'} learned from by "
        f"{job.start.run}, from which this run started: the figure is too good"
    )


def predictions_text(samples: Samples, answers: np.ndarray) -> str:
    """`predictions.csv`: what each picture is, what was answered, with what probability; see `models.predictions`."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(predictions.columns(samples.task, samples.class_names))
    writer.writerows(predictions.lines(samples.task, samples.names, samples.targets, answers, samples.class_names))
    return text.getvalue()


def _digest(material: Material, split: str) -> str:
    """A text that is equal for equal pictures in a split, in any order: runs are compared picture by picture."""
    checksums = np.sort(material.checksums[material.samples.rows(split)])
    return hashlib.blake2b(np.ascontiguousarray(checksums).tobytes(), digest_size=16).hexdigest()


def _page(
    trained: Trained,
    duplicates: Duplicates,
    answers: Mapping[str, np.ndarray],
    shown: str | None,
    earlier: str,
) -> Page:
    samples = trained.material.samples
    numbers = samples.task == "regression"
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


def _card(job: Job, trained: Trained, report: TrainingReport, evaluation: Mapping[str, Any] | None) -> CardFacts:
    from striate.models.card import CardFacts

    samples, spec = trained.material.samples, trained.model.input_spec
    return CardFacts(
        title=report.title,
        source=report.source,
        network=trained.resolved.network,
        task=samples.task,
        class_names=samples.class_names,
        counts=samples.pictures_by_split(),
        command=report.command,
        pretrained=trained.resolved.pretrained,
        input_size=(spec.channels, spec.height, spec.width),
        fields=samples.fields,
        evaluation=evaluation,
        split=report.split,
        summary=report.summary,
        trust=report.trust,
        left_out=len(samples.left_out),
        created=report.created,
        versions=report.versions,
    )
