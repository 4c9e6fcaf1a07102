"""Settings of parts that are not there are refused; those of parts that are change the training."""

from dataclasses import fields, replace

import numpy as np
import pytest
import torch
from torch import nn

from striate.data.augmentation import Augmentation
from striate.errors import InputError
from striate.training.optimizers import OPTIMIZERS, build_optimizer
from striate.training.part_settings import AugmentSettings, OptimizerSettings, RegularizerSettings, ScheduleSettings
from striate.training.recipe import Recipe
from striate.training.schedules import SCHEDULES, fallen_further
from striate.training.unused import OF_OPTIMIZERS, OF_SCHEDULES, OF_VARIATIONS, require_shaped, require_used

OTHER = {"momentum": 0.3, "nesterov": False, "beta1": 0.2, "beta2": 0.3, "history": 1, "iterations": 1}
OTHER |= {"final": 0.4, "drops": 1, "divide_by": 3.0, "power": 3.0, "wait": 9}


def weights_after(settings: OptimizerSettings) -> np.ndarray:
    """Weights of a small network after steps on one batch."""
    torch.manual_seed(0)
    network = nn.Sequential(nn.Linear(3, 6), nn.Tanh(), nn.Linear(6, 6), nn.Tanh(), nn.Linear(6, 1))
    inputs, targets = torch.randn(16, 3), torch.randn(16, 1)
    optimizer = build_optimizer(network, settings, 0.01)

    def closure() -> torch.Tensor:
        optimizer.zero_grad()
        loss = (network(inputs) - targets).square().mean()
        loss.backward()
        return loss

    for _ in range(4):
        optimizer.step(closure)
    return torch.cat([weight.detach().flatten() for weight in network.parameters()]).numpy()


def refused(recipe: Recipe, optimizer: str | None = None, schedule: str | None = None) -> bool:
    try:
        require_used(recipe, optimizer, schedule)
    except InputError:
        return True
    return False


@pytest.mark.parametrize("name", OPTIMIZERS)
@pytest.mark.parametrize("setting", OF_OPTIMIZERS)
def test_what_an_optimizer_does_not_look_at_is_refused(name, setting):
    start = replace(OPTIMIZERS[name].start, momentum=0.9 if name in OF_OPTIMIZERS["momentum"] else None)
    changed = replace(start, **{setting: OTHER[setting]})
    matters = not np.array_equal(weights_after(start), weights_after(changed))
    assert refused(Recipe(optimizer=OptimizerSettings(**{setting: OTHER[setting]})), optimizer=name) is not matters


@pytest.mark.parametrize("name", SCHEDULES)
@pytest.mark.parametrize("setting", OF_SCHEDULES)
def test_what_a_schedule_does_not_look_at_is_refused(name, setting):
    start = ScheduleSettings(name=name)
    changed = replace(start, **{setting: OTHER[setting]})

    def rates(settings: ScheduleSettings) -> list[float]:
        shape = [SCHEDULES[name].function(progress, settings) for progress in np.linspace(0, 1, 41)]
        if not SCHEDULES[name].watches:
            return shape
        return [*shape, fallen_further(1.0, settings), fallen_further(0.1, settings), settings.wait]

    matters = rates(start) != rates(changed)
    assert refused(Recipe(schedule=ScheduleSettings(**{setting: OTHER[setting]})), schedule=name) is not matters


def test_settings_pass_where_the_part_is_not_known_yet_and_where_they_say_the_default():
    said = Recipe(optimizer=OptimizerSettings(momentum=0.5, history=4), schedule=ScheduleSettings(power=2.0))
    assert not refused(said)
    assert not refused(Recipe(optimizer=OptimizerSettings(beta1=0.9, nesterov=True)), optimizer="adagrad")


def test_biases_are_penalised_where_something_is():
    assert refused(Recipe(regularizer=RegularizerSettings(biases=True)))
    assert not refused(Recipe(regularizer=RegularizerSettings(biases=True, l1=0.1)))


@pytest.mark.parametrize("detail", OF_VARIATIONS)
def test_a_detail_of_a_variation_that_is_off_is_refused(detail):
    bounds = {field.name: field.default for field in fields(Augmentation)}
    asked = AugmentSettings(**{detail: bounds[detail]})
    with pytest.raises(InputError, match=f"augment.{detail} shapes {OF_VARIATIONS[detail]}, which is off"):
        require_shaped(asked, Augmentation())
    on = {"random_resized_crop": 0.5, "elastic": 9.0, "rand_augment": 2, "erasing": 0.5}[OF_VARIATIONS[detail]]
    require_shaped(asked, Augmentation(**{OF_VARIATIONS[detail]: on}))
