"""Whether a mirrored picture keeps its label, asked of the training pictures alone.

Idea: a kernel ridge classifier on gradient features is fitted twice on two thirds of the pictures, once as they are
and once on each picture together with its mirror image. Where mirrors keep their label the second is no worse on the
last third; where they do not (digits, letters) it is. Costs below a second for 2,000 pictures.
Limits: thresholds were set on seven sets (digits twice, clothes, CIFAR, photographs); with few pictures nothing is
proved, and colour pictures, which mostly are photographs, are then mirrored, grey ones are not.
Legend: N pictures, C channels, H W pixels, K classes, F features.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from striate.data.draws import permutation

LARGEST_SAMPLE, FOLDS, RIDGE = 2000, 3, 0.1
# Paired t below which mirrors count as harmful; colour pictures need more evidence.
HARMFUL_GREY, HARMFUL_COLOUR = -2.5, -4.0
# Grey: accuracy above chance on mirrors by that on plain pictures; signs stay below, clothes at 0.62 to 0.67.
LOWEST_RATIO_GREY = 0.55
FEWEST_GREY, FEWEST_COLOUR = 100, 200
SIDE = 28
PURPOSE = 7  # of the draw that picks the sample


@dataclass(frozen=True, kw_only=True)
class MirrorEvidence:
    """`harmless`: mirrors keep their label. `t`: paired statistic of the squared error on held-out pictures, plain
    training minus training with mirrors (below 0: mirrors hurt). `ratio`: accuracy above chance on mirrors by that
    on plain pictures."""

    harmless: bool
    t: float
    ratio: float
    pictures: int


def sample_rows(number: int, seed: int) -> np.ndarray:
    """Which of `number` pictures are asked (at most LARGEST_SAMPLE), drawn from the seed."""
    return permutation(seed, 0, number, purpose=PURPOSE)[:LARGEST_SAMPLE]


def gradient_features(pictures: Tensor) -> Tensor:
    """(N, C, H, W) -> (N, F): 8 gradient directions in a grid of at most 7x7 cells, as a square root."""
    grey = pictures.float().mean(1, keepdim=True)
    rows, columns = grey.shape[-2:]
    grey = functional.adaptive_avg_pool2d(grey, (min(rows, SIDE), min(columns, SIDE)))
    padded = functional.pad(grey, (1, 1, 1, 1), mode="replicate")
    across = padded[..., 1:-1, 2:] - padded[..., 1:-1, :-2]
    down = padded[..., 2:, 1:-1] - padded[..., :-2, 1:-1]
    angles = [index * math.pi / 4 for index in range(8)]
    strength = torch.cat([(across * math.cos(a) + down * math.sin(a)).clamp_(min=0) for a in angles], 1)
    cells = functional.adaptive_avg_pool2d(strength, (min(rows, 7), min(columns, 7)))
    features: Tensor = (cells / (cells.norm(dim=1, keepdim=True) + 0.3 * cells.mean() + 1e-6)).sqrt().flatten(1)
    return features


def mirror_evidence(pictures: Tensor, targets: np.ndarray, *, grey: bool) -> MirrorEvidence:
    """pictures (N, C, H, W) of one size from the training split, in random order (the folds go by it), targets (N,)
    class numbers, or (N, K) labels or shares, of which the ratio is not known (1)."""
    several = np.ndim(targets) == 2
    if several:
        wanted, enough = torch.from_numpy(np.asarray(targets, dtype=np.float32)), True
    else:
        classes, numbers = np.unique(np.asarray(targets), return_inverse=True)
        labels, enough = torch.from_numpy(numbers), len(classes) >= 2
        wanted = functional.one_hot(labels, len(classes)).float()
    number = len(pictures)
    if not enough or number < 2 * FOLDS or pictures.shape[-1] < 2:
        return MirrorEvidence(harmless=not grey, t=0.0, ratio=1.0, pictures=number)
    plain, mirrored = gradient_features(pictures), gradient_features(pictures.flip(-1))
    deviation = plain.std(0) + 0.1 * plain.std() + 1e-6
    plain, mirrored = plain / deviation, mirrored / deviation
    to_plain, to_mirrored = torch.cdist(plain, plain).square(), torch.cdist(plain, mirrored).square()
    scale = to_plain[:300, -300:].median().clamp(min=1e-6)
    to_plain, to_mirrored = torch.exp(-to_plain / scale), torch.exp(-to_mirrored / scale)
    both = to_plain + to_mirrored  # a picture and its mirror share one coefficient: a kernel of the same size
    wanted = wanted - wanted.mean(0)
    fold = torch.arange(number) % FOLDS
    answers = torch.zeros(3, number, wanted.shape[1])  # plain by plain, mirrored by plain, plain by both
    for held_out in range(FOLDS):
        known, asked = (fold != held_out).nonzero()[:, 0], (fold == held_out).nonzero()[:, 0]
        ridge = RIDGE * torch.eye(len(known))
        weights = torch.linalg.solve(to_plain[known][:, known] + ridge, wanted[known])
        answers[0, asked] = to_plain[asked][:, known] @ weights
        answers[1, asked] = to_mirrored[asked][:, known] @ weights
        answers[2, asked] = both[asked][:, known] @ torch.linalg.solve(both[known][:, known] + ridge, wanted[known])
    gain = (answers[0] - wanted).square().sum(1) - (answers[2] - wanted).square().sum(1)
    t = float(gain.mean() / (gain.std() + 1e-9) * math.sqrt(number))
    ratio = 1.0
    if not several:
        accuracy = (answers.argmax(2) == labels).float().mean(1)
        chance = float(labels.bincount().max()) / number
        ratio = float((accuracy[1] - chance) / (accuracy[0] - chance).clamp(min=1e-3))
    if grey:
        harmless = t > HARMFUL_GREY and ratio > LOWEST_RATIO_GREY and number >= FEWEST_GREY
    else:
        harmless = t > HARMFUL_COLOUR or number < FEWEST_COLOUR
    return MirrorEvidence(harmless=harmless, t=t, ratio=ratio, pictures=number)
