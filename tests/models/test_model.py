"""One path for numbers: the loop's validation, evaluate, predict on files and on arrays give the same answers."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from PIL import Image
from torch import nn

import striate
from striate.data.augmentation import Augmentation
from striate.data.batches import Batches
from striate.data.decode import decode
from striate.data.preparing import prepare_all
from striate.data.samples import TRAIN, VALIDATION, natural_key
from striate.data.sources import open_dataset
from striate.data.store import build_store
from striate.errors import InputError
from striate.machine.precision import native_bfloat16
from striate.models.input_spec import InputSpec
from striate.models.model import MOST_AT_ONCE, Model
from striate.models.run import Run, write_model
from striate.models.run_files import RECIPE
from striate.networks import build_network
from striate.tasks.classification import Classification
from striate.training.loop import Loop, Validation
from striate.training.part_settings import OptimizerSettings
from striate.training.recipe import Recipe
from striate.training.recipe_file import recipe_text
from striate.training.resolved import Resolved

SPEC = InputSpec(channels=3, height=12, width=14, fit="squash", mean=(0.5, 0.4, 0.3), deviation=(0.2, 0.3, 0.25))
NAMES = ("cat", "dog")


def network(channels: int = 3) -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(
        nn.Conv2d(channels, 4, 3),
        nn.BatchNorm2d(4),
        nn.ReLU(),
        nn.AdaptiveAvgPool2d(2),
        nn.Flatten(),
        nn.Dropout(0.5),
        nn.Linear(16, 2),
    )


def model(**settings) -> Model:
    return Model(network(), SPEC, Classification(NAMES), **settings)


@pytest.fixture(scope="module")
def photos(tmp_path_factory):
    """Pictures of every kind, in all sizes: colour, grey, 16 bits, palette, transparent, turned by EXIF; JPEG too."""
    folder = tmp_path_factory.mktemp("photos")
    rng = np.random.default_rng(0)
    for number in range(32):
        split = "train" if number < 16 else "val"
        place = folder / split / NAMES[number % 2]
        place.mkdir(parents=True, exist_ok=True)
        height, width = (int(side) for side in rng.integers(5, 40, 2))
        low = 0 if number % 2 else 90
        colour = rng.integers(low, low + 160, (height, width, 3)).astype(np.uint8)
        kind = number // 2 % 6
        path = place / f"{number}.png"
        if kind == 0:
            Image.fromarray(colour).save(path)
        elif kind == 1:
            Image.fromarray(colour[..., 0]).save(path)
        elif kind == 2:
            Image.fromarray(colour[..., 0].astype(np.uint16) * 257 + 11).save(path)
        elif kind == 3:
            Image.fromarray(colour).save(path.with_suffix(".jpg"), quality=90)
        elif kind == 4:
            Image.fromarray(np.dstack([colour, colour[..., 0]])).save(path)
        else:
            exif = Image.Exif()
            exif[0x0112] = 6
            Image.fromarray(colour).save(path.with_suffix(".jpg"), exif=exif)
    return folder


@pytest.fixture(scope="module")
def run(photos, tmp_path_factory):
    """A run trained by the loop on `photos`, what the loop saw in validation, and the names of those pictures."""
    samples = open_dataset(photos)
    rows, held = samples.rows(TRAIN), samples.rows(VALIDATION)
    assert len(rows) == len(held) == 16
    store = build_store(samples, rows, threads=1).store
    task = Classification(samples.class_names).bound_to(samples.targets[rows])
    plan = Resolved(
        network="lenet5",
        channels=3,
        height=12,
        width=14,
        epochs=3,
        steps=6,
        batch_size=8,
        learning_rate=0.05,
        optimizer=OptimizerSettings(name="sgd", weight_decay=0.0),
        averaging=0.5,
    )
    batches = Batches(store, task=task, frame=SPEC, batch_size=8, seed=0, augmentation=Augmentation(rotation=5.0))
    prepared = prepare_all(samples, held, SPEC.prepare, threads=1).pictures
    seen = []

    class Kept(Classification):
        def metrics(self, answers, targets):
            seen.append(answers.copy())
            return super().metrics(answers, targets)

    watched = Kept(task.class_names).bound_to(task.table)
    module = network()
    trained = Model(module.to(memory_format=torch.channels_last), SPEC, watched)
    progress = Loop(trained, batches, Validation(prepared, samples.targets[held]), plan).run()
    folder = tmp_path_factory.mktemp("run")
    made = Run(folder)
    made.write(RECIPE, recipe_text(Recipe(), plan.to_mapping(), str(photos)))
    write_model(made, Model(module, SPEC, task), {"name": "own", "arguments": {}}, {})
    return made, seen[progress.best_epoch], [samples.names[row] for row in held]


def test_validation_evaluate_and_predict_give_the_same_probabilities(run, photos):
    made, in_the_loop, names = run
    loaded = striate.load(made, network=network())
    files = [photos / name for name in names]
    by_action = striate.predict(loaded, files)
    assert not by_action.unreadable
    probabilities = {
        "predict": [one.probabilities for one in by_action.answers],
        "Model.predict on files": [one.probabilities for one in loaded.predict(files)],
        "Model.predict on arrays": [
            one.probabilities for one in loaded.predict([decode(f.read_bytes()) for f in files])
        ],
        "one by one": [loaded.predict(decode(file.read_bytes()))[0].probabilities for file in files],
        "from bytes to answer by hand": [
            loaded.answer(loaded.prepare(decode(file.read_bytes()))[None])[0].numpy() for file in files
        ],
    }
    for how, found in probabilities.items():
        assert np.abs(np.array(found) - in_the_loop).max() < 1e-6, how
    evaluated = striate.evaluate(loaded, photos, split="validation")
    assert list(evaluated.names) == names
    assert np.abs(evaluated.probabilities - in_the_loop).max() < 1e-6


def test_answers_do_not_depend_on_how_pictures_are_divided():
    asked = model()
    pictures = torch.randint(0, 256, (37, 3, 12, 14), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
    whole = asked.answer(pictures)
    alone = torch.cat([asked.answer(pictures[i : i + 1]) for i in range(37)])
    turned = asked.answer(pictures.flip(0)).flip(0)
    assert torch.allclose(whole, alone, rtol=0, atol=1e-5)
    assert torch.allclose(whole, turned, rtol=0, atol=1e-5)
    # Types and layouts in memory are no matter either.
    assert torch.allclose(whole, asked.answer(pictures.float()), rtol=0, atol=1e-6)
    assert torch.allclose(whole, model(channels_last=False).answer(pictures), rtol=0, atol=1e-6)


def test_many_pictures_pass_in_parts_and_are_told():
    asked = model()
    sizes, told = [], []
    asked.network.register_forward_hook(lambda _, inputs, __: sizes.append(len(inputs[0])))
    pictures = torch.zeros(MOST_AT_ONCE + 10, 3, 12, 14, dtype=torch.uint8)
    answers = asked.answer(pictures, lambda done, total: told.append((done, total)))
    assert len(answers) == MOST_AT_ONCE + 10
    assert sizes == [MOST_AT_ONCE, 10]
    assert told == [(MOST_AT_ONCE, MOST_AT_ONCE + 10), (MOST_AT_ONCE + 10, MOST_AT_ONCE + 10)]


def test_large_pictures_pass_in_smaller_parts():
    spec = InputSpec(channels=3, height=1000, width=1000, mean=(0.0,) * 3, deviation=(1.0,) * 3)
    asked = Model(nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(3, 2)), spec, Classification(NAMES))
    sizes = []
    asked.network.register_forward_hook(lambda _, inputs, __: sizes.append(len(inputs[0])))
    asked.answer(torch.zeros(5, 3, 1000, 1000, dtype=torch.uint8))
    assert sizes == [2, 2, 1]


class Little(nn.Module):
    """Has no memory for more than `most` pictures."""

    def __init__(self, most: int) -> None:
        super().__init__()
        self.layers, self.most, self.counts = network(), most, []

    def forward(self, pictures: torch.Tensor) -> torch.Tensor:
        self.counts.append(len(pictures))
        if len(pictures) > self.most:
            raise torch.OutOfMemoryError("out of memory")
        return self.layers(pictures)


def test_pictures_that_do_not_fit_into_memory_pass_in_smaller_parts():
    pictures = torch.randint(0, 256, (11, 3, SPEC.height, SPEC.width), dtype=torch.uint8)
    little = replace(model(), network=Little(3))
    seen = []
    answers = little.answer(pictures, lambda done, count: seen.append((done, count)))
    assert torch.allclose(answers, model().answer(pictures), atol=1e-6)
    assert seen[-1] == (11, 11)
    assert [count for count in little.network.counts if count <= 3] == [2] * 5 + [1]
    with pytest.raises(torch.OutOfMemoryError):
        replace(model(), network=Little(0)).answer(pictures)


def test_the_mode_of_every_part_is_as_it_was_afterwards():
    asked = model()
    asked.network.train()
    asked.network[1].eval()  # a norm that is kept still
    before = [module.training for module in asked.network.modules()]
    statistics = asked.network[1].running_mean.clone()
    pictures = torch.zeros(2, 3, 12, 14, dtype=torch.uint8)
    first, second = asked.answer(pictures), asked.answer(pictures)
    assert torch.equal(first, second), "dropout is off"
    assert [module.training for module in asked.network.modules()] == before
    assert torch.equal(asked.network[1].running_mean, statistics)
    asked.network[6].register_forward_hook(lambda *_: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        asked.answer(pictures)
    assert [module.training for module in asked.network.modules()] == before


def test_answers_are_plain_tensors():
    weight = torch.ones(2, requires_grad=True)
    asked = model()
    pictures = torch.zeros(2, 3, 12, 14, dtype=torch.uint8)
    (asked.outputs(pictures, asked.network) * weight).sum().backward()
    assert weight.grad is not None


def test_answers_are_computed_in_float32_after_training_in_bfloat16():
    seen = []
    asked = model()
    asked.network[0].register_forward_hook(lambda _, __, output: seen.append(output.dtype))
    asked.answer(torch.zeros(2, 3, 12, 14, dtype=torch.uint8))
    assert seen == [torch.float32]


@pytest.mark.parametrize(
    ("shape", "words"),
    [
        ((0, 3, 12, 14), "there are no pictures to answer"),
        ((3, 12, 14), "takes prepared pictures of Nx3x12x14, got 3x12x14"),
        ((2, 1, 12, 14), "got 2x1x12x14"),
        ((2, 3, 14, 12), "got 2x3x14x12; use model.prepare"),
    ],
)
def test_what_was_not_prepared_is_refused(shape, words):
    with pytest.raises(InputError, match=words):
        model().answer(torch.zeros(shape, dtype=torch.uint8))


@pytest.mark.parametrize(
    ("picture", "words"),
    [
        (np.zeros((4, 4, 2), np.uint8), r"got shape \(4, 4, 2\)"),
        (np.zeros(4, np.uint8), r"got shape \(4,\)"),
        (np.zeros((0, 4, 3), np.uint8), r"got shape \(0, 4, 3\)"),
        (np.full((4, 4), np.nan, np.float32), r"must be in \[0, 255\]"),
        (np.full((4, 4), 300.0), r"must be in \[0, 255\], got 300 to 300"),
        (np.full((4, 4), "a"), "must hold numbers"),
        (np.full((4, 4), 0.5), r"these are in \[0, 1\]; multiply them by 255"),
    ],
)
def test_arrays_that_are_no_pictures_are_refused(picture, words):
    with pytest.raises(InputError, match=words):
        model().predict([picture])


def test_predict_takes_one_many_and_none():
    asked = model()
    stack = np.random.default_rng(0).integers(0, 256, (3, 9, 9, 3)).astype(np.uint8)
    many = asked.predict(stack)
    assert [one.name for one in many] == ["picture 0", "picture 1", "picture 2"]
    for one, alone in zip(many, stack, strict=True):
        (single,) = asked.predict(alone)
        assert np.allclose(single.probabilities, one.probabilities, rtol=0, atol=1e-6)
        assert one.label == NAMES[int(one.probabilities.argmax())]
        assert one.probability == one.probabilities.max()
    assert asked.predict([]) == []
    black = asked.predict(np.zeros((5, 5)))[0]
    assert np.allclose(black.probabilities, asked.predict(np.zeros((5, 5, 3), np.uint8))[0].probabilities, atol=1e-6)


def test_a_file_that_cannot_be_read_is_named(tmp_path):
    (tmp_path / "broken.png").write_bytes(b"\x89PNG\r\n")
    with pytest.raises(InputError, match=r"broken\.png: "):
        model().predict(tmp_path / "broken.png")


def test_names_are_in_the_order_given(photos):
    files = sorted((photos / "val" / "cat").iterdir(), key=lambda path: natural_key(path.name), reverse=True)
    answers = model().predict(files)
    assert [one.name.rpartition("/")[2] for one in answers] == [file.name for file in files]


def test_answers_are_those_of_the_weights_that_the_network_has_now():
    asked = model()
    pictures = torch.randint(0, 256, (5, 3, 12, 14), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
    first = asked.answer(pictures)
    for _ in range(3):
        for weight in asked.network.parameters():
            weight.data.mul_(0.8)  # as averaging writes them: without a trace that autograd keeps
        asked.network[1].running_mean.data.add_(0.3)
        plain = replace(asked, channels_last=False).answer(pictures)  # by the network itself
        assert torch.allclose(asked.answer(pictures), plain, rtol=0, atol=1e-6)
    assert not torch.allclose(first, plain, rtol=0, atol=1e-3)


@pytest.mark.parametrize("name", ["resnet18", "efficientnet-lite0", "small-resnet", "small-conv", "lenet5"])
def test_answers_are_the_networks_own(name):
    """To 1e-5 in float32, whichever way they are computed; what a view shows comes from the plain network."""
    built = build_network(name, num_outputs=2, channels=3, size=(40, 48), seed=0).network.eval()
    spec = replace(SPEC, height=40, width=48)
    pictures = torch.randint(0, 256, (7, 3, 40, 48), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
    asked = Model(built, spec, Classification(NAMES))
    with torch.no_grad():
        shown = built(asked.inputs(pictures)).softmax(dim=1)
    assert torch.allclose(asked.answer(pictures), shown, rtol=0, atol=1e-5)
    assert torch.allclose(asked.answer(pictures[:1]), shown[:1], rtol=0, atol=1e-5)
    if native_bfloat16("cpu")[0]:
        assert torch.allclose(asked.answering_in("bfloat16").answer(pictures), shown, rtol=0, atol=0.02)


@pytest.mark.parametrize("channels_last", [True, False])
@pytest.mark.parametrize("kind", [torch.uint8, torch.float32])
@pytest.mark.parametrize("shape", [(1, 3, 224, 224), (5, 3, 224, 224), (9, 3, 150, 130), (7, 1, 12, 14)])
def test_inputs_are_the_normalised_pictures_to_the_bit(shape, kind, channels_last):
    channels = shape[1]
    spec = InputSpec(
        channels=channels, height=shape[2], width=shape[3], mean=(0.4,) * channels, deviation=(0.3,) * channels
    )
    pictures = torch.randint(0, 256, shape, generator=torch.Generator().manual_seed(0)).to(kind)
    before = pictures.clone()
    asked = Model(network(channels), spec, Classification(NAMES), channels_last=channels_last)
    layout = torch.channels_last if channels_last else torch.contiguous_format
    given = asked.inputs(pictures)
    assert torch.equal(given, spec.normalize(pictures))
    assert given.is_contiguous(memory_format=layout)
    assert torch.equal(pictures, before)
    wanted = pictures.float().requires_grad_()
    asked.inputs(wanted).sum().backward()
    assert wanted.grad is not None
