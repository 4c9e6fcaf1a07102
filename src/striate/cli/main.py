"""`striate`: reads the command, runs one action, shows its result; the only place that ends the process.

Exit status: 0 done, 1 a defect of ours (with its traceback), 2 a mistake of the user's (one sentence),
130 Ctrl-C. Results go to stdout, progress to stderr.
"""

from __future__ import annotations

import errno
import gc
import importlib
import os
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass

from striate.errors import InputError, ProcessLost, SharedError, Stopped, unknown

# What a disk says that has no room left, wherever it is met.
FULL = (errno.ENOSPC, errno.EDQUOT)


@dataclass(frozen=True)
class Command:
    """A command: what it does in one line, and its module (`add_arguments(parser)`, `run(arguments, started)`)."""

    group: str
    line: str
    module: str


# In the order in which a person meets them.
COMMANDS: dict[str, Command] = {
    "inspect": Command("data", "what is there, before training: counts, sizes, broken and equal", "inspect"),
    "datasets": Command("data", "the public sets that can be named in place of a folder", "datasets"),
    "train": Command("train", "train a network on a folder of pictures; no option is needed", "train"),
    "resume": Command("train", "go on with a run that was stopped, or train it further", "resume"),
    "networks": Command("train", "the networks that can be trained", "networks"),
    "predict": Command("use", "answers for pictures", "predict"),
    "evaluate": Command("use", "how well a run answers labelled pictures, with intervals", "evaluate"),
    "serve": Command("use", "answers over HTTP for this machine, and a page to drop pictures on", "serve"),
    "push": Command("use", "a finished run to the Hugging Face Hub, for hf://owner/name", "push"),
    "export": Command("use", "a file that answers without Striate, shown to answer the same", "export"),
    "explain": Command("look inside", "why this answer for this picture: maps, and what changes it", "explain"),
    "describe": Command("look inside", "the layers, weights and multiply-adds of a network or a run", "describe"),
    "look": Command("look inside", "a gallery of a network: its units, and what excites them", "look"),
    "dream": Command("look inside", "pictures made for a network: of its classes, units and layers", "dream"),
    "runs": Command("runs", "the runs that are here, side by side", "runs"),
    "cache": Command("runs", "decoded pictures that are kept for the next run, and their removal", "cache"),
    "report": Command("runs", "a report made anew, or one page that compares several runs", "report"),
}

HEADINGS = {
    "data": "Look at pictures",
    "train": "Train",
    "use": "Use what was trained",
    "look inside": "Look inside",
    "runs": "Keep an overview",
}


# New objects after which garbage is looked for. By Python's own 700, imports of torch, which make no garbage, are gone
# through again and again: an eighth of their time.
OBJECTS_BETWEEN = 50_000


def main(arguments: Sequence[str] | None = None) -> None:
    """Entry point of the command `striate`."""
    from striate.machine.threads import wait_briefly

    wait_briefly()
    gc.set_threshold(OBJECTS_BETWEEN)
    sys.exit(status(sys.argv[1:] if arguments is None else list(arguments)))


def status(arguments: Sequence[str]) -> int:
    """Run one command line; its exit status. A defect of ours raises."""
    started = time.monotonic() - _seconds_since_start()
    from striate.cli.text import prepare_streams, write_nowhere

    prepare_streams()
    try:
        code = _run(list(arguments), started)
        sys.stdout.flush()
        return code
    except InputError as error:
        if _speaks(error):
            _complain(str(error))
        return 2
    except ProcessLost as error:
        _complain(str(error))
        return 1
    except KeyboardInterrupt as stop:
        how = str(stop) if isinstance(stop, Stopped) else ""
        if stop.args and not how:  # a training tells which run was stopped
            from pathlib import Path

            from striate.models.run import Run

            how = Run(Path(stop.args[0])).how_to_go_on()
        _complain(f"stopped; {how}" if how else "stopped")
        return 130
    except BrokenPipeError:
        # Whoever read the output has gone (`| head`): nothing is wrong, and nothing more can be written.
        write_nowhere(sys.stdout)
        return 0
    except OSError as error:
        if error.errno not in FULL:
            raise
        write_nowhere(sys.stdout)  # it may be what is full: what it still holds must not fail again at the end
        _complain(f"{error.filename or 'a file or the output'}: the disk is full; make room and try again")
        return 2


def _run(arguments: list[str], started: float) -> int:
    if len(arguments) > 1 and arguments[0] == "help":
        arguments = [arguments[1], "--help"]
    if not arguments or arguments[0] in ("-h", "--help", "help"):
        print(help_text(), end="")
        return 0
    if arguments[0] in ("-V", "--version"):
        import striate

        print(f"striate {striate.__version__}")
        return 0
    name = arguments[0]
    if name not in COMMANDS:
        raise unknown("option" if name.startswith("-") else "command", name, COMMANDS)
    from striate.cli.flags import Parser

    module = importlib.import_module(f"striate.cli.{COMMANDS[name].module}_command")
    parser = Parser(prog=f"striate {name}", description=module.__doc__)
    module.add_arguments(parser)
    try:
        parsed = parser.parse_strictly(arguments[1:])
    except SystemExit:  # how argparse leaves after --help
        return 0
    from striate.machine.folders import redirect_caches

    redirect_caches()
    code: int = module.run(parsed, started)
    return code


def help_text() -> str:
    """`striate --help`: the commands, grouped by what a person wants."""
    lines = [
        "striate: from a folder of pictures to a network, an honest report and answers",
        "",
        "  striate train photos/                  train; it names the report to open",
        "  striate predict runs/photos-1 new.jpg  ask",
        "",
    ]
    for group, heading in HEADINGS.items():
        lines.append(heading)
        lines += [f"  {name:<10} {one.line}" for name, one in COMMANDS.items() if one.group == group]
        lines.append("")
    lines += ["striate COMMAND --help tells the options of a command.", ""]
    return "\n".join(lines)


def _speaks(error: InputError) -> bool:
    """Of several processes one says what all of them met: the first, or the first of a machine before they have met."""
    if "RANK" not in os.environ:
        return True
    from striate.machine.ranks import have_met, ranks_here

    try:
        here = ranks_here()
    except InputError:
        return True
    alike = isinstance(error, SharedError) or (here.local_rank > 0 and not have_met())
    return here.first or not alike


def _complain(text: str) -> None:
    from striate.cli.text import write_nowhere
    from striate.names import visible

    try:
        print(f"striate: {visible(' '.join(text.split()))}", file=sys.stderr, flush=True)
    except OSError:
        write_nowhere(sys.stderr)


def _seconds_since_start() -> float:
    """How long this process has been running: imports count for a person who waits."""
    try:
        with open("/proc/self/stat", encoding="ascii", errors="replace") as file:  # noqa: PTH123 - light start
            ticks = int(file.read().rpartition(")")[2].split()[19])
        with open("/proc/uptime", encoding="ascii") as file:  # noqa: PTH123
            up = float(file.read().split()[0])
        return max(0.0, up - ticks / os.sysconf("SC_CLK_TCK"))
    except (OSError, ValueError, IndexError):
        return 0.0


if __name__ == "__main__":
    main()
