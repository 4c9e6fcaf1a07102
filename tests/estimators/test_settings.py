"""Every field of the recipe as a further setting of an estimator: it counts, or it is refused by its name."""

from __future__ import annotations

import pickle
from dataclasses import fields
from typing import Any

import numpy as np
import pytest
from safetensors.torch import save_file
from sklearn.datasets import load_digits

from striate.estimators import ImageClassifier, ImageRegressor
from striate.training.recipe import Recipe

PLAIN: dict[str, Any] = {"width": 4, "size": 8}
COUNTS: dict[str, Any] = {
    "network": "small-resnet",
    "width": 6,
    "epochs": 1,
    "batch_size": 16,
    "accumulate": 2,
    "learning_rate": 0.01,
    "optimizer": {"name": "adamw"},
    "schedule": {"name": "constant"},
    "loss": "hinge",
    "label_smoothing": 0.3,
    "balance": True,
    "regularizer": {"l1": 0.01},
    "dropout": 0.5,
    "freeze": "backbone",
    "clip": 1e-3,
    "averaging": 0.5,
    "swa": 0.5,
    "augment": {"rotation": 45.0},
    "size": 12,
    "fit": "crop",
    "mean": "picture",
    "seed": 5,
}
REFUSED: dict[str, Any] = {
    "pretrained": True,  # of a network without published weights
    "from_run": "runs/digits-1",
    "minutes": 1.0,
    "patience": 1,
    "class_weights": "balanced",
    "task": "regression",
    "targets": "age",
    "angles": "y0",
    "labels": "folders",
    "root": "photos",
    "stream": True,
    "keep_epochs": 1,
    "fold": "1/3",
    "share": 0.5,
    "strict": True,
    "device": "cdua",
    "precision": "bfloat16",
    "layout": "contiguous",
    "threads": 2,
    "processes": 2,
    "compile": True,
    "allocator": "plain",
    "reference": True,
}


@pytest.fixture(scope="module")
def digits():
    """Pictures (40, 8, 6) of values 0 to 16, and their classes."""
    found = load_digits()
    return found.images[:40, :, 1:7], found.target[:40]


def fitted(digits, **settings: Any) -> ImageClassifier:
    return ImageClassifier("small-conv", epochs=2, batch_size=8, settings={**PLAIN, **settings}).fit(*digits)


@pytest.fixture(scope="module")
def plain(digits):
    return fitted(digits).predict_proba(digits[0])


def test_every_field_is_told_of():
    assert {field.name for field in fields(Recipe)} == {*COUNTS, *REFUSED, "weights"}


@pytest.mark.parametrize("name", COUNTS)
def test_a_setting_counts(name, digits, plain):
    assert not np.array_equal(fitted(digits, **{name: COUNTS[name]}).predict_proba(digits[0]), plain)


@pytest.mark.parametrize("name", REFUSED)
def test_a_setting_that_cannot_count_is_refused(name, digits):
    with pytest.raises(ValueError, match=rf"{name}|from \(an earlier run\)|no device 'cdua'|no published weights"):
        fitted(digits, **{name: REFUSED[name]})


@pytest.mark.parametrize(
    ("estimator", "settings", "sentence"),
    [
        (ImageClassifier, {"schedule": {"name": "plateau"}}, "schedule plateau watches validation"),
        (ImageClassifier, {"loss": "huber"}, "huber does not fit classification"),
        (ImageRegressor, {"loss": "hinge"}, "hinge does not fit regression"),
        (ImageRegressor, {"balance": True}, "balance is of classes"),
    ],
)
def test_settings_that_do_not_fit(estimator, settings, sentence, digits):
    with pytest.raises(ValueError, match=sentence):
        estimator("linear", epochs=1, settings=settings).fit(*digits)


def test_fields_of_numbers_are_not_varied(digits):
    with pytest.raises(ValueError, match=r"fields are not varied; leave augment.rotation away"):
        ImageClassifier(settings={"augment": {"rotation": 5.0}}).fit(digits[0].reshape(40, 48), digits[1])


def test_weights_of_a_file_are_taken(digits, plain, tmp_path):
    from_elsewhere = fitted(digits, seed=7).model_.network.state_dict()
    save_file({name: tensor.contiguous() for name, tensor in from_elsewhere.items()}, tmp_path / "w.safetensors")
    settings = {"weights": str(tmp_path / "w.safetensors"), "freeze": "backbone", "learning_rate": 1e-9}
    assert not np.allclose(fitted(digits, **settings).predict_proba(digits[0]), plain, atol=1e-3)


def test_all_pictures_at_once_are_taken_as_they_are(digits):
    made = ImageClassifier("linear", epochs=5, settings={"optimizer": {"name": "lbfgs"}}).fit(*digits)
    assert made.score(*digits) > 0.9


def test_batches_that_add_up_are_one_large_batch(digits):
    def learned(batch: int, accumulate: int) -> np.ndarray:
        network = ImageClassifier(
            "linear",
            epochs=3,
            batch_size=batch,
            learning_rate=0.01,
            augment="none",
            settings={"accumulate": accumulate},
        )
        return np.asarray(network.fit(*digits).predict_proba(digits[0]))

    assert np.allclose(learned(10, 2), learned(20, 1), atol=1e-5)
    assert not np.allclose(learned(10, 2), learned(10, 1), atol=1e-3)


def test_numbers_leave_pictures_as_they_are(digits):
    levels = digits[0].mean(axis=(1, 2))
    by_itself, as_they_are = (
        ImageRegressor("linear", epochs=2, augment=augment).fit(digits[0], levels) for augment in ("auto", "none")
    )
    assert np.array_equal(by_itself.predict(digits[0]), as_they_are.predict(digits[0]))


def test_a_pickle_goes_on_with_what_was_asked_for(digits):
    network = fitted(digits, mean="picture", freeze="backbone", dropout=0.5)
    again = pickle.loads(pickle.dumps(network))
    assert np.array_equal(again.predict_proba(digits[0]), network.predict_proba(digits[0]))
    before = {name: tensor.clone() for name, tensor in again.model_.network.state_dict().items()}
    again.partial_fit(*digits)
    changed = [name for name, tensor in again.model_.network.state_dict().items() if not tensor.equal(before[name])]
    assert changed
    assert all(name.startswith("head") for name in changed)


def test_settings_that_play_no_part_in_fitting_a_head_are_warned_of():
    photographs = np.random.default_rng(0).integers(0, 255, (6, 80, 80, 3), dtype=np.uint8)
    with pytest.warns(UserWarning, match="^learning_rate, dropout: no part in fitting a head"):
        ImageClassifier(learning_rate=0.1, settings={"dropout": 0.3}).fit(photographs, [0, 1] * 3)
