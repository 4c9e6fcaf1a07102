"""A small Hugging Face Hub on this machine: makes repositories, takes commits, gives files. Nothing of the network."""

from __future__ import annotations

import base64
import hashlib
import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import urlsplit

SHA = "0123456789abcdef0123456789abcdef01234567"


@dataclass
class Hub:
    """Its address, what was asked of it, and what it holds: repository -> file -> bytes."""

    address: str = ""
    asked: list[str] = field(default_factory=list)
    tokens: set[str | None] = field(default_factory=set)
    held: dict[str, dict[str, bytes]] = field(default_factory=dict)
    closed: bool = False  # whether it lets nobody in


@contextmanager
def small_hub() -> Iterator[Hub]:
    """While this lasts, it answers at `hub.address`."""
    hub = Hub()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def log_message(self, *_: object) -> None:
            pass

        def give(self, content: bytes, status: int = 200, **headers: str) -> None:
            self.send_response(status)
            for name, value in {"Content-Type": "application/json", **headers}.items():
                self.send_header(name.replace("_", "-"), value)
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            if self.command != "HEAD":
                self.wfile.write(content)

        def refuse(self, status: int, code: str) -> None:
            self.give(b'{"error": "no"}', status, X_Error_Code=code, X_Error_Message="no")

        def handle_all(self) -> None:
            path = urlsplit(self.path).path
            hub.asked.append(f"{self.command} {path}")
            hub.tokens.add(self.headers.get("Authorization"))
            body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
            parts = path.strip("/").split("/")
            if hub.closed:
                self.give(b'{"error": "no"}', 403)
            elif path == "/api/repos/create":
                asked = json.loads(body)
                name = f"{asked.get('organization')}/{asked['name']}"
                hub.held.setdefault(name, {})
                self.give(json.dumps({"url": f"{hub.address}/{name}", "name": name}).encode())
            elif path == "/api/validate-yaml":
                self.give(b'{"errors": [], "warnings": []}')
            elif parts[:2] == ["api", "models"]:
                self.model("/".join(parts[2:4]), parts[4:], body)
            elif len(parts) > 4 and parts[2] == "resolve":
                content = hub.held["/".join(parts[:2])]["/".join(parts[4:])]
                etag = hashlib.sha1(content).hexdigest()
                self.give(content, ETag=f'"{etag}"', X_Repo_Commit=SHA)
            else:
                self.refuse(404, "RepoNotFound")

        def model(self, name: str, rest: list[str], body: bytes) -> None:
            if name not in hub.held:
                self.refuse(404, "RepoNotFound")
                return
            files = hub.held[name]
            if rest[0] == "preupload":
                asked = [one["path"] for one in json.loads(body)["files"]]
                told = [{"path": one, "uploadMode": "regular", "shouldIgnore": False} for one in asked]
                self.give(json.dumps({"files": told}).encode())
            elif rest[0] == "commit":
                for line in body.splitlines():
                    entry = json.loads(line)
                    if entry["key"] == "file":
                        files[entry["value"]["path"]] = base64.b64decode(entry["value"]["content"])
                told = {"commitUrl": f"{hub.address}/{name}/commit/{SHA}", "commitOid": SHA, "success": True}
                self.give(json.dumps(told).encode())
            elif rest[0] == "tree":
                listed = [
                    {"type": "file", "path": path, "size": len(content), "oid": hashlib.sha1(content).hexdigest()}
                    for path, content in files.items()
                ]
                self.give(json.dumps(listed).encode())
            elif rest[:1] == ["revision"] and rest[1:] != ["main"]:
                self.refuse(404, "RevisionNotFound")
            else:
                self.give(json.dumps({"id": name, "sha": SHA, "siblings": [], "tags": []}).encode())

        do_GET = do_POST = do_HEAD = do_PUT = handle_all

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    hub.address = f"http://127.0.0.1:{server.server_port}"
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield hub
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
