"""Every benchmark of speed, or those that are named, one after another, on a machine that does nothing else.

python benchmarks/run_all.py [NAME ...] [--quick]        about an hour on two cores
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import time
from pathlib import Path

# The quick and the most wanted ones first.
PROGRAMS = (
    *("startup", "mnist_throughput", "prediction", "resnet18_folder", "mnist_cold", "few_photos"),
    *("memory", "processes", "big_photos", "explain_methods", "parity_views", "occlusion", "top_patches"),
    *("explain", "dreams", "trust_maps", "variations", "many_views"),
)


def main() -> int:
    """1 where a program did not end well."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("names", nargs="*", metavar="NAME", help=", ".join(PROGRAMS))
    parser.add_argument("--quick", action="store_true", help="as small as can be; nothing is recorded")
    given = parser.parse_args()
    unknown = [name for name in given.names if name not in PROGRAMS]
    if unknown:
        parser.error(f"no benchmark '{unknown[0]}'; there are {', '.join(PROGRAMS)}")
    failed = []
    for name in given.names or PROGRAMS:
        began = time.monotonic()
        program = Path(__file__).with_name(f"{name}.py")
        done = subprocess.run([sys.executable, program, *["--quick"] * given.quick], check=False)
        print(f"== {name}: status {done.returncode}, {(time.monotonic() - began) / 60:.1f} minutes", file=sys.stderr)
        failed += [name] * (done.returncode != 0)
    print(f"not well: {', '.join(failed)}" if failed else "all well", file=sys.stderr)
    return min(1, len(failed))


if __name__ == "__main__":
    sys.exit(main())
