"""Every benchmark of speed, one after another, on a machine that does nothing else.

python benchmarks/run_all.py [--quick]        about 50 minutes on two cores
"""

from __future__ import annotations

import subprocess
import sys
import time
from pathlib import Path

# The quick and the most wanted ones first.
PROGRAMS = (
    *("startup", "mnist_throughput", "prediction", "resnet18_folder", "mnist_cold", "few_photos"),
    *("memory", "processes", "big_photos"),
)


def main(arguments: list[str]) -> int:
    """The number of programs that did not end well, at most 1."""
    failed = []
    for name in PROGRAMS:
        began = time.monotonic()
        done = subprocess.run([sys.executable, Path(__file__).with_name(f"{name}.py"), *arguments], check=False)
        print(f"== {name}: status {done.returncode}, {(time.monotonic() - began) / 60:.1f} minutes", file=sys.stderr)
        failed += [name] * (done.returncode != 0)
    print(f"not well: {', '.join(failed)}" if failed else "all well", file=sys.stderr)
    return min(1, len(failed))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
