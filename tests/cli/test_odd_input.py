"""Input that is odd or partly broken, and works: what cannot be used is left out, named and counted."""

from __future__ import annotations

import csv
import io
import json
import os
import re
import struct
import sys
import zlib
from pathlib import Path

import numpy as np
import pytest
from command import QUICK, here, snapshot, write_pictures
from PIL import Image


def png(width: int, height: int, *chunks: tuple[bytes, bytes]) -> bytes:
    """A black PNG of one bit a pixel, with more chunks before its pixels."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    header = struct.pack(">IIBBBBB", width, height, 1, 0, 0, 0, 0)
    pixels = zlib.compress(bytes((1 + (width + 7) // 8) * height), 1)
    parts = [(b"IHDR", header), *chunks, (b"IDAT", pixels), (b"IEND", b"")]
    return b"\x89PNG\r\n\x1a\n" + b"".join(chunk(*part) for part in parts)


def bomb_of_a_profile() -> bytes:
    """8x8 pixels, and a colour profile that unpacks to 400 MB."""
    packer = zlib.compressobj(9)
    packed = b"".join(packer.compress(bytes(10**6)) for _ in range(400)) + packer.flush()
    return png(8, 8, (b"iCCP", b"profile\0\0" + packed))


BROKEN = {
    "zero.png": b"",
    "mislabelled.png": b"%PDF-1.4 no picture at all",
    "text.jpg": "grüße".encode(),
    "twenty thousand.png": png(20_000, 20_000),
    "bomb.gif": b"GIF89a" + struct.pack("<HH", 65535, 65535) + b"\xf0\0\0" + bytes(6) + b",",
}


def put_broken(folder: Path) -> list[str]:
    """Broken files beside the pictures of class a; their names."""
    whole = (folder / "a/0.png").read_bytes()
    for name, content in {**BROKEN, "cut.png": whole[: len(whole) // 2]}.items():
        (folder / "a" / name).write_bytes(content)
    return sorted([*BROKEN, "cut.png"])


def test_broken_files_are_left_out_named_and_counted(place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write_pictures(place / "pictures")
    broken = put_broken(place / "pictures")
    before = snapshot(place / "pictures")
    said = here(capsys, "train", "pictures", "--out", "run", *QUICK)
    assert said.code == 0, said.err
    assert snapshot(place / "pictures") == before
    log, metrics = (place / "run/log.txt").read_text(), json.loads((place / "run/metrics.json").read_text())
    report = (place / "run/report.html").read_text()
    counts = metrics["counts"]
    assert (counts["found"], counts["used"], counts["left_out"]) == (12 + len(broken), 12, len(broken))
    assert sum(counts["by_split"].values()) == 12
    assert sorted(one["path"] for one in metrics["left_out"]) == [f"a/{name}" for name in broken]
    assert all(one["reason"] for one in metrics["left_out"])
    words = f"{12 + len(broken)} pictures found = 12 used + {len(broken)} left out"
    assert words in log
    assert words in said.out
    assert words in said.err
    for name in broken:
        assert f"a/{name}: " in log
        assert f"a/{name}: " in said.err
        assert name in report
    plain = re.sub(r"<[^>]+>|\s+", " ", report)
    assert re.search(rf"\b{len(broken)}\b", plain)
    predictions = (place / "run/predictions.csv").read_text()
    assert not any(name in predictions for name in broken)


def test_a_bomb_in_a_profile_costs_neither_memory_nor_the_run(place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    import resource

    write_pictures(place / "pictures")
    (place / "pictures/a/bomb.png").write_bytes(bomb_of_a_profile())
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    said = here(capsys, "train", "pictures", "--out", "run", *QUICK)
    assert said.code == 0, said.err
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 300_000  # kB
    counts = json.loads((place / "run/metrics.json").read_text())["counts"]
    assert counts["found"] == 13
    assert counts["used"] + counts["left_out"] == 13


def test_missing_files_of_a_table_are_left_out_named_and_counted(
    place: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write_pictures(place / "all", classes=("x",), count=12)
    rows = [f"x/{number}.png,{'ab'[number % 2]}" for number in range(12)] + ["x/gone.png,a", "x/lost.png,b"]
    (place / "all/labels.csv").write_text("\n".join(["path,label", *rows]) + "\n")
    said = here(capsys, "train", "all", "--out", "run", "--labels", "labels.csv", *QUICK)
    assert said.code == 0, said.err
    metrics = json.loads((place / "run/metrics.json").read_text())
    assert metrics["counts"] == {**metrics["counts"], "found": 14, "used": 12, "left_out": 2}
    assert [one["path"] for one in metrics["left_out"]] == ["x/gone.png", "x/lost.png"]


def test_pictures_of_one_pixel(place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write_pictures(place / "pictures", size=1)
    assert here(capsys, "train", "pictures", "--out", "run", *QUICK).code == 0
    assert here(capsys, "predict", "run", "pictures").code == 0


def test_fewer_pictures_than_a_batch(place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write_pictures(place / "pictures", count=4)
    assert here(capsys, "train", "pictures", "--out", "run", "--batch-size", "512", *QUICK).code == 0


NAMES = ("日本語", "Ελληνικά", "<script>alert(1)", "a,b;\"c'", "=1+1", "new\nline", "e\u0301")


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="other systems keep no names that are no UTF-8")
def test_names_of_any_kind(place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write_pictures(place / "pictures", classes=NAMES)
    odd = os.fsdecode(b"caf\xe9-\xff")
    write_pictures(place / "pictures", classes=(odd,))
    for folder in list((place / "pictures").iterdir()):
        (folder / "0.png").rename(folder / os.fsdecode(b"\xff\x1b[31m <script>.png"))
    before = snapshot(place / "pictures")
    said = here(capsys, "train", "pictures", "--out", "run", *QUICK)
    assert said.code == 0, said.err
    assert "\x1b" not in said.err + said.out
    assert snapshot(place / "pictures") == before
    classes = json.loads((place / "run/config.json").read_text())["task"]["class_names"]
    assert "日本語" in classes
    assert r"caf\xe9-\xff" in classes
    report = (place / "run/report.html").read_text(encoding="utf-8")
    assert "<script>alert" not in report
    assert "&lt;script&gt;alert" in report
    (place / "run/README.md").read_text(encoding="utf-8")
    text = here(capsys, "predict", "run", "pictures", "--format", "csv", "--top", "3").out
    rows = list(csv.DictReader(io.StringIO(text)))
    assert len(rows) == 6 * len(classes)
    assert {row["prediction"] for row in rows} <= set(classes)
    lines = here(capsys, "predict", "run", "pictures", "--json").out.splitlines()
    answers = [json.loads(line) for line in lines]
    assert [answer["prediction"] for answer in answers] == [row["prediction"] for row in rows]
    shown = here(capsys, "predict", "run", "pictures").out
    assert "\x1b" not in shown
    assert len(shown.splitlines()) == 1 + len(rows)  # no name begins a line of its own
    assert here(capsys, "evaluate", "run", "pictures", "--json").code == 0
    assert here(capsys, "runs", ".").code == 0


def test_pictures_of_every_shape(place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write_pictures(place / "pictures")
    for name, shape in {"wide": (1, 300), "tall": (300, 1), "grey": (5, 9)}.items():
        Image.fromarray(np.full(shape, 90, np.uint8)).save(place / f"pictures/a/{name}.png")
    assert here(capsys, "train", "pictures", "--out", "run", *QUICK).code == 0
    assert here(capsys, "predict", "run", "pictures").code == 0
