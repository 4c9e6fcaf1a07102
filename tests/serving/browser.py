"""A real browser: a headless Chromium, asked through its DevTools protocol over a pair of pipes.

The protocol: messages of JSON, each ended by a NUL; the browser reads from its descriptor 3 and writes to 4.
"""

from __future__ import annotations

import base64
import itertools
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import pytest

NAMES = ("chromium", "chromium-browser", "google-chrome", "chrome")
# Puts the two pipes where the browser looks for them, and becomes the browser.
BECOME = """
import fcntl, os, sys
read, write = (fcntl.fcntl(int(one), fcntl.F_DUPFD, 10) for one in sys.argv[1:3])
os.dup2(read, 3)
os.dup2(write, 4)
os.execv(sys.argv[3], sys.argv[3:])
"""
QUIET = ("--headless", "--no-sandbox", "--disable-gpu", "--disable-extensions", "--no-first-run", "--disable-sync")
OFFLINE = ("--disable-background-networking", "--disable-component-update", "--no-default-browser-check")


class Browser:
    """One page of a browser."""

    def __init__(self, read: int, write: int) -> None:
        self._read, self._write = os.fdopen(read, "rb"), os.fdopen(write, "wb", buffering=0)
        self._numbers, self._session, self._rest = itertools.count(1), "", b""
        target = self.call("Target.createTarget", url="about:blank")["targetId"]
        self._session = self.call("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
        self.call("Page.enable")

    def call(self, method: str, **parameters: Any) -> dict[str, Any]:
        """What the browser answers to a method of the protocol."""
        number = next(self._numbers)
        asked = {"id": number, "method": method, "params": parameters}
        if self._session:
            asked["sessionId"] = self._session
        self._write.write(json.dumps(asked).encode() + b"\0")
        while True:
            message = self._next()
            if message.get("id") == number:
                assert "error" not in message, message
                found: dict[str, Any] = message["result"]
                return found

    def open(self, address: str) -> None:
        """Go to a page and wait until it is loaded."""
        self.call("Page.navigate", url=address)
        while self._next().get("method") != "Page.loadEventFired":
            pass

    def run(self, script: str) -> Any:
        """The value of an expression on the page; of a promise, when it is kept."""
        done = self.call("Runtime.evaluate", expression=script, awaitPromise=True, returnByValue=True)
        assert "exceptionDetails" not in done, done
        return done["result"].get("value")

    def picture(self) -> bytes:
        """What the page looks like, as PNG."""
        shot = self.call("Page.captureScreenshot", captureBeyondViewport=True)
        return base64.b64decode(shot["data"])

    def close(self) -> None:
        """End the browser."""
        self._session = ""
        with suppress(OSError, AssertionError):
            self.call("Browser.close")
        self._read.close()
        self._write.close()

    def _next(self) -> dict[str, Any]:
        while b"\0" not in self._rest:
            part = os.read(self._read.fileno(), 1 << 16)
            assert part, "the browser has ended"
            self._rest += part
        message, _, self._rest = self._rest.partition(b"\0")
        found: dict[str, Any] = json.loads(message)
        return found


@contextmanager
def browsing(place: Path) -> Iterator[Browser]:
    """A browser whose files lie in `place`; the test is skipped where none is installed."""
    program = next((found for name in NAMES if (found := shutil.which(name))), None)
    if program is None:
        pytest.skip("needs a Chromium; none is installed")
    (there_reads, here_writes), (here_reads, there_writes) = os.pipe(), os.pipe()
    command = [program, *QUIET, *OFFLINE, "--remote-debugging-pipe", f"--user-data-dir={place / 'profile'}"]
    child = subprocess.Popen(
        [sys.executable, "-c", BECOME, str(there_reads), str(there_writes), *command],
        pass_fds=(there_reads, there_writes),
        env={**os.environ, "HOME": str(place), "XDG_CONFIG_HOME": str(place), "XDG_CACHE_HOME": str(place)},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    os.close(there_reads)
    os.close(there_writes)
    try:
        browser = Browser(here_reads, here_writes)
        try:
            yield browser
        finally:
            browser.close()
    finally:
        with suppress(subprocess.TimeoutExpired):
            child.wait(20)
        child.kill()
        child.wait()
