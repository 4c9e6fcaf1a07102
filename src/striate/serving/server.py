"""The server around the application: uvicorn, on 127.0.0.1 and nowhere else."""

from __future__ import annotations

import errno
import os
import socket
from importlib import import_module
from typing import TYPE_CHECKING

from striate.errors import InputError, require

if TYPE_CHECKING:
    import uvicorn

    from striate.serving.app import App

ADDRESS = "127.0.0.1"
MOST_PORT = 65_535
# Connections; of how many a picture is taken in at once, the application says.
MOST_CONNECTIONS = 256
SECONDS_TO_END = 3  # for answers that are under way when it is stopped


def require_server() -> None:
    """Raise InputError where uvicorn is not installed."""
    try:
        import_module("uvicorn")
    except ImportError as error:
        raise InputError(
            "to serve needs uvicorn, which is not installed; install it by: pip install 'striate[serve]'"
        ) from error


def listening_on(port: int) -> socket.socket:
    """A socket that listens on this port of 127.0.0.1; 0: on a free one. Raises InputError where it cannot be had."""
    require(0 <= port <= MOST_PORT, f"port must be 0 to {MOST_PORT} (0: any that is free), got {port}")
    made = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    try:
        if os.name == "posix":  # elsewhere it would let two servers share a port
            made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        made.bind((ADDRESS, port))
        made.listen()  # two may bind a port that nobody listens on yet
    except OSError as error:
        made.close()
        if error.errno == errno.EADDRINUSE:
            raise InputError(f"port {port} is in use; name another by --port, or 0 for one that is free") from error
        if error.errno in (errno.EACCES, errno.EPERM):
            raise InputError(f"port {port} is not for this user; name one above 1023 by --port") from error
        raise
    return made


def address_of(listening: socket.socket) -> str:
    """ "http://127.0.0.1:8000/" """
    return f"http://{ADDRESS}:{listening.getsockname()[1]}/"


def server_of(app: App) -> uvicorn.Server:
    """The server of an application; `run(sockets=[...])` blocks until its `should_exit` or a signal."""
    import uvicorn

    return uvicorn.Server(
        uvicorn.Config(
            app,
            http="h11",  # in Python: a request that is no HTTP meets no code in C
            loop="asyncio",
            ws="none",
            lifespan="off",
            interface="asgi3",
            access_log=False,
            log_config=None,
            log_level="error",  # a defect of ours, with its traceback; not what strangers send
            proxy_headers=False,
            server_header=False,
            limit_concurrency=MOST_CONNECTIONS,
            timeout_graceful_shutdown=SECONDS_TO_END,
        )
    )
