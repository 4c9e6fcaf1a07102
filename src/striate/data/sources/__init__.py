"""Where pictures come from: what a user names -> Samples. One module a format, asked in the order of `SOURCES`.

Only this folder opens what a user names as data, and it never writes there.
"""

from __future__ import annotations

import importlib
import os
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, Protocol, cast

from striate.data.samples import CLASSIFICATION, REGRESSION, Samples
from striate.data.sources import tabular
from striate.data.sources.asked import Asked, what_is_asked
from striate.data.sources.beside import TABLES, beside_folders, beside_tables, format_of, lacking_in
from striate.data.sources.classes import refuse_unknown_classes
from striate.data.sources.listing import listing, shown, some
from striate.data.sources.no_source import check_address, check_there, why_no_folder, why_no_source
from striate.data.sources.one_class import as_asked, as_numbers
from striate.data.sources.remote import is_address
from striate.errors import InputError, require

__all__ = ["SOURCES", "open_dataset"]

# name -> module, from the form that cannot be mistaken to the one that takes nearly everything
SOURCES = {
    "idx": "striate.data.sources.idx",
    "cifar": "striate.data.sources.cifar",
    "npz": "striate.data.sources.npz",
    "webdataset": "striate.data.sources.tars",
    "numbers": "striate.data.sources.numbers",
    "parquet": "striate.data.sources.parquet",
    "json-lines": "striate.data.sources.json_lines",
    "table": "striate.data.sources.table",
    "folders": "striate.data.sources.folders",
}
FOLDERS = "folders"
PUBLIC = "public"
# What gives each picture one class, and how it is called in sentences; the others know `Asked` themselves.
ONE_CLASS = {"idx": "IDX files", "webdataset": "tars", FOLDERS: "class folders", PUBLIC: "public sets"}
PATHLESS = {**ONE_CLASS, "cifar": "CIFAR's files", "npz": "NumPy's files", "numbers": "tables of numbers"}
DEEPEST = 8


class AskedSource(Protocol):
    """What a module of `SOURCES` offers where its files have labels of several kinds."""

    def read(self, path: Path, wanted: Asked | None = None) -> Samples:
        """The table of the pictures there, with the targets that are asked for. Raises InputError."""
        ...


class TableSource(Protocol):
    """What a module of `TABLES` offers."""

    def read(self, path: Path, root: Path | None = None, wanted: Asked | None = None) -> Samples:
        """The pictures that it names, with paths from `root`. Raises InputError."""
        ...


class Source(Protocol):
    """What each module of `SOURCES` offers."""

    def recognises(self, path: Path) -> bool:
        """Whether `read` is meant for this path. Looks at names, and at the first lines of tables."""
        ...

    def read(self, path: Path) -> Samples:
        """The table of the pictures there. Raises InputError."""
        ...


def open_dataset(
    source: Any,
    *,
    labels: str | Path | None = None,
    root: str | Path | None = None,
    stream: bool = False,
    task: str | None = None,
    targets: str | Sequence[str] | None = None,
) -> Samples:
    """The table of a labelled source, with the splits that it has itself ("" where it has none).

    source: a folder of class folders (also under train / val / test), a folder with a table of
    labels (CSV, JSON lines, Parquet) or the table itself, IDX files, the files of CIFAR, NumPy's .npz, WebDataset tars,
    or the folder of them, or the address of such tars (s3://bucket/train-{000..009}.tar); a zip or tar of any of these;
    the name of a public set (mnist, cifar10, ...), where no file or folder is called so; or arrays or tensors:
    (pictures, labels), or {"train": (pictures, labels), "test": ...}; or a pandas frame.
    labels: "folders", or the table that counts, where a folder holds both or several.
    root: the folder that the paths of a table start from (default: the table's own), or that holds a copy of a public
    set as torchvision lays it out (default: it is downloaded into the cache folder).
    stream: the pictures are to be read again in every epoch, so nothing of them is kept in memory.
    task: "classification", "multilabel" or "regression" (default: recognised). targets: the columns of a table to
    learn, as a list or separated by commas (default: found by their names).
    `Samples.how` says how it was recognised. Raises InputError.
    """
    wanted = what_is_asked(task, targets)
    if not isinstance(source, (str, os.PathLike)):
        samples = _in_memory(source, root, wanted)
    elif is_address(source):
        check_address(str(source))
        if labels is not None or root is not None:
            raise InputError(
                f"{shown(str(source))}: the labels of tars are in the tars; leave --labels and --root away"
            )
        from striate.data.sources import tars

        samples = as_asked(tars.read_address(str(source)), wanted, ONE_CLASS["webdataset"])
    else:
        samples = _open_path(Path(source), labels, None if root is None else Path(root), stream, wanted)
    refuse_unknown_classes(samples)
    return samples


def _in_memory(source: Any, root: str | Path | None, wanted: Asked) -> Samples:
    """The table of arrays, or of a pandas frame. Raises InputError."""
    from striate.data.sources import arrays, frames

    if frames.is_frame(source):
        return frames.read(source, None if root is None else Path(root), wanted)
    if not isinstance(source, (tuple, list, Mapping)):
        raise InputError(f"a source is a path or arrays (pictures, labels), got {type(source).__name__}")
    _require_no_root(root, "the source", "arrays have")
    return arrays.read(source, wanted)


def _open_path(path: Path, labels: str | Path | None, root: Path | None, stream: bool, wanted: Asked) -> Samples:
    public = _is_public(path)
    if not public or os.path.lexists(path):
        check_there(path)
    if root is not None and not root.is_dir():
        raise InputError(f"{shown(str(root))}: no such folder (--root)")
    if public and not os.path.lexists(path):
        return as_asked(_open_public(path, labels, root), wanted, ONE_CLASS[PUBLIC])
    samples = _open_there(path, labels, root, stream, wanted)
    if public:
        return replace(samples, how=f"{samples.how}; {path} here is taken, and not the public set of this name")
    return samples


def _is_public(path: Path) -> bool:
    """Whether it is the plain name of a public set."""
    from striate.data.sources.public_sets import PUBLIC_SETS

    return str(path) in PUBLIC_SETS


def _open_public(path: Path, labels: str | Path | None, root: Path | None) -> Samples:
    """The public set of this name, where nothing in the working folder is called so."""
    from striate.data.sources import public_sets

    name = str(path)
    if labels is not None:
        raise InputError(f"{name}: a public set has its own labels; leave --labels away")
    samples = public_sets.read(name, root)
    return replace(samples, how=f"{samples.how}; nothing is called {name} in the working folder")


def _open_there(path: Path, labels: str | Path | None, root: Path | None, stream: bool, wanted: Asked) -> Samples:
    if not path.is_dir() and _is_archive(path):
        return _open_archive(path, labels, root, stream, wanted)
    if labels is not None:
        return _open_as_told(path, labels, root, wanted)
    if not path.is_dir():
        name = next((name for name in SOURCES if name != FOLDERS and _recognises(name, path, wanted)), None)
        if name is None:
            raise InputError(f"{shown(str(path))}: {why_no_source(path)}")
        return _read(name, path, root, stream, wanted)
    opened, via = path, ""
    for _ in range(DEEPEST):
        samples = _open_folder(opened, root, stream, wanted)
        if samples is not None:
            return replace(samples, source=str(path), how=samples.how + via)
        inner = _only_folder(opened)
        if inner is None:
            break
        opened, via = inner, f"; all of it in {shown(str(inner.relative_to(path)))}/"
    raise InputError(f"{shown(str(path))}: {why_no_folder(opened, wanted)}")


def _is_archive(path: Path) -> bool:
    from striate.data.sources import archives

    return archives.recognises(path)


def _open_archive(path: Path, labels: str | Path | None, root: Path | None, stream: bool, wanted: Asked) -> Samples:
    """The source that an archive holds, unpacked into the cache folder."""
    from striate.data.sources import archives

    there = archives.unpacked(path)
    try:
        samples = _open_path(there.folder, labels, root, stream, wanted)
    except InputError as error:
        # What is wrong with the files is wrong with the archive, which is what the user knows.
        raise InputError(str(error).replace(str(there.folder), shown(str(path)))) from error
    return replace(samples, source=str(path), how=f"{samples.how}; {there.words}")


def _open_folder(path: Path, root: Path | None, stream: bool, wanted: Asked) -> Samples | None:
    """What the folder itself holds, or None where that is nothing, or nothing but one folder of it all."""
    found = [name for name in SOURCES if _recognises(name, path, wanted)]
    if not found:
        return None
    if found[0] == FOLDERS and _only_folder(path) is not None:
        return None
    if found == [FOLDERS]:
        if wanted.columns and lacking_in(path, wanted):
            raise InputError(f"{shown(str(path))}: {lacking_in(path, wanted)}")
        _require_no_root(root, path, f"{PATHLESS[FOLDERS]} have")
        return as_asked(beside_tables(_module(FOLDERS).read(path), path), wanted, ONE_CLASS[FOLDERS])
    if found[0] in TABLES and found[-1] == FOLDERS and not wanted.columns:
        return beside_folders(found[0], path, wanted, lambda: _read(found[0], path, root, False, wanted))
    samples = _read(found[0], path, root, stream, wanted)
    ignored = [name for name in found[1:] if name != FOLDERS]
    return replace(samples, how=f"{samples.how}; {some(ignored)} also there, not used") if ignored else samples


def _recognises(name: str, path: Path, wanted: Asked) -> bool:
    """Whether a source is meant for the path; for a table also whether it has the columns that are asked for."""
    if name == "numbers":
        from striate.data.sources import numbers

        return numbers.recognises(path, wanted)
    if name in ("json-lines", "table") and wanted.columns:
        return tabular.recognises(format_of(name), path, wanted)
    return _module(name).recognises(path)


def _open_as_told(path: Path, labels: str | Path, root: Path | None, wanted: Asked) -> Samples:
    if os.fspath(labels) == FOLDERS:
        if not path.is_dir():
            raise InputError(f"{shown(str(path))}: --labels folders needs a folder of class folders, this is a file")
        _require_no_root(root, path, f"{PATHLESS[FOLDERS]} have")
        return as_asked(_module(FOLDERS).read(path), wanted, ONE_CLASS[FOLDERS])
    table = Path(labels)
    if not table.is_file() and (path / table).is_file():
        table = path / table
    if not table.is_file():
        raise InputError(f"{shown(str(labels))}: no such table (--labels takes a CSV or TSV file, or: folders)")
    if root is None and path.is_dir():
        # a table that lies in the source speaks of its own folder, one from elsewhere of the source
        inside = table.resolve().is_relative_to(path.resolve())
        root = table.parent if inside else path
    name = next((name for name in TABLES if table.name.lower().endswith(format_of(name).suffixes)), "table")
    return replace(_read(name, table, root, False, wanted), source=str(path))


def _read(name: str, path: Path, root: Path | None, stream: bool, wanted: Asked) -> Samples:
    module = _module(name)
    if name in TABLES:
        return cast(TableSource, module).read(path, root, wanted)
    _require_no_root(root, path, f"{PATHLESS.get(name, name)} have")
    if name == "webdataset":
        from striate.data.sources import tars

        return as_asked(tars.read(path, stream=stream), wanted, ONE_CLASS[name])
    if name in ONE_CLASS:
        return as_asked(module.read(path), wanted, ONE_CLASS[name])
    samples = cast(AskedSource, module).read(path, wanted)
    return as_numbers(samples) if wanted.task == REGRESSION and samples.task == CLASSIFICATION else samples


def _require_no_root(root: str | Path | None, source: str | Path, have: str) -> None:
    """Refuse a folder of paths for a source that has none. Raises InputError."""
    require(root is None, f"{shown(str(source))}: {have} no table of paths, so --root means nothing; leave it away")


def _module(name: str) -> Source:
    return cast(Source, importlib.import_module(SOURCES[name]))


def _only_folder(path: Path) -> Path | None:
    """The folder in `path`, where it holds one folder, no pictures, and that folder holds folders or sources itself."""
    top = listing(path)
    if len(top.folders) != 1 or top.pictures:
        return None
    inner = path / top.folders[0]
    inside = listing(inner)
    if inside.pictures and not _is_labelled(inner):
        return None  # one class
    return inner


def _is_labelled(path: Path) -> bool:
    return any(_module(name).recognises(path) for name in SOURCES if name != FOLDERS)
