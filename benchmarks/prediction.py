"""Answers for 1,000 JPEG files by a ResNet-18 at 224 pixels: whole processes, loading the model included.

    python benchmarks/prediction.py

Striate runs `striate predict RUN FOLDER`. All peers answer with the same network (timm with random weights), in
batches of 32 with two workers, but for the loop that takes pictures one by one.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import Any

import pictures
from commands import run
from harness import BEST, ORDINARY, STRIATE, Contender, carry_out, options, peer, striate_command, workplace
from judging import Goal
from page import Column, Compared

NAME = "prediction"
SIZE, CLASSES = 224, 22
LOOPS = ("torchvision, one by one", "torchvision", "timm")


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure and record."""
    given = options(__doc__, rounds=2, minutes=6).parse_args(arguments)
    with workplace() as folder:
        photos = pictures.photo_list(folder / "photos", 50 if given.quick else 1000)
        learned, model = folder / "run", folder / "resnet18.onnx"
        source = pictures.photo_folders(folder / "few", CLASSES)
        train = [striate_command(), "train", source, "--network", "resnet18", "--size", SIZE, "--epochs", 1]
        run([*train, "--out", learned], said=False)
        weights = learned / "model.safetensors"
        peer("export_onnx", weights, CLASSES, model)()
        predict = [striate_command(), "predict", learned, photos, "--format", "csv"]
        torch_script = ("predict_torch", photos, weights, CLASSES)
        contenders = [
            Contender(name="striate", way=STRIATE, measure=lambda: run(predict, said=False)),
            Contender(
                name="striate, bfloat16",
                way=STRIATE,
                note="--precision bfloat16",
                measure=lambda: run([*predict, "--precision", "bfloat16"], said=False),
            ),
            Contender(name=LOOPS[0], way=ORDINARY, most_rounds=1, measure=peer(*torch_script, "single")),
            Contender(name=LOOPS[1], way=ORDINARY, measure=peer(*torch_script)),
            Contender(name=LOOPS[2], way=ORDINARY, most_rounds=1, measure=peer("predict_timm", photos, CLASSES)),
            Contender(name="ONNX Runtime", way=BEST, measure=peer("predict_onnx", photos, model)),
            Contender(name="torchvision, best", way=BEST, measure=peer(*torch_script, "best")),
            Contender(
                name="timm, best", way=BEST, most_rounds=1, measure=peer("predict_timm", photos, CLASSES, "best")
            ),
        ]
        full: dict[str, Any] = {"figure": "seconds", "contender": "striate", "inverted": True}
        half: dict[str, Any] = {**full, "contender": "striate, bfloat16"}
        goals = (
            Goal(words="float32: ≥ 2x as fast as torchvision's plain loop", against=LOOPS[1:2], at_least=2.0, **full),
            Goal(words="float32: ≥ 1.1x ONNX Runtime", against=("ONNX Runtime",), at_least=1.1, **full),
            Goal(words="bfloat16: ≥ 4x torchvision's plain loop", against=LOOPS[1:2], at_least=4.0, **half),
            Goal(words="bfloat16: ≥ 2x ONNX Runtime", against=("ONNX Runtime",), at_least=2.0, **half),
        )
        return carry_out(
            NAME,
            contenders,
            given=given,
            columns=(Column("seconds", "whole process, s"),),
            goals=goals,
            compared=Compared("seconds", "striate", inverted=True),
        )


if __name__ == "__main__":
    sys.exit(main())
