"""The bare step: forward, backward and step on one fixed batch in memory, and what the machine could do at most.

    python benchmarks/bare.py --network lenet5 --size 28 --channels 1 --batch 128 --seconds 2
    python benchmarks/bare.py ... --sweep            the fastest of precision x layout (x fused x threads)
    python benchmarks/bare.py --peak                 a large matrix product

Without more it is plain float32 as torch gives it. The network is the one that Striate trains, LeNet-5 that of the
peers, as torch's modules compute it; the optimizer is SGD with momentum. Prints one line of JSON;
`pictures_per_second` counts what was trained.
"""

from __future__ import annotations

import argparse
import itertools
import json
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

WARM_UP = 2  # steps
FEWEST = 3  # measured steps


def main() -> int:
    """Measure, print JSON."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--network", default="lenet5", metavar="NAME")
    parser.add_argument("--size", type=int, default=28, metavar="PIXELS")
    parser.add_argument("--channels", type=int, default=1, metavar="C")
    parser.add_argument("--classes", type=int, default=10, metavar="K")
    parser.add_argument("--batch", type=int, default=128, metavar="B")
    parser.add_argument("--seconds", type=float, default=2.0, metavar="S", help="measured at least so long [2]")
    parser.add_argument("--precision", default="float32", choices=("float32", "bfloat16"))
    parser.add_argument("--channels-last", action="store_true")
    parser.add_argument("--fused", action="store_true", help="the optimizer as one kernel")
    parser.add_argument("--threads", type=int, default=None, metavar="N", help="[torch's own choice]")
    parser.add_argument("--keep-blocks", action="store_true", help="an allocator that keeps large blocks")
    parser.add_argument("--compile", action="store_true", help="torch.compile")
    parser.add_argument(
        "--sweep", action="store_true", help="all combinations of precision and layout, and see --small"
    )
    parser.add_argument("--small", action="store_true", help="sweep over threads and fused or not, too")
    parser.add_argument("--peak", action="store_true", help="the matrix product instead")
    given = parser.parse_args()
    import torch

    if given.keep_blocks:
        from striate.machine.allocator import KEEP, use_allocator

        use_allocator(KEEP)
    if given.peak:
        print(json.dumps({f"gflops_{name}": peak(name) for name in ("float32", "bfloat16")}))
        return 0
    if given.sweep:
        most = torch.get_num_threads()
        threads = sorted({1, min(2, most), most}) if given.small else [most]
        best: dict[str, Any] = {"pictures_per_second": 0.0}
        for precision, last, fused, count in itertools.product(
            ("float32", "bfloat16"), (False, True), (False, True) if given.small else (True,), threads
        ):
            rate = measure(given, precision=precision, channels_last=last, fused=fused, threads=count)
            flags = ["--precision", precision, "--threads", str(count)]
            flags += ["--channels-last"] * last + ["--fused"] * fused + ["--keep-blocks"] * given.keep_blocks
            print(f"{rate:12.1f} {' '.join(flags)}", file=sys.stderr)
            if rate > best["pictures_per_second"]:
                best = {"pictures_per_second": rate, "flags": flags}
        print(json.dumps({**best, "multiply_adds": multiply_adds(given)}))
        return 0
    rate = measure(
        given,
        precision=given.precision,
        channels_last=given.channels_last,
        fused=given.fused,
        threads=given.threads or torch.get_num_threads(),
        compiled=given.compile,
    )
    print(json.dumps({"pictures_per_second": rate}))
    return 0


def measure(
    given: argparse.Namespace,
    *,
    precision: str,
    channels_last: bool,
    fused: bool,
    threads: int,
    compiled: bool = False,
) -> float:
    """Pictures a second of the step."""
    import torch

    torch.set_num_threads(threads)
    torch.manual_seed(0)
    network = _network(given)
    pictures = torch.rand(given.batch, given.channels, given.size, given.size)
    targets = torch.randint(given.classes, (given.batch,))
    if channels_last:
        network = network.to(memory_format=torch.channels_last)
        pictures = pictures.to(memory_format=torch.channels_last)
    run = torch.compile(network) if compiled else network
    optimizer = torch.optim.SGD(network.parameters(), lr=1e-3, momentum=0.9, fused=fused or None)

    def step() -> None:
        optimizer.zero_grad()
        with torch.autocast("cpu", torch.bfloat16, enabled=precision == "bfloat16"):
            outputs = run(pictures)
        torch.nn.functional.cross_entropy(outputs.float(), targets).backward()
        optimizer.step()

    for _ in range(WARM_UP):
        step()
    steps, began = 0, time.perf_counter()
    while steps < FEWEST or time.perf_counter() - began < given.seconds:
        step()
        steps += 1
    return steps * given.batch / (time.perf_counter() - began)


def _network(given: argparse.Namespace) -> Any:
    if given.network == "lenet5":
        # Striate's own takes its steps in another way, which is not to be the measure of itself.
        sys.path.append(str(Path(__file__).parent / "peers"))
        from lenet import lenet

        return lenet().train()
    from striate.networks import build_network

    built = build_network(given.network, num_outputs=given.classes, channels=given.channels, size=given.size, seed=0)
    return built.network.train()


def multiply_adds(given: argparse.Namespace) -> int:
    """Of one picture, forward; backward takes about twice as many."""
    from striate.networks.describe import describe

    return describe(_network(given), given.channels, (given.size, given.size)).multiply_adds


def peak(precision: str, side: int = 3072, seconds: float = 1.0) -> float:
    """GFLOP/s of a product of two square matrices."""
    import torch

    one = torch.rand(side, side).to(getattr(torch, precision))
    one @ one
    count, began = 0, time.perf_counter()
    while time.perf_counter() - began < seconds:
        one @ one
        count += 1
    return 2e-9 * side**3 * count / (time.perf_counter() - began)


def best_flags(shape: Sequence[object], seconds: float, *, compiled: bool, small: bool) -> tuple[list[str], float, int]:
    """(flags, pictures a second, multiply-adds of a picture) of the fastest way that was found; `shape`: --network etc.

    Both allocators, each in a process of its own, and compilation of the fastest. small: a step of milliseconds, where
    one thread or an unfused optimizer may be faster.
    """
    from commands import FailedError, TooLongError
    from harness import own

    small_flag = ["--small"] if small else []
    found = [
        own("bare", *shape, *small_flag, "--sweep", "--seconds", seconds, *more)() for more in ((), ("--keep-blocks",))
    ]
    best = max(found, key=lambda one: one["pictures_per_second"])
    flags, rate = list(best["flags"]), float(best["pictures_per_second"])
    if compiled:
        try:
            found_compiled = own("bare", *shape, *flags, "--compile", "--seconds", max(1.0, seconds), limit=180.0)()
            tried = float(found_compiled["pictures_per_second"])
        except (FailedError, TooLongError) as error:  # without a compiler of C++, say
            print(f"compiled: {error}", file=sys.stderr)
            tried = 0.0
        print(f"compiled: {tried:.1f} against {rate:.1f}", file=sys.stderr)
        if tried > rate:
            flags, rate = [*flags, "--compile"], tried
    return flags, rate, int(best["multiply_adds"])


if __name__ == "__main__":
    sys.exit(main())
