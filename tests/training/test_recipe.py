"""Recipes: every field against its type, bounds and choices; TOML back and forth; names that are wrong."""

from __future__ import annotations

import dataclasses
import math
import tomllib
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from striate.data.augmentation import FITTED, RANGES, Augmentation
from striate.errors import InputError
from striate.training.optimizers import OPTIMIZERS
from striate.training.part_settings import (
    AugmentSettings,
    OptimizerSettings,
    RegularizerSettings,
    ScheduleSettings,
)
from striate.training.recipe import Recipe
from striate.training.recipe_file import read_recipe, read_source, recipe_text
from striate.training.resolved import Resolved
from striate.training.schedules import SCHEDULES
from striate.training.settings import describe, from_mapping, kinds

SETTINGS = {
    "": Recipe,
    "optimizer.": OptimizerSettings,
    "schedule.": ScheduleSettings,
    "regularizer.": RegularizerSettings,
    "augment.": AugmentSettings,
}
FIELDS = [
    pytest.param(kind, field, prefix, id=f"{prefix}{field.name}")
    for prefix, kind in SETTINGS.items()
    for field in dataclasses.fields(kind)
    if not dataclasses.is_dataclass(kinds(kind, field.name)[0])
]
NEAR_MISS = {
    int: [2.0, "3", True, [1]],
    float: ["0.1", True, math.nan, math.inf, [0.1], 10**400],
    bool: [1, "yes", 0.0],
}


def bounds(field) -> tuple[float | None, float | None]:
    described = describe(field)
    return described.at_least if described.above is None else described.above, described.at_most


@pytest.mark.parametrize(("kind", "field", "prefix"), FIELDS)
def test_every_field_refuses_what_it_cannot_be(kind, field, prefix):
    plain, optional = kinds(kind, field.name)
    described = describe(field)
    assert described.help, "a field says what it is"
    low, high = bounds(field)
    wrong: list[Any] = [*NEAR_MISS.get(plain, [1, 0.5, True, ["a"]]), {"a": 1}]
    if low is not None:
        wrong.append(plain(low) - 1)
        if described.above is not None:
            wrong.append(plain(described.above))
    if high is not None:
        wrong.append(plain(high) + 1)
    if not optional:
        wrong.append(None)
    if described.choices:
        wrong.append(described.choices[0] + "x")
    for value in wrong:
        with pytest.raises(InputError, match=rf"{prefix}{field.name} must be") as found:
            kind(**{field.name: value})
        assert len(str(found.value)) < 300
    if described.choices:
        with pytest.raises(InputError, match=rf"did you mean '{described.choices[0]}'"):
            kind(**{field.name: described.choices[0] + "x"})
    for bound in (low, high):
        if bound is not None and bound != described.above and not (kind is Recipe and field.name == "minutes"):
            assert getattr(kind(**{field.name: plain(bound)}), field.name) == bound


@pytest.mark.parametrize(
    ("kind", "field", "prefix"),
    [row for row in FIELDS if kinds(row.values[0], row.values[1].name)[0] is float],
)
def test_a_whole_number_stands_for_a_number(kind, field, prefix):
    value = next(n for n in (1, 0) if describe(field).at_most is None or n <= describe(field).at_most)
    kept = getattr(kind(**{field.name: value}), field.name)
    assert type(kept) is float
    assert kept == value


@pytest.mark.parametrize("kind", SETTINGS.values())
def test_an_unknown_name_gets_the_nearest_one(kind):
    for field in dataclasses.fields(kind):
        if len(field.name) > 3:
            with pytest.raises(InputError, match=rf"recipe.toml: no setting .*did you mean '{field.name}'"):
                from_mapping(kind, {field.name + "s": 1}, "recipe.toml")


def test_the_names_of_parts_are_those_of_the_tables():
    assert describe(dataclasses.fields(OptimizerSettings)[0]).choices == tuple(OPTIMIZERS)
    assert describe(dataclasses.fields(ScheduleSettings)[0]).choices == tuple(SCHEDULES)


def test_the_strengths_are_those_of_the_augmentation_and_so_are_their_bounds():
    asked = [field.name for field in dataclasses.fields(AugmentSettings) if field.name != "name"]
    # What is fitted on the training pictures cannot be asked for.
    assert asked == [field.name for field in dataclasses.fields(Augmentation) if field.name not in FITTED]
    assert {*FITTED} < {field.name for field in dataclasses.fields(Augmentation)}
    for name, (low, high) in RANGES.items():
        for value in (low, high):
            # More rules stand beside the bounds: a scale is 0 or at least 1, smallest <= largest, and a field of
            # displacements must be smooth enough for its strength.
            partner = {
                "erasing_smallest": {"erasing_largest": 1.0},
                "erasing_largest": {"erasing_smallest": 0.0},
                "elastic": {"elastic_sigma": 50.0},
            }
            given = {name: type(getattr(Augmentation(), name))(value), **partner.get(name, {})}
            assert getattr(AugmentSettings(**given), name) == getattr(Augmentation(**given), name)
        for value in (low - 1, high + 1):
            for kind in (AugmentSettings, Augmentation):
                with pytest.raises(InputError):
                    kind(**{name: value})
    for kind in (AugmentSettings, Augmentation):
        with pytest.raises(InputError, match=r"augment.scale must be 0 \(off\) or a factor of at least 1"):
            kind(scale=0.5)
        with pytest.raises(InputError, match="erasing_smallest must not exceed"):
            kind(erasing_smallest=0.3, erasing_largest=0.1)


def test_what_contradicts_itself_is_refused():
    for brings in ({"pretrained": True}, {"weights": "w.pth", "network": "resnet18"}, {"from_run": "run"}):
        with pytest.raises(InputError, match=r"mean picture and .* cannot both be given"):
            Recipe(mean="picture", **brings)
    with pytest.raises(InputError, match="epochs and minutes cannot both be given"):
        Recipe(epochs=3, minutes=1.0)
    with pytest.raises(InputError, match="weights needs to know whose they are"):
        Recipe(weights="a.safetensors")
    for name, value in (("weights", "a.safetensors"), ("pretrained", True), ("width", 8)):
        with pytest.raises(InputError, match=f"{name} and from .* cannot both be given"):
            Recipe(network="lenet5", from_run="runs/a", **{name: value})


# -- TOML ---------------------------------------------------------------------------------------

# File names may be any bytes but zero; Python shows those that are no UTF-8 as lone surrogates.
TEXTS = st.one_of(
    st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), min_size=1),
    st.binary(min_size=1, max_size=8).map(lambda raw: raw.replace(b"\0", b"1").decode("utf-8", "surrogateescape")),
)


def values_of(kind: type, name: str) -> st.SearchStrategy[Any]:
    plain, optional = kinds(kind, name)
    field = next(field for field in dataclasses.fields(kind) if field.name == name)
    described = describe(field)
    low, high = bounds(field)
    if described.choices:
        found: st.SearchStrategy[Any] = st.sampled_from(described.choices)
    elif plain is int:
        found = st.integers(low, high)
    elif plain is float:
        found = st.floats(low, high, allow_nan=False, allow_infinity=False, exclude_min=described.above is not None)
    elif plain is bool:
        found = st.booleans()
    else:
        found = TEXTS
    if name == "scale":
        found = st.one_of(st.just(0.0), st.floats(1, 4))
    if name == "fold":
        found = st.sampled_from(["1/2", "2/5", "100/100"])
    if name == "erasing_smallest":
        found = st.floats(0, 0.1)
    if name == "erasing_largest":
        found = st.floats(0.1, 1)
    return st.one_of(st.none(), found) if optional else found


def some(kind: type) -> st.SearchStrategy[Any]:
    parts = {}
    for field in dataclasses.fields(kind):
        plain, _ = kinds(kind, field.name)
        parts[field.name] = some(plain) if dataclasses.is_dataclass(plain) else values_of(kind, field.name)
    if kind is Recipe:
        del parts["minutes"]
        del parts["network"]
        del parts["reference"]  # allows one value of others only
    always = {"network": st.just("small-conv")} if kind is Recipe else {}
    return st.fixed_dictionaries(always, optional=parts).map(lambda given: kind(**without_contradiction(given)))


def without_contradiction(given: dict[str, Any]) -> dict[str, Any]:
    """A run to start from brings what these would say, and so do weights; of others only one of two can be said."""
    brought = ["weights", "pretrained", "width"] if given.get("from_run") is not None else []
    if any(given.get(name) for name in ("from_run", "weights", "pretrained")):
        brought += ["mean"]
    brought += ["class_weights"] if given.get("balance") else []
    brought += ["averaging"] if given.get("swa") is not None else []
    optimizer = given.get("optimizer")
    if optimizer is not None and optimizer.name == "lbfgs":
        given = {**given, "optimizer": dataclasses.replace(optimizer, layer_decay=1.0)}
        brought += ["batch_size", "accumulate", "clip", "augment", "stream", "precision", "balance", "dropout"]
    return {name: value for name, value in given.items() if name not in brought}


@settings(max_examples=40, deadline=None)
@given(recipe=some(Recipe), source=TEXTS)
def test_a_recipe_comes_back_from_its_toml(tmp_path_factory, recipe, source):
    path = tmp_path_factory.getbasetemp() / "recipe.toml"
    path.write_bytes(recipe_text(recipe, {}, source).encode())
    assert read_recipe(path) == (recipe, {})
    assert read_source(path) == source


@settings(max_examples=40, deadline=None)
@given(
    optimizer=some(OptimizerSettings),
    schedule=some(ScheduleSettings),
    patience=st.one_of(st.none(), st.integers(1, 10**6)),
    rate=st.floats(1e-300, 1e300),
    plans=st.lists(st.tuples(st.integers(0, 9), st.floats(0, 1), st.integers(9, 10**9)), max_size=3),
    arguments=st.dictionaries(st.sampled_from(["width", "depth"]), st.integers(1, 9)),
)
def test_what_was_resolved_comes_back_from_its_toml(
    tmp_path_factory, optimizer, schedule, patience, rate, plans, arguments
):
    resolved = Resolved(
        network="small-conv",
        channels=1,
        height=8,
        width=9,
        optimizer=optimizer,
        schedule=schedule,
        patience=patience,
        learning_rate=rate,
        plans=tuple([float(x) for x in plan] for plan in plans),
        arguments=arguments,
        augment={"rotation": 8.0, "flip_horizontal": True},
        fingerprint="0f3a",
    )
    path = tmp_path_factory.getbasetemp() / "resolved.toml"
    path.write_bytes(recipe_text(Recipe(), resolved.to_mapping(), "photos").encode())
    recipe, values = read_recipe(path)
    assert recipe == Recipe()
    assert Resolved.from_mapping(values, "resolved.toml") == resolved


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"netwrok": "a"}, r"no setting 'resolved.netwrok'; did you mean 'network'"),
        ({"steps": 0}, "resolved.steps must be at least 1"),
        ({"precision": "float8"}, "resolved.precision must be one of"),
        ({"augment": {"rotaton": 1.0}}, "no setting 'rotaton'; did you mean 'rotation'"),
        ({"augment": 3}, "resolved.augment must be dict"),
        ({"plans": [[0, 0.0]]}, "resolved.plans must hold"),
        ({"plans": [[0, math.nan, 5]]}, "resolved.plans must hold"),
        ({"plans": [[0, 0.0, math.inf]]}, "resolved.plans must hold"),
        ({"plans": [[0.5, 0.0, 9]]}, "resolved.plans must hold"),
        ({"optimizer": {"momentun": 0.5}}, "no setting 'resolved.optimizer.momentun'; did you mean 'momentum'"),
        ({"seed": -1}, "resolved.seed must be at least 0"),
        ({"averaging": 2.0}, "resolved.averaging must be at most"),
    ],
)
def test_a_resolved_table_that_cannot_be_is_refused(changes, words):
    values = {"network": "linear", "channels": 1, "height": 8, "width": 8, **changes}
    with pytest.raises(InputError, match=words):
        Resolved.from_mapping(values, "recipe.toml")


def test_a_resolved_table_without_a_network_says_what_to_do():
    with pytest.raises(InputError, match=r"recipe.toml: \[resolved\] lacks width; leave the whole table out"):
        Resolved.from_mapping({"network": "linear", "channels": 1, "height": 8}, "recipe.toml")


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("epochs = ", "not a recipe in TOML"),
        ("\xff", "not a recipe in TOML"),
        ("epochs = " + "9" * 5000, "not a recipe in TOML"),
        ("epochs = 0x" + "f" * 5000, "epochs must be at most 100000, got a whole number of 20,000 bits"),
        ("network = 3", "network must be a text, got 3"),
        ("epochs = 0", "epochs must be at least 1, got 0"),
        (
            "[optimizer]\nname = 'admaw'",
            "optimizer.name must be one of sgd, adamw, adam, rmsprop, adagrad, lbfgs, muon, got 'admaw'; "
            "did you mean 'adamw'",
        ),
        ("optimizer = 'sgd'", r"optimizer must be a table, \[optimizer\]"),
        ("resolved = 3", r"\[resolved\] must be a table"),
        ("schema = 2", "recipe of schema 2, this version reads up to 1; update striate"),
        ("schema = true", "recipe of schema True"),
        ("source = {bytes = 'zz'}", "not a recipe in TOML"),
        ("a = " + "[" * 5000, "not a recipe in TOML"),
    ],
)
def test_a_file_that_is_no_recipe_is_one_sentence(tmp_path, text, words):
    path = tmp_path / "recipe.toml"
    path.write_bytes(text.encode("latin-1"))
    with pytest.raises(InputError, match=words):
        read_recipe(path)


def test_a_missing_or_huge_file_is_one_sentence(tmp_path):
    with pytest.raises(InputError, match=r"nothing.toml: the recipe cannot be read \(No such file"):
        read_recipe(tmp_path / "nothing.toml")
    (tmp_path / "large.toml").write_bytes(b"#" * (2**20 + 1))
    with pytest.raises(InputError, match="too large to be a recipe"):
        read_recipe(tmp_path / "large.toml")
    (tmp_path / "sourceless.toml").write_text("epochs = 3")
    with pytest.raises(InputError, match="names no source"):
        read_source(tmp_path / "sourceless.toml")


def test_the_text_is_what_a_person_would_write():
    recipe = Recipe(epochs=3, optimizer=OptimizerSettings(name="sgd"))
    values = tomllib.loads(recipe_text(recipe, {"steps": 9}, "photos"))
    assert values["epochs"] == 3
    assert values["source"] == "photos"
    assert values["optimizer"]["name"] == "sgd"
    assert values["resolved"] == {"steps": 9}


def test_the_name_alone_of_a_part_is_told_how_to_be_given():
    with pytest.raises(
        InputError, match=r"augment must be a table of settings, such as \{'name': 'none'\}, got 'none'"
    ):
        Recipe(augment="none")
