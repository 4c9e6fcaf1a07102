"""`make demo`: the whole way in a minute, on scikit-learn's handwritten digits written out as PNG files.

Everything goes into the folder `demo/` (pictures, held-out pictures, the run and why it answered so for one of them); a
second demo starts it anew.
"""

from __future__ import annotations

import shutil
import sys
import time
from pathlib import Path

import numpy as np

from striate.cli.main import status
from striate.errors import InputError
from striate.machine.threads import wait_briefly

FOLDER = Path("demo")
MARK = "written by make demo; may be deleted\n"
HELD_OUT = 6  # pictures that training never sees, to predict in the end


def write_digits(folder: Path) -> None:
    """scikit-learn's 1,797 digits (8x8, 16 grey levels) as PNG files in class folders of `folder/digits`; the
    last few go to `folder/held-out`."""
    from PIL import Image
    from sklearn.datasets import load_digits

    digits = load_digits()
    for number, (picture, digit) in enumerate(zip(digits.images, digits.target, strict=True)):
        keep = number < len(digits.images) - HELD_OUT
        place = folder / "digits" / str(digit) if keep else folder / "held-out"
        place.mkdir(parents=True, exist_ok=True)
        path = place / (f"{number:04d}.png" if keep else f"{number:04d}-is-a-{digit}.png")
        Image.fromarray((picture * (255 / 16)).round().astype(np.uint8)).save(path)


def main() -> int:
    """Write the digits, train, predict, explain one answer, and say what to try next."""
    started = time.monotonic()
    wait_briefly()
    if FOLDER.exists() and not (FOLDER / "DEMO").is_file():
        print(f"striate: {FOLDER}/ is there and was not written by the demo; move it away", file=sys.stderr)
        return 2
    try:
        if FOLDER.exists():
            shutil.rmtree(FOLDER)
        FOLDER.mkdir()
        (FOLDER / "DEMO").write_text(MARK, encoding="utf-8")
        write_digits(FOLDER)
    except OSError as error:
        raise InputError(f"{FOLDER}: the demo cannot be written there ({error.strerror})") from error
    print(f"1,797 handwritten digits are in {FOLDER / 'digits'}, {HELD_OUT} of them held out for the end\n", flush=True)
    print("$ striate train demo/digits --out demo/run", flush=True)
    code = status(["train", str(FOLDER / "digits"), "--out", str(FOLDER / "run")])
    if code:
        return code
    print(f"\n$ striate predict demo/run {FOLDER / 'held-out'}", flush=True)
    code = status(["predict", str(FOLDER / "run"), str(FOLDER / "held-out")])
    if code:
        return code
    # Of those that training never saw, the last one; its name says what it is.
    picture = max((FOLDER / "held-out").iterdir())
    asked = ["explain", str(FOLDER / "run"), str(picture), "--label", picture.stem[-1], "--out", str(FOLDER / "why")]
    print(f"\n$ striate {' '.join(asked)}", flush=True)
    code = status(asked)
    if code:
        return code
    print(
        f"""
{time.monotonic() - started:.0f} s in all. Open these two in a browser:
  {FOLDER / "run" / "report.html"}          how well it answers
  {FOLDER / "why" / "explanation.html"}     why it answered so for one digit

Three commands to try next (source .venv/bin/activate puts striate on the path):
  striate inspect demo/digits             what is there, before training, with a contact sheet
  striate evaluate demo/run demo/digits   every figure with its 95 % interval
  striate train YOUR-PICTURES/            the same for a folder of your own, one folder a class"""
    )
    return 0


if __name__ == "__main__":
    sys.exit(main())
