"""One of the processes that `--processes N` started (`actions/launch.py`); not a command for people.

One line of JSON on standard input says what to do; the stream then stays open for as long as somebody waits. Lines of
JSON on standard output say what happens. The first rank tells all of it, the others only how they ended.
"""

from __future__ import annotations

import json
import os
import sys
import threading
import traceback
from collections.abc import Mapping
from typing import Any, TextIO

from striate.errors import InputError, ProcessLost
from striate.machine.folders import redirect_caches
from striate.machine.threads import wait_briefly
from striate.observer import Observer


class Telling(Observer):
    """Every event as a line of JSON."""

    def __init__(self, stream: TextIO) -> None:
        self._stream, self._lock = stream, threading.Lock()

    def tell(self, event: str, values: Any) -> None:
        """One line. Who does not listen any more has gone, which `_end_with_caller` notices."""
        line = json.dumps({"event": event, "values": values}) + "\n"
        with self._lock:
            self._stream.write(line)
            self._stream.flush()

    def say(self, text: str) -> None:
        self.tell("say", [text])

    def warn(self, text: str) -> None:
        self.tell("warn", [text])

    def progress(self, what: str, done: int, total: int) -> None:
        self.tell("progress", [what, done, total])

    def on_step(self, record: Mapping[str, float]) -> None:
        self.tell("on_step", [dict(record)])

    def on_epoch(self, record: Mapping[str, float]) -> None:
        self.tell("on_epoch", [dict(record)])


def main() -> int:
    """Do what is asked; the exit status is that of the command."""
    wait_briefly()
    redirect_caches()
    order = json.loads(sys.stdin.buffer.readline())
    threading.Thread(target=_end_with_caller, daemon=True).start()
    # What libraries print goes to standard error: standard output is for the lines.
    telling = Telling(os.fdopen(os.dup(1), "w", encoding="ascii"))
    os.dup2(2, 1)
    try:
        _do(order, telling)
        return 0
    except InputError as error:
        telling.tell("end", ["input", str(error)])
        return 2
    except KeyboardInterrupt:
        telling.tell("end", ["stopped", ""])
        return 130
    # Whatever it is, the one who launched it raises it.
    except Exception as error:  # noqa: BLE001
        lost = isinstance(error, ProcessLost)
        telling.tell("end", ["lost", str(error)] if lost else ["defect", traceback.format_exc()])
        return 1


def _do(order: Mapping[str, Any], telling: Telling) -> None:
    from striate.actions.launch import arrays_from_files

    arguments = dict(order["arguments"])

    def began(folder: str) -> None:
        telling.tell("run", folder)

    arguments["source"] = arrays_from_files(arguments["source"])
    if order["action"] == "train":
        from striate.actions.train import train_asked
        from striate.training.recipe import Recipe
        from striate.training.settings import from_mapping

        arguments["asked"] = from_mapping(Recipe, arguments["asked"], "settings")
        train_asked(**arguments, network=None, observer=telling, began=began)
    else:
        from striate.actions.resume import resume_here

        resume_here(**arguments, observer=telling, began=began)


def _end_with_caller() -> None:
    """Where nobody waits for the result any more, nothing is worth finishing; the run can be resumed."""
    while os.read(0, 1):  # not through sys.stdin, whose lock the end of the interpreter wants to have
        pass
    os._exit(1)


if __name__ == "__main__":
    sys.exit(main())
