"""The pictures of the README and of the documentation: screenshots of a real report, light and dark.

    python docs/make_images.py [--run RUN]

Trains, as `striate train` does without any option, on 300 of scikit-learn's handwritten digits and tests on all
others, so that there are mistakes to show; then opens the report in a headless Chromium and takes pictures of it.
--run takes the report of a run that is there. The digits are those of Alpaydin and Kaynak 1998 (UCI, CC BY 4.0).
"""

from __future__ import annotations

import argparse
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

IMAGES = Path(__file__).resolve().parent / "images"
TRAINING = 300  # of 1,797 digits
BROWSERS = ("chromium", "chromium-browser", "google-chrome", "chrome")
DARK = "--blink-settings=preferredColorScheme=0"
# name of the picture: (the one section that is shown, or "" for the page from its top, width, height, flags)
SHOTS: dict[str, tuple[str, int, int, tuple[str, ...]]] = {
    "report.png": ("", 1160, 1030, ()),
    "report-dark.png": ("", 1160, 1030, (DARK,)),
    "report-confusion.png": ("confusion", 1160, 640, ()),
    "report-mistakes.png": ("mistakes", 1160, 665, ()),
    "report-reliability.png": ("reliability", 1160, 600, ()),
}
COLOURS = 128  # a palette: a third of the bytes, and no difference that can be seen
LARGEST = 300_000  # bytes of a picture


def main() -> int:
    """Train where no run is named, then take the pictures."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--run", type=Path, help="a finished run, instead of training one")
    given = parser.parse_args()
    browser = next((found for name in BROWSERS if (found := shutil.which(name))), None)
    if browser is None:
        print(f"none of {', '.join(BROWSERS)} is installed", file=sys.stderr)
        return 2
    with tempfile.TemporaryDirectory(prefix="striate-images-") as name:
        folder = Path(name)
        report = given.run / "report.html" if given.run else trained(folder)
        IMAGES.mkdir(exist_ok=True)
        for image, (part, width, height, flags) in SHOTS.items():
            shot = folder / image
            size = f"--window-size={width},{height}"
            common = ["--headless", "--no-sandbox", "--disable-gpu", "--hide-scrollbars", *flags, size]
            page = folder / "page.html"
            page.write_text(report.read_text(encoding="utf-8") + only(part), encoding="utf-8")
            command = [browser, *common, f"--screenshot={shot}", page.as_uri()]
            subprocess.run(command, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
            save_small(shot, IMAGES / image)
            print(f"wrote {IMAGES / image}")
    return 0


def only(section: str) -> str:
    """A style that hides everything of a report but one of its sections."""
    if not section:
        return ""
    return f"<style>header, nav, footer, .hero, main > section:not(#{section}) {{ display: none !important }}</style>"


def trained(folder: Path) -> Path:
    """The report of a default training on the digits, split into `digits/train` and `digits/test`."""
    write_digits(folder / "digits")
    subprocess.run([sys.executable, "-m", "striate", "train", "digits", "--out", "run"], cwd=folder, check=True)
    return folder / "run" / "report.html"


def write_digits(folder: Path) -> None:
    """scikit-learn's digits, 8x8 in 17 grey levels, as PNG files: `folder/train/3/0003.png`."""
    import numpy as np
    from PIL import Image
    from sklearn.datasets import load_digits

    digits = load_digits()
    for number, (picture, digit) in enumerate(zip(digits.images, digits.target, strict=True)):
        place = folder / ("train" if number < TRAINING else "test") / str(digit)
        place.mkdir(parents=True, exist_ok=True)
        pixels = (picture * (255 / 16)).round().astype(np.uint8)
        Image.fromarray(pixels).save(place / f"{number:04d}.png")


def save_small(shot: Path, place: Path) -> None:
    """The screenshot with a palette. Raises ValueError where it is still larger than LARGEST."""
    from PIL import Image

    with Image.open(shot) as picture:
        picture.convert("RGB").quantize(COLOURS, dither=Image.Dither.NONE).save(place, optimize=True)
    if place.stat().st_size > LARGEST:
        raise ValueError(f"{place}: {place.stat().st_size:,} bytes are more than {LARGEST:,}")


if __name__ == "__main__":
    sys.exit(main())
