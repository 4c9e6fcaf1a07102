"""Who watches a training that is started on the command line: the display, and the files that were asked for."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from striate.cli.flags import Parser
from striate.cli.live import display
from striate.observer import Observer, Observers


def add_watching(parser: Parser) -> None:
    """`--tensorboard FOLDER`."""
    parser.add_argument("--tensorboard", metavar="FOLDER", help="write losses and figures for TensorBoard, too")


@contextmanager
def watching(folder: str | None, source: str | None) -> Iterator[Observer]:
    """The display, and TensorBoard's files where a `folder` for them was named, which may not lie in `source`."""
    from striate.machine.ranks import ranks_here

    show = display()
    try:
        if folder is None or not ranks_here().first:
            yield show
            return
        from pathlib import Path

        from striate.models.claim import check_outside
        from striate.observers.tensorboard import TensorBoard

        if source is not None:
            check_outside(Path(folder), source, "TensorBoard's files would lie", "--tensorboard")
        with TensorBoard(folder) as board:
            yield Observers(show, board)
    finally:
        show.close()
