"""What the processes of one training must have in common, and what a restart of them must remember.

Rank 0 claims the run and decides; before it does, all of them compare what they were given.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from striate.data.samples import CLASSIFICATION, Samples
from striate.errors import SharedError
from striate.machine.files import write_atomically
from striate.machine.folders import cache_folder
from striate.machine.ranks import Ranks, gathered, told
from striate.models.run import Run
from striate.training.recipe import Recipe
from striate.training.resolved import Resolved
from striate.training.settings import shown, to_mapping


def require_same_settings(ranks: Ranks, recipe: Recipe, samples: Samples) -> None:
    """Refuse ranks that were given different settings, or that see different files. Raises InputError on all."""
    if not ranks.several:
        return
    from striate.machine.description import versions

    plain = {name: text for name, text in versions().items() if name in ("striate", "torch")}
    settings = {f"--{name}".replace("_", "-"): value for name, value in _flat(to_mapping(recipe)).items()}
    said: list[Any] = gathered(ranks, [settings, plain, _digest(samples), len(samples)])
    for rank, other in enumerate(said):
        for kind, what in ((0, "was started with"), (1, "has")):
            for name in sorted(said[0][kind].keys() | other[kind].keys()):
                one, two = other[kind].get(name), said[0][kind].get(name)
                if one != two:
                    raise SharedError(
                        f"process {rank} {what} {name} {_words(one)}, process 0 {_words(two)}; "
                        "start all of them by the same command, with the same versions"
                    )
        if other[2] != said[0][2]:
            raise SharedError(
                f"{samples.source}: process {rank} finds other pictures there ({other[3]:,}) than process 0 "
                f"({said[0][3]:,}); every machine must see the same source"
            )


def require_same(ranks: Ranks, fingerprint: str, source: str) -> None:
    """Refuse ranks that have read different pictures of the same names. Raises InputError on all."""
    said = gathered(ranks, fingerprint)
    different = [rank for rank, other in enumerate(said) if other != said[0]]
    if different:
        raise SharedError(
            f"{source}: the pictures that process {different[0]} has read are not those of process 0; "
            "every machine must see the same source"
        )


def decided_by_first(ranks: Ranks, resolved: Resolved) -> Resolved:
    """What rank 0 has resolved, on every rank: clocks and machines differ, and the ranks must not."""
    if not ranks.several:
        return resolved
    return Resolved.from_mapping(told(ranks, resolved.to_mapping()), "process 0")


def run_of(ranks: Ranks, run: Run | None) -> Run:
    """The run of rank 0, on every rank; the others write nothing into it."""
    folder = told(ranks, str(run.folder) if run is not None else "")
    return run if run is not None and ranks.first else Run(Path(folder), writes=False)


def begun_before(ranks: Ranks) -> Path | None:
    """The run that an earlier start of the same torchrun began, where it began one that is still there."""
    folder = ""
    if ranks.first and ranks.restarts:
        try:
            folder = json.loads(_note().read_text(encoding="ascii"))["run"]
        except (OSError, ValueError, KeyError, TypeError):
            folder = ""  # it died before it began one
    found = told(ranks, folder) if ranks.restarts else ""
    return Path(found) if found else None


def note_begun(ranks: Ranks, run: Run) -> None:
    """Remember which run this start began, where torchrun may start the ranks anew."""
    if ranks.first and os.environ.get("TORCHELASTIC_MAX_RESTARTS", "0") != "0":
        write_atomically(_note(), json.dumps({"run": str(run.folder.absolute())}))


def forget_begun(ranks: Ranks) -> None:
    """A first start knows of none: another torchrun may have had the same number before."""
    if ranks.first and not ranks.restarts and os.environ.get("TORCHELASTIC_MAX_RESTARTS", "0") != "0":
        _note().unlink(missing_ok=True)


def _note() -> Path:
    # The agent that starts the ranks of a machine is their parent for as long as it lives.
    launch = f"{os.environ.get('TORCHELASTIC_RUN_ID', '')}/{os.getppid()}/{os.environ.get('MASTER_ADDR', '')}"
    return cache_folder("launches") / f"{hashlib.blake2b(launch.encode(), digest_size=8).hexdigest()}.json"


def target_bytes(samples: Samples) -> bytes:
    """The targets as bytes, the same on every machine; those of a task other than classes begin with its name."""
    kind = b"" if samples.task == CLASSIFICATION else samples.task.encode()
    return kind + samples.targets.astype("<i8" if samples.targets.ndim == 1 else "<f4").tobytes()


def _digest(samples: Samples) -> str:
    digest = hashlib.blake2b(digest_size=16)
    digest.update("\n".join([*samples.class_names, "", *samples.names]).encode("utf-8", "surrogatepass"))
    digest.update(target_bytes(samples))
    digest.update("\n".join(map(str, samples.splits)).encode())
    return digest.hexdigest()


def _flat(values: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    flat: dict[str, Any] = {}
    for name, value in values.items():
        flat.update(_flat(value, f"{prefix}{name}.") if isinstance(value, Mapping) else {f"{prefix}{name}": value})
    return flat


def _words(value: Any) -> str:
    return "left open" if value is None else shown(value)
