"""How a gradient becomes a step: torch's fused kernels over two groups of weights.

The rules are called without `torch.optim`: its first optimizer imports torch's compiler, which takes as long as torch
itself, and its wrappers cost a millisecond a step, a fifth of a small network's. State is kept and named as there, so
that an optimizer of torch's (L-BFGS, say) stands in the same place. Legend: weights and gradients of any shape.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Protocol

import torch
from torch import Tensor, nn

from striate.errors import require, unknown
from striate.training.recipe import OptimizerSettings

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


class Fused:
    """Applies one fused kernel to each group of weights. State of a weight begins as zeros of the weight's layout.

    groups: {"params": [weights], settings of the rule ...}. keeps: names of the state, "step" for a counter.
    """

    def __init__(self, groups: Groups, rule: Rule, keeps: tuple[str, ...]) -> None:
        self.param_groups = [dict(group) for group in groups]
        self._rule, self._keeps = rule, keeps
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
            for group in self.param_groups:
                # A kernel takes tensors of one device and type at a time.
                kinds: dict[tuple[torch.device, torch.dtype], list[Tensor]] = {}
                for weight in group["params"]:
                    if weight.grad is not None:
                        kinds.setdefault((weight.device, weight.dtype), []).append(weight)
                for weights in kinds.values():
                    states = [self._state_of(weight) for weight in weights]
                    self._rule(group, weights, [weight.grad for weight in weights if weight.grad is not None], states)
        return loss

    def _state_of(self, weight: Tensor) -> dict[str, Tensor]:
        state = self._state.get(weight)
        if state is None:
            state = self._state[weight] = {
                name: torch.zeros((), device=weight.device) if name == "step" else torch.zeros_like(weight)
                for name in self._keeps
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
        held = [len(group["params"]) for group in state_dict["param_groups"]]
        if held != [len(group["params"]) for group in self.param_groups]:
            raise ValueError("the state of an optimizer of other weights")
        loaded = {}
        for number, state in state_dict["state"].items():
            own = weights[number]
            wanted = {name: own.shape if name != "step" else torch.Size([]) for name in self._keeps}
            if {name: getattr(value, "shape", None) for name, value in state.items()} != wanted:
                raise ValueError(f"the state of another optimizer, or of another weight {number}")
            loaded[own] = {name: value.to(own.device) for name, value in state.items()}
        self._state = loaded
        for group, values in zip(self.param_groups, state_dict["param_groups"], strict=True):
            group.update({name: value for name, value in values.items() if name != "params"})


def weight_groups(network: nn.Module, weight_decay: float) -> Groups:
    """Weights that decay, and biases and scales of norms, which do not.

    A bias or a scale has no direction to shrink: L2 on them only moves the function
    (He et al. 2019, "Bag of tricks", arXiv:1812.01187, section 3.1).
    """
    trained = [weight for weight in network.parameters() if weight.requires_grad]
    groups = [
        {"params": [weight for weight in trained if weight.ndim > 1], "weight_decay": weight_decay},
        {"params": [weight for weight in trained if weight.ndim <= 1], "weight_decay": 0.0},
    ]
    return [group for group in groups if group["params"]]


def sgd(groups: Groups, rate: float, settings: OptimizerSettings) -> Optimizer:
    """Stochastic gradient descent with momentum (Sutskever et al. 2013 for Nesterov's); equal to torch.optim.SGD."""
    momentum = settings.momentum or 0.0
    values = {"lr": rate, "momentum": momentum, "nesterov": settings.nesterov and momentum > 0}
    return Fused([{**group, **values} for group in groups], _sgd_rule, ("momentum_buffer",) if momentum else ())


def adamw(groups: Groups, rate: float, settings: OptimizerSettings) -> Optimizer:
    """Adam with decoupled weight decay (Loshchilov & Hutter 2019, arXiv:1711.05101, algorithm 2); equal to
    torch.optim.AdamW."""
    values = {"lr": rate, "betas": (settings.beta1, settings.beta2), "eps": 1e-8}
    return Fused([{**group, **values} for group in groups], _adamw_rule, ("step", "exp_avg", "exp_avg_sq"))


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


def _adamw_rule(
    group: dict[str, Any], weights: list[Tensor], gradients: list[Tensor], states: list[dict[str, Tensor]]
) -> None:
    steps = [state["step"] for state in states]
    torch._foreach_add_(steps, 1)
    torch._fused_adamw_(
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


OPTIMIZERS: dict[str, Callable[[Groups, float, OptimizerSettings], Optimizer]] = {
    "sgd": sgd,
    "adamw": adamw,
}


def build_optimizer(network: nn.Module, settings: OptimizerSettings, rate: float) -> Optimizer:
    """The optimizer that the settings name, over the trained weights.

    Raises InputError for an unknown name, and where no weight of the network is trained.
    """
    if settings.name not in OPTIMIZERS:
        raise unknown("optimizer", str(settings.name), OPTIMIZERS)
    groups = weight_groups(network, settings.weight_decay or 0.0)
    require(bool(groups), "the network has nothing to train: none of its weights has requires_grad")
    return OPTIMIZERS[settings.name](groups, rate, settings)


def set_rate(optimizer: Optimizer, rate: float) -> None:
    """Set the learning rate of every group."""
    for group in optimizer.param_groups:
        group["lr"] = rate
