"""What machine and which versions a result came from, as plain values."""

from __future__ import annotations

import os
import platform
import sys
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

PACKAGES = ("striate", "torch", "torchvision", "timm", "numpy", "pillow", "scikit-learn")


def describe_machine(device: str, threads: int) -> dict[str, str]:
    """Processor, cores in use, device and operating system, for reports and result tables."""
    described = {
        "processor": processor_name(),
        "threads": f"{threads} of {os.cpu_count()}",
        "device": device,
        "system": f"{platform.system()} {platform.machine()}",
    }
    if device.startswith("cuda"):
        import torch

        described["device"] = torch.cuda.get_device_name(device)
    return described


def versions() -> dict[str, str]:
    """Versions of Python and of the packages that can change a result."""
    found = {"python": ".".join(map(str, sys.version_info[:3]))}
    for package in PACKAGES:
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            continue
    return found


def processor_name() -> str:
    """The processor's own name where the system tells it."""
    try:
        text = Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return platform.processor() or platform.machine()
    line = next((line for line in text.splitlines() if line.startswith("model name")), "")
    return line.partition(":")[2].strip() or platform.machine()
