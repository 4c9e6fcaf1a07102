"""Receptive fields: which pixels of the input a unit of a map can see. Exact, for any network.

NaN spreads through a network to whatever is computed from it, and nowhere else; so rows (then columns) of a picture
are made NaN one at a time, and the units that become NaN see them. This knows of padding, dilation, strides, residual
sums and global operations (squeeze-and-excitation, attention: the whole picture) without knowing any layer. Two things
make it quick. What a convolution or linear layer would compute is not computed, only where it would be NaN. And where
the fields of a map move by a whole number of pixels from unit to unit, as in convolutional networks, a few rows say
where all of them are: they are tried first, and all rows only for maps that no such rule explains.

Attention that is masked by large negative numbers counts as seen.
B pictures, C channels, H W rows and columns of the input, h w of a map.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import torch
from torch import Tensor, nn

from striate.errors import InputError, require
from striate.taps.only_nan import OnlyWhereNaN
from striate.taps.places import Place, as_maps, find_places, place_named
from striate.taps.unchanged import unchanged
from striate.taps.watching import modules_of, on_every_call, watching

Extent = tuple[int, int]  # the first pixel and the one after the last

# Input values in one forward pass of probes.
_VALUES_AT_ONCE = 1_500_000
# Rows, evenly spaced, at which a rule that was found elsewhere is checked.
_CHECKED = 8


@dataclass(frozen=True)
class Fields:
    """The receptive fields of the units of one map: the rows that those of row r see, the columns of column c."""

    rows: tuple[Extent, ...]
    columns: tuple[Extent, ...]

    def at(self, row: int, column: int) -> tuple[int, int, int, int]:
        """(top, left, bottom, right) of what the unit sees, half-open, within the picture: no other pixel changes it.

        All zero for a unit that sees nothing. Raises InputError outside of the map.
        """
        require(
            0 <= row < len(self.rows) and 0 <= column < len(self.columns),
            f"no unit at row {row}, column {column}: the map has {len(self.rows)}x{len(self.columns)}",
        )
        (top, bottom), (left, right) = self.rows[row], self.columns[column]
        return top, left, bottom, right

    @property
    def size(self) -> tuple[int, int]:
        """Rows and columns of the largest field."""
        return max(end - start for start, end in self.rows), max(end - start for start, end in self.columns)

    @property
    def step(self) -> tuple[int, int] | None:
        """Rows and columns of the input from the field of a unit to those of its neighbours.

        None where no two neighbours show it, since the borders of the picture cut their fields off, where there are no
        neighbours, and where units are not evenly spaced.
        """
        down, right = _step(self.rows), _step(self.columns)
        return None if down is None or right is None else (down, right)


def _step(extents: Sequence[Extent]) -> int | None:
    """How far each extent lies behind the one before, told by those ends that no border has cut off."""
    seeing = [one for one in extents if one[0] < one[1]]
    if not seeing:
        return None
    first, last = min(start for start, _ in seeing), max(end for _, end in seeing)
    steps = set()
    for before, after in pairwise(extents):
        if before[0] < before[1] and after[0] < after[1]:
            steps |= {after[0] - before[0]} if before[0] > first else set()
            steps |= {after[1] - before[1]} if after[1] < last else set()
    return steps.pop() if len(steps) == 1 and min(steps) > 0 else None


def receptive_fields(
    network: nn.Module, names: Sequence[str], shape: tuple[int, int, int], *, output: str | int | None = None
) -> dict[str, Fields]:
    """Name of a place -> its fields, for inputs of `shape` (C, H, W).

    A place without a map has one unit. Raises InputError for places that are unknown or neither maps nor vectors, and
    for a network that gives NaN for a plain picture.
    """
    with unchanged(network) as bare, torch.no_grad():
        plain = plain_picture(bare, shape)
        places = find_places(bare, plain, output=output)
        asked = [place_named(places, name) for name in names]
        for place in asked:
            require(
                place.layout != "other", f"{place.name} ({place.kind}) gives no maps and no vector: it has no units"
            )
        if not asked:
            return {}
        rows = _extents(bare, plain, asked, along=2)
        columns = _extents(bare, plain, asked, along=3)
    return {place.name: Fields(rows[place.name], columns[place.name]) for place in asked}


def plain_picture(network: nn.Module, shape: tuple[int, int, int]) -> Tensor:
    """A grey picture (1, C, H, W) where the network is and in its number format."""
    weight = next((weight for weight in network.parameters() if weight.is_floating_point()), torch.empty(0))
    return torch.full((1, *shape), 0.5, dtype=weight.dtype, device=weight.device)


def _extents(network: nn.Module, plain: Tensor, places: Sequence[Place], along: int) -> dict[str, tuple[Extent, ...]]:
    """Of each place, the extents of its units along the rows (2) or the columns (3) of the input."""
    length = plain.shape[along]
    lines = np.unique(np.linspace(0, length - 1, _CHECKED).astype(int))
    reached = units_reached(network, plain, places, lines, along)
    while len(lines) < length:
        found: dict[str, tuple[Extent, ...]] = {}
        wanted: set[int] = set()
        for name, units in reached.items():
            rule = _by_rule(lines, units, length)
            if isinstance(rule, set):
                fresh = rule.difference(lines.tolist())
                # What would tell is known and does not: no such rule.
                wanted |= fresh or set(range(length))
            else:
                found[name] = rule
        if not wanted:
            return found
        fresh_lines = np.array(sorted(wanted.difference(lines.tolist())))
        more = units_reached(network, plain, places, fresh_lines, along)
        order = np.argsort(np.concatenate([lines, fresh_lines]))
        lines = np.concatenate([lines, fresh_lines])[order]
        reached = {name: np.concatenate([units, more[name]])[order] for name, units in reached.items()}
    return {name: by_all(units) for name, units in reached.items()}


def units_reached(
    network: nn.Module,
    plain: Tensor,
    places: Sequence[Place],
    lines: np.ndarray,
    along: int,
    below: Place | None = None,
) -> dict[str, np.ndarray]:
    """Name -> (lines, h or w): which units see each of these rows (along 2) or columns (3) of the input `plain`.

    below: an earlier map, whose lines are meant then, as far as the network above makes something of that map.
    """
    by_name = {place.name: place for place in places}
    parts: dict[str, list[np.ndarray]] = {name: [] for name in by_name}
    at_once = max(1, _VALUES_AT_ONCE // plain.numel())

    def reading(name: str, given: Tensor) -> Tensor:
        missing = given.isnan()
        if by_name[name].stride is None:
            return missing.flatten(1).any(1, keepdim=True)
        # (B, C, h, w) -> (B, h) or (B, w)
        return as_maps(by_name[name], missing).any(1).any(2 if along == 2 else 1)

    for start in range(0, len(lines), at_once):
        chosen = lines[start : start + at_once].tolist()
        # The last picture stays plain.
        pictures = plain.repeat(len(chosen) + 1, 1, 1, 1)
        if below is None:
            _blot(pictures, chosen, along)
        with (
            OnlyWhereNaN(),
            _blotted(network, below, chosen, along),
            watching(network, list(by_name), reading=reading) as seen,
        ):
            network(pictures)
        for name, kept in parts.items():
            units = seen[name].cpu().numpy()
            if units[-1].any():
                raise InputError(f"the network gives NaN in '{name}' for a plain picture; its fields cannot be found")
            kept.append(units[:-1])
    return {name: np.concatenate(kept) for name, kept in parts.items()}


def _blot(maps: Tensor, lines: Sequence[int], along: int) -> None:
    """NaN in one line of each of these (B, C, h, w), in place; the last stays as it is."""
    for one, line in zip(maps, lines, strict=False):
        one.select(along - 1, line).fill_(torch.nan)


@contextmanager
def _blotted(network: nn.Module, below: Place | None, lines: Sequence[int], along: int) -> Iterator[None]:
    """While this lasts, what the place `below` gives goes on with these lines blotted."""
    if below is None:
        yield
        return

    def look(name: str, module: nn.Module, given: Tensor) -> Tensor | None:
        if name != below.name:
            return None
        given = given.clone()
        _blot(as_maps(below, given), lines, along)
        return given

    with on_every_call(network, modules_of(network, [below.name]), look):
        yield


def by_all(reached: np.ndarray) -> tuple[Extent, ...]:
    """The extents where every line was tried: `reached` is (length, units)."""
    found = []
    for unit in reached.T:
        (seen,) = np.nonzero(unit)
        found.append((int(seen[0]), int(seen[-1]) + 1) if len(seen) else (0, 0))
    return tuple(found)


def _by_rule(lines: np.ndarray, reached: np.ndarray, length: int) -> tuple[Extent, ...] | set[int]:
    """The extents by the one rule that explains which units see each of `lines`; else lines that would tell it.

    The rule: unit u sees from max(begin, S u - P) to min(end, S u + Q), S, P, Q whole numbers. From `begin` to `end`
    are the lines that any unit sees, not always all: what does not fill a last step is seen by none. All lines are
    returned where no rule explains what was seen: then every line has to be tried. `reached` is (lines, units).
    """
    every = set(range(length))
    count = reached.shape[1]
    units = np.arange(count)
    some = reached.any(1)
    seen_lines, seen = lines[some], reached[some]
    if not len(seen):
        return every
    begin, end = int(seen_lines[0]), int(seen_lines[-1]) + 1
    before, after = lines[lines < begin], lines[lines >= end]
    between = {(int(before[-1]) + begin) // 2} if len(before) and before[-1] < begin - 1 else set()
    between |= {(end + int(after[0])) // 2} if len(after) and after[0] > end else set()
    if between:
        return between
    lowest = seen.argmax(1)  # of the units that see a line, the first and the last
    highest = count - 1 - seen[:, ::-1].argmax(1)
    steps = np.arange(1, length + 1)[:, None]  # S, a row each; below, a column each line
    # `highest` begins at the line or before it, and the unit after it behind the line.
    least_p = (steps * highest - seen_lines).max(1)
    inner = highest + 1 < count
    most_p = (steps * (highest + 1) - seen_lines - 1)[:, inner].min(1, initial=length * count)
    # `lowest` ends behind the line, and the unit before it at the line or before.
    least_q = (seen_lines - steps * lowest + 1).max(1)
    inner = lowest > 0
    most_q = (seen_lines - steps * (lowest - 1))[:, inner].min(1, initial=length)
    fits = (least_p <= most_p) & (least_q <= most_q)
    if not fits.any():
        return every
    steps = steps[fits]
    earliest = np.clip(steps * units - most_p[fits, None], begin, end).min(0)
    latest = np.clip(steps * units - least_p[fits, None], begin, end).max(0)
    shortest = np.clip(steps * units + least_q[fits, None], begin, end).min(0)
    longest = np.clip(steps * units + most_q[fits, None], begin, end).max(0)
    # No line tells them where all units see the first line that is seen, or the last one; then they are known.
    if seen[0].all():
        earliest = latest
    if seen[-1].all():
        longest = shortest
    tell = set()
    if (latest > earliest).any():
        widest = int((latest - earliest).argmax())
        tell.add(int(earliest[widest] + latest[widest] - 1) // 2)
    if (longest > shortest).any():
        widest = int((longest - shortest).argmax())
        tell.add(int(shortest[widest] + longest[widest]) // 2)
    if tell:
        return tell
    explained = (lines[:, None] >= earliest) & (lines[:, None] < shortest)
    if (explained != reached).any():
        return every
    if (earliest >= shortest).any():
        return every  # there are gaps between the fields, into which the lines fell
    return tuple(zip(earliest.tolist(), shortest.tolist(), strict=True))
