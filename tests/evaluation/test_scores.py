"""Every figure against scikit-learn, published values or a plain loop."""

from __future__ import annotations

import warnings
from collections.abc import Callable

import numpy as np
import pytest
from sklearn import metrics

from striate.evaluation import calibration, evaluation_from_json, ranking, scores
from striate.evaluation.evaluation import Evaluation, evaluate_classification
from striate.evaluation.figure import Figure, wilson

Answers = Callable[..., tuple[np.ndarray, np.ndarray]]


def names(classes: int) -> list[str]:
    return [f"class {number}" for number in range(classes)]


@pytest.mark.parametrize(("n", "classes", "ties"), [(50, 2, False), (300, 7, False), (300, 7, True)])
def test_figures_are_those_of_scikit_learn(answers: Answers, n: int, classes: int, ties: bool) -> None:
    probabilities, targets = answers(n, classes, seed=n + classes, ties=ties)
    predictions = probabilities.argmax(axis=1)
    found = evaluate_classification(probabilities, targets, names(classes))

    assert found.accuracy.value == pytest.approx(metrics.accuracy_score(targets, predictions))
    assert found.balanced_accuracy.value == pytest.approx(metrics.balanced_accuracy_score(targets, predictions))
    precision, recall, f1, support = metrics.precision_recall_fscore_support(targets, predictions)
    assert [row.precision.value for row in found.by_class if row.precision] == pytest.approx(precision)
    assert [row.recall.value for row in found.by_class if row.recall] == pytest.approx(recall)
    assert [row.f1.value for row in found.by_class if row.f1] == pytest.approx(f1)
    assert [row.count for row in found.by_class] == support.tolist()
    assert found.macro_precision.value == pytest.approx(precision.mean())
    assert found.macro_f1.value == pytest.approx(metrics.f1_score(targets, predictions, average="macro"))
    assert found.log_loss.value == pytest.approx(metrics.log_loss(targets, probabilities))
    assert found.confusion_matrix().tolist() == metrics.confusion_matrix(targets, predictions).tolist()
    areas = [metrics.roc_auc_score(targets == number, probabilities[:, number]) for number in range(classes)]
    assert [row.auroc.value for row in found.by_class if row.auroc] == pytest.approx(areas, abs=1e-6)
    assert found.auroc is not None
    assert found.auroc.value == pytest.approx(np.mean(areas), abs=1e-6)
    if classes > 5:
        assert found.top5_accuracy is not None
        expected = metrics.top_k_accuracy_score(targets, probabilities, k=5)
        # scikit-learn's rule for ties differs; without ties there is one answer
        assert ties or found.top5_accuracy.value == pytest.approx(expected)
    else:
        assert found.top5_accuracy is None


def test_brier_score_is_a_sum_over_classes(answers: Answers) -> None:
    probabilities, targets = answers(40, 3, seed=5)
    slow = [sum((probabilities[row, k] - (k == targets[row])) ** 2 for k in range(3)) for row in range(len(targets))]
    assert scores.brier_scores(probabilities, targets) == pytest.approx(slow)
    two = np.array([[0.9, 0.1], [0.3, 0.7]])
    assert scores.brier_scores(two, np.array([0, 0])).mean() == pytest.approx(
        2 * metrics.brier_score_loss([1, 1], two[:, 0])
    )


def test_a_sure_mistake_costs_a_finite_loss_and_nan_stays_nan() -> None:
    found = scores.log_losses(np.array([[0.0, 1.0], [np.nan, np.nan]], dtype=np.float32), np.array([0, 0]))
    assert found[0] == pytest.approx(15.942385)
    assert np.isnan(found[1])


def test_calibration_error_is_that_of_a_plain_loop(answers: Answers) -> None:
    probabilities, targets = answers(500, 4, seed=9)
    confidence, right = probabilities.max(axis=1), probabilities.argmax(axis=1) == targets
    total = 0.0
    for number in range(15):
        inside = (confidence > number / 15) & (confidence <= (number + 1) / 15)
        if inside.any():
            total += inside.mean() * abs(confidence[inside].mean() - right[inside].mean())
    found = evaluate_classification(probabilities, targets, names(4))
    assert found.ece.value == pytest.approx(total)
    assert sum(bin_.count for bin_ in found.bins) == 500
    assert all((bin_.accuracy is None) == (bin_.count == 0) for bin_ in found.bins)


def test_bins_hold_their_upper_edge_and_both_ends_of_the_range() -> None:
    assert calibration.bin_numbers(np.array([0.0, 1 / 15, 0.0667, 0.5, 1.0])).tolist() == [0, 0, 1, 7, 14]


# Published: Newcombe 1998, "Two-sided confidence intervals for the single proportion", table I, method 3.
@pytest.mark.parametrize(
    ("successes", "n", "low", "high"),
    [(81, 263, 0.2553, 0.3662), (15, 148, 0.0624, 0.1605), (0, 20, 0.0, 0.1611), (1, 29, 0.0061, 0.1718)],
)
def test_wilson_intervals_are_the_published_ones(successes: int, n: int, low: float, high: float) -> None:
    found = wilson(successes, n)
    assert (found.value, found.n) == (successes / n, n)
    assert (found.low, found.high) == pytest.approx((low, high), abs=5e-5)
    mirrored = wilson(n - successes, n)
    assert (1 - mirrored.high, 1 - mirrored.low) == pytest.approx((found.low, found.high))


def test_wilson_refuses_what_is_no_share() -> None:
    for successes, n in ((1, 0), (-1, 5), (6, 5)):
        with pytest.raises(ValueError, match="no share"):
            wilson(successes, n)


def test_absent_and_never_predicted_classes_are_said_and_left_out_of_averages() -> None:
    probabilities = np.array([[0.8, 0.1, 0.05, 0.05], [0.7, 0.1, 0.1, 0.1], [0.2, 0.2, 0.5, 0.1]])
    targets = np.array([0, 1, 0])
    found = evaluate_classification(probabilities, targets, ["a", "b", "c", "d"])
    predictions = probabilities.argmax(axis=1)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of scikit-learn, about the classes that are not there
        assert found.balanced_accuracy.value == pytest.approx(metrics.balanced_accuracy_score(targets, predictions))
        expected = metrics.precision_score(targets, predictions, labels=[0, 1], average="macro", zero_division=0)
    assert found.macro_precision.value == pytest.approx(expected)
    assert found.by_class[1].precision is None
    assert found.by_class[2].recall is None
    assert found.by_class[3].f1 is None
    assert found.notes == ("c, d do not occur here and count in no average over classes",)
    assert [row.auroc is None for row in found.by_class] == [False, False, True, True]


def test_auroc_is_undefined_where_all_pictures_are_of_one_class() -> None:
    found = evaluate_classification(np.array([[0.9, 0.1], [0.6, 0.4]]), np.array([0, 0]), ["a", "b"])
    assert found.auroc is None
    assert found.accuracy == Figure(1.0, wilson(2, 2).low, 1.0, 2)


def test_components_average_to_the_area(answers: Answers) -> None:
    probabilities, targets = answers(80, 3, seed=2, ties=True)
    areas, parts = ranking.components(probabilities, targets)
    for number in range(3):
        own = targets == number
        assert parts[own, number].mean() == pytest.approx(areas[number], abs=1e-6)
        assert parts[~own, number].mean() == pytest.approx(areas[number], abs=1e-6)
        wins = [
            float(a > b) + 0.5 * float(a == b) for a in probabilities[own, number] for b in probabilities[~own, number]
        ]
        assert areas[number] == pytest.approx(np.mean(wins))


def test_shares_of_classes_are_measured_by_the_most_probable_one_and_by_the_cross_entropy(answers: Answers) -> None:
    probabilities, targets = answers(60, 3, seed=4)
    generator = np.random.default_rng(1)
    shares = 0.6 * np.eye(3)[targets] + 0.4 * generator.dirichlet(np.ones(3), 60)
    soft = evaluate_classification(probabilities, shares, names(3), seed=2)
    hard = evaluate_classification(probabilities, targets, names(3), seed=2)
    slow = [-sum(t * np.log(p) for t, p in zip(*pair, strict=True)) for pair in zip(shares, probabilities, strict=True)]
    assert soft.cross_entropy is not None
    assert soft.cross_entropy.value == pytest.approx(np.mean(slow))
    assert soft.cross_entropy.low < soft.cross_entropy.value < soft.cross_entropy.high
    assert hard.cross_entropy is None
    assert soft.figures() == hard.figures() | {"cross_entropy": soft.cross_entropy}
    assert Evaluation.from_json(soft.to_json()) == soft
    early = {name: value for name, value in hard.to_json().items() if name not in ("task", "cross_entropy")}
    assert evaluation_from_json(early) == hard
    with pytest.raises(ValueError, match="shares must be"):
        evaluate_classification(probabilities, shares * 1.1, names(3))
