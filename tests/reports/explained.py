"""An explanation as the page takes it, of values that were made up."""

from __future__ import annotations

from typing import Any

import numpy as np

from striate.reports.explanation import (
    Drawn,
    ExplanationPage,
    Fared,
    Method,
    Share,
    Side,
    Turning,
    png,
)
from striate.reports.training_report import Neighbour


def drawing(side: int = 32) -> bytes:
    return png(np.full((side, side, 3), 90, dtype=np.uint8))


def method(name: str, classes: tuple[str, ...], **changes: Any) -> Method:
    values: dict[str, Any] = {
        "name": name,
        "title": name.capitalize(),
        "answers": "which places raise the score",
        "misleads": "where the layer is coarse",
        "cost": "one pass and back; two in `striate explain`",
        "paper": "Somebody 2017",
        "layer": "features.12",
        "settings": "steps 24",
        "seconds": 0.41,
        "is_signed": False,
        "drawn": tuple(Drawn(class_name=one, over=drawing(), alone=drawing()) for one in classes),
        "fared": Fared(
            deletion=0.11,
            insertion=0.83,
            random_deletion=(0.42, 0.37),
            random_insertion=(0.51, 0.64),
            sentence="Better than random maps.",
            verdict="well",
        ),
    }
    return Method(**{**values, **changes})


def explanation(answer: str = "bee", label: str | None = "bee", **changes: Any) -> ExplanationPage:
    """Right where the label is the answer; else a mistake with both classes side by side."""
    classes = (answer,) if label in (None, answer) else (answer, str(label))
    shares = [Share(name=answer, probability=0.93, role="its answer"), Share(name="wasp", probability=0.04)]
    if len(classes) == 2:
        shares.append(Share(name=classes[1], probability=0.03, role="the label"))
    near = tuple(Neighbour(picture=drawing(), name=f"train/{k}.png", label=answer, distance=0.13) for k in range(4))
    values: dict[str, Any] = {
        "title": "7.png",
        "network": "runs/insects-1",
        "created": "2026-05-04 10:00 UTC",
        "command": "striate explain runs/insects-1 photos/7.png",
        "seen": drawing(64),
        "seen_words": "the middle of the picture, 77 % of it",
        "whole": drawing(64),
        "frame": (0.125, 0.0, 0.75, 1.0),
        "answer": shares[0],
        "label": label,
        "labelled": "that is its label" if label == answer else f"its label is {label}" if label else "",
        "shares": tuple(shares),
        "classes": classes,
        "notes": (),
        "methods": (method("grad-cam", classes), method("smoothgrad", classes, is_signed=True, layer=None)),
        "left_out": [("Guided Grad-CAM", "its activations are no rectifiers")],
        "occlusion": method("occlusion", classes, is_signed=True, layer=None),
        "turning": Turning(picture=drawing(), sentence="with a square of 48x48 pixels covered it answers wasp"),
        "reasons": ("all 4 nearest are bees",) if len(classes) == 2 else (),
        "sides": tuple(
            Side(class_name=name, role=role, neighbours=near)
            for name, role in zip(classes, ("its answer", "the label"), strict=False)
        )
        if len(classes) == 2
        else (),
        "settings": {"device": "cpu"},
        "files": [("maps.npz", "the maps as arrays")],
    }
    return ExplanationPage(**{**values, **changes})
