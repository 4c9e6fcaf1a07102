"""Number format, layout, threads and allocator: what rules choose, what is remembered, what the reference turns off."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from striate.errors import InputError
from striate.machine import allocator, choices, precision
from striate.machine.allocator import pick_allocator, use_allocator
from striate.machine.choices import Choice, Wanted, alternatives, choice_by_rule, question, recall, remember
from striate.machine.precision import pick_precision, reference_computing

CHOICE = Choice(precision="float32", layout="contiguous", threads=2)
NETWORK = {"name": "lenet5", "arguments": {}, "pictures": (128, 1, 28, 28)}


@pytest.fixture
def native(monkeypatch: pytest.MonkeyPatch) -> None:
    """A processor that multiplies bfloat16."""
    monkeypatch.setattr(precision, "processor_flags", lambda: frozenset({"avx2", "avx512_bf16"}))


@pytest.fixture
def old(monkeypatch: pytest.MonkeyPatch) -> None:
    """A processor that does not."""
    monkeypatch.setattr(precision, "processor_flags", lambda: frozenset({"avx2"}))


# -- rules --------------------------------------------------------------------------------------


@pytest.mark.usefixtures("native")
def test_bfloat16_where_it_is_native() -> None:
    assert pick_precision("auto", "cpu") == ("bfloat16", "native on this processor")
    assert pick_precision("float32", "cpu") == ("float32", "as asked")


@pytest.mark.usefixtures("old")
def test_float32_where_bfloat16_is_not_native() -> None:
    assert pick_precision("auto", "cpu")[0] == "float32"
    assert pick_precision("bfloat16", "cpu") == ("bfloat16", "as asked")
    assert "precision" not in alternatives(CHOICE, Wanted(), "cpu", 2, ours=True)


@pytest.mark.parametrize(("wanted", "words"), [("float16", "for CUDA devices only"), ("bf16", "no precision 'bf16'")])
def test_precisions_that_cannot_be(wanted: str, words: str) -> None:
    with pytest.raises(InputError, match=words):
        pick_precision(wanted, "cpu")


@pytest.mark.usefixtures("native")
def test_the_rule_and_what_is_fixed() -> None:
    rule = choice_by_rule(Wanted(), "cpu", 8, ours=True, step=1e9)
    assert rule == Choice(precision="bfloat16", layout="channels-last", threads=8)
    assert [choice_by_rule(Wanted(), "cpu", 8, ours=True, step=step).threads for step in (1e7, 1e8)] == [1, 8]
    # A network of one's own may look at its memory.
    assert choice_by_rule(Wanted(), "cpu", 8, ours=False).layout == "contiguous"
    fixed = Wanted(precision="float32", layout="contiguous", threads=3, compile=True)
    assert choice_by_rule(fixed, "cpu", 8, ours=True, step=1e8) == replace(CHOICE, threads=3, compile=True)
    assert fixed.open == ()


@pytest.mark.usefixtures("native")
def test_one_other_way_for_each_thing_that_is_open() -> None:
    rule = Choice(precision="bfloat16", layout="channels-last", threads=1)
    assert alternatives(rule, Wanted(), "cpu", 8, ours=True) == {
        "precision": {"precision": "float32"},
        "layout": {"layout": "contiguous"},
        "threads": {"threads": 8},
    }
    assert alternatives(replace(rule, threads=8), Wanted(), "cpu", 8, ours=True)["threads"] == {"threads": 1}
    assert list(alternatives(rule, Wanted(precision="bfloat16"), "cpu", 1, ours=True)) == ["layout"]
    assert list(alternatives(rule, Wanted(threads=1), "cpu", 8, ours=False)) == ["precision"]
    assert alternatives(rule, Wanted(precision="bfloat16", layout="contiguous", threads=1), "cpu", 8, ours=True) == {}


# -- memory -------------------------------------------------------------------------------------


def test_blocks_are_kept_where_memory_is_not_short() -> None:
    assert pick_allocator("auto", 1 << 20) == "plain"
    assert pick_allocator("keep", 1 << 20) == "keep"
    assert pick_allocator("plain", 1 << 40) == "plain"
    has_glibc = allocator._glibc() is not None
    assert pick_allocator("auto", 1 << 40) == ("keep" if has_glibc else "plain")


def test_the_allocator_can_be_changed_and_changed_back() -> None:
    told = [use_allocator(name) for name in ("keep", "keep", "plain", "plain")]
    assert told == [allocator._glibc() is not None] * 4


# -- the reference ------------------------------------------------------------------------------


def settings() -> tuple[object, ...]:
    return (
        torch.are_deterministic_algorithms_enabled(),
        torch.utils.deterministic.fill_uninitialized_memory,
        torch.get_float32_matmul_precision(),
        torch.backends.cudnn.deterministic,
        torch.backends.cudnn.benchmark,
    )


def test_the_reference_is_deterministic_and_leaves_nothing_behind() -> None:
    before = settings()
    with reference_computing(True):
        assert torch.are_deterministic_algorithms_enabled()
        assert torch.backends.cudnn.deterministic
        assert not torch.backends.cudnn.allow_tf32
        assert torch.get_float32_matmul_precision() == "highest"
    assert settings() == before
    # An operation without a deterministic form is refused instead of computed anyhow.
    with pytest.raises(InputError, match="put_ has no form that always gives the same bits"), reference_computing(True):
        torch.zeros(4).put_(torch.tensor([0, 0]), torch.ones(2), accumulate=False)
    assert settings() == before
    with pytest.raises(KeyError), reference_computing(True):
        raise KeyError
    assert settings() == before
    with reference_computing(False):
        assert settings() == before


# -- what is remembered -------------------------------------------------------------------------


@pytest.fixture
def cache(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    monkeypatch.setenv("STRIATE_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache" / "choices"


def asked(wanted: Wanted = Wanted(), **changed: object) -> dict[str, object]:  # noqa: B008 - frozen
    return question("cpu", 2, wanted, **{**NETWORK, **changed})


def test_an_answer_is_remembered_for_its_question_alone(cache: Path) -> None:
    assert recall(asked(), Wanted()) is None
    remember(asked(), CHOICE)
    assert recall(asked(), Wanted()) == CHOICE
    assert recall(asked(name="mlp"), Wanted()) is None
    assert recall(asked(pictures=(64, 1, 28, 28)), Wanted()) is None
    assert recall(question("cpu", 4, Wanted(), **NETWORK), Wanted()) is None
    fixed = Wanted(threads=2)
    assert recall(asked(fixed), fixed) is None
    remember(asked(), replace(CHOICE, threads=1))
    assert recall(asked(), Wanted()) == replace(CHOICE, threads=1)
    assert len(list(cache.iterdir())) == 1


def test_an_answer_of_another_version_is_none(cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    remember(asked(), CHOICE)
    found = choices.versions()
    monkeypatch.setattr(choices, "versions", lambda: {**found, "torch": "0.1"})
    assert recall(asked(), Wanted()) is None


@pytest.mark.parametrize(
    "content",
    [
        lambda text: text[: len(text) // 2],
        lambda text: text.replace('"threads": 2', '"threads": 1'),
        lambda text: text.replace('"schema": 1', '"schema": 2'),
        lambda text: text.replace("float32", "float64"),
        lambda text: json.dumps([text]),
        lambda text: "[" * 100_000,
        lambda text: text + " " * choices.LARGEST,
        lambda text: "",
        lambda text: "\udcff",
    ],
)
def test_a_file_that_is_broken_or_was_changed_is_none_and_is_written_anew(cache: Path, content) -> None:
    remember(asked(), CHOICE)
    (path,) = cache.iterdir()
    path.write_text(content(path.read_text()), errors="surrogateescape")
    assert recall(asked(), Wanted()) is None
    remember(asked(), CHOICE)
    assert recall(asked(), Wanted()) == CHOICE


def test_a_choice_that_this_version_does_not_know_is_none(cache: Path) -> None:
    for strange in ({"precision": "float8"}, {"layout": "blocked"}, {"threads": 0}, {"threads": True}):
        remember(asked(), replace(CHOICE, **strange))
        assert recall(asked(), Wanted()) is None


def test_what_is_fixed_stands_above_what_is_remembered(cache: Path) -> None:
    fixed = Wanted(layout="channels-last")
    remember(asked(fixed), CHOICE)
    assert recall(asked(fixed), fixed) is None
