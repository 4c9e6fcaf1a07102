"""Values as text for a page: names that cannot break it, numbers with the right number of digits.

A value that is missing or no number is shown as an en dash.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

from striate.names import visible

MISSING = "–"
NO_BREAK = "\u00a0"
MINUS = "\u2212"


def clip(text: str, length: int = 96) -> str:
    """The text, its middle left out where it is longer than `length` characters."""
    text = visible(text)
    if len(text) <= length:
        return text
    head = length * 2 // 5
    return f"{text[:head]}…{text[head + 1 - length :]}"


def sentence(text: str) -> str:
    """A sentence as a person reads it: a capital first, a full stop last, no number parted from its %."""
    text = visible(text).strip().replace(" %", f"{NO_BREAK}%")
    if not text:
        return text
    return text[0].upper() + text[1:] + ("" if text[-1] in ".!?:…" else ".")


def finite(value: Any) -> float | None:
    """The value as a float, or None where it is missing, NaN, infinite or no number."""
    if value is None or isinstance(value, str):
        return None
    try:
        number = float(value)
    except (TypeError, ValueError):
        return None
    return number if math.isfinite(number) else None


def percent(value: Any, digits: int = 1, sign: bool = True) -> str:
    """A share as "97.5 %" (`sign` False: "97.5"), below 0 with a true minus."""
    number = finite(value)
    if number is None:
        return MISSING
    return f"{100 * number:.{digits}f}".replace("-", MINUS) + (f"{NO_BREAK}%" if sign else "")


def count(value: Any) -> str:
    """A whole number with thousands separated: "1,000"."""
    number = finite(value)
    return MISSING if number is None else f"{round(number):,}"


def decimal(value: Any, digits: int = 3) -> str:
    """A number with about `digits` digits that count: "0.0312", "12.4", "1.2e-05"; below 0 with a true minus."""
    number = finite(value)
    if number is None:
        return MISSING
    if number == 0:
        return "0"
    if not 1e-4 <= abs(number) < 1e6:
        mantissa, exponent = f"{number:.{digits - 1}e}".replace("-", MINUS, int(number < 0)).split("e")
        return f"{mantissa.rstrip('0').rstrip('.') if '.' in mantissa else mantissa}e{int(exponent)}"
    places = max(0, digits - 1 - math.floor(math.log10(abs(number))))
    return f"{number:,.{places}f}".replace("-", MINUS)


def duration(seconds: Any) -> str:
    """Seconds as "42 s", "3 min 20 s" or "2 h 5 min"."""
    number = finite(seconds)
    if number is None:
        return MISSING
    if number < 10:
        return f"{number:.1f}{NO_BREAK}s"
    whole = round(number)
    if whole < 60:
        return f"{whole}{NO_BREAK}s"
    if whole < 3600:
        return f"{whole // 60}{NO_BREAK}min {whole % 60}{NO_BREAK}s"
    return f"{whole // 3600}{NO_BREAK}h {whole % 3600 // 60}{NO_BREAK}min"


def setting(value: Any) -> str:
    """A setting as a person would write it: "yes", "1e-05", "0.1, 0.2", "–"."""
    if value is None:
        return MISSING
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, float):
        return f"{value:g}" if math.isfinite(value) else MISSING
    if isinstance(value, Mapping):
        return ", ".join(f"{key} = {setting(part)}" for key, part in value.items()) or MISSING
    if isinstance(value, Sequence) and not isinstance(value, str | bytes):
        return ", ".join(setting(part) for part in value) or MISSING
    return visible(str(value)) or MISSING


def flat(settings: Mapping[str, Any], prefix: str = "") -> list[tuple[str, str]]:
    """Nested settings as rows: {"optimizer": {"momentum": 0.9}} -> [("optimizer.momentum", "0.9")]."""
    rows: list[tuple[str, str]] = []
    for key, value in settings.items():
        if isinstance(value, Mapping) and value:
            rows += flat(value, f"{prefix}{key}.")
        else:
            rows.append((f"{prefix}{key}", setting(value)))
    return rows
