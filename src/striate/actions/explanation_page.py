"""An explanation as its page shows it, and the pictures on it, which are files of their own, too.

Legend: H W pixels and C channels of what the network saw, K classes that maps are of.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np

from striate.actions.explanation import OCCLUSION, Explanation, Mapped, short_name
from striate.views.titles import title_of

if TYPE_CHECKING:
    from striate.reports.explanation import Drawn, ExplanationPage, Method, Share, Turning

SEEN, SQUARE = "picture.png", "smallest-square.png"
WHOLE = 192  # of the whole picture, where the network saw a part of it
MOST_SHARES = 6  # classes in the list of answers, beside those with a role


def method_of(found: Explanation, one: Mapped, files: dict[str, bytes], told: dict[str, str]) -> Method:
    """A method as the page shows it; its pictures join `files`, and what they are joins `told`."""
    from striate.reports import colours
    from striate.reports.explanation import Fared, Method
    from striate.views import VIEWS

    view, title = VIEWS[one.method], title_of(one.method)
    # One scale for all classes, so that they can be compared.
    largest = colours.strength(one.values)
    drawn = []
    for number, (name, values) in enumerate(zip(found.classes, one.values, strict=True)):
        stem = one.method if len(found.classes) == 1 else f"{one.method}-{number + 1}-{short_name(name)}"
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


def page_of(
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
