"""Which device computes: "cpu", "cuda", "cuda:1" or "mps", as a plain string."""

from __future__ import annotations

from striate.errors import InputError, unknown

DEVICES = ("auto", "cpu", "cuda", "mps")


def pick_device(wanted: str = "auto") -> str:
    """The device for `wanted`: "auto" takes an accelerator where there is one.

    Raises InputError for an unknown name and for a device that is not there: never a silent fallback.
    """
    import torch

    kind, colon, number = wanted.partition(":")
    numbered = kind == "cuda" and number.isascii() and number.isdecimal()
    if kind not in DEVICES or (colon and not numbered):
        raise unknown("device", wanted, DEVICES)
    has = {"cuda": torch.cuda.is_available(), "mps": torch.backends.mps.is_available(), "cpu": True}
    if kind == "auto":
        return next(name for name in ("cuda", "mps", "cpu") if has[name])
    if not has[kind]:
        raise InputError(f"--device {wanted}: this machine has no such device that torch can use; try --device auto")
    if number and int(number) >= torch.cuda.device_count():
        raise InputError(f"--device {wanted}: there are {torch.cuda.device_count()} of them, counted from 0")
    return wanted
