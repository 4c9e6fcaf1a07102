"""`--processes N`: start N processes on this machine that do one training together, and watch over them.

Each is `python -m striate.cli.worker`, a new interpreter: nothing of the caller's own program runs in it, so that
scripts and notebooks need no guard. What is to be done goes to it as one line of JSON, what happens comes back as lines
of JSON, one an event. When one of them ends badly, the others are ended, and its own message is what is raised.
Ctrl-C ends all of them and leaves a run that can be resumed. No torch is imported here.
"""

from __future__ import annotations

import json
import os
import queue
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from striate.errors import InputError, ProcessLost
from striate.machine.folders import cache_folder
from striate.models.run import Run
from striate.observer import Observer

WORKER = "striate.cli.worker"
# Another one may be about to say why: who only lost the others waits so long for it.
GRACE = 5.0
LOOK = 0.2  # seconds between looks at a silent queue
# How an ended process was told to (the first is what a terminal sends), and what its word for a reason is worth.
INPUT, DEFECT, STOPPED, LOST = "input", "defect", "stopped", "lost"


@dataclass
class _Process:
    """One process of the launch, and what it has said of its end."""

    child: subprocess.Popen[bytes]
    kind: str = ""
    text: str = ""
    heard_all: bool = False
    status: int | None = None  # with which it ended by itself
    threads: list[threading.Thread] = field(default_factory=list)


def launch(action: str, arguments: Mapping[str, Any], *, processes: int, observer: Observer) -> Run:
    """Do `action` ("train" or "resume") with plain JSON `arguments` in so many processes. The finished run.

    Raises what the action raises: InputError, KeyboardInterrupt with the folder of the run; RuntimeError with the
    traceback of a process that met a defect; ProcessLost where one was ended from outside.
    """
    order = json.dumps({"action": action, "arguments": dict(arguments)}).encode() + b"\n"
    folder: str | None = None
    heard: queue.Queue[tuple[int, dict[str, Any] | None]] = queue.Queue()
    group = _started(processes, order, heard)
    try:
        for rank, event in _events(group, heard):
            name, values = event["event"], event.get("values", [])
            if name == "run":
                folder = values
            elif name == "end":
                group[rank].kind, group[rank].text = values
            else:
                getattr(observer, name)(*values)
    except KeyboardInterrupt as stop:
        _stop(group)
        raise KeyboardInterrupt(*([folder] if folder else [])) from stop
    except BaseException:
        _stop(group)
        raise
    _stop(group)
    _raise_first(group, folder)
    if folder is None:
        raise RuntimeError("the processes ended without a run")
    return Run(Path(folder))


def _started(processes: int, order: bytes, heard: queue.Queue[tuple[int, dict[str, Any] | None]]) -> list[_Process]:
    package = str(Path(__file__).resolve().parents[2])
    path = os.pathsep.join([package, *filter(None, [os.environ.get("PYTHONPATH")])])
    # What a torchrun around this process said holds for it, and not for these.
    own = {name: text for name, text in os.environ.items() if not name.startswith("TORCHELASTIC_")}
    common = {
        **own,
        "PYTHONPATH": path,
        "WORLD_SIZE": str(processes),
        "LOCAL_WORLD_SIZE": str(processes),
        "MASTER_ADDR": "127.0.0.1",
        "MASTER_PORT": str(_free_port()),
    }
    if sys.platform.startswith("linux"):
        # All of them are here: the name of this machine need not lead anywhere.
        common.setdefault("GLOO_SOCKET_IFNAME", "lo")
    group: list[_Process] = []
    try:
        for rank in range(processes):
            child = subprocess.Popen(
                [sys.executable, "-m", WORKER],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                env={**common, "RANK": str(rank), "LOCAL_RANK": str(rank)},
                start_new_session=True,  # Ctrl-C comes to this process alone, which then ends them in order
            )
            group.append(_Process(child))
            assert child.stdin is not None
            with suppress(BrokenPipeError):  # it has ended already, and is told from its status
                child.stdin.write(order)
                child.stdin.flush()  # it stays open: its end tells the child that nobody waits any more
            thread = threading.Thread(target=_listen, args=(rank, child, heard), daemon=True)
            thread.start()
            group[-1].threads.append(thread)
    except BaseException:
        _stop(group)
        raise
    return group


def _free_port() -> int:
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return int(one.getsockname()[1])


def _listen(rank: int, child: subprocess.Popen[bytes], heard: queue.Queue[tuple[int, dict[str, Any] | None]]) -> None:
    assert child.stdout is not None
    for line in child.stdout:
        heard.put((rank, json.loads(line)))
    heard.put((rank, None))


def _events(
    group: list[_Process], heard: queue.Queue[tuple[int, dict[str, Any] | None]]
) -> Iterator[tuple[int, dict[str, Any]]]:
    """What the processes say, until all have ended or one has ended badly."""
    deadline: float | None = None
    while not all(one.heard_all for one in group):
        with suppress(queue.Empty):
            rank, event = heard.get(timeout=LOOK)
            if event is not None:
                yield rank, event
            else:
                group[rank].heard_all = True
                group[rank].status = group[rank].child.wait()
        ended = [one for one in group if one.status]
        if ended and any(one.kind != LOST for one in ended):
            return
        if ended:
            deadline = deadline or time.monotonic() + GRACE
            if time.monotonic() > deadline:
                return


def _stop(group: list[_Process]) -> None:
    """End what still runs: first as Ctrl-C would, so that no half-written file is left, then for good."""
    running = [one.child for one in group if one.child.poll() is None]
    for child in running:
        with suppress(ProcessLookupError):
            child.send_signal(signal.SIGINT if os.name == "posix" else signal.SIGTERM)
    until = time.monotonic() + GRACE
    for child in running:
        with suppress(subprocess.TimeoutExpired):
            child.wait(max(0.0, until - time.monotonic()))
        if child.poll() is None:
            child.kill()
            child.wait()
    for one in group:
        for thread in one.threads:
            thread.join()
        for stream in (one.child.stdin, one.child.stdout):
            if stream is not None:
                with suppress(BrokenPipeError):
                    stream.close()


def _raise_first(group: list[_Process], folder: str | None) -> None:
    """Raise the reason of the end, where it was none of the good ones: what says most comes first."""
    said = {kind: [(rank, one) for rank, one in enumerate(group) if one.kind == kind] for kind in (INPUT, DEFECT, LOST)}
    for _, one in said[INPUT]:
        raise InputError(one.text)
    for rank, one in said[DEFECT]:
        raise RuntimeError(f"process {rank} of {len(group)} failed:\n{one.text}")
    how = Run(Path(folder)).how_to_go_on() if folder else ""
    how_to = f"; {how}" if how else ""
    for rank, one in enumerate(group):
        status = one.status
        if status and one.kind == "":
            words = f"was ended by {signal.Signals(-status).name}" if status < 0 else f"ended with status {status}"
            hint = " (the system ends processes so that take more memory than there is)" if status == -9 else ""
            raise ProcessLost(f"process {rank} of {len(group)} {words}{hint}{how_to}")
    for _, one in said[LOST]:
        raise ProcessLost(one.text + how_to)


@contextmanager
def arrays_as_files(source: Any) -> Iterator[Any]:
    """A source of arrays as {split or "": [pictures, labels]}, files in the cache folder, while the block runs.

    What names files is given as it is. Raises InputError for labels that are neither numbers nor texts.
    """
    if source is None or isinstance(source, str | Path):
        yield None if source is None else str(source)
        return
    from striate.data.sources.arrays import of_tensor
    from striate.data.sources.frames import is_frame

    if is_frame(source):
        raise InputError("a pandas frame cannot be handed to other processes; write it as a table: frame.to_csv(...)")
    folder = Path(tempfile.mkdtemp(prefix="arrays-", dir=cache_folder("launches")))
    try:
        pairs = source if isinstance(source, Mapping) else {"": source}
        files: dict[str, list[str]] = {}
        for number, (name, pair) in enumerate(pairs.items()):
            if not isinstance(pair, tuple | list) or len(pair) != 2:
                raise InputError("arrays come as a pair (pictures, labels)")
            files[str(name)] = []
            for part, values in zip(("pictures", "labels"), pair, strict=True):
                array = np.asarray(of_tensor(values)[0])
                if array.dtype == object:
                    raise InputError(f"arrays: the {part} must be numbers or texts, in arrays of one shape")
                place = folder / f"{number}-{part}.npy"
                np.save(place, array, allow_pickle=False)
                files[str(name)].append(str(place))
        yield files
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def arrays_from_files(source: Any) -> Any:
    """What `arrays_as_files` was given; pictures are mapped, not copied."""
    if source is None or isinstance(source, str):
        return source
    pairs = {
        name: (np.load(pictures, mmap_mode="r", allow_pickle=False), np.load(labels, allow_pickle=False))
        for name, (pictures, labels) in source.items()
    }
    return pairs[""] if list(pairs) == [""] else pairs
