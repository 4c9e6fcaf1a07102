"""What holds for every schedule and every optimizer: a new row of either table is tested on arrival."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn

from striate.training.checkpoint import Progress, load_checkpoint, save_checkpoint
from striate.training.optimizers import OPTIMIZERS, build_optimizer, set_rate
from striate.training.part_settings import OptimizerSettings, ScheduleSettings
from striate.training.schedules import SCHEDULES, schedule_named

SETTINGS = [(0.0, 0.0), (0.2, 0.0), (0.5, 0.3), (0.9, 1.0)]
STEPS = 2000


@pytest.mark.parametrize(("warmup", "final"), SETTINGS)
@pytest.mark.parametrize("name", SCHEDULES)
class TestSchedules:
    def curve(self, name, warmup, final):
        settings = ScheduleSettings(name=name, warmup=warmup, final=final)
        return np.array([schedule_named(settings)(step / STEPS, settings) for step in range(STEPS + 1)])

    def test_is_a_share_of_the_highest_rate_and_reaches_it(self, name, warmup, final):
        curve = self.curve(name, warmup, final)
        assert curve.min() >= 0
        assert curve.max() == pytest.approx(1, abs=1e-12)
        assert curve[: max(1, int(warmup * STEPS))].argmax() == max(0, int(warmup * STEPS) - 1)

    def test_jumps_only_where_it_says_so_and_ends_where_it_should(self, name, warmup, final):
        settings, curve = ScheduleSettings(), self.curve(name, warmup, final)
        steepest = max(1 / max(warmup, 1), 1 / (1 - warmup), 1 / warmup if warmup else 0) * np.pi / 2
        bound = 1.01 * steepest / STEPS
        if name == "polynomial":  # of a power below 1, which falls steeply at its end
            bound = max(bound, (1 / (1 - warmup) / STEPS) ** settings.power)
        drops = {"step": settings.drops if final < 1 else 0}.get(name, 0)
        assert (np.abs(np.diff(curve)) > bound).sum() == min(drops, len({*curve[int(warmup * STEPS) :]}) - 1)
        end = {"constant": 1.0, "plateau": 1.0, "step": max(final, settings.divide_by**-settings.drops)}
        assert curve[-1] == pytest.approx(end.get(name, final), abs=1e-12)

    def test_the_first_step_teaches_something(self, name, warmup, final):
        assert self.curve(name, warmup, final)[0] > 0


def bowl() -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(4, 3), nn.Linear(3, 2))


def slope(module: nn.Module):
    """The distance of all weights to fixed ones, whose gradient a closure leaves in them."""

    def evaluate() -> torch.Tensor:
        for weight in module.parameters():
            weight.grad = None
        loss = sum(((weight - 0.3) ** 2).sum() for weight in module.parameters())
        assert isinstance(loss, torch.Tensor)
        loss.backward()
        return loss.detach()

    return evaluate


@pytest.mark.parametrize("name", OPTIMIZERS)
class TestOptimizers:
    def build(self, name, module):
        rate = 0.5 if name == "adagrad" else 0.05  # its own falls with the root of the number of steps
        return build_optimizer(module, OptimizerSettings(name=name, weight_decay=0.0), rate)

    def test_lowers_a_quadratic(self, name):
        module = bowl()
        optimizer, evaluate = self.build(name, module), slope(module)
        first = float(evaluate())
        for _ in range(120):
            optimizer.step(evaluate)
        assert float(evaluate()) < 1e-3 * first

    def test_the_rate_can_be_set_and_a_rate_of_zero_moves_nothing(self, name):
        module = bowl()
        optimizer, evaluate = self.build(name, module), slope(module)
        optimizer.step(evaluate)
        before = [weight.detach().clone() for weight in module.parameters()]
        set_rate(optimizer, 0.0)
        optimizer.step(evaluate)
        assert all(torch.equal(weight, old) for weight, old in zip(module.parameters(), before, strict=True))

    def test_decay_shrinks_weights_and_no_bias(self, name):
        module = bowl()
        optimizer = build_optimizer(module, OptimizerSettings(name=name, weight_decay=0.5), 0.005)
        before = [weight.detach().clone() for weight in module.parameters()]

        def flat() -> torch.Tensor:
            for weight in module.parameters():
                weight.grad = torch.zeros_like(weight)
            return torch.zeros(())

        optimizer.step(flat)
        for weight, old in zip(module.parameters(), before, strict=True):
            if weight.ndim > 1:
                assert float(weight.detach().norm()) < float(old.norm())
            else:
                assert torch.equal(weight, old)

    def test_its_state_comes_back_from_a_checkpoint(self, name, tmp_path):
        one, other = bowl(), bowl()
        optimizer, restored = self.build(name, one), self.build(name, other)
        for _ in range(5):
            optimizer.step(slope(one))
        save_checkpoint(tmp_path / "last", Progress(), one, None, optimizer)
        load_checkpoint(tmp_path / "last", other, None, restored)
        for _ in range(5):
            optimizer.step(slope(one))
            restored.step(slope(other))
        assert all(torch.equal(a, b) for a, b in zip(one.parameters(), other.parameters(), strict=True))
