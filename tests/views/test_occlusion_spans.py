"""Which cells a square can change, against pushing a mark through real layers."""

from __future__ import annotations

import pytest
import torch
from torch import nn
from torch.nn import functional

from striate.views.incremental import spans
from striate.views.incremental.spans import Window
from striate.views.incremental.windows import Margins, cut, with_margins


@pytest.mark.parametrize(
    ("kernel", "stride", "before", "dilation"),
    [(3, 1, 1, 1), (7, 2, 3, 1), (2, 2, 0, 1), (3, 2, 1, 1), (1, 2, 0, 1), (3, 1, 2, 2), (5, 3, 0, 1), (4, 4, 0, 1)],
)
def test_the_cells_that_can_change_are_those_that_do(kernel: int, stride: int, before: int, dilation: int) -> None:
    length = 31
    layer = nn.Conv1d(1, 1, kernel, stride, before, dilation, bias=False)
    nn.init.ones_(layer.weight)
    outputs = layer(torch.zeros(1, 1, length)).shape[2]
    places = [(first, first + size) for size in (1, 4, 9) for first in range(0, length - size + 1, 3)]
    window = Window(kernel, stride, before, dilation)
    for first, end in places:
        marked = torch.zeros(1, 1, length)
        marked[..., first:end] = 1
        changed = torch.nonzero(layer(marked)[0, 0]).flatten().tolist()
        span = spans.through(spans.changed([first], [end], length), window, outputs)
        assert (span.first[0] < span.end[0]) == bool(changed)
        if changed:
            assert (span.first[0], span.end[0] - 1) == (min(changed), max(changed))
            assert span.start[0] <= min(changed)
            assert span.start[0] + span.size > max(changed)
            assert 0 <= span.start[0] <= outputs - span.size
    together = spans.changed([first for first, _ in places], [end for _, end in places], length)
    alone = [spans.through(spans.changed([first], [end], length), window, outputs) for first, end in places]
    assert spans.through(together, window, outputs).size == max(span.size for span in alone)


def test_the_regions_of_resnet18_at_224_pixels() -> None:
    # By hand, for a square of 32 pixels whose edge is at a multiple of 8, away from the edges of the picture.
    span = spans.changed([96], [128], 224)
    sizes = []
    layers = [
        (Window(7, 2, 3), 112),
        (Window(3, 2, 1), 56),
        *[(Window(3, 1, 1), 56)] * 4,
        (Window(3, 2, 1), 28),
        *[(Window(3, 1, 1), 28)] * 3,
    ]
    for window, length in layers:
        span = spans.through(span, window, length)
        sizes.append(span.size)
    assert sizes == [19, 11, 13, 15, 17, 19, 11, 13, 15, 17]


@pytest.mark.parametrize("step", [1, 2, 3])
def test_what_is_cut_out_is_the_clean_map_with_the_patch_laid_over_it(step: int) -> None:
    generator = torch.Generator().manual_seed(step)
    clean = torch.randn(1, 3, 9, 11, generator=generator)
    rows, columns = spans.changed([0, 2, 5], [4, 6, 9], 9), spans.changed([1, 7], [4, 11], 11)
    patch = torch.randn(6, 3, rows.size, columns.size, generator=generator)
    asked = spans.Cells((-2, 1, 3), 4 if step > 1 else 8, step), spans.Cells((0, 6), 3 if step > 1 else 5, step)
    margins = Margins(top=2, bottom=4, left=0, right=2, value=7.0)
    last = clean.contiguous(memory_format=torch.channels_last)
    found = cut(with_margins(last, margins), patch, (rows, columns), asked, margins)
    for place, (i, j) in enumerate((i, j) for i in range(3) for j in range(2)):
        whole = clean[0].clone()
        whole[:, rows.start[i] : rows.start[i] + rows.size, columns.start[j] : columns.start[j] + columns.size] = patch[
            place
        ]
        padded = functional.pad(whole, (0, 2, 2, 4), value=7.0)
        for a in range(asked[0].count):
            for b in range(asked[1].count):
                cell = padded[:, asked[0].first[i] + step * a + 2, asked[1].first[j] + step * b]
                assert torch.equal(found[place, :, a, b], cell)
