"""What `striate explain` found, and how it is written: a page, pictures, arrays and JSON in a folder of their own.

Legend: H W pixels and C channels of what the network saw, K classes that maps are of, N classes that it knows.
"""

from __future__ import annotations

import contextlib
import io
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from striate.errors import InputError
from striate.machine.files import refused, write_atomically
from striate.models.run import json_text

if TYPE_CHECKING:
    from striate.actions.mistake import Near
    from striate.reports.explanation import Drawn, ExplanationPage, Method, Share, Turning
    from striate.reports.pages import Neighbour
    from striate.views.fared import Fared

PAGE, NUMBERS, MAPS, SEEN = "explanation.html", "explanation.json", "maps.npz", "picture.png"
SQUARE = "smallest-square.png"
OCCLUSION = "occlusion"
WHOLE = 192  # of the whole picture, where the network saw a part of it
MOST_SHARES = 6  # classes in the list of answers, beside those with a role
# Where the name of a view is not how a person writes it.
TITLES = {
    "grad-cam": "Grad-CAM",
    "grad-cam++": "Grad-CAM++",
    "guided-grad-cam": "Guided Grad-CAM",
    "smoothgrad": "SmoothGrad",
    "input-x-gradient": "Input times gradient",
    "guided-backpropagation": "Guided back-propagation",
}


@dataclass(frozen=True, kw_only=True, eq=False)
class Mapped:
    """What one method said: `values` (K, H, W) float32, larger is more important; the `layer` that it looked at, where
    it looks at one; the `settings` that it was asked with; how the map of the first class `fared`.

    seconds: that it took, without what it shares with a method before it.
    """

    method: str
    values: np.ndarray
    layer: str | None
    seconds: float
    settings: Mapping[str, Any] = field(default_factory=dict)
    fared: Fared | None = None


@dataclass(frozen=True, kw_only=True)
class Turned:
    """The smallest square that turns the answer when it is covered: `box` (top, left, bottom, right) in pixels of what
    the network saw, and what is answered then. `box` is None where no square of up to `largest` pixels does."""

    box: tuple[int, int, int, int] | None
    answer: str | None
    probability: float | None
    largest: int


@dataclass(frozen=True, kw_only=True, eq=False)
class Explanation:
    """Why the answer for a picture, and the folder that holds the page and the files.

    seen: (H, W, C) uint8, what the network saw. probabilities: (N,). label: None where it is not known. classes: those
    that the maps are of. left_out: (method, why) of what cannot be right for this network. nearest: for a mistake, the
    training pictures nearest to the picture, by class. one_of: the label that is explained, where a
    picture has several; None where it has one class. Everything else for `page` is in `details`.
    """

    picture: str
    folder: Path
    seen: np.ndarray
    class_names: tuple[str, ...]
    probabilities: np.ndarray
    label: str | None
    classes: tuple[str, ...]
    maps: tuple[Mapped, ...]
    left_out: tuple[tuple[str, str], ...]
    turned: Turned | None
    nearest: Mapping[str, tuple[Near, ...]]
    reasons: tuple[str, ...]
    notes: tuple[str, ...]
    details: Details = field(repr=False)
    one_of: str | None = None

    def _repr_html_(self) -> str:
        """For notebooks."""
        from striate.actions.explanation_cell import cell

        return cell(self)

    @property
    def answer(self) -> str:
        """The most probable class."""
        return self.class_names[int(self.probabilities.argmax())]

    @property
    def probability(self) -> float:
        """Of the answer."""
        return float(self.probabilities.max())

    @property
    def mistaken(self) -> bool:
        """Whether the label is known and is another."""
        return self.label is not None and self.label != self.answer

    @property
    def labelled(self) -> str:
        """What the label says of the answer: "that is its label", "car is none of its labels"; "" where it is not
        known."""
        if self.label is None:
            return ""
        if self.one_of is None:
            return f"its label is {self.label}" if self.mistaken else "that is its label"
        if self.label != self.one_of:
            return f"{self.one_of} is none of its labels"
        return f"{self.one_of} is one of its labels" if self.mistaken else "that is one of its labels"

    @property
    def page(self) -> Path:
        """Where the page lies."""
        return self.folder / PAGE

    def to_json(self) -> dict[str, Any]:
        """Plain values; the maps themselves are in `maps.npz`."""
        turned = self.turned
        return {
            "picture": self.picture,
            "page": str(self.page),
            "answer": self.answer,
            "probability": self.probability,
            "label": self.label,
            "mistaken": self.mistaken if self.label is not None else None,
            "classes": list(self.classes),
            "maps": [_plain(one) for one in self.maps],
            "left_out": [{"method": name, "reason": reason} for name, reason in self.left_out],
            "smallest_square": None
            if turned is None
            else {
                "box": None if turned.box is None else list(turned.box),
                "answer": turned.answer,
                "probability": turned.probability,
                "largest": turned.largest,
            },
            "nearest": {
                name: [{"name": one.name, "similarity": one.similarity} for one in near]
                for name, near in self.nearest.items()
            },
            "reasons": list(self.reasons),
            "notes": list(self.notes),
            "probabilities": {
                name: float(value) for name, value in zip(self.class_names, self.probabilities, strict=True)
            },
        }


@dataclass(frozen=True, kw_only=True, eq=False)
class Details:
    """What the page tells beside the result: how the picture came to the network, and with what all of it was made.

    pixels: the whole picture (h, w, C). frame: the part of it that the network saw, (left, top, width, height) as
    shares, None for all of it. fill: the colour that covers a square, (C,). neighbours: pictures for `nearest`.
    """

    pixels: np.ndarray
    frame: tuple[float, float, float, float] | None
    seen_words: str
    fill: np.ndarray
    network: str
    command: str
    created: str
    settings: Mapping[str, Any]
    neighbours: Mapping[str, tuple[Neighbour, ...]]


def _plain(one: Mapped) -> dict[str, Any]:
    told: dict[str, Any] = {"method": one.method, "layer": one.layer, "settings": dict(one.settings)}
    told["seconds"] = round(one.seconds, 3)
    if one.fared is not None:
        told["deletion"], told["random_deletion"] = one.fared.deletion, list(one.fared.random_deletion)
        told["insertion"], told["random_insertion"] = one.fared.insertion, list(one.fared.random_insertion)
    return told


def write(found: Explanation) -> None:
    """Make the folder and write everything into it, the page last. Raises InputError where the disk refuses."""
    from striate.reports.explanation import draw_square, enlarged, explanation_page, png

    seen = enlarged(found.seen)
    files: dict[str, bytes] = {SEEN: png(seen)}
    told = {SEEN: "what the network saw"}
    methods = {one.method: _method(found, one, files, told) for one in found.maps}
    square = None
    if found.turned is not None and found.turned.box is not None:
        square = draw_square(found.seen, found.turned.box, found.details.fill)
        files[SQUARE], told[SQUARE] = png(square), "the smallest square that turns the answer"
    files[MAPS], told[MAPS] = _arrays(found), "the maps as arrays, for NumPy"
    files[NUMBERS], told[NUMBERS] = json_text(found.to_json()).encode(), "everything else as numbers"
    page = _page(found, methods, seen, square, files, told)
    made = not found.folder.exists()
    try:
        found.folder.mkdir(exist_ok=True)
    except OSError as error:
        raise refused(found.folder, error) from error
    written: list[Path] = []
    try:
        for name, content in files.items():
            written.append(found.folder / name)
            write_atomically(written[-1], content)
        write_atomically(found.page, explanation_page(page))
    except InputError:
        # What is half there would stand in the way of the next attempt.
        for place in written:
            place.unlink(missing_ok=True)
        if made:
            with contextlib.suppress(OSError):  # somebody else's file came into it
                found.folder.rmdir()
        raise


def _method(found: Explanation, one: Mapped, files: dict[str, bytes], told: dict[str, str]) -> Method:
    """A method as the page shows it; its pictures join `files`, and what they are joins `told`."""
    from striate.reports import colours
    from striate.reports.explanation import Fared, Method
    from striate.views import VIEWS

    view, title = VIEWS[one.method], title_of(one.method)
    # One scale for all classes, so that they can be compared.
    largest = colours.strength(one.values)
    drawn = []
    for number, (name, values) in enumerate(zip(found.classes, one.values, strict=True)):
        stem = one.method if len(found.classes) == 1 else f"{one.method}-{number + 1}-{plain_name(name)}"
        whose = title if len(found.classes) == 1 else f"{title} for {name}"
        pictures = colours.over(values, found.seen, largest), colours.alone(values, largest)
        drawn.append(_drawn(name, stem, whose, pictures, files, told))
    fared = one.fared
    return Method(
        name=one.method,
        title=title,
        answers=view.answers,
        misleads=view.misleads,
        cost=view.cost,
        settings=", ".join(f"{name} {value}" for name, value in one.settings.items()),
        paper=view.paper,
        layer=one.layer,
        seconds=one.seconds,
        is_signed=bool(one.values.min() < 0),
        drawn=tuple(drawn),
        fared=None
        if fared is None
        else Fared(
            deletion=fared.deletion,
            insertion=fared.insertion,
            random_deletion=fared.random_deletion,
            random_insertion=fared.random_insertion,
            sentence=fared.sentence(),
            verdict=("ill", "half", "well")[fared.better_at_deletion + fared.better_at_insertion],
        ),
    )


def _drawn(
    class_name: str,
    stem: str,
    whose: str,
    pictures: tuple[np.ndarray, np.ndarray],
    files: dict[str, bytes],
    told: dict[str, str],
) -> Drawn:
    from striate.reports.explanation import Drawn, enlarged, on_page, png

    shown = []
    for name, words, picture in zip((stem, f"{stem}-alone"), ("over the picture", "alone"), pictures, strict=True):
        pixels = enlarged(picture)
        files[f"{name}.png"], told[f"{name}.png"] = png(pixels), f"{whose}, {words}"
        shown.append(on_page(pixels, files[f"{name}.png"]))
    return Drawn(class_name=class_name, over=shown[0], alone=shown[1])


def _page(
    found: Explanation,
    methods: Mapping[str, Method],
    seen: np.ndarray,
    square: np.ndarray | None,
    files: Mapping[str, bytes],
    told: Mapping[str, str],
) -> ExplanationPage:
    from striate.reports.explanation import ExplanationPage, Side, on_page
    from striate.reports.thumbnails import thumbnail

    details = found.details
    return ExplanationPage(
        title=re.split(r"[/\\]", found.picture)[-1] or found.picture,
        network=details.network,
        created=details.created,
        command=details.command,
        seen=on_page(seen, files[SEEN]),
        seen_words=details.seen_words,
        whole=None if details.frame is None else thumbnail(details.pixels, side=WHOLE),
        frame=details.frame,
        answer=_share(found, found.answer),
        label=found.label,
        labelled=found.labelled,
        shares=_shares(found),
        classes=found.classes,
        notes=found.notes,
        methods=tuple(one for name, one in methods.items() if name != OCCLUSION),
        left_out=[(title_of(name), reason) for name, reason in found.left_out],
        occlusion=methods.get(OCCLUSION),
        turning=_turning(found, None if square is None else on_page(square, files[SQUARE])),
        reasons=found.reasons,
        sides=tuple(
            Side(class_name=name, role=_role(found, name), neighbours=details.neighbours.get(name, ()))
            for name in found.nearest
        ),
        settings={"picture": found.picture, "network": details.network, **details.settings},
        files=list(told.items()),
    )


def _shares(found: Explanation) -> tuple[Share, ...]:
    """The most probable classes, and those with a role, most probable first."""
    order = np.argsort(-found.probabilities, kind="stable")
    first = {found.class_names[k] for k in order[:MOST_SHARES]}
    wanted = first | set(found.classes) | ({found.label} if found.label is not None else set())
    return tuple(_share(found, found.class_names[k]) for k in order if found.class_names[k] in wanted)


def _share(found: Explanation, name: str) -> Share:
    from striate.reports.explanation import Share

    probability = float(found.probabilities[found.class_names.index(name)])
    return Share(name=name, probability=probability, role=_role(found, name))


def _role(found: Explanation, name: str) -> str:
    if name == found.answer:
        return "its answer"
    if name == found.label:
        return "the label"
    return "asked for" if name in found.classes else ""


def _turning(found: Explanation, picture: bytes | None) -> Turning | None:
    """The smallest square in words, with the picture of it."""
    from striate.reports.explanation import Turning

    turned = found.turned
    if turned is None:
        return None
    height, width = found.seen.shape[:2]
    if turned.box is None or turned.probability is None or picture is None:
        return Turning(
            picture=None,
            sentence=f"no square of up to {turned.largest} of the {min(height, width)} pixels of a side turns it: "
            f"the answer {found.answer} does not hang on one place",
        )
    top, left, bottom, right = turned.box
    share = (bottom - top) * (right - left) / (height * width)
    return Turning(
        picture=picture,
        sentence=f"with a square of {right - left}x{bottom - top} pixels covered, {100 * share:.1f} % of the picture, "
        f"it answers {turned.answer} ({100 * turned.probability:.1f} %) in place of {found.answer} "
        f"({100 * found.probability:.1f} %)",
    )


def _arrays(found: Explanation) -> bytes:
    """An NPZ file: the maps by method (K, H, W), `picture` (H, W, C), `probabilities` (N,), and the names."""
    file = io.BytesIO()
    arrays: dict[str, Any] = {one.method: one.values for one in found.maps}
    np.savez(
        file,
        picture=found.seen,
        probabilities=found.probabilities,
        classes=np.array(found.classes, dtype=np.str_),
        class_names=np.array(found.class_names, dtype=np.str_),
        **arrays,
    )
    return file.getvalue()


def title_of(method: str) -> str:
    """How a person writes the name of a view."""
    return TITLES.get(method, method.replace("-", " ").capitalize())


def plain_name(text: str) -> str:
    """A name of a class as a part of the name of a file: letters, digits, dots and dashes, at most 40."""
    return re.sub(r"[^\w.-]+", "-", text, flags=re.ASCII).strip("-.")[:40] or "class"
