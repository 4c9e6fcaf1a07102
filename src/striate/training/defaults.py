"""What a recipe leaves open, decided from the data and the machine: (recipe, facts) -> resolved, with reasons.

Plain functions of plain values: nothing is measured or opened here. The figures behind each choice are in
docs/defaults.md, written by `benchmarks/`.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, fields, replace
from typing import Any

from striate.data.augmentation import Augmentation
from striate.data.samples import CLASSIFICATION, MULTILABEL, REGRESSION
from striate.errors import require
from striate.models.input_spec import InputSpec
from striate.tasks.losses import LOSSES
from striate.training.part_settings import OptimizerSettings, ScheduleSettings
from striate.training.recipe import Recipe
from striate.training.resolved import Resolved
from striate.training.unused import require_shaped, require_used
from striate.words import counted

# Pictures whose longer side is at most this are small: digits, clothes, icons, CIFAR.
SMALL_SIDE = 64
# Below this many, small colour pictures are enlarged for the pretrained network: CIFAR with 20 a class is answered
# twice as well by its features as by a network that starts from nothing.
FEW_SMALL_COLOUR = 5000
# Below this many, small grey pictures are varied more.
FEW_SMALL_GREY = 2000
# Fewer epochs than this are too few steps for the usual batch.
FEW_EPOCHS = 4
# Fewer steps than this are few for small-conv; a few pictures are seen so often that it makes them.
FEW_STEPS = 1_000
PRETRAINED = "efficientnet-lite0"
# Smallest share of the area that a random crop keeps: one class is still seen, of several labels some may be cut off.
CROP, CROP_OF_LABELS = 0.35, 0.7
CLIP = 1.0  # of the gradient's norm, where early steps would throw the weights away
TURNED = 180.0  # degrees, where angles turn along, as far as they stay among those of the training pictures
MOMENTUM = 0.9  # of SGD where the network was not tuned with another
SMALL_GREY, SMALL_COLOUR = "small-conv", "small-resnet"
ROWS = "mlp"  # for rows of a table of numbers
# Highest rates by AdamW of networks that were not tuned further, by the log loss on test in `benchmarks/rates.py`;
# the table stands in docs/defaults.md. Any other network takes `UNTUNED`.
UNTUNED, UNTUNED_PRETRAINED = 1e-3, 3e-4
# Of 10,000 digits and clothes in three epochs, and of 500 digits in thirty: lenet5 0.10, 0.59, 0.091 at 0.001; 0.043,
# 0.43, 0.083 at 0.01; 0.084 and worse at 0.1. mlp 0.090, 0.45 at 0.001; 0.072, 0.43 at 0.003. linear 0.25, 0.59 at
# 0.001; 0.23, 0.54 at 0.003 and at 0.01.
RATES = {"lenet5": 1e-2, ROWS: 3e-3, "linear": 5e-3}
# Of scikit-learn's iris, wine and breast cancer, four seeds each, the mean of the three: mlp 0.116 at 0.001, 0.097 at
# 0.003, 0.092 at 0.01, 0.123 at 0.03; linear 0.149 at 0.01, 0.145 at 0.02, 0.151 at 0.03, 0.141 at 0.1, 0.128 at 0.3,
# none of which is clearly better (the difference between 0.3 and 0.03 is 1.4 standard errors).
RATES_OF_ROWS = {ROWS: 5e-3, "linear": 2e-2}


@dataclass(frozen=True, kw_only=True)
class Facts:
    """What is known of the training pictures before anything is decided."""

    pictures: int
    classes: int
    smallest_class: int  # pictures of it; all of them where there are no classes
    longer_side: float  # median, pixels
    aspect: float = 1.0  # median width by height
    grey: bool | None = None  # None: not looked at
    mirrors: bool | None = None  # whether a mirrored picture keeps its label; None: not looked at
    task: str = CLASSIFICATION
    turning: bool = False  # all that is learned are angles, which turn with their pictures
    fields: int = 0  # of a row, where the inputs are rows of a table of numbers


def choose_network(recipe: Recipe, facts: Facts) -> tuple[str, bool, str]:
    """Name of the network, whether it is pretrained, and why."""
    if facts.fields:
        why = "as asked" if recipe.network else f"for rows of {counted(facts.fields, 'number')}"
        return recipe.network or ROWS, False, why
    if recipe.network is not None:
        # The one network whose published weights are at hand starts from them unless it is told not to.
        at_hand = recipe.network == PRETRAINED and recipe.weights is None
        pretrained = at_hand if recipe.pretrained is None else recipe.pretrained
        return recipe.network, pretrained, "as asked"
    small = facts.longer_side <= SMALL_SIDE
    few = not facts.grey and facts.pictures < FEW_SMALL_COLOUR
    if recipe.pretrained or (recipe.pretrained is None and (few or not small)):
        return (
            PRETRAINED,
            True,
            f"{facts.pictures:,} pictures about {facts.longer_side:.0f} pixels long: "
            "features learned from a million others beat what these can teach",
        )
    size = "small" if small else "larger"
    if facts.turning:
        # Half the resolution at once costs angles: validation digits are 7.9 degrees off by small-conv in 100 epochs,
        # 6.1 by this one in 60 (one seed).
        return SMALL_COLOUR, False, f"{facts.pictures:,} {size} pictures whose angles are learned"
    if facts.grey:
        return SMALL_GREY, False, f"{facts.pictures:,} small grey pictures"
    return SMALL_COLOUR, False, f"{facts.pictures:,} {size} colour pictures"


def row_arguments(name: str, facts: Facts) -> dict[str, Any]:
    """Arguments of a network for rows of a table: two hidden layers, wider where there are more rows to learn from."""
    if name != ROWS:
        return {}
    width = int(min(512, max(32, 2 ** round(math.log2(4 * math.sqrt(max(1, facts.pictures)))))))
    return {"hidden": [width, width]}


def steps_recipe(name: str, pretrained: bool, facts: Facts, epochs: float | None = None) -> dict[str, Any]:
    """Values of `Resolved` for training by steps, for networks that were tuned and for those that were not.

    `epochs`: as asked for, None where they are chosen here.
    """
    pictures = facts.pictures
    if name == SMALL_GREY:
        batch = 128 if pictures >= 10_000 else 64 if pictures >= 2_000 else 32 if pictures >= 1_000 else 16
        if epochs is not None and epochs < FEW_EPOCHS:
            # Twice the steps: digits in one epoch went from 98.8 to 99.1 % on validation.
            batch = min(batch, 64)
        least = FEW_STEPS * batch / pictures
        return {
            "batch_size": batch,
            "learning_rate": 0.2 * math.sqrt(batch / 128),
            "optimizer": OptimizerSettings(name="sgd", momentum=MOMENTUM, weight_decay=5e-4),
            "schedule": ScheduleSettings(name="one-cycle", warmup=0.2),
            "label_smoothing": 0.1,
            "averaging": 0.99,
            # 8 at 50,000 pictures; fewer pictures are seen more often, by the root, and in about 1,000 steps at least.
            "epochs": round(min(100, max(8, min(25, 8 * math.sqrt(51_000 / pictures)), least))),
        }
    if name == SMALL_COLOUR:
        batch = 256 if pictures >= 10_000 else 128 if pictures >= 2_000 else 32
        return {
            "batch_size": batch,
            "learning_rate": 0.375 * math.sqrt(batch / 256),
            "optimizer": OptimizerSettings(name="sgd", momentum=0.85, weight_decay=1e-3),
            "schedule": ScheduleSettings(name="one-cycle", warmup=0.2),
            "label_smoothing": 0.2,
            "averaging": 0.99,
            "epochs": round(min(60, max(15, 15 * math.sqrt(42_500 / pictures)))),
        }
    batch = int(min(128, max(8, 2 ** round(math.log2(max(1, pictures / 20))))))
    return {
        "batch_size": batch,
        "learning_rate": _untuned_rate(name, pretrained, facts),
        "optimizer": OptimizerSettings(name="adamw", weight_decay=0.05),
        "schedule": ScheduleSettings(name="one-cycle", warmup=0.2),
        "label_smoothing": 0.1,
        "averaging": 0.0,
        "epochs": round(min(100, max(10 if pretrained else 15, 60_000 / pictures))),
    }


def clip_of_few(name: str, optimizer: str | None, pictures_met: float, batch_size: int) -> float | None:
    """The longest gradient that small-conv learns by where it meets so few pictures in so large batches; None: any.

    The first steps at its rate throw its weights far off, and a short training does not bring them back. Right without
    and with the clip: 2,000 digits in 2 epochs 30 and 97 %, 1,000 in 20 epochs 97.4 and 98.2 %, 10,000 in 1 epoch 94.7
    and 98.1 %, in 4 epochs 98.8 and 99.1 %, 10,000 clothes in 2 epochs 79.4 and 85.6 % (one seed); with smaller rates
    in place of it 96, 98.3, 97.6, 99.0 and 83.5 % at best.
    """
    few = pictures_met < FEW_STEPS * batch_size
    return CLIP if few and (name, optimizer) == (SMALL_GREY, "sgd") else None


def _untuned_rate(name: str, pretrained: bool, facts: Facts) -> float:
    if facts.fields:
        return RATES_OF_ROWS.get(name, UNTUNED)
    return UNTUNED_PRETRAINED if pretrained else RATES.get(name, UNTUNED)


def choose_augmentation(recipe: Recipe, facts: Facts, network: str, spec: InputSpec) -> Augmentation:
    """How training pictures vary: mild for small ones, crops for photographs; mirrored where labels allow it.

    Of numbers nobody knows what they measure: an angle changes with a turned or mirrored picture, a size or a share of
    the picture with a scaled one. Their pictures are as they are, but for what the recipe asks for; where all numbers
    are angles, pictures are turned, and the angles with them.
    """
    asked = recipe.augment
    chosen: dict[str, Any] = {}
    varied = asked.name != "none" and not facts.fields
    if varied and facts.turning:
        chosen = {"rotation": TURNED, "scale": 1.1, "translation": 0.05}
    elif varied and facts.task != REGRESSION:
        side = min(spec.height, spec.width)
        if max(spec.height, spec.width) <= SMALL_SIDE:
            if facts.grey and facts.pictures < FEW_SMALL_GREY:
                chosen = {"rotation": 8.0, "scale": 1.1, "shear": 6.0, "translation": 0.07}
            elif facts.grey:
                chosen = {"rotation": 5.0, "scale": 1.05, "translation": 0.05}
            else:
                chosen = {"pad_crop": max(1, round(side / 16))}
        else:
            chosen = {"random_resized_crop": CROP_OF_LABELS if facts.task == MULTILABEL else CROP}
        # Grey pictures are not mirrored even where it is harmless: it cost clothes 0.7 points at these lengths.
        chosen["flip_horizontal"] = bool(facts.mirrors) and not facts.grey
    for colour in ("saturation", "hue"):
        require(
            spec.channels != 1 or not getattr(asked, colour),
            f"augment.{colour} changes colours, and the pictures are grey; leave it out",
        )
    for field in fields(asked):
        value = getattr(asked, field.name)
        if field.name != "name" and value is not None:
            chosen[field.name] = value
    augmentation = Augmentation(**chosen)
    require_shaped(asked, augmentation)
    return augmentation


def resolve_steps(
    recipe: Recipe,
    facts: Facts,
    spec: InputSpec,
    augmentation: Augmentation,
    *,
    network: str,
    arguments: dict[str, Any],
    pretrained: bool,
    device: str,
    precision: str,
    threads: int,
) -> Resolved:
    """Everything that training by steps depends on; what the recipe gives stands above every default."""
    from striate.training.optimizers import OPTIMIZERS  # imports torch

    has_weights = pretrained or recipe.weights is not None or recipe.from_run is not None
    chosen = steps_recipe(network, has_weights, facts, recipe.epochs)
    asked = None if recipe.batch_size == "auto" else recipe.batch_size  # auto: measured later, from the default on
    batch = asked or min(chosen["batch_size"], facts.pictures)
    most = max(1, facts.pictures // batch)
    require(
        recipe.accumulate <= most,
        f"accumulate: {recipe.accumulate:,} batches of {batch:,} are more than {facts.pictures:,} training pictures; "
        f"take {most:,} at most",
    )
    changed = asked is not None or recipe.accumulate > 1
    if changed and recipe.learning_rate is None and chosen["optimizer"].name == "sgd":
        # The linear rule of Goyal et al. 2017 (arXiv:1706.02677), upwards no further than 8 times.
        met = min(batch, facts.pictures) * recipe.accumulate
        chosen["learning_rate"] *= min(8.0, met / chosen["batch_size"])
    epochs = recipe.epochs or chosen["epochs"]
    default: OptimizerSettings = chosen["optimizer"]
    name = recipe.optimizer.name or default.name
    if name is not None and name != default.name:
        default = OPTIMIZERS[name].start
        chosen["learning_rate"] = OPTIMIZERS[name].rate
    if name == "lbfgs":  # one function, all pictures at once, whose steps have a length of their own
        batch, augmentation = facts.pictures, Augmentation()
        chosen.update(schedule=ScheduleSettings(name="constant", warmup=0.0), averaging=0.0)
    # What is said changes what is said; the rest stays as the network was tuned.
    said = {
        field.name: getattr(recipe.optimizer, field.name)
        for field in fields(OptimizerSettings)
        if getattr(recipe.optimizer, field.name) != field.default
    }
    optimizer = replace(default, **said)
    untouched = recipe.schedule == ScheduleSettings()
    schedule = (
        chosen["schedule"]
        if untouched
        else replace(recipe.schedule, name=recipe.schedule.name or chosen["schedule"].name)
    )
    require_used(recipe, optimizer.name, schedule.name)
    per_epoch = max(1, facts.pictures // (batch * recipe.accumulate))
    averaging = 0.0 if recipe.averaging is None and recipe.swa is not None else recipe.averaging
    # Smoothing would make rare labels likelier than they are, and numbers have none; nor does it suit every loss.
    smooths = facts.task == CLASSIFICATION and (recipe.loss is None or LOSSES[recipe.loss].smooths)
    usual_smoothing = chosen["label_smoothing"] if smooths else 0.0
    squares = name != "lbfgs" and (facts.task == REGRESSION or recipe.loss == "squared")
    off = Augmentation()
    return Resolved(
        network=network,
        arguments=arguments,
        pretrained=pretrained,
        weights=recipe.weights,
        channels=spec.channels,
        height=spec.height,
        width=spec.width,
        fit=spec.fit,
        crop_share=spec.crop_share,
        interpolation=spec.interpolation,
        mean=spec.mean if recipe.from_run is not None else None,
        deviation=spec.deviation if recipe.from_run is not None else None,
        mean_picture=spec.mean_picture is not None,
        epochs=epochs,
        steps=epochs * per_epoch,
        batch_size=batch,
        accumulate=recipe.accumulate,
        learning_rate=recipe.learning_rate or chosen["learning_rate"],
        optimizer=optimizer,
        schedule=schedule,
        loss=recipe.loss,
        label_smoothing=usual_smoothing if recipe.label_smoothing is None else recipe.label_smoothing,
        class_weights=recipe.class_weights,
        balance=recipe.balance,
        regularizer=recipe.regularizer,
        dropout=recipe.dropout,
        freeze=recipe.freeze,
        # The squared error of a first, wild answer has a gradient that does so.
        clip=recipe.clip or (CLIP if squares else clip_of_few(network, name, epochs * facts.pictures, batch)),
        averaging=chosen["averaging"] if averaging is None else averaging,
        swa=recipe.swa,
        patience=recipe.patience,
        augment={
            field.name: getattr(augmentation, field.name)
            for field in fields(augmentation)
            if getattr(augmentation, field.name) != getattr(off, field.name)
        },
        precision=precision,
        device=device,
        threads=threads,
        seed=recipe.seed,
    )
