"""How a training step is computed: number format, layout, threads, compiled or not; by rule, and remembered.

What was measured of a network on a machine is kept in the cache folder, one small file for each question, so that it
is measured once. A file that is broken, was changed, or answers another question is as good as none.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields, replace
from pathlib import Path
from typing import Any

from striate.machine.description import describe_machine, processor_name, versions
from striate.machine.files import write_atomically
from striate.machine.folders import cache_folder, cache_place
from striate.machine.precision import CHANNELS_LAST, CONTIGUOUS, FORMATS, LAYOUTS, native_bfloat16, pick_precision
from striate.machine.threads import threads_for

SCHEMA = 1
FOLDER = "choices"
LARGEST = 1 << 16  # bytes of a file that could be ours


@dataclass(frozen=True, kw_only=True)
class Choice:
    """One way to compute a step: `precision` of FORMATS, `layout` of LAYOUTS, `threads` of the processor."""

    precision: str
    layout: str
    threads: int
    compile: bool = False

    def words(self) -> str:
        """For the log."""
        threads = f"{self.threads} thread{'s' * (self.threads != 1)}"
        return ", ".join([self.precision, self.layout, threads, *(["compiled"] * self.compile)])


@dataclass(frozen=True, kw_only=True)
class Wanted:
    """What was asked for; None where it was left open."""

    precision: str | None = None
    layout: str | None = None
    threads: int | None = None
    compile: bool | None = None

    @property
    def open(self) -> tuple[str, ...]:
        """Names of what was left open."""
        return tuple(field.name for field in fields(self) if getattr(self, field.name) is None)


def choice_by_rule(wanted: Wanted, device: str, cores: int, *, ours: bool, step: float | None = None) -> Choice:
    """What `wanted` fixes, and for the rest what is best on most machines.

    ours: whether the network is one of those that may be laid out as we like; one of the user's own may look at its
    memory (`view`). step: multiply-adds of one step forward, None where they cannot be counted.
    """
    precision, _ = pick_precision(wanted.precision or "auto", device)
    small = step is not None and device == "cpu"
    return Choice(
        precision=precision,
        layout=wanted.layout or (CHANNELS_LAST if ours else CONTIGUOUS),
        threads=wanted.threads or (threads_for(step, cores) if small and step is not None else cores),
        compile=bool(wanted.compile),
    )


def alternatives(rule: Choice, wanted: Wanted, device: str, cores: int, *, ours: bool) -> dict[str, dict[str, Any]]:
    """What else is worth measuring, by what is left open: {"precision": {"precision": "float32"}, ...}.

    bfloat16 only where it is native, float16 never: it trains with a scaled loss, which is for the user to ask for.
    Compiling is not among them, because finding out costs as long as all the others together.
    """
    found: dict[str, dict[str, Any]] = {}
    # First of all: where another program keeps a core busy, threads that wait for each other cost more than all else.
    if "threads" in wanted.open and device == "cpu" and cores > 1:
        found["threads"] = {"threads": cores if rule.threads == 1 else 1}
    if "precision" in wanted.open and native_bfloat16(device)[0]:
        found["precision"] = {"precision": "float32" if rule.precision == "bfloat16" else "bfloat16"}
    if "layout" in wanted.open and ours:
        found["layout"] = {"layout": CONTIGUOUS if rule.layout == CHANNELS_LAST else CHANNELS_LAST}
    return found


def question(device: str, cores: int, wanted: Wanted, **network: Any) -> dict[str, Any]:
    """What an answer depends on: this machine, these versions, what was fixed, and the `network` as plain values."""
    installed = versions()
    return {
        "device": describe_machine(device, cores)["device"],
        "processor": processor_name(),
        "cores": cores,
        # Threads that spin while they wait are another machine.
        "waiting": [os.environ.get(name, "") for name in ("OMP_WAIT_POLICY", "GOMP_SPINCOUNT")],
        "versions": {package: installed.get(package, "") for package in ("striate", "torch")},
        "wanted": asdict(wanted),
        "network": network,
    }


def remember(asked: Mapping[str, Any], choice: Choice) -> None:
    """Keep the answer to `asked`. Raises InputError where the cache folder cannot be written."""
    content = {"schema": SCHEMA, "question": _plain(asked), "choice": asdict(choice)}
    content["digest"] = _digest(content)
    cache_folder(FOLDER)
    write_atomically(_path(asked), json.dumps(content, indent=1) + "\n")


def recall(asked: Mapping[str, Any], wanted: Wanted) -> Choice | None:
    """The answer to `asked` that was kept, if there is one that can be trusted."""
    path = _path(asked)
    try:
        if path.stat().st_size > LARGEST:
            return None
        content = json.loads(path.read_bytes().decode("utf-8"))
    except (OSError, ValueError, RecursionError):
        return None  # there is none, or it is no longer what was written: it is measured anew and written over
    if not isinstance(content, dict) or content.get("schema") != SCHEMA:
        return None
    digest = content.pop("digest", None)
    if digest != _digest(content) or content.get("question") != _plain(asked):
        return None
    choice = _choice(content.get("choice"))
    fixed = {field.name: getattr(wanted, field.name) for field in fields(wanted) if field.name not in wanted.open}
    return choice if choice is not None and replace(choice, **fixed) == choice else None


def _choice(values: Any) -> Choice | None:
    if not isinstance(values, dict) or values.keys() != {field.name for field in fields(Choice)}:
        return None
    threads = values["threads"]
    sound = (
        values["precision"] in FORMATS
        and values["layout"] in LAYOUTS
        and type(threads) is int
        and threads >= 1
        and isinstance(values["compile"], bool)
    )
    return Choice(**values) if sound else None


def _path(asked: Mapping[str, Any]) -> Path:
    text = json.dumps(_plain(asked), sort_keys=True)
    name = hashlib.blake2b(text.encode("utf-8", "surrogatepass"), digest_size=16).hexdigest()
    return cache_place(FOLDER) / f"{name}.json"


def _digest(content: Mapping[str, Any]) -> str:
    text = json.dumps(content, sort_keys=True)
    return hashlib.blake2b(text.encode("utf-8", "surrogatepass"), digest_size=16).hexdigest()


def _plain(values: Mapping[str, Any]) -> Any:
    """As JSON gives them back: tuples are lists there."""
    return json.loads(json.dumps(values))
