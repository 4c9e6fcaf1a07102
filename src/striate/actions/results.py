"""What comes out of a training: the model, predictions, figures with intervals, the card and the report."""

from __future__ import annotations

import csv
import hashlib
import io
import time
from collections.abc import Mapping
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np

from striate.actions.job import Job, Material, Trained, fingerprint
from striate.actions.page import compose
from striate.actions.trained_page import page_of
from striate.data.duplicates import find_equal
from striate.data.samples import TEST, TRAIN, VALIDATION, Samples
from striate.evaluation import evaluate_answers
from striate.machine.description import describe_machine, versions
from striate.models import predictions
from striate.models.hub import fetched
from striate.models.run import json_text, write_model, write_seen
from striate.models.run_files import CARD, HISTORY, METRICS, PREDICTIONS, REPORT, read_seen
from striate.networks.build import every_argument
from striate.training.history import history_text
from striate.training.parallel import shared_rows

if TYPE_CHECKING:
    from striate.models.card import CardFacts
    from striate.reports.training_report import TrainingReport

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
    name, arguments = trained.resolved.network, trained.resolved.arguments
    write_model(
        run,
        model,
        {"name": name, "arguments": every_argument(name, arguments)},
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
        "page": page_of(trained, duplicates, answers, shown, earlier).to_json(),
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
