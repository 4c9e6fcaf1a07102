"""What `striate serve` answers: what the command line answers, and one sentence to everything that is not for it."""

from __future__ import annotations

import asyncio
import io
import itertools
import json
import re
import socket
import struct
import zlib
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any
from urllib.parse import quote

import numpy as np
import pytest
from PIL import Image
from served import SECONDS, Reply, ask, model_of, send, serving

import striate
from striate.actions.serve import app_of
from striate.cli.main import status
from striate.serving.app import METHODS, MOST_AT_ONCE
from striate.serving.body import Uploads, read_body
from striate.serving.refusal import Gone
from striate.serving.server import ADDRESS
from striate.tasks.multilabel import MultiLabel
from striate.tasks.regression import Regression

MOST = 200_000  # bytes of an upload in these tests
CLASSES = ("ant", "bee", "wasp <b>&")


def photo(number: int, size: int = 12) -> np.ndarray:
    draws = np.random.default_rng(number)
    pixels = draws.integers(0, 120, (size, size, 3)).astype(np.uint8)
    pixels[..., number % 3] += 120
    return pixels


def encoded(pixels: np.ndarray, kind: str, **options: Any) -> bytes:
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, kind, **options)
    return file.getvalue()


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a finished run, and pictures of several kinds."""
    folder = tmp_path_factory.mktemp("served")
    labels = np.array(CLASSES)[np.arange(30) % 3]
    pictures = np.stack([photo(number) for number in range(30)])
    striate.train((pictures, labels), out=folder / "run", network="linear", epochs=2, threads=1)
    turned = Image.Exif()
    turned[0x0112] = 6
    files = {
        "colour.png": encoded(photo(1), "PNG"),
        "grey.png": encoded(photo(2)[..., 0], "PNG"),
        "deep.png": encoded(photo(3)[..., 0].astype(np.uint16) * 257, "PNG"),
        "turned.jpg": encoded(photo(4, 40)[:30], "JPEG", exif=turned),
        "large.webp": encoded(photo(5, 96), "WEBP", lossless=True),
        "schön & <b>.bmp": encoded(photo(6), "BMP"),
    }
    for name, data in files.items():
        (folder / name).write_bytes(data)
    return folder


@pytest.fixture(scope="module")
def port(place: Path) -> Iterator[int]:
    model = striate.load(place / "run", device="cpu")
    with serving(app_of(model, "run", Uploads(bytes=MOST))) as number:
        yield number


def told(place: Path, capsys: pytest.CaptureFixture[str], name: str, top: int) -> dict[str, Any]:
    """What the command line answers."""
    capsys.readouterr()
    asked = ["predict", str(place / "run"), name, "--top", str(top), "--format", "jsonl", "--device", "cpu"]
    assert status(asked) == 0
    found: dict[str, Any] = json.loads(capsys.readouterr().out)
    return found


def test_the_answers_are_those_of_the_command_line(
    place: Path, port: int, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(place)
    names = [path.name for path in place.iterdir() if path.is_file()]
    assert len(names) == 6
    for name, top in zip(names, itertools.cycle((1, 2, 99)), strict=False):
        reply = ask(port, "POST", f"/predict?top={top}&name={quote(name)}", (place / name).read_bytes())
        assert reply.status == 200
        assert reply.json == told(place, capsys, name, top)
        assert len(reply.json["top"]) == min(top, 3)


@pytest.mark.parametrize("kind", ["image/png", "IMAGE/JPEG; q=1", "application/octet-stream", ""])
def test_the_bytes_tell_what_they_are_whatever_they_are_called(place: Path, port: int, kind: str) -> None:
    reply = ask(port, "POST", "/predict", (place / "colour.png").read_bytes(), content_type=kind)
    assert reply.status == 200
    assert reply.json["path"] == "picture"


def test_many_at_once_share_one_network(place: Path, port: int) -> None:
    pictures = [encoded(photo(number, 8 + number), "PNG") for number in range(24)]

    def one(data: bytes) -> Any:
        return ask(port, "POST", "/predict?top=3", data).json

    alone = [one(data) for data in pictures]
    assert len({answer["probability"] for answer in alone}) > 20
    with ThreadPoolExecutor(8) as threads:
        assert list(threads.map(one, pictures)) == alone


def test_more_than_are_taken_at_once_are_refused_in_a_sentence(port: int) -> None:
    picture = encoded(photo(0), "PNG")
    head = b"POST /predict HTTP/1.1\r\nHost: 127.0.0.1\r\nExpect: 100-continue\r\nContent-Length: 9\r\n\r\n"
    waiting = [socket.create_connection((ADDRESS, port), timeout=SECONDS) for _ in range(MOST_AT_ONCE)]
    try:
        for one in waiting:
            one.sendall(head)
            assert one.recv(100).startswith(b"HTTP/1.1 100")  # its picture is waited for
        refused = ask(port, "POST", "/predict", picture)
        assert "32 pictures are being answered" in refused.sentence
        described(port, refused, "/predict", "post")
        assert ask(port, "GET", "/health").status == 200
    finally:
        for one in waiting:
            one.close()
    # Those who have gone make room; when is up to the system.
    assert any(ask(port, "POST", "/predict", picture).status == 200 for _ in range(500))


def chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def bomb(side: int) -> bytes:
    """A PNG of side x side black pixels, nearly as small as one can be."""
    rows = zlib.compress(bytes(side * (1 + side // 8)), 9)
    header = struct.pack(">IIBBBBB", side, side, 1, 0, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", rows) + chunk(b"IEND", b"")


GOOD = encoded(photo(0), "PNG")
REST = chunk(b"IDAT", zlib.compress(b"")) + chunk(b"IEND", b"")
REFUSED: dict[str, tuple[str, str, bytes | None, dict[str, str], int, str]] = {
    "no picture": ("POST", "/predict", b"<?php system('id');", {}, 400, "not a picture in a known format"),
    "cut short": ("POST", "/predict", GOOD[: len(GOOD) // 2], {}, 400, "damaged or cut short"),
    "nothing": ("POST", "/predict", b"", {}, 400, "the body is empty"),
    "a bomb": ("POST", "/predict", bomb(9_992), {}, 400, "decompression bomb"),
    "a size that lies": (
        "POST",
        "/predict",
        b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", struct.pack(">IIBBBBB", 2**31 - 1, 2**31 - 1, 8, 2, 0, 0, 0)) + REST,
        {},
        400,
        "pixels are more than the limit",
    ),
    "too large": ("POST", "/predict", bytes(MOST + 1), {}, 413, "larger than .* MiB"),
    "a form": ("POST", "/predict", GOOD, {"content_type": "multipart/form-data; boundary=x"}, 415, "multipart/form"),
    "packed": ("POST", "/predict", GOOD, {"content_encoding": "gzip"}, 415, "packed by gzip; send it unpacked"),
    "a text": ("POST", "/predict", GOOD, {"content_type": "text/plain"}, 415, "bytes of one picture"),
    "no number": ("POST", "/predict?top=all", GOOD, {}, 400, "top must be a whole number"),
    "none at all": ("POST", "/predict?top=0", GOOD, {}, 400, "at least 1"),
    "thousands of digits": ("POST", "/predict?top=" + "9" * 5000, GOOD, {}, 400, "whole number"),
    "a parameter that is none": ("POST", "/predict?tpo=1", GOOD, {}, 400, "did you mean 'top'"),
    "an endless name": ("POST", "/predict?name=" + "x" * 2000, GOOD, {}, 400, "at most 1,000 characters"),
    "the wrong method": ("GET", "/predict", None, {}, 405, "/predict takes POST only"),
    "deletion": ("DELETE", "/", None, {}, 405, "/ takes GET and HEAD only"),
    "nowhere": ("GET", "/predictions", None, {}, 404, "nothing at this address"),
    "another host": ("GET", "/", None, {"host": "evil.example:80"}, 403, "localhost and 127.0.0.1 only"),
    "a host that begins well": ("GET", "/", None, {"host": "localhost.evil.example"}, 403, "localhost"),
    "a host after ours": ("GET", "/", None, {"host": "evil@127.0.0.1"}, 403, "localhost"),
    "another page": ("POST", "/predict", GOOD, {"origin": "http://evil.example"}, 403, "another origin"),
    "a page of no origin": ("POST", "/predict", GOOD, {"origin": "null"}, 403, "another origin"),
    "a page of another port": ("POST", "/predict", GOOD, {"origin": "http://127.0.0.1:1"}, 403, "another origin"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_is_not_for_it_is_refused_in_a_sentence(port: int, name: str) -> None:
    method, path, body, headers, code, says = REFUSED[name]
    reply = ask(port, method, path, body, **headers)
    assert reply.status == code
    assert re.search(says, reply.sentence)
    assert "access-control-allow-origin" not in reply.headers
    assert ("allow" in reply.headers) == (code == 405)
    assert ask(port, "POST", "/predict", GOOD).status == 200


@pytest.mark.parametrize("path", ["/../../etc/passwd", "/%2e%2e/%2e%2e/etc/passwd", "//etc/passwd", "/predict/../run"])
def test_there_are_no_files_behind_it(port: int, path: str) -> None:
    reply, _ = send(port, f"GET {path} HTTP/1.1\r\nHost: localhost\r\n\r\n".encode())
    assert reply.status == 404
    assert "nothing at this address" in reply.sentence


def test_its_own_page_may_ask_by_either_name(port: int) -> None:
    for host in (f"127.0.0.1:{port}", f"localhost:{port}", f"LOCALHOST:{port}"):
        assert ask(port, "POST", "/predict", GOOD, host=host, origin=f"http://{host.lower()}").status == 200


def test_a_length_of_a_gigabyte_is_refused_before_a_byte_of_it_is_there(port: int) -> None:
    head = f"POST /predict HTTP/1.1\r\nHost: localhost\r\nContent-Length: {2**30}\r\n\r\n".encode()
    reply, _ = send(port, head)
    assert reply.status == 413
    assert reply.headers["connection"] == "close"


def test_an_endless_upload_is_refused_at_the_limit(port: int) -> None:
    head = b"POST /predict HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n"
    piece = b"10000\r\n" + bytes(1 << 16) + b"\r\n"
    reply, sent = send(port, head, *itertools.repeat(piece, 1 << 14))  # a gigabyte
    assert reply.status == 413
    assert sent < 2**26  # what the system's own buffers hold
    assert ask(port, "POST", "/predict", GOOD).status == 200


def test_an_upload_that_does_not_come_is_not_waited_for(place: Path) -> None:
    model = striate.load(place / "run", device="cpu")
    head = f"POST /predict HTTP/1.1\r\nHost: localhost\r\nContent-Length: {len(GOOD)}\r\n\r\n".encode()
    with serving(app_of(model, "run", Uploads(seconds=0.05))) as number:
        reply, _ = send(number, head + GOOD[:20])
        assert reply.status == 408
        assert "not there after 0.05 seconds" in reply.sentence


def test_who_hangs_up_while_sending_is_not_answered() -> None:
    messages = iter([{"type": "http.request", "body": b"x", "more_body": True}, {"type": "http.disconnect"}])

    async def receive() -> dict[str, Any]:
        return next(messages)

    with pytest.raises(Gone):
        asyncio.run(read_body({}, receive, Uploads()))


@pytest.mark.parametrize(
    "rubbish", [b"\x16\x03\x01\x02\x00\x01\x00", b"GET / HTTP/1.1\r\nNo-Host: x", b"a" * 70_000 + b"\r\n"]
)
def test_what_is_no_http_is_refused_and_the_server_stays(port: int, rubbish: bytes) -> None:
    reply, _ = send(port, rubbish + b"\r\n\r\n")
    assert reply.status == 400
    assert ask(port, "GET", "/health").status == 200


def test_health_tells_what_it_knows(port: int) -> None:
    known = {"status": "ok", "task": "classification", "class_names": list(CLASSES), "striate": striate.__version__}
    assert ask(port, "GET", "/health").json == known
    reply = ask(port, "HEAD", "/health")
    assert (reply.status, reply.body) == (200, b"")


# -- the description ----------------------------------------------------------------------------------


def conforms(value: Any, schema: dict[str, Any], whole: dict[str, Any]) -> bool:
    """Whether a value is what a schema says, as far as the description uses JSON Schema."""
    if "$ref" in schema:
        return conforms(value, whole["components"]["schemas"][schema["$ref"].rpartition("/")[2]], whole)
    kinds = {"object": dict, "array": list, "string": str, "number": (int, float), "integer": int}
    if not isinstance(value, kinds[schema["type"]]):
        return False
    if "enum" in schema and value not in schema["enum"]:
        return False
    if "const" in schema and value != schema["const"]:
        return False
    if isinstance(value, int | float) and not schema.get("minimum", value) <= value <= schema.get("maximum", value):
        return False
    if isinstance(value, list):
        enough = len(value) >= schema.get("minItems", 0)
        return enough and all(conforms(one, schema["items"], whole) for one in value)
    if isinstance(value, dict) and "properties" in schema:
        named = set(schema["required"]) <= set(value) <= set(schema["properties"])
        return named and all(conforms(one, schema["properties"][name], whole) for name, one in value.items())
    return True


def described(port: int, reply: Reply, path: str, method: str) -> None:
    """Fails where a reply is not what the description says of this address."""
    whole = ask(port, "GET", "/openapi.json").json
    content = whole["paths"][path][method]["responses"][str(reply.status)]["content"]
    (kind,) = content
    assert reply.headers["content-type"].partition(";")[0] == kind
    if kind == "application/json":
        assert conforms(reply.json, content[kind]["schema"], whole), reply.json


def test_the_description_is_true(place: Path, port: int) -> None:
    whole = ask(port, "GET", "/openapi.json").json
    assert whole["openapi"].startswith("3.1.")
    assert {path: [one.upper() for one in what] for path, what in whole["paths"].items()} == {
        path: [method] for path, method in METHODS.items()
    }
    for path in ("/", "/health", "/openapi.json"):
        described(port, ask(port, "GET", path), path, "get")
        described(port, ask(port, "GET", path, host="evil.example"), path, "get")
    described(port, ask(port, "POST", "/predict?top=2&name=a.png", GOOD), "/predict", "post")
    seen = set()
    for method, path, body, headers, code, _ in REFUSED.values():
        if method == "POST":
            described(port, ask(port, method, path, body, **headers), "/predict", "post")
            seen.add(str(code))
    assert set(whole["paths"]["/predict"]["post"]["responses"]) == seen | {"200", "408", "503"}
    wrong = {"path": "a", "prediction": "cat", "probability": 2, "top": []}
    assert not conforms(wrong, {"$ref": "#/components/schemas/Answer"}, whole)


@pytest.mark.parametrize("names", [("sky",), CLASSES], ids=len)
@pytest.mark.parametrize("kind", ["multilabel", "regression"])
def test_labels_and_numbers_are_answered_and_described(kind: str, names: tuple[str, ...]) -> None:
    means = tuple(100.0 * number for number in range(len(names)))
    task = MultiLabel(names) if kind == "multilabel" else Regression(names, means, (3.0,) * len(names))
    model = model_of(task, 8)
    with serving(app_of(model, "run")) as number:
        for picture in (photo(0), photo(1)[..., 0], photo(2, 30)):
            reply = ask(number, "POST", "/predict?name=a.png", encoded(picture, "PNG"))
            described(number, reply, "/predict", "post")
            answers = model.answer(model.prepare(picture if picture.ndim == 3 else picture[..., None])[None])[
                0
            ].tolist()
            told = dict(zip(names, answers, strict=True))
            if kind == "regression":
                assert reply.json == {"path": "a.png", "numbers": told}
            else:
                labels = [name for name in names if told[name] > 0.5]
                assert reply.json == {"path": "a.png", "labels": labels, "probabilities": told}
        # Numbers have no order of probability; of labels every one is told in any case.
        reply = ask(number, "POST", "/predict?top=2", encoded(photo(0), "PNG"))
        described(number, reply, "/predict", "post")
        parameters = ask(number, "GET", "/openapi.json").json["paths"]["/predict"]["post"]["parameters"]
        if kind == "regression":
            assert reply.status == 400
            assert "none of which is more probable than another; leave top away" in reply.sentence
            assert [one["name"] for one in parameters] == ["name"]
        else:
            assert reply.status == 200
            assert [one["name"] for one in parameters] == ["top", "name"]
        health = ask(number, "GET", "/health")
        described(number, health, "/health", "get")
        assert (health.json["task"], health.json["class_names"]) == (kind, list(names))


def test_every_answer_forbids_to_keep_guess_and_frame_it(port: int) -> None:
    for reply in (ask(port, "GET", "/"), ask(port, "POST", "/predict", GOOD), ask(port, "GET", "/nowhere")):
        assert reply.headers["cache-control"] == "no-store"
        assert reply.headers["x-content-type-options"] == "nosniff"
        assert reply.headers["x-frame-options"] == "DENY"
        assert "server" not in reply.headers
