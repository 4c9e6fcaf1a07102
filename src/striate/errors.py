"""Mistakes of the user's: one exception, one sentence, and the nearest known name."""

from __future__ import annotations

import difflib
from collections.abc import Iterable


class InputError(Exception):
    """What was given cannot be used. The message is one sentence: what, where, what to do.

    The command line prints it and exits with status 2. Anything else that is raised is a defect
    of ours: a traceback and exit status 1.
    """


class SharedError(InputError):
    """The same mistake, met by every process of a training: the first one says it for all."""


class Stopped(KeyboardInterrupt):
    """Ctrl-C in work of several trainings. The message says how to go on, as a part of a sentence."""


class ProcessLost(Exception):
    """Another process of this training has ended or does not answer: no mistake of the user's, and no defect here.

    What that one said itself is the reason.
    """


def require(condition: bool, message: str) -> None:
    """Raise `InputError(message)` unless `condition` holds."""
    if not condition:
        raise InputError(message)


def did_you_mean(name: str, known: Iterable[str]) -> str:
    """The end of an error sentence, "; did you mean 'resnet18'?", or "" where nothing is near."""
    nearest = difflib.get_close_matches(name, list(known), n=1, cutoff=0.6)
    return f"; did you mean '{nearest[0]}'?" if nearest else ""


def unknown(kind: str, name: str, known: Iterable[str]) -> InputError:
    """The error for a name that no table holds: the nearest match, or the names themselves."""
    names = list(known)
    hint = did_you_mean(name, names)
    if not hint:
        shown = ", ".join(names[:12]) + (", ..." if len(names) > 12 else "")
        hint = f"; known: {shown}"
    return InputError(f"no {kind} '{name}'{hint}")
