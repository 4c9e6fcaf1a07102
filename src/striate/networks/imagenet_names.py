"""The names of ImageNet's 1,000 classes, in the order of the outputs of nearly every published network.

They stand in two text files that timm brings along; timm itself is found, not imported, which takes seconds.
"""

from __future__ import annotations

import importlib.util
from collections import Counter
from pathlib import Path

from striate.errors import InputError, require

NUMBER = 1000
PACKAGE, FOLDER = "timm", "data/_info"
ORDER, WORDS = "imagenet_synsets.txt", "imagenet_synset_to_lemma.txt"


def imagenet_names() -> tuple[str, ...]:
    """1,000 names, each once: the first word of WordNet's for a class ("tench"), all of its words where another class
    has the same first one ("maillot, tank suit"), its number in WordNet beside it where that does not tell them apart
    either ("crane (n02012849)"). Raises InputError where the files are not there.
    """
    numbers = _lines(ORDER)
    words = dict(line.split("\t", 1) for line in _lines(WORDS))
    require(
        len(numbers) == NUMBER and all(number in words for number in numbers),
        f"the names of ImageNet's classes are not where {PACKAGE} kept them; give a file of them with --class-names",
    )
    names = [words[number].split(",")[0] for number in numbers]
    for longer in ([words[number] for number in numbers], _numbered(numbers, words)):
        often = Counter(names)
        names = [name if often[name] == 1 else other for name, other in zip(names, longer, strict=True)]
    return tuple(names)


def _numbered(numbers: list[str], words: dict[str, str]) -> list[str]:
    return [f"{words[number].split(',')[0]} ({number})" for number in numbers]


def _lines(name: str) -> list[str]:
    found = importlib.util.find_spec(PACKAGE)
    path = Path(found.origin).parent / FOLDER / name if found is not None and found.origin else None
    if path is None or not path.is_file():
        raise InputError(
            f"the names of ImageNet's classes are in the package {PACKAGE}, which is not here as it should be "
            f"({FOLDER}/{name}); give a file of them with --class-names"
        )
    return path.read_text(encoding="utf-8").splitlines()
