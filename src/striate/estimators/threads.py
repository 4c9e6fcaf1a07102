"""How many threads an estimator takes: no more than the program around it has, and one where steps are small."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch

from striate.machine.threads import threads_for, usable_cores, with_threads
from striate.models.model import Model
from striate.taps.multiply_adds import multiply_adds


def cores_here() -> int:
    """Cores that this process may use, at most the threads that torch has: joblib gives each of its workers a part."""
    return min(usable_cores(), torch.get_num_threads())


@contextmanager
def threads_for_batches(model: Model, size: int) -> Iterator[None]:
    """torch works with as many threads as batches of `size` pictures are worth, and then as it did before."""
    spec = model.input_spec
    blank = model.inputs(torch.zeros(1, spec.channels, spec.height, spec.width).to(model.device))
    with with_threads(threads_for(size * multiply_adds(model.network, blank), cores_here())):
        yield
