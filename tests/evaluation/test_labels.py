"""Figures of labels against scikit-learn and plain loops."""

from __future__ import annotations

import json

import numpy as np
import pytest
from sklearn import metrics

from striate.errors import InputError
from striate.evaluation import bootstrap, evaluate_answers, evaluation_from_json
from striate.evaluation.labels import LabelsEvaluation, average_precisions, evaluate_labels

NAMES = ["car", "tree", "<b>", "pole"]


def answers(n: int, labels: int = 4, seed: int = 0, ties: bool = False) -> tuple[np.ndarray, np.ndarray]:
    """Probabilities (n, labels) `float32` that know something of targets (n, labels), rarer from label to label."""
    generator = np.random.default_rng(seed)
    shares = np.linspace(0.6, 0.1, labels)
    targets = (generator.random((n, labels)) < shares).astype(np.float32)
    odds = generator.normal(size=(n, labels)) + 1.4 * targets - 0.7
    probabilities = (1 / (1 + np.exp(-odds))).astype(np.float32)
    return (np.round(probabilities * 6) / 6 if ties else probabilities), targets


@pytest.mark.parametrize("ties", [False, True])
def test_figures_are_those_of_scikit_learn(ties: bool) -> None:
    probabilities, targets = answers(150, seed=3, ties=ties)
    said = probabilities > 0.5
    found = evaluate_labels(probabilities, targets, NAMES, resample_count=50)

    assert found.mean_average_precision is not None
    assert found.micro_f1 is not None
    assert found.macro_f1 is not None
    expected = metrics.average_precision_score(targets, probabilities, average="macro")
    assert found.mean_average_precision.value == pytest.approx(expected)
    each = metrics.average_precision_score(targets, probabilities, average=None)
    assert [row.average_precision.value for row in found.by_label if row.average_precision] == pytest.approx(each)
    assert found.micro_f1.value == pytest.approx(metrics.f1_score(targets, said, average="micro"))
    assert found.macro_f1.value == pytest.approx(metrics.f1_score(targets, said, average="macro"))
    precision, recall, f1, support = metrics.precision_recall_fscore_support(targets, said)
    assert [row.precision.value for row in found.by_label if row.precision] == pytest.approx(precision)
    assert [row.recall.value for row in found.by_label if row.recall] == pytest.approx(recall)
    assert [row.f1.value for row in found.by_label if row.f1] == pytest.approx(f1)
    assert [row.count for row in found.by_label] == support.tolist()
    assert found.label_accuracy.value == pytest.approx(1 - metrics.hamming_loss(targets, said))
    assert found.all_right.value == pytest.approx(metrics.accuracy_score(targets, said))
    losses = [metrics.log_loss(targets[:, k], probabilities[:, k].astype(float)) for k in range(4)]
    assert found.log_loss.value == pytest.approx(np.mean(losses), rel=1e-6)
    usual = np.maximum(targets.mean(axis=0), 1 - targets.mean(axis=0)).mean()
    assert found.usual_accuracy == pytest.approx(usual)
    assert sum(one.count for one in found.bins) == targets.size


def test_intervals_are_those_of_a_plain_bootstrap() -> None:
    """Each resample drawn out as rows and measured by scikit-learn."""
    probabilities, targets = answers(60, labels=2, seed=5, ties=True)
    found = evaluate_labels(probabilities, targets, NAMES[:2], seed=9, resample_count=60)
    counts = np.concatenate(list(bootstrap.resamples(60, seed=9, count=60)), axis=1).astype(int)
    means, micro, right = [], [], []
    for column in counts.T:
        rows = np.repeat(np.arange(60), column)
        said = probabilities[rows] > 0.5
        means.append(metrics.average_precision_score(targets[rows], probabilities[rows]))
        micro.append(metrics.f1_score(targets[rows], said, average="micro"))
        right.append((said == targets[rows]).mean())
    for figure, resampled, biased in (
        (found.mean_average_precision, means, True),
        (found.micro_f1, micro, False),
        (found.label_accuracy, right, False),
    ):
        assert figure is not None
        moved = 2 * (np.mean(resampled) - figure.value) if biased else 0
        assert (figure.low, figure.high) == pytest.approx(tuple(np.percentile(resampled, [2.5, 97.5]) - moved))


def test_the_mean_over_many_rare_labels_is_in_its_interval_about_as_often_as_that_says() -> None:
    """40 sets of 200 pictures, 20 labels that a tenth of them has: plain percentiles hold the truth in 28 % of all."""
    rng = np.random.default_rng(3)

    def drawn(n, labels):
        has = rng.random((n, labels)) < 0.1
        return 1 / (1 + np.exp(-rng.normal(size=has.shape) - has)), has.astype(int)

    many, has = drawn(200_000, 1)
    truth = metrics.average_precision_score(has, many)
    held = 0
    for seed in range(40):
        found = evaluate_labels(*drawn(200, 20), [str(k) for k in range(20)], seed, 100).mean_average_precision
        assert found is not None
        held += found.low <= truth <= found.high
    assert held >= 32  # Binomial(40, 0.92): at least 32 in 99 % of all tries


def test_labels_that_no_picture_or_every_picture_has_are_said_and_left_out_of_averages() -> None:
    probabilities, targets = answers(40, seed=1)
    targets[:, 1], targets[:, 2] = 0, 1
    found = evaluate_labels(probabilities, targets, NAMES, resample_count=20)
    assert found.by_label[1].average_precision is None
    assert found.by_label[1].recall is None
    assert found.by_label[2].average_precision is None
    assert found.by_label[2].recall is not None
    kept = [0, 3]
    expected = metrics.average_precision_score(targets[:, kept], probabilities[:, kept])
    assert found.mean_average_precision is not None
    assert found.mean_average_precision.value == pytest.approx(expected)
    assert found.notes == (
        "nothing here has tree: means over labels leave it out",
        "everything here has <b>: any order is right for it, and the mean average precision leaves it out",
    )


def test_a_label_that_every_picture_has_does_not_raise_the_mean_average_precision() -> None:
    # By hand: in order of its probability car stands at places 2 and 4: (1/2 + 2/4) / 2 = 1/2. All have tree and pole.
    probabilities = np.array([[0.9, 0.4, 0.1], [0.8, 0.3, 0.9], [0.7, 0.9, 0.6], [0.6, 0.8, 0.7]])
    targets = np.array([[0, 1, 1], [1, 1, 1], [0, 1, 1], [1, 1, 1]])
    found = evaluate_labels(probabilities, targets, ["car", "tree", "pole"], resample_count=50)
    assert found.mean_average_precision is not None
    assert found.mean_average_precision.value == pytest.approx(0.5)
    assert found.notes == (
        "everything here has tree, pole: any order is right for them, and the mean average precision leaves them out",
    )
    # A resample whose pictures all have car has no figure, so that the interval is that of the label itself.
    assert found.by_label[0].average_precision == found.mean_average_precision
    assert found.mean_average_precision.high is not None
    assert [row.average_precision for row in found.by_label[1:]] == [None, None]
    # Its F1 stays one among the others: hits 2 of 3 answers and 2 there; 2 of 2 and 4; 3 of 3 and 4.
    assert found.macro_f1 is not None
    assert found.macro_f1.value == pytest.approx((4 / 6 + 4 / 6 + 6 / 7) / 3)
    without = evaluate_labels(probabilities[:, 1:], targets[:, 1:], ["tree", "pole"], resample_count=10)
    assert without.mean_average_precision is None
    assert evaluation_from_json(json.loads(json.dumps(without.to_json()))) == without


def test_without_any_label_there_is_no_average_precision() -> None:
    found = evaluate_labels(np.full((5, 2), 0.2), np.zeros((5, 2)), ["a", "b"], resample_count=10)
    assert found.mean_average_precision is None
    assert found.macro_f1 is None
    assert found.micro_f1 is None
    assert found.label_accuracy.value == found.all_right.value == 1
    assert found.label_accuracy.low is None
    assert evaluation_from_json(json.loads(json.dumps(found.to_json()))) == found


def test_average_precision_of_rows_that_do_not_count() -> None:
    """Weights of nothing take a row out, as if it were not there."""
    probabilities, targets = answers(30, labels=1, seed=2, ties=True)
    weights = np.ones((2, 30))
    weights[1, ::3] = 0
    kept = np.arange(30) % 3 > 0
    found = average_precisions(probabilities[:, 0], targets[:, 0] > 0, weights)
    assert found == pytest.approx(
        [
            metrics.average_precision_score(targets[:, 0], probabilities[:, 0]),
            metrics.average_precision_score(targets[kept, 0], probabilities[kept, 0]),
        ]
    )
    assert np.isnan(average_precisions(probabilities[:, 0], np.zeros(30, dtype=bool), weights)).all()


def test_json_gives_the_same_evaluation_back_and_damage_is_refused() -> None:
    found = evaluate_answers("multilabel", *answers(25, seed=4), NAMES, seed=2)
    values = json.loads(json.dumps(found.to_json()))
    assert values["task"] == "multilabel"
    assert evaluation_from_json(values) == found
    for damage in (
        {"label_accuracy": None},
        {"by_label": [{}]},
        {"by_label": []},
        {"bins": 3},
        {"usual_accuracy": "x"},
    ):
        with pytest.raises(InputError):
            LabelsEvaluation.from_json(values | damage)
    with pytest.raises(InputError, match="no task 'multilable'; did you mean 'multilabel'"):
        evaluation_from_json(values | {"task": "multilable"})


@pytest.mark.parametrize(
    ("probabilities", "targets"),
    [([[1.2]], [[1]]), ([[float("nan")]], [[1]]), ([[0.5]], [[0.5]]), ([[0.5]], [1]), ([[0.5, 0.5]], [[1, 0]])],
)
def test_arrays_that_are_no_answers_are_our_defect(probabilities: list[list[float]], targets: list[object]) -> None:
    with pytest.raises(ValueError, match=r"must be|targets"):
        evaluate_labels(np.array(probabilities), np.array(targets), ["a"])


def test_nothing_to_evaluate_is_one_sentence() -> None:
    with pytest.raises(InputError, match="nothing to evaluate"):
        evaluate_labels(np.zeros((0, 1)), np.zeros((0, 1)), ["a"])
