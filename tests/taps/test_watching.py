"""Reading places, gradients at them, and leaving a pass at one."""

from __future__ import annotations

import pytest
import torch
import torch.distributed as dist
import torch.nn.functional as F
from torch import Tensor, nn

from hard_networks import Reused
from striate.errors import InputError
from striate.taps.unchanged import unchanged
from striate.taps.watching import stopping_at, watching


@pytest.fixture
def network() -> Reused:
    torch.manual_seed(0)
    return Reused().eval()


@pytest.fixture
def pictures() -> Tensor:
    return torch.randn(2, 3, 8, 8, generator=torch.Generator().manual_seed(1))


def by_hand(network: Reused, pictures: Tensor) -> dict[str, Tensor]:
    """What each place gives, written without anything in place."""
    first = network.first(pictures)
    once = first.relu()
    second = network.second(once)
    twice = second.relu()
    third = network.third(twice)
    thrice = (third + F.pad(twice, (0, 0, 0, 0, 0, 2))).relu()
    head = network.head(thrice.mean((2, 3)))
    return {"first": first, "relu": once, "second": second, "relu#2": twice, "third": third, "relu#3": thrice,
            "head": head}  # fmt: skip


def hook_counts(network: nn.Module) -> list[int]:
    tables = ("_forward_hooks", "_forward_pre_hooks", "_backward_hooks", "_backward_pre_hooks")
    return [len(getattr(module, table)) for module in network.modules() for table in tables]


def test_every_call_of_a_reused_module_is_seen_as_it_was_before_others_wrote_into_it(
    network: Reused, pictures: Tensor
) -> None:
    expected = by_hand(network, pictures)
    with watching(network, list(expected)) as seen:
        answered = network(pictures)
    assert torch.equal(answered, expected["head"])
    assert list(seen) == list(expected)
    for name, value in expected.items():
        assert torch.equal(seen[name], value), name
        assert not seen[name].requires_grad


def test_gradients_at_places_are_those_by_hand_and_the_answer_stays(network: Reused, pictures: Tensor) -> None:
    expected = by_hand(network, pictures)
    names = list(expected)
    of_hand = torch.autograd.grad(expected["head"][:, 2].sum(), [expected[name] for name in names])
    with watching(network, names, keep_graph=True) as seen:
        answered = network(pictures)
    of_seen = torch.autograd.grad(answered[:, 2].sum(), [seen[name] for name in names])
    assert torch.equal(answered, expected["head"])
    for name, ours, theirs in zip(names, of_seen, of_hand, strict=True):
        assert torch.allclose(ours, theirs, rtol=1e-6, atol=1e-9), name


def test_the_graph_begins_at_the_place_where_nothing_below_needs_gradients(network: Reused, pictures: Tensor) -> None:
    network.requires_grad_(False)
    with watching(network, ["relu#2"], keep_graph=True) as seen:
        answered = network(pictures)
    assert seen["relu#2"].is_leaf
    assert seen["relu#2"].requires_grad
    (gradient,) = torch.autograd.grad(answered.sum(), seen["relu#2"])
    assert gradient.abs().sum() > 0


def test_the_latest_pass_is_seen(network: Reused, pictures: Tensor) -> None:
    with watching(network, ["relu#3"]) as seen:
        network(pictures)
        network(-pictures)
    assert torch.equal(seen["relu#3"], by_hand(network, -pictures)["relu#3"])


def test_a_pass_that_fails_leaves_nothing_of_the_one_before(network: Reused, pictures: Tensor) -> None:
    with watching(network, ["first", "relu#3"]) as seen:
        network(pictures)
        with pytest.raises(RuntimeError):
            network(torch.zeros(1, 7, 8, 8))
        assert list(seen) == []


def test_what_is_kept_can_be_less_than_a_copy(network: Reused, pictures: Tensor) -> None:
    with watching(network, ["relu#3", "head"], reading=lambda name, given: given.flatten(1).amax(1)) as seen:
        network(pictures)
    expected = by_hand(network, pictures)
    assert torch.equal(seen["relu#3"], expected["relu#3"].amax((1, 2, 3)))
    assert torch.equal(seen["head"], expected["head"].amax(1))


@pytest.mark.parametrize("name", ["first", "relu", "relu#2", "third", "relu#3", "head"])
def test_a_pass_is_left_at_the_place(network: Reused, pictures: Tensor, name: str) -> None:
    entered: list[str] = []
    handles = [
        module.register_forward_pre_hook(lambda module, inputs, key=key: entered.append(key))
        for key, module in network.named_modules()
    ]
    with stopping_at(network, name) as run:
        given = run(pictures)
    for handle in handles:
        handle.remove()
    assert torch.equal(given, by_hand(network, pictures)[name])
    order = ["", "first", "relu", "second", "relu", "third", "relu", "head"]
    places = ["", "first", "relu", "second", "relu#2", "third", "relu#3", "head"]
    assert entered == order[: places.index(name) + 1]
    (gradient,) = torch.autograd.grad(given.sum(), network.first.weight)
    assert gradient.isfinite().all()


def test_unknown_places_are_named_and_those_not_come_to_as_well(network: Reused, pictures: Tensor) -> None:
    with pytest.raises(InputError, match="no layer 'secnd'; did you mean 'second'"), watching(network, ["secnd"]):
        pass
    with pytest.raises(InputError, match="no layer ''"), stopping_at(network, ""):
        pass
    with watching(network, ["relu#4"]) as seen:
        network(pictures)
    with pytest.raises(InputError, match="did not come to 'relu#4'"):
        seen["relu#4"]
    with stopping_at(network, "relu#4") as run, pytest.raises(InputError, match="does not come to 'relu#4'"):
        run(pictures)


def test_hooks_are_gone_also_after_an_exception(network: Reused, pictures: Tensor) -> None:
    before = hook_counts(network)
    for wrong in (pictures, torch.zeros(1, 7, 8, 8)):
        for keep_graph in (False, True):
            try:
                with watching(network, ["first", "relu#3"], keep_graph=keep_graph):
                    network(wrong)
            except RuntimeError:
                assert wrong is not pictures
        try:
            with stopping_at(network, "relu#3") as run:
                run(wrong)
        except RuntimeError:
            assert wrong is not pictures
        assert hook_counts(network) == before


def test_sequential_indices_and_modules_under_two_names() -> None:
    shared = nn.Linear(4, 4)
    network = nn.Sequential(shared, nn.Sequential(nn.ReLU(inplace=True), shared), nn.Flatten(0))
    inputs = torch.linspace(-1, 1, 8).reshape(2, 4)
    with watching(network, ["0", "1.0", "0#2", "1"]) as seen:
        network(inputs)
    assert torch.equal(seen["0"], shared(inputs))
    assert torch.equal(seen["1.0"], shared(inputs).relu())
    assert torch.equal(seen["0#2"], shared(shared(inputs).relu()))
    assert torch.equal(seen["1"], seen["0#2"])


@pytest.mark.parametrize("wrap", ["whole", "itself", "a part", "parallel"])
def test_compiled_and_parallel_networks_are_looked_into(network: Reused, pictures: Tensor, wrap: str) -> None:
    expected = by_hand(network, pictures)
    if wrap == "whole":
        wrapped: nn.Module = torch.compile(network)
    elif wrap == "parallel":
        wrapped = nn.DataParallel(network)
    else:
        wrapped = network
        network.compile() if wrap == "itself" else network.second.compile()
    with watching(wrapped, ["second", "relu#3"]) as seen:
        wrapped(pictures)
    assert torch.equal(seen["relu#3"], expected["relu#3"])
    assert torch.equal(seen["second"], expected["second"])


def test_networks_that_are_trained_by_several_processes_are_looked_into(network: Reused, pictures: Tensor) -> None:
    expected = by_hand(network, pictures)
    dist.init_process_group("gloo", store=dist.HashStore(), rank=0, world_size=1)
    try:
        wrapped = nn.parallel.DistributedDataParallel(network)
        with unchanged(wrapped) as bare, watching(wrapped, ["relu#3"]) as seen:
            assert bare is network
            wrapped.module(pictures)
        with stopping_at(wrapped, "second") as run:
            second = run(pictures)
    finally:
        dist.destroy_process_group()
    assert torch.equal(seen["relu#3"], expected["relu#3"])
    assert torch.equal(second, expected["second"])


def test_a_thousand_looks_leave_memory_and_hooks_flat(network: Reused, pictures: Tensor) -> None:
    import gc
    import sys

    def looks(times: int) -> None:
        for _ in range(times):
            with unchanged(network), watching(network, ["first", "relu#3"], keep_graph=True) as seen:
                answered = network(pictures)
            torch.autograd.grad(answered.sum(), list(seen.values()))
            with stopping_at(network, "second") as run:
                run(pictures)

    def tensors() -> int:
        return sum(issubclass(type(one), Tensor) for one in gc.get_objects())

    before = hook_counts(network)
    looks(20)
    gc.collect()
    counted, blocks = tensors(), sys.getallocatedblocks()
    looks(480)  # two calls each
    gc.collect()
    assert tensors() == counted
    assert sys.getallocatedblocks() - blocks < 500  # less than one a look
    assert hook_counts(network) == before
