"""The body of a request, read while it comes: what is too large or too slow is refused before it is all there.

ASGI: `receive()` gives the body in parts. Nothing is kept beyond the limit.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Any

from striate.serving.refusal import Gone, Refusal

Receive = Callable[[], Awaitable[Mapping[str, Any]]]
MEBIBYTE = 1 << 20
# After an answer to somebody who is still sending.
LINGERING_BYTES, LINGERING_SECONDS = 16 * MEBIBYTE, 1.0
# Of a body whose kind nobody names; curl calls what --data-binary sends a form.
PLAIN = ("application/octet-stream", "application/x-www-form-urlencoded")


@dataclass(frozen=True, kw_only=True)
class Uploads:
    """What an upload may cost. bytes: of the encoded picture; seconds: until all of it is there."""

    bytes: int = 32 * MEBIBYTE
    seconds: float = 60.0

    @property
    def in_words(self) -> str:
        """ "32 MiB", for sentences."""
        return f"{self.bytes / MEBIBYTE:g} MiB"


def require_picture_type(headers: Mapping[bytes, bytes]) -> None:
    """Raise Refusal (415) where the body is said to be something else than the bytes of a picture."""
    packed = headers.get(b"content-encoding", b"").decode("latin-1").strip().lower()
    if packed not in ("", "identity"):
        raise Refusal(415, f"the body must be the picture as it is, got it packed by {packed[:40]}; send it unpacked")
    given = headers.get(b"content-type", b"").decode("latin-1")
    kind = given.partition(";")[0].strip().lower()
    if not kind or kind.startswith("image/") or kind in PLAIN:
        return
    raise Refusal(
        415, f"the body must be the bytes of one picture, such as image/jpeg or application/octet-stream, got {kind}"
    )


async def let_go(receive: Receive) -> None:
    """Take a little of what still comes, and drop it, until the sender has seen the answer and hangs up: to hang up on
    it first would take the answer away from it again."""
    length = 0
    try:
        async with asyncio.timeout(LINGERING_SECONDS):
            while length < LINGERING_BYTES:
                message = await receive()
                if message["type"] == "http.disconnect" or not message.get("more_body", False):
                    return
                length += len(message.get("body", b""))
    except TimeoutError:
        return


async def read_body(headers: Mapping[bytes, bytes], receive: Receive, uploads: Uploads) -> bytes:
    """All of the body. Raises Refusal where it is larger than allowed (413), too slow (408), or empty (400); Gone."""
    too_large = Refusal(413, f"the picture is larger than {uploads.in_words}, the most that is taken here")
    said = headers.get(b"content-length", b"")
    if said.isdigit() and int(said) > uploads.bytes:
        raise too_large
    parts, length = [], 0
    try:
        async with asyncio.timeout(uploads.seconds):
            while True:
                message = await receive()
                if message["type"] == "http.disconnect":
                    raise Gone
                part = message.get("body", b"")
                length += len(part)
                if length > uploads.bytes:
                    raise too_large
                parts.append(part)
                if not message.get("more_body", False):
                    break
    except TimeoutError:
        raise Refusal(408, f"the picture was not there after {uploads.seconds:g} seconds; send it again") from None
    if not length:
        raise Refusal(400, "the body is empty; send the bytes of a picture as the body")
    return b"".join(parts)
