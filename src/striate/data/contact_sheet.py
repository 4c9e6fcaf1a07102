"""A contact sheet: which pictures of a source are shown, and each of them small."""

from __future__ import annotations

import io
from dataclasses import dataclass

import numpy as np

from striate.data.reading import reduced
from striate.data.samples import MULTILABEL, REGRESSION, Samples

THUMBNAIL_SIDE = 96
THUMBNAILS_A_CLASS = 8
THUMBNAIL_CLASSES = 40
THUMBNAIL_NUMBERS = 6


@dataclass(frozen=True, kw_only=True)
class Thumbnail:
    """A picture of the contact sheet, its longer side at most 96 pixels; `label` "" where it has none."""

    name: str
    label: str
    picture: bytes  # PNG or JPEG


def thumbnail_of(pixels: np.ndarray, side: int = THUMBNAIL_SIDE) -> bytes:
    """(H, W, C) in [0, 255] -> PNG (small pictures, as they are) or JPEG, the longer side at most `side`."""
    from PIL import Image

    small = reduced(pixels, 2 * side)
    values = np.rint(small).astype(np.uint8)
    image = Image.fromarray(values[..., 0] if values.shape[2] == 1 else values)
    image.thumbnail((side, side))
    buffer = io.BytesIO()
    if max(pixels.shape[:2]) <= side:
        image.save(buffer, "PNG")
    else:
        image.save(buffer, "JPEG", quality=85)
    return buffer.getvalue()


def rows_for_sheet(samples: Samples) -> dict[str, list[int]]:
    """Rows for the contact sheet under a heading each: evenly spread over each of the first classes or labels; of
    numbers the lowest and the highest."""
    known, targets = samples.labelled, samples.targets
    groups: dict[str, np.ndarray] = {}
    if samples.task == REGRESSION:
        rows = np.flatnonzero(known)
        for k, name in enumerate(samples.class_names[:THUMBNAIL_NUMBERS]):
            order = rows[np.argsort(targets[rows, k], kind="stable")]
            if len(order) >= 2:
                most = min(THUMBNAILS_A_CLASS, len(order) // 2)
                groups[f"{name}: the lowest"], groups[f"{name}: the highest"] = order[:most], order[-most:]
        return {name: [int(row) for row in rows] for name, rows in groups.items()}
    if samples.task == MULTILABEL:
        has = [known & (targets[:, k] == 1) for k in range(len(samples.class_names))]
    else:
        classes = samples.classes
        has = [classes == k for k in range(len(samples.class_names))]
    there = [(name, np.flatnonzero(one)) for name, one in zip(samples.class_names, has, strict=True) if one.any()]
    groups = dict(there[:THUMBNAIL_CLASSES])
    if not known.all() and len(groups) < THUMBNAIL_CLASSES:
        groups[""] = np.flatnonzero(~known)
    return {
        name: [int(row) for row in rows[np.linspace(0, len(rows) - 1, min(THUMBNAILS_A_CLASS, len(rows))).astype(int)]]
        for name, rows in groups.items()
    }
