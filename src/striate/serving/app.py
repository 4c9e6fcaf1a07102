"""The application: four addresses, and each refusal one sentence as JSON. Plain ASGI, without a framework.

It answers this machine's own programs and its own page, nobody else's: the Host header must be this machine's (else a
page of the web could reach it under a name of its own, by DNS rebinding), a request that a page sends must come from a
page of the same origin, and no other origin may read an answer (there are no CORS headers).
"""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import Awaitable, Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import parse_qsl

from striate.errors import InputError, did_you_mean
from striate.models.run import without_nan
from striate.serving.body import Receive, Uploads, let_go, read_body, require_picture_type
from striate.serving.refusal import Gone, Refusal

Send = Callable[[dict[str, Any]], Awaitable[None]]

HOST = re.compile(r"(?:localhost|127\.0\.0\.1)(?::\d{1,5})?", re.IGNORECASE)
PAGE, PREDICT, HEALTH, OPENAPI = "/", "/predict", "/health", "/openapi.json"
METHODS = {PAGE: "GET", PREDICT: "POST", HEALTH: "GET", OPENAPI: "GET"}
PARAMETERS = ("name", "top")
UNNAMED = "picture"  # what an upload without a name is called
LONGEST_NAME = 1000  # characters
MOST_DIGITS = 9  # of `top`
# Decoded pictures can be large: so many at once, however many are sent.
THREADS = 2
# Of so many the pictures are taken in at once, each of which may be as large as an upload.
MOST_AT_ONCE = 32
HTML, JSON = b"text/html; charset=utf-8", b"application/json"
# Nothing is kept, guessed, framed, or read by other pages.
ALWAYS = (
    (b"cache-control", b"no-store"),
    (b"cross-origin-resource-policy", b"same-origin"),
    (b"referrer-policy", b"no-referrer"),
    (b"x-content-type-options", b"nosniff"),
    (b"x-frame-options", b"DENY"),
)


@dataclass(frozen=True, kw_only=True)
class Service:
    """What is served. page: HTML. health, openapi: plain values. answer(data, name, top): the answer for the bytes of a
    picture as plain values; called in threads, several at once; raises InputError for what is no picture. not_top: why
    `top` means nothing, as a sentence; "" where it does."""

    page: str
    health: Mapping[str, Any]
    openapi: Mapping[str, Any]
    answer: Callable[[bytes, str, int], Mapping[str, Any]]
    uploads: Uploads = field(default_factory=Uploads)
    not_top: str = ""


@dataclass(frozen=True)
class _Response:
    status: int
    kind: bytes
    body: bytes
    more: tuple[tuple[bytes, bytes], ...] = ()


class App:
    """The ASGI application of a service."""

    def __init__(self, service: Service) -> None:
        self.service = service
        self._threads = ThreadPoolExecutor(THREADS, thread_name_prefix="striate-serve")
        self._taken = 0  # pictures that are taken in and answered now

    async def __call__(self, scope: Mapping[str, Any], receive: Receive, send: Send) -> None:
        """Answer one request."""
        headers = {bytes(name).lower(): bytes(value) for name, value in scope["headers"]}
        refused = False
        try:
            response = await self._respond(scope, headers, receive)
        except Gone:
            return
        except Refusal as refusal:
            refused = True
            # What is left of the body is not waited for.
            more = [(b"connection", b"close")]
            more += [(b"allow", refusal.allow.encode("ascii"))] if refusal.allow else []
            response = _json({"error": refusal.sentence}, refusal.status, tuple(more))
        length = (b"content-length", str(len(response.body)).encode("ascii"))
        sent = [(b"content-type", response.kind), length, *ALWAYS, *response.more]
        await send({"type": "http.response.start", "status": response.status, "headers": sent})
        await send({"type": "http.response.body", "body": response.body, "more_body": refused})
        if refused:
            await let_go(receive)
            await send({"type": "http.response.body"})

    def close(self) -> None:
        """No further answers; what is under way comes to its end."""
        self._threads.shutdown(wait=False, cancel_futures=True)

    async def _respond(self, scope: Mapping[str, Any], headers: Mapping[bytes, bytes], receive: Receive) -> _Response:
        _require_own(scope["method"], headers)
        path, method = scope["path"], scope["method"]
        wanted = METHODS.get(path)
        if wanted is None:
            raise Refusal(404, f"there is nothing at this address; there are {', '.join(METHODS)}")
        # HEAD is GET, of which the server leaves the body away.
        allowed = (wanted, "HEAD") if wanted == "GET" else (wanted,)
        if method not in allowed:
            raise Refusal(405, f"{path} takes {' and '.join(allowed)} only", allow=", ".join(allowed))
        if path == PREDICT:
            return await self._predict(scope, headers, receive)
        if path == PAGE:
            return _Response(200, HTML, self.service.page.encode("utf-8"))
        return _json(self.service.health if path == HEALTH else self.service.openapi)

    async def _predict(self, scope: Mapping[str, Any], headers: Mapping[bytes, bytes], receive: Receive) -> _Response:
        name, top = _parameters(scope.get("query_string", b""), self.service.not_top)
        require_picture_type(headers)
        if self._taken >= MOST_AT_ONCE:
            raise Refusal(503, f"{MOST_AT_ONCE} pictures are being answered, as many as are taken at once; ask again")
        self._taken += 1
        try:
            return await self._answered(headers, receive, name, top)
        finally:
            self._taken -= 1

    async def _answered(self, headers: Mapping[bytes, bytes], receive: Receive, name: str, top: int) -> _Response:
        data = await read_body(headers, receive, self.service.uploads)
        work = asyncio.get_running_loop().run_in_executor(self._threads, self.service.answer, data, name, top)
        try:
            return _json(await work)
        except InputError as error:
            raise Refusal(400, str(error)) from error


def _require_own(method: str, headers: Mapping[bytes, bytes]) -> None:
    """Raise Refusal (403) where another site's page may be asking."""
    host = headers.get(b"host", b"").decode("latin-1")
    if not HOST.fullmatch(host):
        raise Refusal(403, "this is for localhost and 127.0.0.1 only, and was asked for by another name")
    origin = headers.get(b"origin")
    if origin is not None and method != "GET" and origin.decode("latin-1").lower() != f"http://{host.lower()}":
        raise Refusal(403, "a page of another origin may not ask here")


def _parameters(query: bytes, not_top: str) -> tuple[str, int]:
    """`name` and `top`. Raises Refusal (400)."""
    given = dict(parse_qsl(query.decode("latin-1"), keep_blank_values=True, errors="replace"))
    for one in given:
        if one not in PARAMETERS:
            hint = did_you_mean(one, PARAMETERS) or f"; there are {' and '.join(PARAMETERS)}"
            raise Refusal(400, f"no parameter '{one[:40]}'{hint}")
    if not_top and "top" in given:
        raise Refusal(400, not_top)
    name, top = given.get("name") or UNNAMED, given.get("top", "1")
    if len(name) > LONGEST_NAME:
        raise Refusal(400, f"the name must be at most {LONGEST_NAME:,} characters long, got {len(name):,}")
    if not (top.isascii() and top.isdecimal() and len(top) <= MOST_DIGITS and int(top) >= 1):
        raise Refusal(400, f"top must be a whole number of at least 1, got '{top[:40]}'")
    return name, int(top)


def _json(values: Mapping[str, Any], status: int = 200, more: tuple[tuple[bytes, bytes], ...] = ()) -> _Response:
    text = json.dumps(without_nan(values), allow_nan=False)
    return _Response(status, JSON, text.encode("ascii"), more)
