"""Rows of a table of numbers as a network's input: F fields, each through log(1 + x) or not, then standardised.

A row is a picture of one pixel with F channels, so that stores, batches and models treat it as any other. Which fields
go through the logarithm is decided on the training split: those without a value below 0 whose values above 0 span
orders of magnitude (the 95th percentile is more than 1,000 times the 5th). In an answer a value below 0 of such a field
counts as 0. Legend: B batch, n rows, F fields.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING, Any

import numpy as np

from striate.errors import InputError, require
from striate.words import counted

if TYPE_CHECKING:
    import torch

SPAN = 1000.0  # how many times the 5th percentile the 95th is where values span orders of magnitude
NAMED = 5  # fields that are named in a sentence


@dataclass(frozen=True, kw_only=True)
class Fields:
    """The names of F fields, in the order of the network's inputs, and which of them go through log(1 + x)."""

    names: tuple[str, ...]
    logarithms: tuple[bool, ...]

    def __post_init__(self) -> None:
        names, logarithms = self.names, self.logarithms
        sound = isinstance(names, tuple) and len(names) > 0 and all(isinstance(name, str) for name in names)
        require(sound and len(set(names)) == len(names), f"fields must be different names, got {names!r:.80}")
        sound = isinstance(logarithms, tuple) and all(isinstance(one, bool) for one in logarithms)
        require(
            sound and len(logarithms) == len(names), f"logarithms must be true or false a field, got {logarithms!r:.80}"
        )

    def prepare(self, pixels: np.ndarray) -> torch.Tensor:
        """A row as a store holds it, (1, 1, F) `float32` -> (F, 1, 1). Raises InputError for anything else."""
        import torch

        if pixels.shape != (1, 1, len(self.names)) or pixels.dtype != np.float32:
            raise InputError(f"the network takes rows of {counted(len(self.names), 'number')}, not pictures")
        return torch.from_numpy(np.array(pixels).reshape(-1, 1, 1))

    def normalize(self, prepared: torch.Tensor, mean: tuple[float, ...], deviation: tuple[float, ...]) -> torch.Tensor:
        """(B, F, 1, 1) as in the table -> `float32`, (x or log(1 + x) - mean) / deviation."""
        import torch

        through, means, deviations = _tensors(self.logarithms, tuple(mean), tuple(deviation), prepared.device)
        values = prepared.float()
        if any(self.logarithms):
            values = torch.where(through, torch.log1p(values.clamp(min=0)), values)
        return (values - means) / deviations

    @classmethod
    def from_json(cls, values: Any) -> Fields:
        """What `dataclasses.asdict` gave, out of a JSON file. Raises InputError where it is none."""
        if not isinstance(values, Mapping) or not values.keys() <= {"names", "logarithms"}:
            raise InputError("its fields are no table of names and logarithms")
        return cls(**{name: tuple(one) if isinstance(one, list) else one for name, one in values.items()})


@lru_cache(maxsize=16)
def _tensors(
    logarithms: tuple[bool, ...], mean: tuple[float, ...], deviation: tuple[float, ...], device: torch.device
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """(1, F, 1, 1) each: made once, not at every step."""
    import torch

    with torch.inference_mode(False):  # whoever asks first may be answering, and the next one training
        made = (torch.tensor(logarithms), torch.tensor(mean), torch.tensor(deviation))
        through, means, deviations = (one.view(1, -1, 1, 1).to(device) for one in made)
        return through, means, deviations


def spans_orders(values: np.ndarray) -> bool:
    """Whether a field's values (n,) are to go through log(1 + x)."""
    above = values[values > 0]
    if not len(above) or bool((values < 0).any()):
        return False
    low, high = np.percentile(above, [5, 95])
    return bool(high > SPAN * low)


def fit_fields(rows: np.ndarray, names: tuple[str, ...]) -> tuple[Fields, tuple[float, ...], tuple[float, ...], str]:
    """Training rows (n, F) -> the fields, their means and deviations (after the logarithm), and a sentence.

    A field that has one value only is not scaled.
    """
    logarithms, means, deviations = [], [], []
    for column in rows.T:
        values = column.astype(np.float64)
        through = spans_orders(values)
        values = np.log1p(values) if through else values
        mean, deviation = float(values.mean()), float(values.std())
        logarithms.append(through)
        means.append(mean)
        # What is left of equal values by rounding is no deviation.
        deviations.append(deviation if deviation > 1e-7 * abs(mean) else 1.0)
    fields = Fields(names=names, logarithms=tuple(logarithms))
    words = f"the network's input is a row of {counted(len(names), 'number')}, each field standardised"
    through_names = [name for name, through in zip(names, logarithms, strict=True) if through]
    if through_names:
        shown = ", ".join(f"'{name}'" for name in through_names[:NAMED])
        shown += f" and {len(through_names) - NAMED:,} more" if len(through_names) > NAMED else ""
        verb = "spans" if len(through_names) == 1 else "span"
        words += f"; {shown} through log(1 + x), since {'it' if verb == 'spans' else 'they'} {verb} orders of magnitude"
    return fields, tuple(means), tuple(deviations), words
