"""How long a person waits before anything happens: whole processes that do next to nothing.

    python benchmarks/startup.py

`striate predict` answers one picture with LeNet-5. What is imported is in the file cache and compiled to bytecode.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence

import pictures
from commands import run
from harness import ORDINARY, STRIATE, Contender, carry_out, options, peers_python, striate_command, workplace
from judging import Goal
from page import Column, Compared

NAME = "startup"
IMPORTED = {
    "torch": "torch",
    "torchvision": "torchvision",
    "timm": "timm",
    "ONNX Runtime": "onnxruntime",
    "skorch": "skorch",
    "Lightning": "lightning",
    "fastai": "fastai.vision.all",
    "Keras on torch": "keras",
}
TORCH = "import torch, in Striate's environment"
PREDICT = "striate predict, one picture"


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure and record."""
    given = options(__doc__, rounds=3, minutes=3).parse_args(arguments)
    with workplace() as folder:
        digits = pictures.mnist_png(folder / "digits", training=1000, testing=100)
        learned, one = folder / "run", next((digits / "testing").glob("*/*.png"))
        train = [striate_command(), "train", digits / "training", "--network", "lenet5", "--epochs", 1]
        run([*train, "--out", learned], said=False)
        keras = {"KERAS_BACKEND": "torch"}
        contenders = [
            timed("striate --help", STRIATE, striate_command(), "--help"),
            timed(PREDICT, STRIATE, striate_command(), "predict", learned, one),
            timed("import nothing", ORDINARY, sys.executable, "-c", "pass"),
            timed(TORCH, ORDINARY, sys.executable, "-c", "import torch"),
            *(
                timed(f"import {name}", ORDINARY, peers_python(), "-c", f"import {module}", environment=keras)
                for name, module in IMPORTED.items()
            ),
        ]
        for one_of_all in contenders * (not given.quick):
            one_of_all.measure()  # bytecode and file cache
        goals = (
            Goal(words="striate --help < 0.5 s", figure="seconds", contender="striate --help", at_most=0.5),
            Goal(
                words="striate predict of one picture < 1.3x `import torch`",
                figure="seconds",
                contender=PREDICT,
                against=(TORCH,),
                at_most=1.3,
            ),
        )
        return carry_out(
            NAME,
            contenders,
            given=given,
            columns=(Column("seconds", "whole process, s"),),
            goals=goals,
            compared=Compared("seconds", PREDICT, inverted=True),
        )


def timed(name: str, way: str, *command: object, environment: dict[str, str] | None = None) -> Contender:
    """A command that says nothing."""
    words = [str(part) for part in command]
    return Contender(name=name, way=way, measure=lambda: run(words, said=False, environment=environment))


if __name__ == "__main__":
    sys.exit(main())
