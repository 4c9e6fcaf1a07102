"""`striate serve` as a process, and what keeps it from being one."""

from __future__ import annotations

import http.client
import json
import signal
import socket
import subprocess
import sys
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from command import environment, here


def test_it_tells_its_address_answers_and_ends_by_ctrl_c(run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    child = subprocess.Popen(
        [sys.executable, "-m", "striate", "serve", "run", "--port", "0"],
        env=environment(),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    assert child.stdout is not None
    try:
        parts = urlsplit(child.stdout.readline().decode().strip())
        assert (parts.scheme, parts.hostname, parts.path) == ("http", "127.0.0.1", "/")
        assert parts.port
        connection = http.client.HTTPConnection("127.0.0.1", parts.port, timeout=60)
        name = "pictures/b/1.png"
        connection.request("POST", f"/predict?top=2&name={name}", body=Path(name).read_bytes())
        answer = json.loads(connection.getresponse().read())
        # A connection that stays open does not keep it from ending.
        child.send_signal(signal.SIGINT)
        out, err = child.communicate(timeout=60)
        connection.close()
    finally:
        child.kill()
    assert (child.returncode, out) == (130, b"")
    assert err.decode().splitlines()[-1] == "striate: stopped"
    assert b"Traceback" not in err
    assert answer == json.loads(here(capsys, "predict", "run", name, "--top", "2", "--json").out)


def test_a_port_in_use_is_one_sentence(run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        port = other.getsockname()[1]
        said = here(capsys, "serve", "run", "--port", str(port)).sentence
    assert said == f"port {port} is in use; name another by --port, or 0 for one that is free"


def test_without_its_server_it_says_what_to_install(
    run: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "uvicorn", None)
    said = here(capsys, "serve", "run", "--port", "0").sentence
    assert said == "to serve needs uvicorn, which is not installed; install it by: pip install 'striate[serve]'"
