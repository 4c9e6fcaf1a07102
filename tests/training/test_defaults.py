"""What is decided for sources of each kind, and that whatever a recipe says stands above it."""

from __future__ import annotations

from dataclasses import fields, replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from striate.errors import InputError
from striate.models.input_spec import InputSpec
from striate.training.defaults import (
    FEW_SMALL_COLOUR,
    SMALL_SIDE,
    Facts,
    choose_augmentation,
    choose_network,
    resolve_steps,
)
from striate.training.part_settings import AugmentSettings, OptimizerSettings, ScheduleSettings
from striate.training.recipe import Recipe
from striate.training.resolved import Resolved

DIGITS = Facts(pictures=51_000, classes=10, smallest_class=4600, longer_side=28, grey=True)
CIFAR = Facts(pictures=42_500, classes=10, smallest_class=4250, longer_side=32, grey=False, mirrors=True)
PHOTOS = Facts(pictures=100, classes=2, smallest_class=50, longer_side=400, grey=False, mirrors=True)
FEW_ICONS = replace(CIFAR, pictures=400, smallest_class=40)
GREY_PHOTOS = replace(PHOTOS, grey=True)


def spec(channels: int = 3, side: int = 32) -> InputSpec:
    return InputSpec(channels=channels, height=side, width=side, mean=(0.5,) * channels, deviation=(0.25,) * channels)


def resolve(recipe: Recipe, facts: Facts, side: int = 32) -> Resolved:
    name, pretrained, _ = choose_network(recipe, facts)
    frame = spec(1 if facts.grey else 3, side)
    return resolve_steps(
        recipe,
        facts,
        frame,
        choose_augmentation(recipe, facts, name, frame),
        network=name,
        arguments={},
        pretrained=pretrained,
        device="cpu",
        precision="float32",
        threads=2,
    )


@pytest.mark.parametrize(
    ("facts", "recipe", "chosen"),
    [
        (DIGITS, Recipe(), ("small-conv", False)),
        (replace(DIGITS, pictures=60, smallest_class=6), Recipe(), ("small-conv", False)),
        (CIFAR, Recipe(), ("small-resnet", False)),
        (replace(CIFAR, pictures=FEW_SMALL_COLOUR), Recipe(), ("small-resnet", False)),
        (FEW_ICONS, Recipe(), ("efficientnet-lite0", True)),
        (FEW_ICONS, Recipe(pretrained=False), ("small-resnet", False)),
        (PHOTOS, Recipe(), ("efficientnet-lite0", True)),
        (GREY_PHOTOS, Recipe(), ("efficientnet-lite0", True)),
        (replace(PHOTOS, longer_side=SMALL_SIDE + 1, pictures=50_000), Recipe(), ("efficientnet-lite0", True)),
        (PHOTOS, Recipe(pretrained=False), ("small-resnet", False)),
        (GREY_PHOTOS, Recipe(pretrained=False), ("small-conv", False)),
        (replace(DIGITS, task="regression", turning=True), Recipe(), ("small-resnet", False)),
        (replace(PHOTOS, task="regression", turning=True), Recipe(), ("efficientnet-lite0", True)),
        (DIGITS, Recipe(pretrained=True), ("efficientnet-lite0", True)),
        (PHOTOS, Recipe(network="lenet5"), ("lenet5", False)),
        (DIGITS, Recipe(network="efficientnet-lite0", pretrained=True), ("efficientnet-lite0", True)),
        (PHOTOS, Recipe(network="efficientnet-lite0"), ("efficientnet-lite0", True)),
        (PHOTOS, Recipe(network="efficientnet-lite0", pretrained=False), ("efficientnet-lite0", False)),
        (PHOTOS, Recipe(network="efficientnet-lite0", weights="mine.pth"), ("efficientnet-lite0", False)),
    ],
)
def test_the_network_for_each_kind_of_source(facts, recipe, chosen):
    name, pretrained, why = choose_network(recipe, facts)
    assert (name, pretrained) == chosen
    if recipe.network is None:
        # A reason that a person can follow: it names what was found.
        assert f"{facts.pictures:,} " in why
        assert "pictures" in why
        assert why == why.strip()
        assert not why.endswith(".")
    else:
        assert why == "as asked"


def test_small_pictures_vary_mildly_and_photographs_are_cropped():
    def chosen(facts: Facts, side: int, **recipe: object) -> dict[str, object]:
        return resolve(Recipe(**recipe), facts, side).augment

    assert chosen(DIGITS, 28) == {"rotation": 5.0, "scale": 1.05, "translation": 0.05}
    assert chosen(replace(DIGITS, mirrors=True), 28) == chosen(DIGITS, 28)
    assert chosen(CIFAR, 32) == {"pad_crop": 2, "flip_horizontal": True}
    assert chosen(replace(CIFAR, mirrors=False), 32) == {"pad_crop": 2}
    assert chosen(replace(CIFAR, mirrors=None), 32) == {"pad_crop": 2}
    assert chosen(PHOTOS, 128) == {"random_resized_crop": 0.35, "flip_horizontal": True}
    assert chosen(PHOTOS, 128, augment=AugmentSettings(name="none")) == {}
    assert chosen(PHOTOS, 128, augment=AugmentSettings(name="none", rotation=3)) == {"rotation": 3.0}
    assert chosen(CIFAR, 32, augment=AugmentSettings(flip_horizontal=False)) == {"pad_crop": 2}
    assert chosen(CIFAR, 1) == {"pad_crop": 1, "flip_horizontal": True}


@pytest.mark.parametrize("facts", [DIGITS, CIFAR, PHOTOS], ids=["digits", "cifar", "photos"])
@pytest.mark.parametrize("network", [None, "lenet5"])
def test_the_numbers_decided_are_sound_for_any_number_of_pictures(facts, network):
    numbers = [2, 7, 31, 200, 1999, 2000, 5000, 9999, 10_000, 60_000, 1_000_000]
    found = [(number, resolve(Recipe(network=network), replace(facts, pictures=number))) for number in numbers]
    for number, resolved in found:
        assert 1 <= resolved.batch_size <= number
        assert resolved.steps == resolved.epochs * max(1, number // resolved.batch_size)
        assert 8 <= resolved.epochs <= 100
    for name in {resolved.network for _, resolved in found}:
        batches = [resolved.batch_size for _, resolved in found if resolved.network == name]
        assert batches == sorted(batches)
        # Few pictures are seen more often, each of them.
        epochs = [resolved.epochs for _, resolved in found if resolved.network == name]
        assert epochs[0] == max(epochs)
        assert epochs[-1] == min(epochs)


# Every way to say something, with values that are nobody's default.
SAID = {
    "network": st.sampled_from(["mlp", "small-conv", "small-resnet", "resnet18"]),
    "epochs": st.integers(1, 99),
    "patience": st.integers(1, 9),
    "batch_size": st.integers(1, 4096),
    "learning_rate": st.floats(1e-6, 10),
    "label_smoothing": st.floats(0, 0.9),
    "class_weights": st.just("balanced"),
    "clip": st.floats(1e-3, 10),
    "averaging": st.floats(0, 0.9999),
    "seed": st.integers(1, 2**40),
    "optimizer": st.builds(
        OptimizerSettings,
        name=st.just("sgd"),
        momentum=st.sampled_from([0.9, 0.0, 0.7]),
        nesterov=st.booleans(),
        weight_decay=st.none() | st.floats(0, 1),
    )
    | st.builds(
        OptimizerSettings,
        name=st.just("adamw"),
        weight_decay=st.none() | st.floats(0, 1),
        beta1=st.sampled_from([0.9, 0.5]),
        beta2=st.sampled_from([0.999, 0.9]),
    )
    | st.builds(OptimizerSettings, weight_decay=st.none() | st.floats(0, 1)),
    "schedule": st.builds(
        ScheduleSettings,
        name=st.sampled_from([None, "cosine"]),
        warmup=st.sampled_from([0.2, 0.0, 0.5]),
        final=st.sampled_from([0.0, 0.3]),
    )
    | st.builds(ScheduleSettings, name=st.just("constant"), warmup=st.sampled_from([0.2, 0.0, 0.5])),
    "augment": st.builds(
        AugmentSettings,
        name=st.sampled_from([None, "auto", "none"]),
        pad_crop=st.none() | st.integers(0, 9),
        random_resized_crop=st.none() | st.floats(0.1, 1),
        flip_horizontal=st.none() | st.booleans(),
        flip_vertical=st.none() | st.booleans(),
        rotation=st.none() | st.floats(0, 90),
        scale=st.none() | st.floats(1, 2),
        translation=st.none() | st.floats(0, 0.5),
        contrast=st.none() | st.floats(0, 0.5),
        erasing=st.none() | st.floats(0, 1),
        mixup=st.none() | st.floats(0, 2),
    ),
}


@pytest.mark.parametrize("colour", ["saturation", "hue"])
def test_colours_of_grey_pictures_cannot_vary(colour):
    recipe = Recipe(augment=AugmentSettings(**{colour: 0.2}))
    assert resolve(recipe, CIFAR).augment[colour] == 0.2
    with pytest.raises(InputError, match=f"augment.{colour} changes colours, and the pictures are grey"):
        resolve(recipe, DIGITS)
    resolve(Recipe(augment=AugmentSettings(**{colour: 0.0})), DIGITS)


@settings(max_examples=40, deadline=None)
@given(said=st.fixed_dictionaries({}, optional=SAID), facts=st.sampled_from([DIGITS, CIFAR, PHOTOS, FEW_ICONS]))
def test_whatever_a_recipe_says_stands_above_every_default(said, facts):
    recipe, open_recipe = Recipe(**said), Recipe(network=said.get("network"))
    resolved, default = resolve(recipe, facts), resolve(open_recipe, facts)
    for name, value in said.items():
        if name == "augment":
            for field in fields(value):
                asked = getattr(value, field.name)
                if field.name != "name" and asked is not None:
                    off = 1.0 if field.name == "random_resized_crop" else 0
                    assert resolved.augment.get(field.name, off) == asked
        elif name in ("optimizer", "schedule"):
            for field in fields(value):
                asked = getattr(value, field.name)
                # None, and a field's own default, say nothing.
                if asked is not None and asked != field.default:
                    assert getattr(getattr(resolved, name), field.name) == asked
        else:
            assert getattr(resolved, name) == value
    # What it leaves open is as if nothing had been said, where nothing hangs together with it.
    for name in ("label_smoothing", "averaging", "epochs", "schedule"):
        if name not in said:
            assert getattr(resolved, name) == getattr(default, name)
    if resolved.optimizer.name == default.optimizer.name and "optimizer" in said:
        for field in fields(OptimizerSettings):
            if getattr(said["optimizer"], field.name) == field.default:
                assert getattr(resolved.optimizer, field.name) == getattr(default.optimizer, field.name)


def test_the_rate_of_sgd_grows_with_the_batch_and_that_of_a_recipe_does_not():
    default = resolve(Recipe(), CIFAR)
    assert resolve(Recipe(batch_size=128), CIFAR).learning_rate == pytest.approx(default.learning_rate / 2)
    assert resolve(Recipe(batch_size=8192), CIFAR).learning_rate == pytest.approx(default.learning_rate * 8)
    assert resolve(Recipe(batch_size=128, learning_rate=0.7), CIFAR).learning_rate == 0.7
    few = replace(DIGITS, pictures=100)
    assert resolve(Recipe(batch_size=4096), few).learning_rate == resolve(Recipe(batch_size=100), few).learning_rate
    adam = resolve(Recipe(optimizer=OptimizerSettings(name="adamw")), CIFAR)
    assert adam.learning_rate == 1e-3
    assert adam.optimizer.weight_decay == 0.05


def test_few_epochs_of_small_grey_pictures_are_more_steps():
    facts = DIGITS
    few, many = (resolve(Recipe(epochs=epochs), facts) for epochs in (1, 4))
    assert (few.batch_size, many.batch_size) == (64, 128)
    assert few.learning_rate == pytest.approx(many.learning_rate * 0.5**0.5)
    assert resolve(Recipe(epochs=1, batch_size=128), facts).batch_size == 128


def test_a_short_training_of_small_grey_pictures_is_clipped():
    """51,000 digits in batches of 64 are 797 steps, four epochs in batches of 128 are 1,594."""
    assert resolve(Recipe(epochs=1), DIGITS).clip == 1.0
    assert resolve(Recipe(epochs=1, clip=3.0), DIGITS).clip == 3.0
    assert resolve(Recipe(epochs=4), DIGITS).clip is None
    assert resolve(Recipe(), DIGITS).clip is None
    assert resolve(Recipe(epochs=1, optimizer=OptimizerSettings(name="adamw")), DIGITS).clip is None
    assert resolve(Recipe(epochs=1), CIFAR).clip is None
