"""How wrong an answer is: a table of losses, each a function (outputs (B, K), targets) -> (B,), differentiable.

targets are classes (B,) int64, or (B, K): shares of classes that sum to 1 (soft labels), 0/1 for several classes, or
numbers, as the task has them. The loss of a row is the sum over its K outputs, in the precision of `outputs`, and
depends on that row alone; tasks of labels and of numbers take the mean over the K instead. Importing this module
imports no torch. Legend: B batch, K outputs, t targets, s outputs.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from striate.errors import require, unknown

if TYPE_CHECKING:
    from torch import Tensor

FOCUS = 2.0  # gamma of the focal loss: the best of Lin et al. 2017, table 1b
MARGIN = 1.0
HUBER_FROM = 1.0  # where the Huber loss turns from a square into a line; numbers come standardised

CLASSES, LABELS, NUMBERS = "classification", "multilabel", "regression"


@dataclass(frozen=True, kw_only=True)
class Loss:
    """One row: the function, which tasks it fits, and what a person should know of it.

    smooths: whether a target between 0 and 1 pulls the answer there, without which smoothed labels mean nothing.
    """

    function: Callable[[Tensor, Tensor], Tensor]
    fits: tuple[str, ...]
    sentence: str
    needs: str
    cost: str
    good_for: str
    paper: str
    smooths: bool = False


def cross_entropy(outputs: Tensor, targets: Tensor) -> Tensor:
    """-sum_k t_k log softmax(s)_k, in nats."""
    from torch.nn import functional

    return functional.cross_entropy(outputs, targets, reduction="none")


def focal(outputs: Tensor, targets: Tensor) -> Tensor:
    """-sum_k t_k (1 - p_k)^2 log p_k with p = softmax(s) (Lin et al. 2017, eq. 4, with the softmax of section 3.4)."""
    logs = outputs.log_softmax(dim=1)
    return -(_shares(outputs, targets) * (1 - logs.exp()) ** FOCUS * logs).sum(dim=1)


def crammer_singer(outputs: Tensor, targets: Tensor) -> Tensor:
    """sum_k t_k max(0, 1 + max_{j != k} s_j - s_k) (Crammer and Singer 2001, section 3); of soft labels the mean."""
    highest = outputs.topk(2, dim=1)
    first, second = highest.values[:, :1], highest.values[:, 1:]
    others = first.expand_as(outputs).scatter(1, highest.indices[:, :1], second)
    return (_shares(outputs, targets) * (MARGIN + others - outputs).clamp_min(0)).sum(dim=1)


def one_versus_rest(outputs: Tensor, targets: Tensor) -> Tensor:
    """sum_k t_k max(0, 1 - s_k) + (1 - t_k) max(0, 1 + s_k): K machines that each tell one class from the rest."""
    shares = _shares(outputs, targets)
    return (shares * (MARGIN - outputs).clamp_min(0) + (1 - shares) * (MARGIN + outputs).clamp_min(0)).sum(dim=1)


def binary_cross_entropy(outputs: Tensor, targets: Tensor) -> Tensor:
    """-sum_k t_k log sigmoid(s_k) + (1 - t_k) log(1 - sigmoid(s_k)), in nats."""
    from torch.nn import functional

    shares = _shares(outputs, targets)
    return functional.binary_cross_entropy_with_logits(outputs, shares, reduction="none").sum(dim=1)


def focal_sigmoid(outputs: Tensor, targets: Tensor) -> Tensor:
    """-sum_k t_k (1 - p_k)^2 log p_k + (1 - t_k) p_k^2 log(1 - p_k) with p = sigmoid(s) (Lin et al. 2017, eq. 4)."""
    from torch.nn import functional

    shares = _shares(outputs, targets)
    logs, rest = functional.logsigmoid(outputs), functional.logsigmoid(-outputs)
    return -(shares * rest.exp() ** FOCUS * logs + (1 - shares) * logs.exp() ** FOCUS * rest).sum(dim=1)


def squared(outputs: Tensor, targets: Tensor) -> Tensor:
    """sum_k (s_k - t_k)^2."""
    return ((outputs - _shares(outputs, targets)) ** 2).sum(dim=1)


def absolute(outputs: Tensor, targets: Tensor) -> Tensor:
    """sum_k |s_k - t_k|."""
    return (outputs - targets).abs().sum(dim=1)


def huber(outputs: Tensor, targets: Tensor) -> Tensor:
    """sum_k of (s_k - t_k)^2 / 2 where that difference is below 1, and |s_k - t_k| - 1/2 beyond (Huber 1964, eq. 2)."""
    from torch.nn import functional

    return functional.huber_loss(outputs, targets, reduction="none", delta=HUBER_FROM).sum(dim=1)


def _shares(outputs: Tensor, targets: Tensor) -> Tensor:
    """Classes (B,) as shares (B, K) of the type of `outputs`; what is (B, K) already stays."""
    from torch.nn import functional

    if targets.dim() == 1:
        return functional.one_hot(targets, outputs.shape[1]).to(outputs.dtype)
    return targets.to(outputs.dtype)


LOSSES: dict[str, Loss] = {
    "cross-entropy": Loss(
        function=cross_entropy,
        fits=(CLASSES,),
        sentence="how unlikely the softmax of the outputs finds the true class; the loss of its own of one class",
        needs="one class a picture, or shares of classes",
        cost="the least",
        good_for="nearly everything: its probabilities are honest",
        paper="Bridle 1990; Bishop 2006, section 4.3.4",
        smooths=True,
    ),
    "focal": Loss(
        function=focal,
        fits=(CLASSES,),
        sentence="cross-entropy in which pictures that are answered well count less and less",
        needs="one class a picture, or shares of classes",
        cost="as cross-entropy",
        good_for="many easy pictures and few hard ones; too modest before calibration",
        paper="Lin et al. 2017 (arXiv:1708.02002)",
        smooths=True,
    ),
    "hinge": Loss(
        function=crammer_singer,
        fits=(CLASSES,),
        sentence="how far the true class is from being ahead of every other one by a margin of 1",
        needs="one class a picture, or shares of classes",
        cost="as cross-entropy",
        good_for="a support vector machine on the network; what is right by the margin teaches nothing more",
        paper="Crammer and Singer 2001, JMLR 2",
    ),
    "hinge-one-versus-rest": Loss(
        function=one_versus_rest,
        fits=(CLASSES, LABELS),
        sentence="how far each output is from being on its side of 0 by a margin of 1",
        needs="classes or labels",
        cost="as cross-entropy",
        good_for="support vector machines, one for each class or label",
        paper="Vapnik 1998; Rifkin and Klautau 2004, JMLR 5",
    ),
    "binary-cross-entropy": Loss(
        function=binary_cross_entropy,
        fits=(LABELS, CLASSES),
        sentence="how unlikely the sigmoid of each output finds what is true of it",
        needs="labels, classes, or shares of classes",
        cost="as cross-entropy",
        good_for="several classes at once; with mixed pictures also one class (Wightman et al. 2021)",
        paper="Bishop 2006, section 4.3.2; Wightman et al. 2021 (arXiv:2110.00476)",
        smooths=True,
    ),
    "focal-sigmoid": Loss(
        function=focal_sigmoid,
        fits=(LABELS, CLASSES),
        sentence="binary cross-entropy in which outputs that answer well count less and less",
        needs="labels, classes, or shares of classes",
        cost="as cross-entropy",
        good_for="labels that are rare: most outputs have an easy no",
        paper="Lin et al. 2017 (arXiv:1708.02002)",
        smooths=True,
    ),
    "squared": Loss(
        function=squared,
        fits=(NUMBERS, CLASSES),
        sentence="the squared difference of outputs and targets (of classes: 1 for the true one, 0 for the others)",
        needs="numbers, or classes",
        cost="the least",
        good_for="the mean of a number; far ones count most",
        paper="Gauss 1809; of classes: Hui and Belkin 2021 (arXiv:2006.07322)",
        smooths=True,
    ),
    "absolute": Loss(
        function=absolute,
        fits=(NUMBERS,),
        sentence="the absolute difference of outputs and targets",
        needs="numbers",
        cost="the least",
        good_for="the median of a number; wrong numbers in the table hardly count",
        paper="Laplace 1774; Bishop 2006, section 1.5.5",
    ),
    "huber": Loss(
        function=huber,
        fits=(NUMBERS,),
        sentence="the squared difference where it is small, the absolute one where it is large",
        needs="numbers",
        cost="the least",
        good_for="numbers of which some are far off",
        paper="Huber 1964, Annals of Mathematical Statistics 35",
    ),
}


def losses_for(task: str) -> list[str]:
    """The names of the losses that fit a task, its own first."""
    return sorted((name for name, row in LOSSES.items() if task in row.fits), key=lambda name: _rank(name, task))


def _rank(name: str, task: str) -> int:
    return LOSSES[name].fits.index(task)


def own_loss(task: str) -> str:
    """The name of the loss that a task has where none is named."""
    return losses_for(task)[0]


def require_loss(task: str, name: str, *, label_smoothing: float = 0.0, weighted: bool = False) -> Loss:
    """The row called `name`. Raises InputError where no loss is called so, where it does not fit `task`, and where
    smoothed labels, or weights of classes, mean nothing to it."""
    if name not in LOSSES:
        raise unknown("loss", name, LOSSES)
    row = LOSSES[name]
    require(task in row.fits, f"loss {name} does not fit {task}; what does: {', '.join(losses_for(task))}")
    smoothing = [one for one in losses_for(task) if LOSSES[one].smooths]
    require(
        not label_smoothing or row.smooths,
        f"label_smoothing {label_smoothing:g} means nothing to the loss {name}; leave it away, or take "
        + " or ".join(smoothing),
    )
    require(
        not weighted or task == CLASSES or name == own_loss(task),
        f"class_weights of {task} are those of the loss {own_loss(task)}, not of {name}; leave one of them away",
    )
    return row
