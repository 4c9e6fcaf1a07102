"""What a training has to go by: the table without what could not be read, and what is held back of it."""

from __future__ import annotations

import numpy as np

from striate.actions.job import Job, Machine, Material, report_left_out, require_classes
from striate.actions.streamed import identities, prepare_split
from striate.data.samples import TEST, TRAIN, VALIDATION, Samples
from striate.data.store import StoreResult
from striate.models.input_spec import InputSpec
from striate.models.model import PreparedLike
from striate.training.loop import Validation


def hold_back(
    job: Job, samples: Samples, spec: InputSpec, reading: StoreResult, machine: Machine, *, stream: bool
) -> Material:
    """Validation and test as the network takes them, and the table without what could not be read."""
    failures = list(reading.failures)
    checksums = np.zeros(len(samples), dtype=np.uint64)
    if stream:
        checksums[samples.rows(TRAIN)] = identities(samples, samples.rows(TRAIN))
    checksums[reading.rows] = reading.checksums
    held_back: dict[str, PreparedLike] = {}
    for split in (VALIDATION, TEST):
        prepared, pictures = prepare_split(job, samples, split, spec, machine)
        checksums[prepared.rows] = prepared.checksums
        failures += prepared.failures
        if len(prepared.rows):
            held_back[split] = pictures
    report_left_out(job, samples, failures)
    used = samples.without(failures)
    require_classes(used)
    kept = np.ones(len(samples), dtype=bool)
    kept[[row for row, _ in failures]] = False
    return Material(
        samples=used, store=None if stream else reading.store, held_back=held_back, checksums=checksums[kept]
    )


def validation_of(material: Material) -> Validation | None:
    """The pictures that are held back to choose the best epoch, if there are any."""
    if VALIDATION not in material.held_back:
        return None
    rows = material.samples.rows(VALIDATION)
    return Validation(material.held_back[VALIDATION], material.samples.targets[rows])
