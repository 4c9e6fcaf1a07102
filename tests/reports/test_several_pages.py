"""Pages about several trainings: what they say where there is nothing to say an interval by."""

from __future__ import annotations

from striate.evaluation.figure import Figure
from striate.evaluation.folds import mean_over_folds
from striate.evaluation.headlines import HEADLINES
from striate.reports.several import folds_page


def page(*values: float) -> str:
    return folds_page(
        source="photos",
        headline=HEADLINES["classification"],
        noun="picture",
        mean=mean_over_folds(values, held_back=1 / len(values), highest=1.0),
        folds=[(f"fold-{place}", Figure(value, None, None, 9)) for place, value in enumerate(values, start=1)],
    )


def test_folds_that_are_equal_have_no_interval() -> None:
    equal = page(1.0, 1.0, 1.0)
    assert "All folds are equal" in equal
    assert "95 % interval 100.0" not in equal
    assert "Nadeau" not in equal
    differ = page(0.5, 0.75)
    assert "95 % interval 0.0\u00a0% to 100.0\u00a0%" in differ
    assert "The folds lie between 50.0\u00a0% and 75.0\u00a0%." in differ
    assert "Nadeau" in differ
