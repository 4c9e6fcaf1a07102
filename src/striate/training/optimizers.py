"""How a gradient becomes a step: a table of rules, most of them torch's fused kernels over groups of weights.

The rules are called without `torch.optim`: its first optimizer imports torch's compiler, which takes as long as torch
itself, and its wrappers cost a millisecond a step, a fifth of a small network's. State is kept and named as there, so
that an optimizer of torch's stands in the same place (L-BFGS does: `lbfgs.py`). Legend: weights and gradients of any
shape.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import torch
from torch import Tensor, nn

from striate.errors import require, unknown
from striate.networks.blocks import depths_of, hidden_matrices
from striate.training.muon import orthogonalized
from striate.training.recipe import OptimizerSettings

# {"params": [weights], "weight_decay": number, "scale": of the learning rate, ...}
Groups = list[dict[str, Any]]
# (group, weights, gradients, state of each weight): changes weights and states in place.
Rule = Callable[[dict[str, Any], list[Tensor], list[Tensor], list[dict[str, Tensor]]], None]


class Optimizer(Protocol):
    """What the loop asks of an optimizer; ours and `torch.optim.Optimizer` are such."""

    param_groups: list[dict[str, Any]]

    def zero_grad(self, set_to_none: bool = ...) -> None:
        """Forget the gradients."""
        ...

    def step(self, closure: Callable[[], Any], /) -> Any:
        """Move the weights by the gradients that `closure` makes (it may be called more than once); its loss."""
        ...

    def state_dict(self) -> dict[str, Any]:
        """{"state": {weight number: {name: value}}, "param_groups": [...]}."""
        ...

    def load_state_dict(self, state_dict: dict[str, Any], /) -> None:
        """Put back what `state_dict` gave."""
        ...


@dataclass(frozen=True)
class Kernel:
    """A rule, and what it keeps of each weight: names of the state, "step" for a counter."""

    rule: Rule
    keeps: tuple[str, ...]


class Fused:
    """Applies a kernel to each group of weights. State of a weight begins as zeros of the weight's layout.

    groups: {"params": [weights], settings of the rule ...}. kernels: one for each group.
    """

    def __init__(self, groups: Groups, kernels: Sequence[Kernel]) -> None:
        self.param_groups = [dict(group) for group in groups]
        self._kernels = tuple(kernels)
        self._state: dict[Tensor, dict[str, Tensor]] = {}

    def zero_grad(self, set_to_none: bool = True) -> None:
        """Forget the gradients; they are never kept as zeros, whatever `set_to_none`."""
        for group in self.param_groups:
            for weight in group["params"]:
                weight.grad = None

    def step(self, closure: Callable[[], Any] | None = None, /) -> Any:
        """One step. `closure` makes the gradients and gives the loss; without one they are there already."""
        loss = None
        if closure is not None:
            with torch.enable_grad():
                loss = closure()
        with torch.no_grad():
            for group, kernel in zip(self.param_groups, self._kernels, strict=True):
                # A kernel takes tensors of one device and type at a time.
                kinds: dict[tuple[torch.device, torch.dtype], list[Tensor]] = {}
                for weight in group["params"]:
                    if weight.grad is not None:
                        kinds.setdefault((weight.device, weight.dtype), []).append(weight)
                for weights in kinds.values():
                    states = [self._state_of(weight, kernel.keeps) for weight in weights]
                    kernel.rule(group, weights, [weight.grad for weight in weights if weight.grad is not None], states)
        return loss

    def _state_of(self, weight: Tensor, keeps: tuple[str, ...]) -> dict[str, Tensor]:
        state = self._state.get(weight)
        if state is None:
            state = self._state[weight] = {
                name: torch.zeros((), device=weight.device) if name == "step" else torch.zeros_like(weight)
                for name in keeps
            }
        return state

    def _weights(self) -> list[Tensor]:
        return [weight for group in self.param_groups for weight in group["params"]]

    def state_dict(self) -> dict[str, Any]:
        """As torch's: states by the number of the weight, the groups' settings with such numbers for the weights."""
        numbers = {weight: number for number, weight in enumerate(self._weights())}
        return {
            "state": {numbers[weight]: dict(state) for weight, state in self._state.items() if state},
            "param_groups": [
                {**group, "params": [numbers[weight] for weight in group["params"]]} for group in self.param_groups
            ],
        }

    def load_state_dict(self, state_dict: dict[str, Any], /) -> None:
        """Put back what `state_dict` gave. Raises ValueError where it is of other weights or of another rule."""
        weights = self._weights()
        keeps = [
            kernel.keeps
            for group, kernel in zip(self.param_groups, self._kernels, strict=True)
            for _ in group["params"]
        ]
        held = [len(group["params"]) for group in state_dict["param_groups"]]
        if held != [len(group["params"]) for group in self.param_groups]:
            raise ValueError("the state of an optimizer of other weights")
        loaded = {}
        for number, state in state_dict["state"].items():
            own = weights[number]
            wanted = {name: own.shape if name != "step" else torch.Size([]) for name in keeps[number]}
            if {name: getattr(value, "shape", None) for name, value in state.items()} != wanted:
                raise ValueError(f"the state of another optimizer, or of another weight {number}")
            loaded[own] = {name: value.to(own.device) for name, value in state.items()}
        self._state = loaded
        for group, values in zip(self.param_groups, state_dict["param_groups"], strict=True):
            group.update({name: value for name, value in values.items() if name != "params"})


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
    return _of_one(network, settings, values, Kernel(_sgd_rule, ("momentum_buffer",) if momentum else ()))


def adamw(network: nn.Module, settings: OptimizerSettings) -> Optimizer:
    """Adam with decoupled weight decay (Loshchilov & Hutter 2019, arXiv:1711.05101, algorithm 2); equal to
    torch.optim.AdamW."""
    return _of_one(network, settings, _moments(settings), ADAMW)


def adam(network: nn.Module, settings: OptimizerSettings) -> Optimizer:
    """Adam (Kingma & Ba 2015, arXiv:1412.6980, algorithm 1), weight decay as L2 in the gradient; equal to
    torch.optim.Adam."""
    return _of_one(network, settings, _moments(settings), Kernel(_adam_rule, MOMENTS))


def rmsprop(network: nn.Module, settings: OptimizerSettings) -> Optimizer:
    """The gradient over the root of its mean square (Tieleman & Hinton 2012, lecture 6.5); equal to
    torch.optim.RMSprop, which has no fused kernel either."""
    momentum = settings.momentum or 0.0
    decay = RMSPROP_DECAY if settings.beta2 is None else settings.beta2
    values = {"momentum": momentum, "alpha": decay, "eps": 1e-8}
    keeps = ("square_avg", "momentum_buffer") if momentum else ("square_avg",)
    return _of_one(network, settings, values, Kernel(_rmsprop_rule, keeps))


def adagrad(network: nn.Module, settings: OptimizerSettings) -> Optimizer:
    """The gradient over the root of the sum of its squares so far (Duchi et al. 2011, JMLR 12, figure 1, diagonal);
    equal to torch.optim.Adagrad."""
    return _of_one(network, settings, {"eps": 1e-10}, Kernel(_adagrad_rule, ("step", "sum")))


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
            (True, by_matrix, Kernel(_muon_rule, ("momentum_buffer",))),
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


def _sgd_rule(
    group: dict[str, Any], weights: list[Tensor], gradients: list[Tensor], states: list[dict[str, Tensor]]
) -> None:
    torch._fused_sgd_(
        weights,
        gradients,
        [state["momentum_buffer"] for state in states] if group["momentum"] else [],
        weight_decay=group["weight_decay"],
        momentum=group["momentum"],
        lr=group["lr"],
        dampening=0.0,
        nesterov=group["nesterov"],
        maximize=False,
        is_first_step=False,  # momentum begins at zero, which makes the first step the gradient's own
    )


def _by_moments(
    kernel: Callable[..., Any],
    group: dict[str, Any],
    weights: list[Tensor],
    gradients: list[Tensor],
    states: list[dict[str, Tensor]],
) -> None:
    steps = [state["step"] for state in states]
    torch._foreach_add_(steps, 1)
    kernel(
        weights,
        gradients,
        [state["exp_avg"] for state in states],
        [state["exp_avg_sq"] for state in states],
        [],
        steps,
        amsgrad=False,
        lr=group["lr"],
        beta1=group["betas"][0],
        beta2=group["betas"][1],
        weight_decay=group["weight_decay"],
        eps=group["eps"],
        maximize=False,
    )


def _adamw_rule(
    group: dict[str, Any], weights: list[Tensor], gradients: list[Tensor], states: list[dict[str, Tensor]]
) -> None:
    _by_moments(torch._fused_adamw_, group, weights, gradients, states)


def _adam_rule(
    group: dict[str, Any], weights: list[Tensor], gradients: list[Tensor], states: list[dict[str, Tensor]]
) -> None:
    _by_moments(torch._fused_adam_, group, weights, gradients, states)


def _rmsprop_rule(
    group: dict[str, Any], weights: list[Tensor], gradients: list[Tensor], states: list[dict[str, Tensor]]
) -> None:
    if group["weight_decay"]:
        gradients = list(torch._foreach_add(gradients, weights, alpha=group["weight_decay"]))
    squares = [state["square_avg"] for state in states]
    torch._foreach_mul_(squares, group["alpha"])
    torch._foreach_addcmul_(squares, gradients, gradients, value=1 - group["alpha"])
    roots = torch._foreach_sqrt(squares)
    torch._foreach_add_(roots, group["eps"])
    if group["momentum"]:
        moved = [state["momentum_buffer"] for state in states]
        torch._foreach_mul_(moved, group["momentum"])
        torch._foreach_addcdiv_(moved, gradients, roots)
        torch._foreach_add_(weights, moved, alpha=-group["lr"])
    else:
        torch._foreach_addcdiv_(weights, gradients, roots, value=-group["lr"])


def _adagrad_rule(
    group: dict[str, Any], weights: list[Tensor], gradients: list[Tensor], states: list[dict[str, Tensor]]
) -> None:
    steps = [state["step"] for state in states]
    torch._foreach_add_(steps, 1)
    torch._fused_adagrad_(
        weights,
        gradients,
        [state["sum"] for state in states],
        steps,
        lr=group["lr"],
        lr_decay=0.0,
        weight_decay=group["weight_decay"],
        eps=group["eps"],
        maximize=False,
    )


def _muon_rule(
    group: dict[str, Any], weights: list[Tensor], gradients: list[Tensor], states: list[dict[str, Tensor]]
) -> None:
    moved = [state["momentum_buffer"] for state in states]
    torch._foreach_lerp_(moved, gradients, 1 - group["momentum"])
    if group["nesterov"]:
        moved = list(torch._foreach_lerp(gradients, moved, group["momentum"]))
    for weight, direction in zip(weights, moved, strict=True):
        weight.mul_(1 - group["lr"] * group["weight_decay"])
        weight.add_(orthogonalized(direction), alpha=-group["lr"])


MOMENTS = ("step", "exp_avg", "exp_avg_sq")
ADAMW = Kernel(_adamw_rule, MOMENTS)
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
        needs="all pictures in one batch, float32, no variation of pictures",
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
