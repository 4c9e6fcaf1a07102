"""WebDataset tars, written by the standard library's tarfile, and damaged in every way."""

from __future__ import annotations

import gzip
import io
import tarfile

import pytest
from test_sources import make, refused, rows

from striate.data.sources import open_dataset, tars
from striate.errors import InputError


def tar(members, form=tarfile.USTAR_FORMAT, compressed=False) -> bytes:
    """members: (name, bytes), or TarInfo for what has none."""
    raw = io.BytesIO()
    with tarfile.open(fileobj=raw, mode="w", format=form) as archive:
        for member in members:
            if isinstance(member, tarfile.TarInfo):
                archive.addfile(member)
            else:
                info = tarfile.TarInfo(member[0])
                info.size = len(member[1])
                archive.addfile(info, io.BytesIO(member[1]))
    return gzip.compress(raw.getvalue()) if compressed else raw.getvalue()


def samples_of(*labels, start=0, suffix="jpg"):
    for number, label in enumerate(labels, start):
        # one is smaller than a block, one larger, one exactly as large
        yield f"{number:05}.{suffix}", bytes([number]) * (100, 1000, 512)[number % 3]
        yield f"{number:05}.cls", str(label).encode()


ENDINGS = pytest.mark.parametrize("ending", ["tar", "tar.gz", "tgz"])


def write(folder, name, members, **options):
    path = folder / name
    path.write_bytes(tar(members, compressed=not name.endswith(".tar"), **options))
    return path


def loaded(samples):
    return {name: samples.pictures.load(row) for name, row in zip(samples.names, samples.index, strict=True)}


@ENDINGS
def test_pictures_and_classes(tmp_path, ending):
    path = write(tmp_path, f"all.{ending}", samples_of("bee", "ant", "bee", "class 10", "class 9"))
    for source in (path, tmp_path):
        samples = open_dataset(source)
        assert samples.class_names == ("ant", "bee", "class 9", "class 10")
        assert rows(samples)[f"all.{ending}/00003.jpg"] == ("class 10", "")
        assert loaded(samples) == {
            f"all.{ending}/{n:05}.jpg": bytes([n]) * size for n, size in enumerate((100, 1000, 512, 100, 1000))
        }
        assert samples.how == "WebDataset tars: 1 shard, 4 classes, 5 pictures"
        assert samples.left_out == ()


@ENDINGS
def test_splits_by_the_names_of_shards(tmp_path, ending):
    write(tmp_path, f"train-000.{ending}", samples_of(0, 1))
    write(tmp_path, f"train-001.{ending}", samples_of(1, 0))
    write(tmp_path, f"val_0.{ending}", samples_of(1))
    write(tmp_path, f"TEST.{ending}", samples_of(0))
    assert rows(open_dataset(tmp_path)) == {
        f"TEST.{ending}/00000.jpg": ("0", "test"),
        f"train-000.{ending}/00000.jpg": ("0", "train"),
        f"train-000.{ending}/00001.jpg": ("1", "train"),
        f"train-001.{ending}/00000.jpg": ("1", "train"),
        f"train-001.{ending}/00001.jpg": ("0", "train"),
        f"val_0.{ending}/00000.jpg": ("1", "validation"),
    }


def test_splits_by_folders_of_shards(tmp_path):
    for split in ("train", "test"):
        (tmp_path / split).mkdir()
        write(tmp_path / split, "0.tar", samples_of("a", "b"))
    assert set(rows(open_dataset(tmp_path))) == {f"{s}/0.tar/0000{n}.jpg" for s in ("train", "test") for n in (0, 1)}
    assert open_dataset(tmp_path).splits.tolist() == ["test", "test", "train", "train"]


def test_training_is_no_prefix_of_other_words(tmp_path):
    write(tmp_path, "trains-0.tar", samples_of("a", "b"))
    write(tmp_path, "testimony.tar", samples_of("a", "b"))
    assert set(open_dataset(tmp_path).splits.tolist()) == {""}


def test_shards_of_one_split_have_none(tmp_path):
    write(tmp_path, "train-0.tar", samples_of("a", "b"))
    assert set(open_dataset(tmp_path).splits.tolist()) == {""}


def test_some_shards_without_a_split(tmp_path):
    write(tmp_path, "train-0.tar", samples_of("a", "b"))
    write(tmp_path, "more.tar", samples_of("a", "b"))
    assert "others not ('more.tar')" in refused(tmp_path)


def test_names_of_numbers(tmp_path):
    write(tmp_path, "a.tar", samples_of(2, 0, 7))
    assert open_dataset(tmp_path).class_names == ("0", "2", "7")
    (tmp_path / "classes.txt").write_text("zebra\nhorse\nant\n")
    samples = open_dataset(tmp_path)
    assert rows(samples) == {"a.tar/00000.jpg": ("ant", ""), "a.tar/00001.jpg": ("zebra", "")}
    assert [(left.name, left.reason) for left in samples.left_out] == [
        ("a.tar/00002.jpg", "its class is 7, but classes.txt names 3")
    ]


def test_numbers_are_numbers(tmp_path):
    write(tmp_path, "a.tar", [("0.png", b"x"), ("0.cls", b"007\n"), ("1.png", b"y"), ("1.cls", b"7"), *samples_of(8)])
    assert open_dataset(tmp_path).class_names == ("7", "8")


@pytest.mark.parametrize("form", [tarfile.USTAR_FORMAT, tarfile.GNU_FORMAT, tarfile.PAX_FORMAT])
@ENDINGS
def test_long_and_foreign_names(tmp_path, form, ending):
    names = ["d" * 90 + "/" + "n" * 80, "日本/写真", "a.b/c.d", "./plain"]
    members = [member for name in names for member in ((f"{name}.PNG", name.encode()), (f"{name}.cls", b"x"))]
    write(tmp_path, f"a.{ending}", [*members, *samples_of("y")], form=form)
    samples = open_dataset(tmp_path)
    assert loaded(samples)[f"a.{ending}/{names[0]}.PNG"] == names[0].encode()
    assert {data.decode() for data in loaded(samples).values() if len(data) != 100} == set(names)


def test_other_members_are_ignored(tmp_path):
    folder = tarfile.TarInfo("folder")
    folder.type = tarfile.DIRTYPE
    members = [folder, ("0.json", b"{}"), ("readme.txt", b"x"), (".0.jpg", b"x"), ("._1.cls", b"1")]
    write(tmp_path, "a.tar", [*members, *samples_of("a", "b")])
    samples = open_dataset(tmp_path)
    assert len(samples) == 2


def reasons(samples):
    return {left.name.partition("/")[2] or "shard": left.reason for left in samples.left_out}


@ENDINGS
def test_what_is_no_sample_is_named(tmp_path, ending):
    link = tarfile.TarInfo("link.jpg")
    link.type, link.linkname = tarfile.SYMTYPE, "/etc/passwd"
    hard = tarfile.TarInfo("hard.png")
    hard.type, hard.linkname = tarfile.LNKTYPE, "00000.jpg"
    device = tarfile.TarInfo("device.jpg")
    device.type = tarfile.CHRTYPE
    members = [
        *(link, ("link.cls", b"a"), hard, device),
        *(
            ("lonely.jpg", b"x"),
            ("empty.jpg", b"x"),
            ("empty.cls", b" \n"),
            ("bytes.jpg", b"x"),
            ("bytes.cls", b"\xff\xfe"),
        ),
        *(("long.jpg", b"x"), ("long.cls", b"x" * 2000), ("two.jpg", b"x"), ("two.png", b"y"), ("two.cls", b"a")),
    ]
    write(tmp_path, f"a.{ending}", [*samples_of("a", "b"), *members])
    samples = open_dataset(tmp_path)
    assert len(samples) == 2
    assert reasons(samples) == {
        "link.jpg": "a link or device, not a file",
        "link.cls": "no picture of this key",
        "hard.png": "a link or device, not a file",
        "device.jpg": "a link or device, not a file",
        "lonely.jpg": "no KEY.cls beside it",
        "empty.jpg": "its KEY.cls is empty",
        "bytes.jpg": "its KEY.cls is no text",
        "long.jpg": "its KEY.cls is no class",
        "two.jpg": "2 pictures of one key",
    }
    assert "9 members left out" in samples.how


def test_a_damaged_header_loses_its_member_only(tmp_path):
    path = write(tmp_path, "a.tar", samples_of("a", "b", "a", "b"))
    data = bytearray(path.read_bytes())
    at = data.index(b"00002.jpg")
    data[at + 3] ^= 1
    path.write_bytes(data)
    samples = open_dataset(tmp_path)
    assert [name[-9:] for name in samples.names] == ["00000.jpg", "00001.jpg", "00003.jpg"]
    assert loaded(samples)["a.tar/00003.jpg"] == b"\3" * 100
    assert reasons(samples)["shard"] == f"damaged from byte {at:,} to {at + 1024:,}: what was there is lost"
    assert reasons(samples)["00002.cls"] == "no picture of this key"


@pytest.mark.parametrize("cut", range(1024, 6000, 256))
@ENDINGS
def test_a_cut_archive_keeps_what_is_whole(tmp_path, cut, ending):
    plain = tar(samples_of("a", "b", "a", "b"))[:cut]
    (tmp_path / f"a.{ending}").write_bytes(plain if ending == "tar" else gzip.compress(plain))
    write(tmp_path, "b.tar", samples_of("a", "b"))
    samples = open_dataset(tmp_path)
    whole = [int(name[-9:-4]) for name in samples.names if name.startswith("a")]
    # each sample is a header and its picture, a header and its class; by size 1, 2 and 1 blocks
    ends = [2048, 2048 + 2560, 2048 + 2560 + 2048, 2048 + 2560 + 2048 + 2048]
    # the padding behind a class of one letter is nothing
    assert whole == [number for number, end in enumerate(ends) if cut >= end - 511]
    assert samples.left_out
    for name, data in loaded(samples).items():
        assert set(data) == {int(name[-9:-4])}


def test_a_file_that_shrinks_later(tmp_path):
    path = write(tmp_path, "a.tar", samples_of("a", "b"))
    samples = open_dataset(tmp_path)
    path.write_bytes(path.read_bytes()[:600])
    with pytest.raises(InputError, match="its archive ends before it does"):
        samples.pictures.load(1)
    path.unlink()
    with pytest.raises(InputError, match="its archive cannot be read"):
        samples.pictures.load(1)


def test_a_wrong_checksum_of_gzip_distrusts_the_shard(tmp_path):
    path = write(tmp_path, "a.tar.gz", samples_of("a", "b"))
    write(tmp_path, "b.tar.gz", samples_of("a", "b"))
    path.write_bytes(path.read_bytes()[:-8] + b"\1\2\3\4" + path.read_bytes()[-4:])
    samples = open_dataset(tmp_path)
    assert {name[:1] for name in samples.names} == {"b"}
    assert sum(left.name.startswith("a.tar.gz/") for left in samples.left_out) == 2
    assert all("damaged" in left.reason for left in samples.left_out)


def test_cut_compression_keeps_what_is_whole(tmp_path):
    import random

    noise = random.Random(0)
    members = [
        (f"{n}.{what}", noise.randbytes(3000) if what == "jpg" else b"ab"[n % 2 :][:1])
        for n in range(900)
        for what in ("jpg", "cls")
    ]
    path = write(tmp_path, "a.tgz", members)
    path.write_bytes(path.read_bytes()[: 2 * path.stat().st_size // 3])
    samples = open_dataset(tmp_path)
    assert 200 < len(samples) < 600
    wanted = dict(members)
    assert all(data == wanted[name.partition("/")[2]] for name, data in loaded(samples).items())
    assert any("compressed data end too early" in left.reason for left in samples.left_out)


@pytest.mark.parametrize("data", [b"", b"no tar at all", bytes(2048), b"\x1f\x8b\x08" + b"x" * 50])
@ENDINGS
def test_no_tar(tmp_path, data, ending):
    (tmp_path / f"a.{ending}").write_bytes(data)
    assert "no sample in the tars" in refused(tmp_path / f"a.{ending}")


def test_only_pictures(tmp_path):
    write(tmp_path, "a.tar", [("0.jpg", b"x")])
    assert "(a.tar/0.jpg: no KEY.cls beside it)" in refused(tmp_path)


def test_a_bomb(tmp_path):
    (tmp_path / "a.tgz").write_bytes(gzip.compress(tar([("x.bin", bytes(150 << 20)), *samples_of("a", "b")])))
    assert "unpacks to more than 100 times its size" in refused(tmp_path)


def test_what_is_kept_in_memory_has_a_limit(tmp_path, monkeypatch):
    monkeypatch.setattr(tars, "KEPT", 1000)
    write(tmp_path, "a.tgz", samples_of("a", "b"))
    assert "unpack them to plain .tar" in refused(tmp_path)


def test_a_header_with_a_huge_size(tmp_path):
    data = bytearray(tar(samples_of("a", "b")))
    data[124:136] = b"\x80" + (1 << 62).to_bytes(11, "big")
    data[148:156] = b" " * 8
    data[148:156] = b"%06o\0 " % sum(data[:512])
    (tmp_path / "a.tar").write_bytes(data)
    assert "over the limit" in refused(tmp_path)


def test_nothing_is_unpacked(tmp_path):
    write(tmp_path, "a.tar", [("../../escape.jpg", b"x"), ("../../escape.cls", b"a"), *samples_of("b")])
    make(tmp_path, "x.txt")
    before = sorted(tmp_path.parent.rglob("*"))
    open_dataset(tmp_path)
    assert sorted(tmp_path.parent.rglob("*")) == before
