"""Drawing rows so that every class comes equally often: a function of (seed, epoch) and of the classes alone.

In an epoch of n draws each of the K classes is drawn n / K times, or once more (which ones changes from epoch to
epoch). The rows of a class are drawn without putting them back, in a new order each epoch, until none is left, and then
from the beginning: of a rare class each row comes almost equally often, of a common one another part in each epoch.
Legend: n rows, K classes.
"""

from __future__ import annotations

import numpy as np

from striate.data.draws import uniforms

PURPOSE_OF_CLASSES, PURPOSE_OF_ROWS, PURPOSE_OF_ORDER = 11, 12, 13
# What is added to the number of a row that comes again in an epoch, before what happens to its picture is drawn: it is
# then varied in another way.
AGAIN = 1 << 40


def balanced_order(seed: int, epoch: int, classes: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Indices (n,) int64 into `classes` (n,), and how often each had come before in this epoch (n,) int64.

    classes: numbers of classes; those that have no row are not drawn.
    """
    count = len(classes)
    names, place = np.unique(classes, return_inverse=True)
    sizes = np.bincount(place)
    wanted = np.full(len(names), count // len(names))
    first = np.argsort(uniforms(seed, epoch, np.arange(len(names)), 1, purpose=PURPOSE_OF_CLASSES)[:, 0], kind="stable")
    wanted[first[: count % len(names)]] += 1
    drawn = uniforms(seed, epoch, np.arange(count), 1, purpose=PURPOSE_OF_ROWS)[:, 0]
    by_class = np.lexsort((drawn, place))  # the rows of each class in their order of this epoch
    starts = np.cumsum(sizes) - sizes
    label = np.repeat(np.arange(len(names)), wanted)
    number = np.arange(count) - np.repeat(np.cumsum(wanted) - wanted, wanted)  # of the draw within its class
    rows, before = by_class[starts[label] + number % sizes[label]], number // sizes[label]
    shuffled = np.argsort(uniforms(seed, epoch, np.arange(count), 1, purpose=PURPOSE_OF_ORDER)[:, 0], kind="stable")
    return rows[shuffled].astype(np.int64), before[shuffled].astype(np.int64)
