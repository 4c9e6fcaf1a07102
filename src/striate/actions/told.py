"""What a training tells of its answers beside figures, by task: which were worst, which least sure, in what words.

`TOLD` maps the name of a task (in `striate.tasks.TASKS`) to the module that tells it. Legend: N held-back pictures,
K classes, labels or numbers.
"""

from __future__ import annotations

from typing import Protocol

import numpy as np

from striate.actions import told_classes, told_labels, told_numbers
from striate.actions.kept_page import Mistaken, Nearest, Unsure
from striate.data.samples import Samples


class Told(Protocol):
    """Rows (N,) are those of the split in `samples`, answers (N, K) what was answered for them."""

    def learned(self, samples: Samples) -> str:
        """What was to be learned, to follow "learned": "3 classes"."""
        ...

    def uneven(self, samples: Samples) -> str:
        """A sentence where the training pictures are so uneven that the figure of the whole misleads; "" else."""
        ...

    def mistakes(
        self, samples: Samples, rows: np.ndarray, answers: np.ndarray, most: int, nearest: Nearest
    ) -> tuple[Mistaken, ...]:
        """The worst answers, at most `most`, the worst first, each with the training pictures nearest to it."""
        ...

    def unsure(self, samples: Samples, rows: np.ndarray, answers: np.ndarray, most: int) -> tuple[Unsure, ...]:
        """The answers with the least certainty, right or wrong; none where an answer has no certainty."""
        ...


TOLD: dict[str, Told] = {
    "classification": told_classes,
    "multilabel": told_labels,
    "regression": told_numbers,
}
