"""One step shared by several processes: the gradient is that of the whole batch's weighted mean loss, exactly.

Every rank evaluates its own slice of the batch, and the gradients are added up after the backward pass. A mean of the
ranks' means (what torch's DistributedDataParallel takes) is another number where slices differ in length or rows
carry weights, so each rank's gradient counts as much as its rows do. Nothing is hooked into the backward pass: a rank
that had to split its slice for lack of memory, or evaluate it twice, joins in when it is done.

What differs from one process: batch norm takes its statistics from the slice alone, and dropout is drawn by rank.
Legend: R ranks, w_r the weight of the rows of rank r (their number where they have none).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable

import torch
from torch import nn

from striate.machine.ranks import Ranks, add_up, as_first, gathered_rows, part_of
from striate.models.model import Model, PreparedLike

# Odd, and far from the small numbers that seeds and steps are.
APART = 0x9E3779B97F4A7C15


def average_gradients(
    ranks: Ranks, parameters: Iterable[nn.Parameter], loss: torch.Tensor, weight: float | torch.Tensor
) -> torch.Tensor:
    """Replace gradients of this rank's mean loss by those of the whole batch's: sum_r w_r g_r / sum_r w_r.

    loss (,) and weight: of this rank's rows. The mean loss (,) of the whole batch comes back. A weight that had no
    gradient on any rank keeps none. Rows that count nothing on all ranks give a gradient of 0.
    """
    if not ranks.several:
        return loss
    held = [one for one in parameters if one.requires_grad]
    kind = torch.float64 if any(one.dtype == torch.float64 for one in held) else torch.float32
    own = torch.as_tensor(weight, dtype=kind, device=loss.device)
    parts = [torch.zeros_like(one, dtype=kind) if one.grad is None else one.grad.to(kind) * own for one in held]
    given = torch.tensor([one.grad is not None for one in held], dtype=kind, device=loss.device)
    flat = torch.cat([*(part.reshape(-1) for part in parts), given, (loss.detach().to(kind) * own)[None], own[None]])
    add_up(ranks, flat)
    *gradients, given, summed, total = torch.split(flat, [*(one.numel() for one in held), len(held), 1, 1])
    total = total.clamp_min(torch.finfo(kind).tiny)
    # Reading the flags waits for an accelerator: only where some weight got no gradient here.
    flags = given.tolist() if any(one.grad is None for one in held) else [1.0] * len(held)
    for one, gradient, known in zip(held, gradients, flags, strict=True):
        if known:
            mean = (gradient / total).view(one.shape).to(one.dtype)
            one.grad = torch.empty_like(one).copy_(mean) if one.grad is None else one.grad.copy_(mean)
    mean_loss: torch.Tensor = (summed / total)[0].to(loss.dtype)
    return mean_loss


def share_weights(ranks: Ranks, *networks: nn.Module | None) -> None:
    """Give every rank the weights and buffers of the first: what batch norm counted is then the same everywhere."""
    for network in networks:
        if network is not None:
            as_first(ranks, [*network.parameters(), *network.buffers()])


class _Part:
    """Some of the prepared pictures, without having them: they may be decoded when they are asked for."""

    ndim = 4

    def __init__(self, rows: PreparedLike, part: slice) -> None:
        self._rows, self._part = rows, range(len(rows))[part]
        self.shape = (len(self._part), *rows.shape[1:])

    def __len__(self) -> int:
        return len(self._part)

    def __getitem__(self, part: slice | torch.Tensor, /) -> torch.Tensor:
        if isinstance(part, torch.Tensor):
            return self._rows[part + self._part.start]
        some = self._part[part]
        return self._rows[some.start : some.stop]


def shared_rows(ranks: Ranks, rows: PreparedLike, work: Callable[[PreparedLike], torch.Tensor]) -> torch.Tensor:
    """`work(rows)` (N, ...), on the CPU, on every rank, where each works on its part of the rows alone.

    Every row is worked on once, whatever the number of ranks; `work` gives as many rows as it is given.
    """
    if not ranks.several:
        return work(rows)
    own = _Part(rows, part_of(ranks, len(rows)))
    return gathered_rows(ranks, work(own) if len(own) else torch.empty(0))


def answered(
    ranks: Ranks, model: Model, prepared: PreparedLike, observe: Callable[[int, int], None] | None = None
) -> torch.Tensor:
    """`model.answer(prepared)`, shared by the ranks."""
    return shared_rows(ranks, prepared, lambda part: model.answer(part, observe))


def seed_of_step(seed: int, step: int, rank: int) -> int:
    """The seed of dropout, in [0, 2^63): a function of (seed, step, rank)."""
    return (seed * 1_000_003 + step + rank * APART) % 2**63


def has_batch_norm(network: nn.Module) -> bool:
    """Whether some layer takes statistics of the batch."""
    return any(isinstance(one, nn.modules.batchnorm._BatchNorm) and one.training for one in network.modules())
