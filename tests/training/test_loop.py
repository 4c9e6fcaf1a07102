"""The loop: one step against an oracle, the same run again, stopping, breaking down, going on."""

from __future__ import annotations

import csv
import math
from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import nn

from striate.data.augmentation import Augmentation
from striate.errors import InputError
from striate.models.input_spec import InputSpec
from striate.observer import Observer
from striate.training.checkpoint import read_progress, read_tensors
from striate.training.diverged import Diverged
from striate.training.history import history_text
from striate.training.keeping import FIRST_CHECKPOINT_SECONDS, seconds_to_next_checkpoint
from striate.training.loop import CHECKPOINT_SECONDS
from striate.training.part_settings import OptimizerSettings, RegularizerSettings, ScheduleSettings

TIMES = ("seconds",)


class Watch(Observer):
    """Keeps what it is told; stops the run by Ctrl-C after a step."""

    def __init__(self, stop_after: int | None = None) -> None:
        self.steps: list[dict[str, float]] = []
        self.epochs: list[dict[str, float]] = []
        self.stop_after = stop_after

    def on_step(self, record):
        self.steps.append(dict(record))
        if record["step"] == self.stop_after:
            raise KeyboardInterrupt

    def on_epoch(self, record):
        self.epochs.append(dict(record))


def weights_of(loop) -> dict[str, np.ndarray]:
    return {name: value.numpy().copy() for name, value in loop.network.state_dict().items()}


def equal(one: dict[str, np.ndarray], other: dict[str, np.ndarray]) -> bool:
    return one.keys() == other.keys() and all(np.array_equal(one[name], other[name]) for name in one)


def without_times(history):
    return [{name: value for name, value in row.items() if name not in TIMES} for row in history]


# -- one step against an oracle -----------------------------------------------------------------


def linear() -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(nn.Flatten(), nn.Linear(64, 3))


def numpy_step(loop, batch, *, smoothing=0.0, class_weights=(1, 1, 1), decay=0.0, clip=math.inf, rate=0.1):
    """Softmax regression by hand in float64: the loss, and the weight and bias after one plain step."""
    spec: InputSpec = loop.model.input_spec
    inputs = (batch.pictures.double().numpy() / 255 - spec.mean[0]) / spec.deviation[0]
    inputs = inputs.reshape(len(inputs), -1)
    weight, bias = (value.detach().double().numpy() for value in loop.network.parameters())
    scores = inputs @ weight.T + bias
    logs = scores - scores.max(1, keepdims=True)
    logs -= np.log(np.exp(logs).sum(1, keepdims=True))
    shares = np.eye(3)[batch.targets.numpy()] * (1 - smoothing) + smoothing / 3
    # Each class counts as much as its weight says, also its share of a smoothed target (as torch has it).
    counted = shares * np.asarray(class_weights)
    rows = np.ones(len(inputs)) if batch.weights is None else batch.weights.double().numpy()
    rows = rows / rows.sum()
    loss = -(rows * (counted * logs).sum(1)).sum()
    slope = rows[:, None] * (np.exp(logs) * counted.sum(1, keepdims=True) - counted)
    for_weight, for_bias = slope.T @ inputs, slope.sum(0)
    norm = math.sqrt((for_weight**2).sum() + (for_bias**2).sum())
    scale = min(1.0, clip / norm)
    return loss, weight - rate * (scale * for_weight + decay * weight), bias - rate * scale * for_bias


@pytest.mark.parametrize(
    "case",
    [
        {},
        {"smoothing": 0.2},
        {"class_weights": (0.5, 2.0, 1.0)},
        {"smoothing": 0.3, "class_weights": (0.5, 2.0, 1.0)},
        {"decay": 0.3},
        {"clip": 0.05},
        {"rows": True, "smoothing": 0.1},
    ],
    ids=lambda case: "+".join(case) or "plain",
)
def test_a_step_is_softmax_regression_by_hand(make_loop, case):
    task = {"label_smoothing": case.get("smoothing", 0.0), "class_weights": case.get("class_weights")}
    weights = np.linspace(0, 2, 48).astype(np.float32) if case.get("rows") else None
    optimizer = OptimizerSettings(name="sgd", momentum=0.0, nesterov=False, weight_decay=case.get("decay", 0.0))
    loop = make_loop(network=linear(), task=task, weights=weights, optimizer=optimizer, clip=case.get("clip"))
    batch = next(iter(loop.batches.epoch(0)))
    asked = {name: value for name, value in case.items() if name != "rows"}
    loss, weight, bias = numpy_step(loop, batch, **asked)
    assert float(loop.step(batch)) == pytest.approx(loss, rel=1e-5)
    after_weight, after_bias = (value.detach().numpy() for value in loop.network.parameters())
    assert np.allclose(after_weight, weight, rtol=0, atol=2e-6)
    assert np.allclose(after_bias, bias, rtol=0, atol=2e-6)


def test_a_batch_in_which_no_row_counts_moves_nothing(make_loop):
    optimizer = OptimizerSettings(name="sgd", momentum=0.0, nesterov=False, weight_decay=0.0)
    loop = make_loop(network=linear(), weights=np.zeros(48, dtype=np.float32), optimizer=optimizer)
    before = weights_of(loop)
    assert float(loop.step(next(iter(loop.batches.epoch(0))))) == 0
    assert equal(weights_of(loop), before)


def test_a_step_may_evaluate_its_batch_more_than_once(make_loop):
    """L-BFGS with a line search, dropout on: every evaluation of a step must see the same function."""
    loop = make_loop(batch_size=48, epochs=6, averaging=0.0, augmentation=Augmentation(), channels_last=False)
    optimizer = torch.optim.LBFGS(loop.network.parameters(), lr=0.5, max_iter=8, line_search_fn="strong_wolfe")
    loop.stepping.optimizer = optimizer
    calls = []
    loop.network.register_forward_hook(lambda *_: calls.append(loop.progress.step))
    history = loop.run().history
    assert max(calls.count(step) for step in range(6)) > 2
    assert history[-1]["loss"] < 0.3 * history[0]["loss"]


# -- the same again -----------------------------------------------------------------------------


def test_it_learns_and_the_best_weights_are_left_in_the_network(make_loop):
    loop = make_loop(epochs=8)
    progress = loop.run()
    best = progress.history[progress.best_epoch]
    assert best["validation_accuracy"] >= 0.9
    assert best["validation_log_loss"] == min(row["validation_log_loss"] for row in progress.history)
    answers = loop.model.answer(loop.validation.pictures).numpy()
    assert loop.model.task.metrics(answers, loop.validation.targets)["log_loss"] == best["validation_log_loss"]
    assert not loop.network.training


def test_the_same_seed_gives_the_same_bits_and_another_gives_others(make_loop):
    first, again, other = make_loop(), make_loop(), make_loop(seed=4)
    histories = [without_times(loop.run().history) for loop in (first, again, other)]
    assert histories[0] == histories[1]
    assert equal(weights_of(first), weights_of(again))
    assert not equal(weights_of(first), weights_of(other))


def test_neither_the_thread_nor_watching_nor_checkpoints_change_a_bit(make_loop, tmp_path):
    plain = make_loop()
    plain.run()
    watched = make_loop(ahead=False, loop={"observer": Watch(), "checkpoints": tmp_path, "checkpoint_seconds": 0})
    watched.run()
    assert equal(weights_of(plain), weights_of(watched))


@pytest.mark.parametrize("device", ["cpu", *(["cuda"] if torch.cuda.is_available() else [])])
def test_batches_that_are_made_as_on_a_gpu_train_the_same_network(make_loop, device):
    """Whole pixels are moved, so every bit is the same, wherever it is done."""
    options = Augmentation(pad_crop=2, flip_horizontal=True, erasing=0.3, cutmix=1.0)
    plain, there = make_loop(augmentation=options), make_loop(augmentation=options, made_on=device)
    assert without_times(plain.run().history) == without_times(there.run().history)
    assert equal(weights_of(plain), weights_of(there))
    turned = Augmentation(rotation=10.0, random_resized_crop=0.5)
    plain, there = make_loop(augmentation=turned), make_loop(augmentation=turned, made_on=device)
    losses = [[row["loss"] for row in loop.run().history] for loop in (plain, there)]
    assert losses[1] == pytest.approx(losses[0], rel=0.02)


def test_the_callers_own_random_numbers_are_left_alone(make_loop):
    loop = make_loop(epochs=1)
    torch.manual_seed(123)
    expected = torch.rand(3)
    torch.manual_seed(123)
    loop.run()
    assert torch.equal(torch.rand(3), expected)


def test_dropout_differs_from_step_to_step(make_loop):
    class Remember(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.drop, self.head, self.seen = nn.Dropout(0.5), nn.Linear(64, 3), []

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            if self.training:
                self.seen.append(self.drop(torch.ones(1, 32)))
            return self.head(x.flatten(1))

    network = Remember()
    make_loop(network=network, epochs=1, averaging=0.0).run()
    masks = {tuple(mask.flatten().tolist()) for mask in network.seen}
    assert len(masks) == len(network.seen) == 6


# -- what observers are told --------------------------------------------------------------------


def test_observers_hear_of_each_step_and_epoch(make_loop):
    watch = Watch()
    loop = make_loop(loop={"observer": watch})
    progress = loop.run()
    assert [record["step"] for record in watch.steps] == list(range(1, 25))
    for record in watch.steps:
        assert {"step", "steps", "loss", "learning_rate", "pictures_per_second", "seconds_left"} <= record.keys()
        assert record["steps"] == 24
        assert record["seconds_left"] >= 0
    rates = [record["learning_rate"] for record in watch.steps]
    assert max(rates) <= 0.1
    assert rates[0] < 0.01
    assert watch.steps[-1]["seconds_left"] < 1
    assert watch.epochs == progress.history
    for row in watch.epochs:
        assert {"epoch", "step", "learning_rate", "loss", "validation_log_loss", "validation_accuracy"} <= row.keys()
    losses = [record["loss"] for record in watch.steps[:6]]
    assert watch.epochs[0]["loss"] == pytest.approx(np.mean(losses))


def test_the_ratio_of_update_to_weight_is_that_of_the_last_step_of_an_epoch(make_loop):
    seen = {}

    class Norms(Observer):
        def on_step(self, record):
            seen[int(record["step"])] = loop.network[0].weight.detach().clone()

    loop = make_loop(loop={"observer": Norms()}, epochs=2)
    progress = loop.run()
    expected = float((seen[6] - seen[5]).norm() / seen[5].norm())
    assert progress.history[0]["update_ratio:0"] == pytest.approx(expected, rel=1e-6)
    assert {"update_ratio:0", "update_ratio:3", "update_ratio:8"} <= progress.history[1].keys()
    header = next(csv.reader(history_text(progress.history).splitlines()))
    assert "update_ratio:3" in header


# -- what there is to train on ------------------------------------------------------------------


def test_fewer_pictures_than_a_batch_make_one_step_an_epoch(make_loop):
    progress = make_loop(pictures=5, batch_size=64, epochs=3).run()
    assert [row["step"] for row in progress.history] == [1, 2, 3]


def test_without_validation_the_last_weights_stay(make_loop):
    loop = make_loop(validation=False, averaging=0.0)
    progress = loop.run()
    assert progress.best_epoch == -1
    assert math.isnan(progress.best_value)
    assert not any(name.startswith("validation") for name in progress.history[-1])
    averaged = make_loop(validation=False)
    averaged.run()
    assert equal(weights_of(averaged), {n: v.numpy() for n, v in averaged.averaged.network.state_dict().items()})


def test_validation_may_be_rarer_than_epochs_but_never_misses_the_end(make_loop):
    history = make_loop(epochs=5, validate_every=2).run().history
    assert [row["epoch"] for row in history if "validation_log_loss" in row] == [2, 4, 5]


def test_the_number_of_validations_left_counts_whole_ones_and_the_last(make_loop):
    for every, expected in ((1, 5), (2, 3), (3, 2), (9, 1)):
        assert make_loop(epochs=5, validate_every=every)._validations_left() == expected


# -- judging ------------------------------------------------------------------------------------


class Scripted:
    """A task whose validation figures are given, and otherwise that of the loop."""

    def __init__(self, task, values, *, larger):
        self.task, self.values = task, iter(values)
        self.monitor, self.larger_is_better = "figure", larger

    def __getattr__(self, name):
        return getattr(self.task, name)

    def metrics(self, answers, targets):
        return {"figure": next(self.values)}


def scripted(loop, values, *, larger=False):
    loop.model = replace(loop.model, task=Scripted(loop.model.task, values, larger=larger))
    return loop


@pytest.mark.parametrize(
    ("values", "larger", "best", "epochs"),
    [
        ([3.0, 2.0, 2.5, 2.4, 1.0], False, 1, 4),  # two without a better one: stopped before it came
        ([0.1, 0.5, 0.4, 0.6, 0.5, 0.5], True, 3, 6),
        ([1.0, 1.0, 1.0, 1.0, 1.0, 1.0], False, 5, 6),  # of equals the later is better
        ([0.5, 0.5, 0.5, 0.5, 0.5, 0.5], True, 5, 6),
        ([math.nan, 2.0, math.nan, math.nan, 1.0, 1.0], False, 1, 4),  # what is no number is never better
    ],
)
def test_training_stops_after_so_many_epochs_without_a_better_one(make_loop, values, larger, best, epochs):
    progress = scripted(make_loop(epochs=6, patience=2), values, larger=larger).run()
    assert progress.best_epoch == best
    assert progress.best_value == values[best]
    assert len(progress.history) == epochs


def test_where_no_figure_is_a_number_no_epoch_is_the_best(make_loop):
    progress = scripted(make_loop(epochs=3), [math.nan] * 3).run()
    assert progress.best_epoch == -1


def test_the_best_weights_are_those_of_the_best_epoch(make_loop):
    short = scripted(make_loop(epochs=2, steps=36), [3.0, 1.0])
    short.plan_anew(12)
    long = scripted(make_loop(epochs=2, steps=36), [3.0, 1.0, 2.0, 2.0])
    long.plan_anew(24)

    class After(Observer):
        def on_epoch(self, record):
            if record["epoch"] == 2:
                kept.update({n: v.numpy().copy() for n, v in long.averaged.network.state_dict().items()})

    kept: dict[str, np.ndarray] = {}
    long.observer = After()
    long.run()
    assert equal(weights_of(long), kept)


# -- planning anew ------------------------------------------------------------------------------


def test_a_run_may_be_planned_anew_and_its_schedule_goes_on_without_a_jump(make_loop):
    watch = Watch()

    def replan(loop):
        if loop.progress.epoch == 2:
            loop.plan_anew(18)

    progress = make_loop(epochs=10, loop={"observer": watch, "replan": replan}, learning_rate=0.01).run()
    rates = np.array([record["learning_rate"] for record in watch.steps])
    assert progress.step == len(rates) == 18
    # Planned for 60 steps: the rate rises to its peak at a fifth, and from step 12 on falls to its end within 6.
    assert rates[12] == pytest.approx(0.01, rel=0.01)
    assert np.all(np.diff(rates[12:]) < 0)
    assert np.abs(np.diff(rates)).max() < 0.002
    assert rates[-1] == pytest.approx(0.01 / 6, rel=0.01)


# -- breaking down ------------------------------------------------------------------------------


def test_a_rate_that_is_too_high_ends_the_run_with_the_step_and_the_layer(make_loop, tmp_path):
    optimizer = OptimizerSettings(name="sgd", momentum=0.9, weight_decay=0.0)
    network = nn.Sequential(nn.Conv2d(1, 4, 3), nn.Conv2d(4, 4, 3), nn.Flatten(), nn.Linear(64, 3))
    loop = make_loop(
        network=network,
        epochs=40,
        learning_rate=1000.0,
        optimizer=optimizer,
        loop={"checkpoints": tmp_path, "checkpoint_seconds": 0},
    )
    with pytest.raises(
        Diverged, match=r"at step \d+ in layer [0-9]|layer [0-9] are no numbers .* after step \d+"
    ) as found:
        loop.run()
    assert isinstance(found.value, InputError)
    assert "--learning-rate 100" in str(found.value)
    assert "--clip 1" in str(found.value)
    assert "bfloat16" not in str(found.value)
    kept, described = read_tensors(tmp_path / "last.safetensors")
    assert all(bool(value.isfinite().all()) for value in kept.values())
    assert described["progress"]["step"] == loop.progress.step - ("weights" in str(found.value))


def test_the_layer_that_is_named_is_the_one_that_broke(make_loop):
    loop = make_loop(
        network=nn.Sequential(nn.Conv2d(1, 4, 3), nn.Flatten(), nn.ReLU(), nn.Linear(144, 3)), averaging=0.0
    )

    class Break(Observer):
        def on_step(self, record):
            if record["step"] == 4:
                with torch.no_grad():
                    loop.network[3].weight[0, 0] = math.inf

    loop.observer = Break()
    with pytest.raises(Diverged, match="no number any more at step 5 in layer 3 "):
        loop.run()


def test_a_layer_that_overflows_with_sound_weights_is_named(make_loop):
    class Overflow(nn.Module):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return x * 1e38 * 10

    loop = make_loop(network=nn.Sequential(nn.Conv2d(1, 4, 3), Overflow(), nn.Flatten(), nn.Linear(144, 3)))
    with pytest.raises(Diverged, match="at step 1 in layer 1 "):
        loop.run()


@pytest.mark.parametrize("step", [9, 12], ids=["in the middle of an epoch", "in the last step"])
def test_weights_that_break_in_a_step_are_not_kept(make_loop, tmp_path, step):
    loop = make_loop(epochs=2, loop={"checkpoints": tmp_path, "checkpoint_seconds": 0})

    class Break(Observer):
        def on_step(self, record):
            if record["step"] == step:
                with torch.no_grad():
                    loop.network[3].bias[0] = math.nan

    loop.observer = Break()
    with pytest.raises(Diverged, match=f"the weights of layer 3 are no numbers any more after step {step}"):
        loop.run()
    assert read_progress(tmp_path / "last.safetensors").step == step - 1


# -- stopping and going on ----------------------------------------------------------------------

CASES = {
    "sgd": {},
    "adamw": {"optimizer": OptimizerSettings(name="adamw", weight_decay=0.05), "learning_rate": 0.01},
    "no average": {"averaging": 0.0},
    "mixed": {"augmentation": Augmentation(mixup=1.0, cutmix=1.0, erasing=0.5)},
}
# What keeps something of its own from step to step, or from epoch to epoch.
PARTS = {
    "adam": {"optimizer": OptimizerSettings(name="adam"), "learning_rate": 0.01},
    "rmsprop": {"optimizer": OptimizerSettings(name="rmsprop", momentum=0.9), "learning_rate": 0.001},
    "adagrad": {"optimizer": OptimizerSettings(name="adagrad"), "learning_rate": 0.05},
    "muon": {"optimizer": OptimizerSettings(name="muon", weight_decay=0.1), "learning_rate": 0.01},
    "lbfgs": {
        "optimizer": OptimizerSettings(name="lbfgs", weight_decay=1e-4, iterations=3, history=4),
        "learning_rate": 1.0,
        "batch_size": 48,
        "epochs": 24,
        "averaging": 0.0,
        "augmentation": Augmentation(),
        "schedule": ScheduleSettings(name="constant", warmup=0.0),
    },
    "averaged over epochs": {"averaging": 0.0, "swa": 0.5},
    "plateau": {"schedule": ScheduleSettings(name="plateau", wait=1, warmup=0.0), "learning_rate": 0.7},
    "balanced, two batches a step": {"balance": True, "accumulate": 2, "epochs": 8},
    "elastic net, by depth": {
        "regularizer": RegularizerSettings(l1=1e-3, l2=1e-2),
        "optimizer": OptimizerSettings(name="sgd", layer_decay=0.5),
    },
    "frozen": {"freeze": "0,1"},
}
STOPS = [(case, stops) for case in CASES for stops in [(1,), (6,), (3, 9, 20), (23, 24)]]


@pytest.mark.parametrize(("case", "stops"), [*STOPS, *((case, (3, 9, 20)) for case in PARTS)])
def test_a_run_that_was_stopped_goes_on_bit_for_bit(make_loop, tmp_path, case, stops):
    case = {**CASES, **PARTS}[case]
    whole = make_loop(**case)
    history = whole.run().history
    for stop in (*stops, None):
        loop = make_loop(**case, loop={"observer": Watch(stop), "checkpoints": tmp_path, "checkpoint_seconds": 0})
        if (tmp_path / "last.safetensors").exists():
            loop.restore()
        if stop is None:
            loop.run()
        else:
            with pytest.raises(KeyboardInterrupt):
                loop.run()
    assert without_times(loop.progress.history) == without_times(history)
    assert equal(weights_of(loop), weights_of(whole))
    assert loop.progress.best_epoch == whole.progress.best_epoch


def test_what_was_stopped_early_stays_stopped(make_loop, tmp_path):
    keep = {"checkpoints": tmp_path}
    first = scripted(make_loop(epochs=6, patience=2, loop=keep), [1.0, 2.0, 3.0])
    first.run()
    again = scripted(make_loop(epochs=6, patience=2, loop=keep), [])
    again.restore()
    assert len(again.run().history) == 3
    assert equal(weights_of(again), weights_of(first))


def test_a_finished_run_goes_further_when_more_epochs_are_planned(make_loop, tmp_path):
    keep = {"checkpoints": tmp_path}
    make_loop(epochs=2, loop=keep).run()
    watch = Watch()
    further = make_loop(epochs=5, loop={**keep, "observer": watch})
    further.restore()
    progress = further.run()
    assert progress.step == 30
    assert [row["epoch"] for row in progress.history] == [1, 2, 3, 4, 5]
    # The rate goes on along the longer schedule: at 12 of 30 steps, a quarter of the way down.
    assert watch.steps[0]["learning_rate"] == pytest.approx(0.1 * 0.75)


@pytest.mark.parametrize("stop", [4, 15], ids=["a checkpoint before the plan", "a checkpoint after it"])
def test_plans_that_were_made_before_the_kill_are_followed(make_loop, tmp_path, stop):
    def replan(loop):
        if loop.progress.epoch == 1:
            loop.plan_anew(20)

    keep = {"checkpoints": tmp_path, "checkpoint_seconds": 0}
    whole = make_loop(epochs=6, loop={"replan": replan})
    whole.run()
    stopped = make_loop(epochs=6, loop={**keep, "replan": replan, "observer": Watch(stop)})
    with pytest.raises(KeyboardInterrupt):
        stopped.run()
    # The recipe holds the plan; on resuming nothing is planned anew.
    going_on = make_loop(epochs=6, plans=tuple(whole.progress.plans), loop=keep)
    going_on.restore()
    assert going_on.run().step == 20
    assert equal(weights_of(going_on), weights_of(whole))


def test_restoring_without_a_checkpoint_or_from_another_network_is_refused(make_loop, tmp_path, small_network):
    loop = make_loop(loop={"checkpoints": tmp_path})
    with pytest.raises(InputError, match="no such checkpoint"):
        loop.restore()
    loop.save()
    other = make_loop(network=linear(), loop={"checkpoints": tmp_path})
    with pytest.raises(InputError, match="not a checkpoint of this training"):
        other.restore()


def test_the_end_is_always_kept(make_loop, tmp_path):
    make_loop(loop={"checkpoints": tmp_path, "checkpoint_seconds": 3600}).run()
    assert read_progress(tmp_path / "last.safetensors").step == 24


def test_a_kill_loses_little_and_checkpoints_cost_little():
    assert FIRST_CHECKPOINT_SECONDS <= 10
    assert seconds_to_next_checkpoint(0.1, CHECKPOINT_SECONDS) == CHECKPOINT_SECONDS
    for cost in np.linspace(0, 1.5, 20):
        assert cost <= 0.04 * (cost + seconds_to_next_checkpoint(cost, CHECKPOINT_SECONDS))
    # However slow the disk is: at least one a minute.
    assert 60 > seconds_to_next_checkpoint(100.0, CHECKPOINT_SECONDS) >= 45
    assert seconds_to_next_checkpoint(5.0, 0.0) == 0


# -- networks that do not fit -------------------------------------------------------------------


class Gives(nn.Module):
    def __init__(self, give) -> None:
        super().__init__()
        self.head, self.give = nn.Linear(64, 3), give

    def forward(self, x: torch.Tensor) -> object:
        return self.give(self.head(x.flatten(1)))


@pytest.mark.parametrize(
    ("give", "words"),
    [
        (lambda x: torch.cat([x, x], 1), "must give 8x3 numbers for 8 pictures, it gives 8x6"),
        (lambda x: x[:, :2], "it gives 8x2"),
        (lambda x: x[:4], "it gives 4x3"),
        (lambda x: x.sum(1), "it gives 8$"),
        (lambda x: (x, x), "it gives tuple"),
    ],
)
def test_a_network_whose_outputs_do_not_fit_the_task_is_refused(make_loop, give, words):
    with pytest.raises(InputError, match=words):
        make_loop(network=Gives(give)).run()


def test_breaking_is_noticed_where_losses_are_read_rarely(make_loop):
    """As on an accelerator, where reading each loss would wait for it."""
    loop = make_loop()
    loop._read_every = 20
    with torch.no_grad():
        loop.network[8].weight[0, 0] = math.nan
    with pytest.raises(Diverged, match=r"at step 6 or in the 19 before it \(learning rate"):
        loop.run()


def test_what_a_validation_takes_is_known_before_the_first(make_loop, small_network, monkeypatch):
    """On a clock that a step moves by 1 s and an answer by half a second: nothing else takes time on it."""
    now = [0.0]

    class Clocked(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.inner = small_network()

        def forward(self, pictures):
            now[0] += 1.0 if self.training else 0.5 * len(pictures)
            return self.inner(pictures)

    monkeypatch.setattr("striate.training.loop.time.monotonic", lambda: now[0])
    watch = Watch()
    make_loop(network=Clocked(), epochs=2, loop={"observer": watch}).run()
    told = [record["seconds_left"] for record in watch.steps]
    # 2 epochs of 6 steps, each with a validation of 15 pictures.
    left = [(12 - step) * 1.0 + (2 if step <= 6 else 1) * 7.5 for step in range(1, 13)]
    assert told[1:] == pytest.approx(left[1:])  # nothing is known of validations at the first step
