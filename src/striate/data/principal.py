"""The principal axes of the colours of some pictures, along which AlexNet's colour shift moves (Krizhevsky et al. 2012,
section 4.1).

C: channels. Colours are in units of [0, 1], as the paper's strength of 0.1 is used everywhere.
"""

from __future__ import annotations

import numpy as np

from striate.data.pieces import pieces
from striate.data.pixel_store import Pixels
from striate.errors import require


def colour_axes(pictures: Pixels, channels: int) -> tuple[float, ...]:
    """What a shift of 1 along each principal axis adds to a colour, in [0, 1] units: the C numbers of the first axis,
    then those of the next, C * C in all, the axis of the largest variance first.

    An axis is an eigenvector of the covariance of all pixels, of length 1, times its eigenvalue (the sum in section
    4.1 of the paper). Eigenvectors have no sign: the largest entry of each is positive. Sums over 8-bit pictures
    are of whole numbers below 2^53, so that the order of pictures does not matter. Raises InputError without pictures.
    """
    number, total, products = 0, np.zeros(channels), np.zeros((channels, channels))
    for values in pieces(pictures, channels):
        wide = values.astype(np.float64)
        number += len(wide)
        total += wide.sum(axis=0)
        products += wide.T @ wide
    require(number > 0, "there are no training pictures to find the axes of colour in")
    mean = total / number
    covariance = (products / number - np.outer(mean, mean)) / 255**2
    variances, vectors = np.linalg.eigh(covariance)
    axes = []
    for variance, vector in zip(variances[::-1], vectors.T[::-1], strict=True):
        sign = 1.0 if vector[np.abs(vector).argmax()] >= 0 else -1.0
        axes += [float(max(variance, 0.0) * sign * entry) for entry in vector]
    return tuple(axes)
