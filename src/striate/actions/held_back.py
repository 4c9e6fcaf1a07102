"""Pictures as the network takes them, for a training: those of an earlier training on the same ones, where kept."""

from __future__ import annotations

import json

import numpy as np

from striate.actions.job import Machine
from striate.data import kept
from striate.data.preparing import PreparedResult, prepare_all, prepare_kept
from striate.data.samples import Samples
from striate.data.streaming import in_turn
from striate.models.input_spec import InputSpec
from striate.observer import Observer


def prepare_for(
    spec: InputSpec,
    samples: Samples,
    rows: np.ndarray,
    machine: Machine,
    observer: Observer,
    what: str,
    *,
    keep: bool = True,
) -> PreparedResult:
    """`rows` (n,) of `samples` brought to the input of the network. `keep`: look for them in the cache folder, and
    keep them there; not those behind an address, which would be fetched twice to be recognised."""
    if not keep:
        with in_turn(samples, rows) as turned:
            return prepare_all(
                turned, rows, spec.prepare, threads=machine.threads, observer=observer, what=what, frame=spec
            )
    return prepare_kept(
        samples,
        rows,
        spec.prepare,
        how=json.dumps(spec.to_json(), sort_keys=True),
        size=f"{spec.width}x{spec.height}, as a network takes them",
        keep_from=kept.KEEP_FROM,
        threads=machine.threads,
        observer=observer,
        what=what,
        frame=spec,
    )
