"""The pages of the documentation that are read off the code: recipe.md, commands.md, defaults.md, parts.md,
variation.md, looking-inside.md, public-sets.md.

    python docs/make_pages.py

A test compares what lies in docs/ with what this program would write, so that none of them can be forgotten.
"""

from __future__ import annotations

import argparse
import dataclasses
import importlib
import json
import re
import statistics
import sys
from pathlib import Path
from typing import Any

DOCS = Path(__file__).resolve().parent
NOTE = "<!-- Written by `python docs/make_pages.py` from the code; changes by hand are lost. -->"


def pages() -> dict[str, str]:
    """The text of each page by its file name."""
    return {
        "recipe.md": recipe_page(),
        "commands.md": commands_page(),
        "defaults.md": defaults_page(),
        "parts.md": parts_page(),
        "variation.md": variation_page(),
        "looking-inside.md": inside_page(),
        "public-sets.md": public_sets_page(),
    }


def public_sets_page() -> str:
    """Every row of `PUBLIC_SETS`."""
    from striate.data.sources.public_sets import PUBLIC_SETS

    lines = [
        NOTE,
        "# Public sets",
        "",
        "`striate train mnist` trains on a public set by its name, and so does every command that takes a SOURCE: "
        "`striate inspect cifar10`, `striate evaluate RUN svhn`. A name is taken for a set only where no file or "
        "folder in the working folder is called so; the log says which it was. `striate datasets` lists them.",
        "",
        "The sets come through torchvision's dataset classes. One is downloaded when it is named, never before, into "
        "the cache folder ([decoded pictures](cache.md)), where it is kept until `striate cache --clean NAME` removes "
        "it; torchvision compares what it downloads with checksums. With `--root FOLDER` a copy that is there already "
        "is read, laid out as torchvision does it: nothing is downloaded, and nothing is written there. Where there is "
        'no network, download the set elsewhere (`torchvision.datasets.MNIST("folder", download=True)`) and bring the '
        "folder.",
        "",
        "| name | what it is | torchvision's class | `--root` holds | download | licence, as far as known |",
        "|---|---|---|---|---|---|",
    ]
    for name, one in PUBLIC_SETS.items():
        checked = "compared with checksums" if one.checked else "not compared"
        lines.append(
            f"| `{name}` | {_cell(one.sentence)} | `{one.factory}` | `{one.holds}`, {checked} | {one.megabytes:,} MB | "
            f"{_cell(one.licence)} |"
        )
    lines += [
        "",
        "Where a set has a test split of its own and no validation split, validation is drawn from training. Sets "
        "without splits are split as any other folder. EMNIST is its balanced split, and its pictures are turned "
        "upright; Imagenette is the version whose shorter side has 320 pixels.",
        "",
    ]
    return "\n".join(lines)


def recipe_page() -> str:
    """Every field of `Recipe` and of its parts: flag, type, range, default, help."""
    from striate.training.recipe import Recipe
    from striate.training.settings import kinds

    lines = [
        NOTE,
        "# Recipe",
        "",
        "What is to be done with a source of pictures, in one place. A field has the same name everywhere: "
        "`learning_rate` in `recipe.toml` and in `striate.train(...)` is `--learning-rate` on the command line, and "
        "`momentum` under `[optimizer]` is `--optimizer.momentum`; the `name` of a part is "
        "`--optimizer` itself, and `from_run`, since `from` is a word of Python, is `--from`. "
        "Where the default is *chosen*, Striate decides "
        "from the pictures and this machine, says so in the log, and writes what it decided under `[resolved]` "
        "([what is chosen, and why](training.md)).",
        "",
        *_fields_table(Recipe),
        "",
    ]
    for field in dataclasses.fields(Recipe):
        kind, _ = kinds(Recipe, field.name)
        if dataclasses.is_dataclass(kind):
            summary = _first_sentences(kind.__doc__ or "")
            lines += [f"## {field.name}", "", summary, "", *_fields_table(kind, f"{field.name}."), ""]
    lines += [
        "## As a file",
        "",
        "Flags stand above the file, the file above the defaults.",
        "",
        "```toml",
        "# recipe.toml",
        'network = "small-conv"',
        "epochs = 12",
        "learning_rate = 0.1",
        "",
        "[augment]",
        "rotation = 8",
        "```",
        "",
        "```sh",
        "striate train photos/ --recipe recipe.toml --epochs 20",
        "```",
        "",
        "The `recipe.toml` of a run has also a `[resolved]` table. Training with it decides nothing anew, which is how "
        "a run is repeated; a flag beside it makes Striate decide again, and say so.",
        "",
    ]
    return "\n".join(lines)


def _fields_table(settings: type, prefix: str = "") -> list[str]:
    from striate.cli.flags import flag_of
    from striate.training.settings import describe, kinds

    lines = ["| setting | takes | default | what it is |", "|---|---|---|---|"]
    for field in dataclasses.fields(settings):
        kind, _ = kinds(settings, field.name)
        if dataclasses.is_dataclass(kind):
            lines.append(f"| [{field.name}](#{field.name}) | a table | | {_first_sentences(kind.__doc__ or '')} |")
            continue
        described = describe(field)
        flag = flag_of(field.name, prefix)
        default = "*chosen*" if field.default is None else f"`{_value(field.default)}`"
        if field.default is None and field.name in OFF:
            default = "off"
        lines.append(f"| `{flag}` | {_takes(kind, described)} | {default} | {_cell(described.help)} |")
    return lines


# What stays off unless it is asked for: None means "not", where it means "to be chosen" elsewhere.
OFF = {"weights", "from_run", "minutes", "patience", "clip", "labels", "root", "keep_epochs", "swa", "freeze"}


def _takes(kind: type, described: Any) -> str:
    if described.choices:
        return " ".join(f"`{choice}`" for choice in described.choices)
    words = {int: "whole number", float: "number", bool: "yes or no", str: "text", tuple: "list"}[kind]
    bounds = [
        f"{sign} {bound:,g}".replace("e+06", " million")
        for sign, bound in (("≥", described.at_least), (">", described.above), ("≤", described.at_most))
        if bound is not None and abs(bound) < 2**53
    ]
    return ", ".join([words, *bounds]) + "".join(f", or `{word}`" for word in described.words)


def _value(default: Any) -> str:
    return f"{default:g}" if isinstance(default, float) else str(default).lower()


def commands_page() -> str:
    """Every command with its arguments and options, read off its parser."""
    from striate.cli.main import COMMANDS, HEADINGS

    lines = [
        NOTE,
        "# Commands",
        "",
        "Results go to stdout, progress to stderr, and `--json` gives every result as JSON. Where there is no "
        "terminal, the live display becomes plain lines; `NO_COLOR` is respected. A mistake in what was typed is one "
        "sentence, found before any work where it can be, and nothing that was there is lost.",
        "",
        "| exit status | means |",
        "|---|---|",
        "| 0 | done |",
        "| 1 | a defect of Striate, with its traceback: please report it; of `resume --verify`: a bit differs |",
        "| 2 | what was given cannot be used; the sentence says what to do |",
        "| 130 | stopped by Ctrl-C; `striate resume RUN` goes on |",
        "",
    ]
    for group, heading in HEADINGS.items():
        lines += [f"## {heading}", ""]
        for name, command in COMMANDS.items():
            if command.group == group:
                lines += _command(name, command.module)
    return "\n".join(lines)


def _command(name: str, module_name: str) -> list[str]:
    from striate.cli.flags import Parser

    module = importlib.import_module(f"striate.cli.{module_name}_command")
    parser = Parser(prog=f"striate {name}")
    module.add_arguments(parser)
    recipe_flags = _recipe_flags() if name == "train" else set()
    arguments = [action for action in parser._actions if not action.option_strings]
    options = [
        action
        for action in parser._actions
        if action.option_strings and not {"-h", *recipe_flags} & set(action.option_strings)
    ]
    usage = " ".join(["striate", name, *map(_usage, arguments), "[options]"])
    lines = [f"### {name}", "", "```text", usage, "```", "", *_paragraphs(module.__doc__ or ""), ""]
    lines += ["| argument or option | what it is |", "|---|---|"]
    lines += [f"| `{_metavar(action)}` | {_cell(action.help)} |" for action in arguments]
    for action in options:
        value = "" if action.nargs == 0 else " " + _metavar(action)
        lines.append(f"| `{_cell(action.option_strings[0] + value)}` | {_cell(action.help)} |")
    if recipe_flags:
        lines.append(f"| `--<field>` | each of the {len(recipe_flags)} settings of the [recipe](recipe.md) |")
    return [*lines, ""]


def _recipe_flags() -> set[str]:
    from striate.cli.flags import Parser, add_flags
    from striate.training.recipe import Recipe

    parser = Parser(prog="striate")
    add_flags(parser, Recipe)
    return {action.option_strings[0] for action in parser._actions} - {"-h"}


def _usage(action: argparse.Action) -> str:
    name = _metavar(action)
    return {"+": f"{name}...", "?": f"[{name}]"}.get(str(action.nargs), name)


def _metavar(action: argparse.Action) -> str:
    if action.metavar is None and action.choices:
        return " or ".join(map(str, action.choices))
    return str(action.metavar or action.dest.upper()).replace("|", " or ")  # no escape is the same everywhere


def defaults_page() -> str:
    """What is chosen for sources of different kinds, by asking the code that chooses."""
    from striate.models.input_spec import InputSpec
    from striate.training.defaults import (
        CLIP,
        FEW_STEPS,
        PRETRAINED,
        SMALL_GREY,
        SMALL_SIDE,
        Facts,
        choose_augmentation,
        choose_network,
        steps_recipe,
    )
    from striate.training.recipe import Recipe

    lines = [
        NOTE,
        "# Defaults",
        "",
        "What `striate train SOURCE` settles on for sources of different kinds, read off "
        "`src/striate/training/defaults.py` by the program that writes this page. "
        f"Pictures whose longer side is at most {SMALL_SIDE} pixels count as small. [Why](training.md).",
        "",
        "| source | training pictures | network | weights | way | reason that the log gives |",
        "|---|---:|---|---|---|---|",
    ]
    chosen = []
    for source, facts in _examples(Facts):
        name, pretrained, why = choose_network(Recipe(), facts)
        frozen = pretrained and name == PRETRAINED
        way = "a head on its features; fine-tuned where that is seen to help" if frozen else "by steps"
        weights = "pretrained" if pretrained else "fresh"
        lines.append(f"| {source} | {facts.pictures:,} | `{name}` | {weights} | {way} | {_cell(why)} |")
        if not frozen:
            chosen.append((source, facts, name))
    lines += [
        "",
        "Where training goes by steps:",
        "",
        "| source | epochs | batch | optimizer | highest rate | schedule | smoothing | averaging | variation |",
        "|---|---:|---:|---|---:|---|---:|---:|---|",
    ]
    for source, facts, name in chosen:
        side = round(facts.longer_side)
        channels = 1 if facts.grey else 3
        plain = {"mean": (0.5,) * channels, "deviation": (0.5,) * channels}
        spec = InputSpec(channels=channels, height=side, width=side, **plain)
        values = steps_recipe(name, False, facts)
        augmentation = choose_augmentation(Recipe(), facts, name, spec)
        optimizer, schedule = values["optimizer"], values["schedule"]
        cells = [
            source,
            str(values["epochs"]),
            str(values["batch_size"]),
            f"{optimizer.name}, decay {optimizer.weight_decay:g}",
            f"{values['learning_rate']:.3g}",
            f"{schedule.name}, warm-up {schedule.warmup:g}",
            f"{values['label_smoothing']:g}",
            f"{values['averaging']:g}",
            _cell(augmentation.in_words()),
        ]
        lines.append("| " + " | ".join(cells) + " |")
    lines += [
        "",
        f"In a training of fewer than {FEW_STEPS:,} steps (few epochs asked for, few minutes) the gradient of "
        f"`{SMALL_GREY}` is clipped to a norm of {CLIP:g}.",
        "",
        "Any of them is set by its own flag ([recipe](recipe.md)); what a run settled on stands in its `recipe.toml` "
        "under `[resolved]`. How well the defaults do is measured by `benchmarks/results.py` ([results](results.md)).",
        "",
        *_rates(),
    ]
    return "\n".join(lines)


def _rates() -> list[str]:
    """Highest rates beside each other, as `benchmarks/rates.py` has recorded them."""
    record = json.loads((DOCS.parent / "benchmarks" / "results" / "rates.json").read_text(encoding="utf-8"))
    versions = ", ".join(f"{name} {record['versions'][name]}" for name in ("striate", "torch"))
    lines = [
        "## Highest rates, measured",
        "",
        "What the default is worth beside other rates, and what `striate train --find-rate` suggests with each seed. "
        "Judged by the log loss on the test split, the mean over the seeds; nearly as good is what comes within a "
        "tenth of the least. MNIST and Fashion-MNIST: 10,000 training pictures unless the name says fewer. Measured by "
        f"`{record['command']}` ({record['date']}, {versions}).",
        "",
        "| network on | batch, pictures, epochs | best of the grid | log loss there | nearly as good | default | log "
        "loss by the default | suggested |",
        "|---|---|---:|---:|---|---:|---:|---|",
    ]
    for name, one in record["cases"].items():
        cells = [
            _cell(name),
            f"{one['optimizer']}, {one['batch_size']} of {one['pictures']:,}, {one['epochs']}",
            f"{one['best']:g}",
            f"{min(one['mean_log_loss'].values()):.4f}",
            f"{one['nearly_as_good'][0]:g} to {one['nearly_as_good'][1]:g}",
            f"{one['default']:.2g}",
            f"{one['log_loss_by_default']:.4f}",
            ", ".join(f"{rate:.2g}" for rate in one["suggested"]),
        ]
        lines.append("| " + " | ".join(cells) + " |")
    return [*lines, ""]


def _examples(facts: Any) -> list[tuple[str, Any]]:
    def of(pictures: int, classes: int, side: float, grey: bool) -> Any:
        each = pictures // classes
        common = {"classes": classes, "smallest_class": each, "longer_side": side, "grey": grey}
        return facts(pictures=pictures, mirrors=not grey, **common)

    return [
        ("handwritten digits, 28x28 grey", of(51_000, 10, 28, True)),
        ("a few digits, 8x8 grey", of(1_250, 10, 8, True)),
        ("icons, 32x32 colour", of(42_500, 10, 32, False)),
        ("a few icons, 32x32 colour", of(350, 5, 32, False)),
        ("photographs, 60 a class", of(100, 2, 400, False)),
        ("photographs, 1,000 a class", of(8_500, 10, 500, False)),
    ]


def variation_page() -> str:
    """Every part of augmentation and every way of looking at a picture more than once, with its row."""
    from striate.data.policy import RAND_AUGMENT, TRIVIAL_AUGMENT
    from striate.data.variations import SIDE, VARIATIONS, as_flags, settings_for
    from striate.models.many_views import TTA

    costs = _costs()
    lines = [
        NOTE,
        "# How pictures are varied",
        "",
        "Training pictures differ in every epoch, so that a network learns what stays: the class. What is on by "
        "default stands on the page of [defaults](defaults.md); each part below is turned on by its own flag. "
        "`striate inspect SOURCE --augment` draws a row of examples of every one, on your own pictures.",
        "",
        "All motions of a picture are one matrix and one resampling, an elastic field lies on top of it, and points, "
        "boxes and masks move along. What happens is a function of the seed, the epoch and the row of the picture: it "
        "depends on no thread and on no batch. After the motion come operations of RandAugment or TrivialAugment, "
        "colours, blur, noise, JPEG, erasing, in this order; pairs are mixed last.",
        "",
        "On a GPU batches are made there, but for what only a processor does: with any of that, it makes the whole "
        "batch." + COSTS_WORDS * bool(costs),
        "",
        f"| part | a strength that shows, at {SIDE} pixels | needs |{COSTS_HEADING * bool(costs)} good for | made by "
        "| paper |",
        f"|---|---|---|{'---:|---:|' * bool(costs)}---|---|---|",
    ]
    for name, part in VARIATIONS.items():
        cells = [
            f"`{name}`: {part.says}",
            _flags(as_flags(settings_for(name))),
            part.needs or "nothing",
            *(costs.get((name, kind), "") for kind in KINDS if costs),
            part.good_for,
            part.by,
            part.paper,
        ]
        lines.append("| " + " | ".join(map(_cell, cells)) + " |")
    lines += [
        "",
        "## The operations of RandAugment and TrivialAugment",
        "",
        "Each is as likely as the others. RandAugment applies `rand_augment` of them at `rand_magnitude` of 30, "
        "TrivialAugment one at any strength from 0 to 30; the table says what 30 is. Where there are two signs, a coin "
        "takes one. Motions compose into the picture's matrix; tones follow in the order drawn. The papers count "
        "posterize differently in text and code: here more strength always means fewer bits.",
        "",
        "| operation | RandAugment at 30 | TrivialAugment at 30 |",
        "|---|---:|---:|",
    ]
    units = {"translate": ("of the side", "pixels"), "rotate": ("degrees",) * 2, "posterize": ("bits fewer",) * 2}
    units |= {"shear": ("slope",) * 2, "solarize": ("levels turned",) * 2}
    for name, most in RAND_AUGMENT.items():
        own = units.get(name.partition("_")[0], ("",) * 2)
        cells = [
            f"{value:.3g} {unit}".strip() if value else ""
            for value, unit in zip((most, TRIVIAL_AUGMENT[name]), own, strict=True)
        ]
        lines.append(f"| {name} | {cells[0]} | {cells[1]} |")
    lines += [
        "",
        "## Several views of a picture that is answered",
        "",
        "`striate predict` and `striate evaluate` take `--tta`: each picture is answered in several views, and the "
        "answers (probabilities, or numbers) are averaged. It costs as many times as there are views. In Python: "
        "`striate.predict(run, pictures, tta=...)`, `striate.evaluate(run, source, tta=...)`.",
        "",
        "| `--tta` | views | what is answered | paper |",
        "|---|---:|---|---|",
    ]
    lines += [f"| `{name}` | {way.views} | {_cell(way.says)} | {way.paper} |" for name, way in TTA.items()]
    lines += [
        "",
        "Mirrored views help where training mirrored its pictures. Ten crops show things a seventh larger than the "
        "whole picture does: to a network that learned from crops of all sizes, as those for photographs did, that is "
        "more of the same; one that learned from small pictures as they are never saw such a thing, and answers worse "
        "([measured](benchmarks.md#do-several-views-of-a-picture-help)). Numbers that training was told are angles "
        "(`--angles`) are mirrored back before the mean is taken. Whether they help on your pictures, "
        "`striate evaluate RUN SOURCE --split validation --tta ...` tells.",
        "",
    ]
    return "\n".join(lines)


# Kinds of pictures that the benchmark varies.
KINDS = ("digits", "photographs")
COSTS_HEADING = " cost, 28x28 grey | cost, 224x224 |"
COSTS_WORDS = (
    " Cost: milliseconds of processor time for 128 pictures, beyond what the same pictures cost as they are, measured "
    "by `make bench NAME=variations` ([all of it](benchmarks.md#what-does-varying-the-pictures-cost)); strengths in "
    "pixels are larger there on larger pictures, as `inspect` has them."
)


def _costs() -> dict[tuple[str, str], str]:
    """What the benchmark found for (part, kind of pictures), in milliseconds; nothing where it was not run."""
    record = DOCS.parent / "benchmarks" / "results" / "variations.json"
    if not record.is_file():
        return {}
    found = {}
    for one in json.loads(record.read_text(encoding="utf-8"))["contenders"]:
        part, _, kind = one["name"].partition(", ")
        added = [figures["added_ms"] for figures in one["rounds"] if figures and "added_ms" in figures]
        if added:
            middle = statistics.median(added)
            found[part, kind] = f"{middle:.1f}" if abs(middle) < 10 else f"{middle:.0f}"
    return found


def parts_page() -> str:
    """Losses, optimizers, schedules, penalties, averages and ways of drawing, read off their tables."""
    from striate.tasks.losses import LOSSES
    from striate.training.averaging import AVERAGES
    from striate.training.optimizers import OPTIMIZERS
    from striate.training.regularizers import REGULARIZERS
    from striate.training.schedules import SCHEDULES

    lines = [
        NOTE,
        "# Parts of a training",
        "",
        "What `striate train` puts a training together from. None of it has to be named: what is not is "
        "[chosen](defaults.md). Every part is a row of a table in the code, from which this page, the help and the "
        "tests are made; all settings are in the [recipe](recipe.md).",
        "",
        "```sh",
        "striate train photos/ --network resnet18 --optimizer muon --schedule cosine --epochs 20",
        "striate train photos/ --network efficientnet-lite0 --epochs 5 --freeze backbone --dropout 0.3",
        "striate train photos/ --epochs 10 --loss focal --balance --swa 0.25",
        "```",
        "",
        "## Losses",
        "",
        "`--loss NAME`; the first that fits a task is its own. Soft labels, and the shares that mixing makes, go into "
        "all losses of classes. Class weights (`--class-weights balanced`) weigh a picture by its class in each of "
        "them; smoothed labels are refused where they mean nothing.",
        "",
        *_rows(
            ("fits", lambda row: ", ".join(row.fits)),
            ("needs", lambda row: row.needs),
            ("costs", lambda row: row.cost),
            table=LOSSES,
        ),
        "## Penalties and noise",
        "",
        "Penalties are of weights, and not of biases and norms unless `--regularizer.biases`. They are added to the "
        "loss: the gradient gets their subgradient, once, also where a batch is done in parts or by several processes.",
        "",
        *_rows(
            ("asked for by", lambda row: _flags(row.flags)),
            ("needs", lambda row: row.needs),
            ("costs", lambda row: row.cost),
            table=REGULARIZERS,
        ),
        "## Optimizers",
        "",
        "`--optimizer NAME`. Kernels are torch's fused ones where it has one. `--optimizer.layer-decay 0.7` gives each "
        "block 0.7 times the rate of the block after it, from the head to the pictures; `--freeze backbone`, or names "
        "of layers as `striate describe` shows them, keeps weights and the statistics of their batch norms as they "
        "are. `--accumulate N` makes one step of N batches: that of the large batch, but for layers that see a batch "
        "at a time (batch norm, dropout).",
        "",
        *_rows(
            ("rate where nothing was tuned", lambda row: f"{row.rate:g}"),
            ("needs", lambda row: row.needs),
            ("costs", lambda row: row.cost),
            table=OPTIMIZERS,
        ),
        "`striate train photos/ --find-rate` lets the rate rise through a hundred steps and waits where the loss has "
        "risen (Smith 2017; Lewkowycz et al. 2020), suggests a fifteenth of the highest rate from which the loss comes "
        "down again, and draws what happened; no run is made. [How good that is](defaults.md#highest-rates-measured).",
        "",
        "## Schedules",
        "",
        "`--schedule NAME`: how the rate moves through the run. All of them rise during `--schedule.warmup`, and cost "
        "nothing.",
        "",
        *_rows(("needs", lambda row: row.needs), table=SCHEDULES),
        "## Averages of weights",
        "",
        *_rows(
            ("asked for by", lambda row: _flags(row.flags)),
            ("needs", lambda row: row.needs),
            ("costs", lambda row: row.cost),
            table=AVERAGES,
        ),
        "## Rare classes",
        "",
        "`--balance` draws pictures so that every class comes equally often in each epoch: of a common class another "
        "part in each epoch, of a rare one some pictures more than once, varied in another way each time. What is "
        "drawn is a function of the seed and the epoch. `--class-weights balanced` draws every picture once and lets "
        "the rare ones count more in the loss. Both at once would count them twice, and are refused.",
        "",
    ]
    return "\n".join(lines)


def _flags(flags: str) -> str:
    """Each flag in a box of its own, between which a line may break: "--a 1 --b 2" -> "`--a 1` `--b 2`"."""
    return " ".join(f"`--{flag.strip()}`" for flag in flags.split("--") if flag)


def _rows(*columns: tuple[str, Any], table: Any) -> list[str]:
    """A table of parts: name, what it is, `columns` (heading, row -> text), what it is good for, paper."""
    headings = ["name", "what it is", *(heading for heading, _ in columns), "good for", "paper"]
    lines = ["| " + " | ".join(headings) + " |", "|" + "---|" * len(headings)]
    for name, row in table.items():
        cells = [f"`{name}`", row.sentence, *(read(row) for _, read in columns), row.good_for]
        lines.append("| " + " | ".join([*map(_cell, cells), _paper(row.paper)]) + " |")
    return [*lines, ""]


# Group of `VIEWS` -> its heading, and what a reader should know of all of them.
GROUPS = {
    "map": (
        "Why this answer?",
        "A map says for each pixel how much it has to do with the score of a class. `striate explain` makes them all; "
        "in Python each is a function `(network, pictures, classes) -> Maps`. In the pictures, from left to right: a "
        "photograph, its map by EfficientNet-Lite0, its map by SqueezeNet; then another photograph and its two. Each "
        "map is for the class that the network answered; bright is important, and where a map has signs, orange is "
        "for the class and blue against it.",
    ),
    "network": (
        "What was learned?",
        "Views of the network itself, or of what it makes of a whole data set. `striate look` shows them on one page: "
        "layers as chapters, units as cells with the pictures that excite them most, and what was asked for beside, "
        "each in a section of its own. `striate look RUN --list` names the layers, with how many pixels a unit of each "
        "sees and how many lie between a unit and the next.",
    ),
    "dream": (
        "Pictures made for a network",
        "What excites a unit, a channel, a layer or a class most, found by changing a picture until it does. "
        "`striate dream` writes them as a PNG; with `--film` it moves through the epochs that the run has kept.",
    ),
    "trust": (
        "Can the maps be believed?",
        "A map is a claim about the network, and some maps that look right show the picture and not the network. These "
        "put the claim to the test; what the maps of truly trained networks reached is on the page of measurements: "
        "[do the maps tell the truth?](benchmarks.md#do-the-maps-tell-the-truth)",
    ),
}


# What the picture of a view shows, where the question that it answers does not tell.
CAPTIONS = {
    "invariance": "A photograph moved, scaled and turned; beside each row, how far SqueezeNet's features move: those "
    "of a low layer (dark), of one in the middle (orange), and the scores themselves (white).",
    "filters": "Above, the first filters of EfficientNet-Lite0; below, those of SqueezeNet.",
    "feature-maps": "The two strongest maps of six layers of SqueezeNet, from the picture upwards.",
    "top-patches": "Three units of SqueezeNet, a row each: the six patches of photographs that excite it most, each "
    "beside what in it counts.",
    "feature-space": "400 photographs of 20 classes, where t-SNE puts what EfficientNet-Lite0 makes of them.",
    "dreams": "What EfficientNet-Lite0 would take for a goldfish, a peacock, a starfish, a lighthouse, a volcano and a "
    "strawberry.",
    "deepdream": "A photograph, and what three layers of SqueezeNet, each above the one before, add to it.",
    "deletion": "A photograph as it loses the pixels that Grad-CAM marks, above, and those that a random map marks, "
    "below.",
    "planted-square": "Two pictures with a planted square, each with its Grad-CAM by the network that was trained on "
    "it and by one of random weights.",
    "randomisation": "Grad-CAM, above, and guided back-propagation, below, while the layers of EfficientNet-Lite0 lose "
    "what they learned, from the last to the first.",
}


def inside_page() -> str:
    """Every view of the table, with the picture of it that `make_inside.py` made, where it makes one."""
    from striate.views import VIEWS

    lines = [
        NOTE,
        "# Looking inside",
        "",
        "What a network has learned, and why it answered so. Everything here works on a run of Striate's, on networks "
        "of torchvision's and timm's, and on a `torch.nn.Module` of your own that takes pictures and gives scores "
        "(where it gives a dictionary or a tuple, `output` says which), and changes nothing of it: afterwards "
        "weights, gradients, modes, random states and hooks are bit for bit what they were. Where a view cannot be "
        "right for a network, it says so and stops.",
        "",
        "Each view has a row: the question that it answers, what it needs, what it costs, and when it misleads. The "
        "rows are read off `striate.views.VIEWS`; the pictures are of two networks with their ImageNet weights, on "
        "photographs of Caltech-101 (Fei-Fei, Fergus, Perona 2004, CC BY 4.0), made by `python docs/make_inside.py`.",
        "",
        "```sh",
        "striate explain runs/photos-1 new.jpg",
        "striate look runs/photos-1 --data photos/",
        "striate look runs/photos-1 --invariance --through-training --feature-space pca",
        "striate dream runs/photos-1 --class tiger",
        "```",
        "",
        'Of a run of several labels `--class` names the label to explain, whose two answers are then compared: "car" '
        'and "no car". A label or a number can be dreamt of by its name, and units of such runs are looked at without '
        "classes. A number has no probability that could fall as pixels are covered, which is what `striate explain` "
        "measures: it says so and stops.",
        "",
        "In Python the same commands are functions. Where `run` or `network` is a `torch.nn.Module` of your own they "
        "have to be told what it takes: `input_spec=striate.InputSpec(channels=..., height=..., width=..., mean=..., "
        "deviation=...)` is required then. Runs have theirs and refuse another; networks by their names bring the one "
        "that their makers published. The views themselves take the module and pictures as it takes them, and need "
        "none.",
        "",
    ]
    for group, (heading, text) in GROUPS.items():
        rows = {name: view for name, view in VIEWS.items() if view.group == group}
        if not rows:
            continue
        lines += [f"## {heading}", "", text, ""]
        for name, view in rows.items():
            lines += [f"### {name}", "", f"Tells {view.answers}.", ""]
            picture, paper = f"images/inside/{_file_name(name)}", _paper(view.paper)
            shown = [line for end in ("jpg", "png", "svg") for line in _picture(f"{picture}.{end}", view.answers)]
            lines += [*shown, *([CAPTIONS[name], ""] if shown and name in CAPTIONS else [])]
            lines += [
                "| needs | costs | when it misleads | paper |",
                "|---|---|---|---|",
                "| "
                + " | ".join([_cell(view.needs) or "nothing", *map(_cell, (view.cost, view.misleads)), paper])
                + " |",
                "",
                (f"On the command line: `{view.command}`. " if view.command else "")
                + f"In Python: `{view.module}.{view.function}`.",
                "",
            ]
    return "\n".join(lines)


def _file_name(name: str) -> str:
    """The file of a view's picture, without its ending: "grad-cam++" would be read as an encoded space."""
    return name.replace("+", "-plus")


def _picture(file: str, text: str) -> list[str]:
    return [f"![{text}]({file}){{ .inside }}", ""] if (DOCS / file).is_file() else []


def _paper(text: str) -> str:
    """With links to arXiv."""
    return re.sub(r"arXiv:(\d{4}\.\d{4,5})", r"[arXiv:\1](https://arxiv.org/abs/\1)", _cell(text))


def _paragraphs(docstring: str) -> list[str]:
    return docstring.strip().splitlines()


def _first_sentences(docstring: str) -> str:
    """The first paragraph, without the sentence on errors."""
    text = " ".join(docstring.strip().partition("\n\n")[0].split())
    return re.sub(r"\s*Raises InputError.*$", "", text)


def _cell(text: str | None) -> str:
    plain = (text or "").replace("%%", "%").replace("|", "\\|").replace("\n", " ")
    return plain if plain.startswith("-") else plain.replace("<", "&lt;")


def main() -> int:
    """Write the pages."""
    for name, text in pages().items():
        place = DOCS / name
        if not place.is_file() or place.read_text(encoding="utf-8") != text:
            place.write_text(text, encoding="utf-8")
            print(f"wrote {place}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
