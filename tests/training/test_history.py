"""`history.csv` gives back what was written, bit for bit."""

from __future__ import annotations

import math

from hypothesis import given
from hypothesis import strategies as st

from striate.training.history import history_text, read_history

NUMBERS = st.floats(allow_nan=False, allow_infinity=False)
NAMES = st.sampled_from(["epoch", "loss", "validation_accuracy", 'update_ratio:a "b", c', "update_ratio:é"])


@given(st.lists(st.dictionaries(NAMES, NUMBERS, min_size=1), min_size=1, max_size=4))
def test_rows_come_back_bit_for_bit(rows):
    assert read_history(history_text(rows)) == rows


def test_columns_stand_in_the_order_of_their_first_appearance():
    text = history_text([{"epoch": 1, "loss": 0.5}, {"epoch": 2, "loss": 0.25, "validation_accuracy": 1.0}])
    assert text == "epoch,loss,validation_accuracy\n1,0.5,\n2,0.25,1\n"
    assert history_text([]) == "epoch\n"


def test_what_is_no_number_stays_one():
    (row,) = read_history(history_text([{"loss": math.nan, "validation_log_loss": math.inf}]))
    assert math.isnan(row["loss"])
    assert row["validation_log_loss"] == math.inf
