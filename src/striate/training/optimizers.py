"""How a gradient becomes a step: a table of optimizers by name.

The rules are in `rules.py`, what applies them is in `fused.py`.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from torch import nn

from striate.errors import require, unknown
from striate.networks.blocks import depths_of, hidden_matrices
from striate.training.fused import Fused, Groups, Kernel, Optimizer
from striate.training.part_settings import OptimizerSettings
from striate.training.rules import adagrad_rule, adam_rule, adamw_rule, muon_rule, rmsprop_rule, sgd_rule


def weight_groups(network: nn.Module, weight_decay: float, layer_decay: float = 1.0) -> Groups:
    """Weights that decay, and biases and scales of norms, which do not.

    A bias or a scale has no direction to shrink: L2 on them only moves the function
    (He et al. 2019, "Bag of tricks", arXiv:1812.01187, section 3.1).
    Where `layer_decay` is not 1, weights of each depth have groups of their own, with the `scale` of their learning
    rate: 1 for the head, `layer_decay` for the block before it, its square before that (Howard and Ruder 2018,
    arXiv:1801.06146, section 3.2; the form of Clark et al. 2020, arXiv:2003.10555).
    """
    trained = [weight for weight in network.parameters() if weight.requires_grad]
    depths = dict.fromkeys(trained, 0) if layer_decay == 1 else depths_of(network)
    groups: Groups = []
    for depth in sorted({depths[weight] for weight in trained}):
        here = [weight for weight in trained if depths[weight] == depth]
        scaled = {} if layer_decay == 1 else {"scale": layer_decay**depth}
        groups += [
            {"params": [weight for weight in here if weight.ndim > 1], "weight_decay": weight_decay, **scaled},
            {"params": [weight for weight in here if weight.ndim <= 1], "weight_decay": 0.0, **scaled},
        ]
    return [group for group in groups if group["params"]]


def sgd(network: nn.Module, settings: OptimizerSettings) -> Optimizer:
    """Stochastic gradient descent with momentum (Sutskever et al. 2013 for Nesterov's); equal to torch.optim.SGD."""
    momentum = settings.momentum or 0.0
    values = {"momentum": momentum, "nesterov": settings.nesterov and momentum > 0}
    return _of_one(network, settings, values, Kernel(sgd_rule, ("momentum_buffer",) if momentum else ()))


def adamw(network: nn.Module, settings: OptimizerSettings) -> Optimizer:
    """Adam with decoupled weight decay (Loshchilov & Hutter 2019, arXiv:1711.05101, algorithm 2); equal to
    torch.optim.AdamW."""
    return _of_one(network, settings, _moments(settings), ADAMW)


def adam(network: nn.Module, settings: OptimizerSettings) -> Optimizer:
    """Adam (Kingma & Ba 2015, arXiv:1412.6980, algorithm 1), weight decay as L2 in the gradient; equal to
    torch.optim.Adam."""
    return _of_one(network, settings, _moments(settings), Kernel(adam_rule, MOMENTS))


def rmsprop(network: nn.Module, settings: OptimizerSettings) -> Optimizer:
    """The gradient over the root of its mean square (Tieleman & Hinton 2012, lecture 6.5); equal to
    torch.optim.RMSprop, which has no fused kernel either."""
    momentum = settings.momentum or 0.0
    decay = RMSPROP_DECAY if settings.beta2 is None else settings.beta2
    values = {"momentum": momentum, "alpha": decay, "eps": 1e-8}
    keeps = ("square_avg", "momentum_buffer") if momentum else ("square_avg",)
    return _of_one(network, settings, values, Kernel(rmsprop_rule, keeps))


def adagrad(network: nn.Module, settings: OptimizerSettings) -> Optimizer:
    """The gradient over the root of the sum of its squares so far (Duchi et al. 2011, JMLR 12, figure 1, diagonal);
    equal to torch.optim.Adagrad."""
    return _of_one(network, settings, {"eps": 1e-10}, Kernel(adagrad_rule, ("step", "sum")))


def muon(network: nn.Module, settings: OptimizerSettings) -> Optimizer:
    """Matrices of hidden layers by Muon (`muon.py`), all else by AdamW, as Muon's makers do; one learning rate for
    both, which Liu et al. 2025 (arXiv:2502.16982, section 2.2) make possible. Filters count as matrices (filters,
    what each sees)."""
    matrices = set(hidden_matrices(network))
    momentum = MUON_MOMENTUM if settings.momentum is None else settings.momentum
    by_matrix = {"momentum": momentum, "nesterov": settings.nesterov}
    groups, kernels = [], []
    for group in weight_groups(network, settings.weight_decay or 0.0, settings.layer_decay):
        for mine, values, kernel in (
            (True, by_matrix, Kernel(muon_rule, ("momentum_buffer",))),
            (False, _moments(settings), ADAMW),
        ):
            weights = [weight for weight in group["params"] if (weight in matrices) is mine]
            if weights:
                groups.append({**group, **values, "params": weights})
                kernels.append(kernel)
    return Fused(groups, kernels)


def lbfgs(network: nn.Module, settings: OptimizerSettings) -> Optimizer:
    """L-BFGS (Nocedal & Wright 2006, algorithm 7.5) with a strong Wolfe line search, on all pictures at once."""
    from striate.training.lbfgs import LBFGS

    return LBFGS(weight_groups(network, settings.weight_decay or 0.0), settings.history, settings.iterations)


def _of_one(network: nn.Module, settings: OptimizerSettings, values: dict[str, Any], kernel: Kernel) -> Optimizer:
    """One kernel for every group of the network's weights."""
    groups = weight_groups(network, settings.weight_decay or 0.0, settings.layer_decay)
    return Fused([{**group, **values} for group in groups], [kernel] * len(groups))


def _moments(settings: OptimizerSettings) -> dict[str, Any]:
    return {"betas": (settings.beta1, ADAM_DECAY if settings.beta2 is None else settings.beta2), "eps": 1e-8}


MOMENTS = ("step", "exp_avg", "exp_avg_sq")
ADAMW = Kernel(adamw_rule, MOMENTS)
ADAM_DECAY, RMSPROP_DECAY, MUON_MOMENTUM = 0.999, 0.99, 0.95  # of their papers and of torch


@dataclass(frozen=True, kw_only=True)
class Part:
    """One row of the table: what makes the optimizer, and what a person should know of it.

    rate and start: the learning rate and the settings of a network that was not tuned with it.
    """

    build: Callable[[nn.Module, OptimizerSettings], Optimizer]
    rate: float
    start: OptimizerSettings
    sentence: str
    needs: str
    cost: str
    good_for: str
    paper: str


OPTIMIZERS: dict[str, Part] = {
    "sgd": Part(
        build=sgd,
        rate=0.05,
        start=OptimizerSettings(name="sgd", momentum=0.9, weight_decay=5e-4),
        sentence="a step along the gradient and a share of the step before",
        needs="a learning rate that suits the network",
        cost="one number kept for each weight; one fused kernel",
        good_for="convolutional networks that train from nothing",
        paper="Robbins and Monro 1951; Polyak 1964; Sutskever et al. 2013",
    ),
    "adamw": Part(
        build=adamw,
        rate=1e-3,
        start=OptimizerSettings(name="adamw", weight_decay=0.05),
        sentence="each weight moves by its mean gradient over the root of its mean square; decay apart from both",
        needs="nothing",
        cost="two numbers kept for each weight; one fused kernel",
        good_for="transformers, pretrained networks, networks that nobody has tuned",
        paper="Loshchilov and Hutter 2019 (arXiv:1711.05101)",
    ),
    "adam": Part(
        build=adam,
        rate=1e-3,
        start=OptimizerSettings(name="adam", weight_decay=0.0),
        sentence="the same with the decay in the gradient",
        needs="nothing",
        cost="two numbers kept for each weight; one fused kernel",
        good_for="repeating what was trained with it; otherwise adamw",
        paper="Kingma and Ba 2015 (arXiv:1412.6980)",
    ),
    "rmsprop": Part(
        build=rmsprop,
        rate=1e-3,
        start=OptimizerSettings(name="rmsprop", momentum=0.9, weight_decay=1e-5),
        sentence="each weight moves by its gradient over the root of its mean square",
        needs="nothing",
        cost="one or two numbers kept for each weight; no fused kernel",
        good_for="repeating MobileNet and EfficientNet, which were trained with it",
        paper="Tieleman and Hinton 2012, lecture 6.5",
    ),
    "adagrad": Part(
        build=adagrad,
        rate=0.01,
        start=OptimizerSettings(name="adagrad", weight_decay=0.0),
        sentence="each weight moves by its gradient over the root of the sum of all its squares: ever less",
        needs="nothing",
        cost="one number kept for each weight; one fused kernel",
        good_for="inputs of which most are nearly always zero; short runs",
        paper="Duchi, Hazan, Singer 2011, JMLR 12",
    ),
    "lbfgs": Part(
        build=lbfgs,
        rate=1.0,
        start=OptimizerSettings(name="lbfgs", weight_decay=0.0),
        sentence="the curvature is learned from the last steps, and the length of a step is searched",
        needs="all pictures in one batch, float32, no variation of pictures, no dropout",
        cost="two numbers kept for each weight and remembered step; many passes a step",
        good_for="small sets and small networks, to the bottom",
        paper="Liu and Nocedal 1989; Nocedal and Wright 2006, algorithms 3.5 and 7.5",
    ),
    "muon": Part(
        build=muon,
        rate=2e-3,
        start=OptimizerSettings(name="muon", weight_decay=0.05),
        sentence="the momentum of each hidden matrix is made orthogonal, so that all its directions move alike; "
        "the rest by adamw",
        needs="hidden layers",
        cost="one number kept for each weight of a matrix; some products of matrices a step",
        good_for="few epochs: each step goes further",
        paper="Jordan et al. 2024 (kellerjordan.github.io/posts/muon); Liu et al. 2025 (arXiv:2502.16982)",
    ),
}


def build_optimizer(network: nn.Module, settings: OptimizerSettings, rate: float) -> Optimizer:
    """The optimizer that the settings name, over the trained weights.

    Raises InputError for an unknown name, and where no weight of the network is trained.
    """
    if settings.name not in OPTIMIZERS:
        raise unknown("optimizer", str(settings.name), OPTIMIZERS)
    trained = any(weight.requires_grad for weight in network.parameters())
    require(trained, "the network has nothing to train: none of its weights has requires_grad")
    optimizer = OPTIMIZERS[settings.name].build(network, settings)
    set_rate(optimizer, rate)
    return optimizer


def set_rate(optimizer: Optimizer, rate: float) -> None:
    """Set the learning rate of every group, each scaled as its depth says."""
    for group in optimizer.param_groups:
        group["lr"] = rate * group.get("scale", 1.0)
