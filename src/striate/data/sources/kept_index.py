"""The index of a tar behind an address, kept in the cache folder: its headers are passed over once.

One file of JSON a tar, named by the address, the size and what its file system tells of its content; its first line
is a checksum of the rest. What another version wrote, or is half written or changed, is made anew.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
from pathlib import Path

from striate.data.samples import LeftOut
from striate.data.sources.remote import RemoteFile
from striate.data.sources.tar_index import Shard, read_shard
from striate.errors import InputError
from striate.machine.files import write_atomically
from striate.machine.folders import cache_folder

SCHEMA = 1
INDEXES = "indexes"  # in the cache folder


def index_of(file: RemoteFile, title: str) -> tuple[Shard, str]:
    """The index of a tar, and "read" (from the tar), "kept" (in the cache) or "mended" (kept, but broken)."""
    named = hashlib.blake2b(f"{file.identity}\0{title}".encode("utf-8", "surrogatepass"), digest_size=16).hexdigest()
    path = cache_folder(INDEXES) / f"{named}.json"
    how = "read"
    if file.stamp and path.is_file():
        kept = _read(path)
        if kept is not None:
            with contextlib.suppress(OSError):  # a folder that others share may be read-only: nobody counts its uses
                os.utime(path)
            return kept, "kept"
        how = "mended"
    shard = read_shard(file, title, keep=False)
    if file.stamp and not _could_not_be_read(shard):
        _write(path, shard)
    return shard, how


def _could_not_be_read(shard: Shard) -> bool:
    # The network may be back the next time.
    return "cannot be read" in shard.damage


def _write(path: Path, shard: Shard) -> None:
    body = {
        "schema": SCHEMA,
        "pictures": {key: [list(member[:3]) for member in members] for key, members in shard.pictures.items()},
        "classes": {key: text.decode("latin-1") for key, text in shard.classes.items()},
        "left_out": [[one.name, one.reason] for one in shard.left_out],
        "damage": shard.damage,
        "compressed": shard.compressed,
    }
    text = json.dumps(body).encode("ascii")
    write_atomically(path, _checksum(text) + b"\n" + text)


def _read(path: Path) -> Shard | None:
    """The index, or None where the file is not what `_write` wrote."""
    try:
        data = path.read_bytes()
    except OSError as error:
        raise InputError(f"{path}: cannot be read ({error.strerror})") from error
    checksum, _, text = data.partition(b"\n")
    if checksum != _checksum(text):
        return None
    body = json.loads(text)
    if body["schema"] != SCHEMA:
        return None
    return Shard(
        pictures={
            key: [(name, offset, size, None) for name, offset, size in members]
            for key, members in body["pictures"].items()
        },
        classes={key: value.encode("latin-1") for key, value in body["classes"].items()},
        left_out=[LeftOut(name, reason) for name, reason in body["left_out"]],
        damage=body["damage"],
        compressed=body["compressed"],
    )


def _checksum(text: bytes) -> bytes:
    return hashlib.blake2b(text, digest_size=16).hexdigest().encode("ascii")
