"""What an explanation is written as, in a folder of its own: its page, pictures, arrays and JSON.

Legend: H W pixels and C channels of what the network saw, K classes that maps are of, N classes that it knows.
"""

from __future__ import annotations

import contextlib
import io
from pathlib import Path
from typing import Any

import numpy as np

from striate.actions.explanation import Explanation
from striate.actions.explanation_page import SEEN, SQUARE, method_of, page_of
from striate.errors import InputError
from striate.machine.files import refused, write_atomically
from striate.models.run import json_text

NUMBERS, MAPS = "explanation.json", "maps.npz"


def write(found: Explanation) -> None:
    """Make the folder and write everything into it, the page last. Raises InputError where the disk refuses."""
    from striate.reports.explanation import draw_square, enlarged, explanation_page, png

    seen = enlarged(found.seen)
    files: dict[str, bytes] = {SEEN: png(seen)}
    told = {SEEN: "what the network saw"}
    methods = {one.method: method_of(found, one, files, told) for one in found.maps}
    square = None
    if found.turned is not None and found.turned.box is not None:
        square = draw_square(found.seen, found.turned.box, found.details.fill)
        files[SQUARE], told[SQUARE] = png(square), "the smallest square that turns the answer"
    files[MAPS], told[MAPS] = _arrays(found), "the maps as arrays, for NumPy"
    files[NUMBERS], told[NUMBERS] = json_text(found.to_json()).encode(), "everything else as numbers"
    page = page_of(found, methods, seen, square, files, told)
    made = not found.folder.exists()
    try:
        found.folder.mkdir(exist_ok=True)
    except OSError as error:
        raise refused(found.folder, error) from error
    written: list[Path] = []
    try:
        for name, content in files.items():
            written.append(found.folder / name)
            write_atomically(written[-1], content)
        write_atomically(found.page, explanation_page(page))
    except InputError:
        # What is half there would stand in the way of the next attempt.
        for place in written:
            place.unlink(missing_ok=True)
        if made:
            with contextlib.suppress(OSError):  # somebody else's file came into it
                found.folder.rmdir()
        raise


def _arrays(found: Explanation) -> bytes:
    """An NPZ file: the maps by method (K, H, W), `picture` (H, W, C), `probabilities` (N,), and the names."""
    file = io.BytesIO()
    arrays: dict[str, Any] = {one.method: one.values for one in found.maps}
    np.savez(
        file,
        picture=found.seen,
        probabilities=found.probabilities,
        classes=np.array(found.classes, dtype=np.str_),
        class_names=np.array(found.class_names, dtype=np.str_),
        **arrays,
    )
    return file.getvalue()
