"""Several trainings by one recipe, each a run of its own in one folder, that can be stopped and gone on with."""

from __future__ import annotations

import contextlib
import itertools
import json
import os
import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from striate.actions.places import source_name
from striate.actions.resume import resume
from striate.actions.train import train
from striate.data.samples import CLASSIFICATION, TEST
from striate.errors import InputError, Stopped, require
from striate.evaluation.headlines import HEADLINES
from striate.machine.files import refused, write_atomically
from striate.models.claim import check_outside
from striate.models.run import Run
from striate.models.run_files import RECIPE
from striate.observer import SILENT, Observer

PLAN = "plan.json"
LARGEST_PLAN = 1 << 20  # bytes


@dataclass(frozen=True, kw_only=True)
class Trainings:
    """What is trained: `source` with `settings` of `train`, into `folder`, once with each of `changes`, by name.

    kind: "folds" or "learning-curve".
    """

    kind: str
    source: Any
    folder: Path
    settings: Mapping[str, Any]
    changes: Mapping[str, Mapping[str, Any]]
    made: Sequence[Path] = ()  # of the folder and those above it, what was not there before
    observer: Observer = field(default=SILENT)

    def carry_out(self) -> dict[str, Run]:
        """The finished runs by name. Those that are there are kept, one that was stopped goes on.

        Raises InputError as `train` and `resume` do, and where a test gives no figure; `Stopped` on Ctrl-C.
        """
        done = {}
        for number, (name, changed) in enumerate(self.changes.items(), start=1):
            run = Run(self.folder / name)
            try:
                self.observer.say(f"{name}, {number} of {len(self.changes)}")
                if run.finished:
                    self.observer.say(f"{run} is there already")
                elif (run.folder / RECIPE).is_file():
                    run = resume(run, source=self.source, observer=self.observer)
                else:
                    run = train(self.source, out=run.folder, observer=self.observer, **{**self.settings, **changed})
            except InputError:
                self._give_up_if_empty()
                raise
            except KeyboardInterrupt as stop:
                how = f"the same command with --out {shlex.quote(str(self.folder))} goes on where it stopped"
                raise Stopped(how) from stop
            figure_of(run)  # where there is none, the others need not be trained
            done[name] = run
        return done

    def _give_up_if_empty(self) -> None:
        """Where nothing was trained, leave nothing behind but folders that were there."""
        if [path.name for path in self.folder.iterdir()] != [PLAN]:
            return
        (self.folder / PLAN).unlink()
        for folder in self.made:
            with contextlib.suppress(OSError):  # something of somebody else's lies there
                folder.rmdir()


def open_folder(
    kind: str, source: Any, out: str | Path | None, settings: Mapping[str, Any], planned: Mapping[str, Any]
) -> tuple[Path, tuple[Path, ...]]:
    """The folder for the runs, a new one or one that the same trainings were begun in, and what was made for it. What
    is planned is noted there.

    Raises InputError where the place is taken by anything else.
    """
    called = source if isinstance(source, str | os.PathLike) else "arrays"
    plan = {
        "schema": 1,
        "kind": kind,
        "source": os.fspath(called),
        "settings": {name: repr(value) for name, value in settings.items()},
        **planned,
    }
    folder = _next_free(source, kind) if out is None else Path(out)
    check_outside(folder, str(called), "it would lie")
    try:
        known = json.loads((folder / PLAN).read_bytes()[:LARGEST_PLAN]) if (folder / PLAN).is_file() else None
        require(
            known is None or known == plan,
            f"{folder}: holds other trainings; name another folder with --out, or the same source and settings as then",
        )
        require(
            known is not None or not folder.exists() or (folder.is_dir() and not any(folder.iterdir())),
            f"{folder}: is there already; name a new folder with --out",
        )
        made = tuple(place for place in (folder, *folder.parents) if not place.exists())
        folder.mkdir(parents=True, exist_ok=True)
    except ValueError as error:
        raise InputError(f"{folder}: its {PLAN} cannot be read; name another folder with --out") from error
    except OSError as error:
        raise refused(folder, error) from error
    if known is None:
        write_atomically(folder / PLAN, json.dumps(plan, indent=2) + "\n")
    return folder, made


def figure_of(run: Run) -> tuple[str, dict[str, Any]]:
    """The task of a run and the headline figure of its test split: {value, low, high, n}. Raises InputError."""
    evaluation = run.metrics.get(TEST)
    require(isinstance(evaluation, dict), f"{run}: has no figures of a test split")
    assert isinstance(evaluation, dict)
    task = str(evaluation.get("task", CLASSIFICATION))
    headline = HEADLINES[task]
    figure: dict[str, Any] | None = evaluation[headline.figure]
    if figure is None:
        raise InputError(f"{run}: its test split gives no {headline.name}; {headline.needs}")
    return task, figure


def learned_from(run: Run) -> int:
    """Training pictures, or rows, of a run."""
    return int(run.metrics["counts"]["by_split"]["train"])


def require_open(settings: Mapping[str, Any], names: Sequence[str], what: str) -> None:
    """Refuse settings that the trainings decide themselves. Raises InputError."""
    for name in names:
        require(settings.get(name) is None, f"{name} and {what} cannot both be given; leave one of them away")


def _next_free(source: Any, kind: str) -> Path:
    places = (Path("runs") / f"{source_name(source)}-{kind}-{number}" for number in itertools.count(1))
    return next(place for place in places if not os.path.lexists(place))
