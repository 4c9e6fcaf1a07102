"""A server in a thread, and requests to it by Python's own client or byte by byte."""

from __future__ import annotations

import http.client
import json
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn

from striate.models.input_spec import InputSpec
from striate.models.model import Model
from striate.serving.app import App
from striate.serving.server import ADDRESS, listening_on, server_of

SECONDS = 30.0  # that a test waits for an answer


@dataclass(frozen=True)
class Reply:
    """A status, its headers (lower case) and its body."""

    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        assert self.headers["content-type"] == "application/json"
        return json.loads(self.body)

    @property
    def sentence(self) -> str:
        """Of a refusal; fails where it is anything but one sentence."""
        assert self.status >= 400
        assert list(self.json) == ["error"]
        said: str = self.json["error"]
        assert said
        assert "\n" not in said
        assert "Traceback" not in said
        return said


def model_of(task: Any, side: int) -> Model:
    """A model of this task for grey pictures of any kind: a linear network of weights that nobody trained."""
    torch.manual_seed(0)
    network = nn.Sequential(nn.Flatten(), nn.Linear(side * side, task.num_outputs))
    spec = InputSpec(channels=1, height=side, width=side, mean=(0.5,), deviation=(0.25,))
    return Model(network.eval(), spec, task)


@contextmanager
def serving(app: App) -> Iterator[int]:
    """The port on which the application answers while the block runs."""
    with listening_on(0) as listening:
        server = server_of(app)
        thread = threading.Thread(target=server.run, kwargs={"sockets": [listening]})
        thread.start()
        try:
            yield listening.getsockname()[1]
        finally:
            server.should_exit = True
            thread.join(SECONDS)
            app.close()
            assert not thread.is_alive()


def ask(port: int, method: str, path: str, body: bytes | None = None, **headers: str) -> Reply:
    """One request; headers are named as in Python (content_type)."""
    connection = http.client.HTTPConnection(ADDRESS, port, timeout=SECONDS)
    try:
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        connection.request(method, path, body=body, headers=named)
        answer = connection.getresponse()
        return Reply(answer.status, {name.lower(): value for name, value in answer.getheaders()}, answer.read())
    finally:
        connection.close()


def send(port: int, *parts: bytes) -> tuple[Reply, int]:
    """These bytes as they are, until they are all sent or an answer comes; the answer, and how many were sent."""
    sent = 0
    with socket.create_connection((ADDRESS, port), timeout=SECONDS) as connection:
        for part in parts:
            try:
                connection.sendall(part)
            except (BrokenPipeError, ConnectionResetError):  # it has answered and hung up
                break
            sent += len(part)
        answer = http.client.HTTPResponse(connection)
        answer.begin()
        return Reply(answer.status, {name.lower(): value for name, value in answer.getheaders()}, answer.read()), sent
