"""Do the maps tell the truth? Every map of the table of views, by truly trained networks, against random maps.

    python benchmarks/trust_maps.py [--parts efficientnet-lite0 squeezenet1_0 raccoons]

Deletion and insertion: EfficientNet-Lite0 and SqueezeNet with their ImageNet weights on pictures of imagenet-1k-sample,
for the class that the network answers. Pointing game: a network that `striate train` made of raccoon-boxes (its
training pictures) and the 20 classes of caltech101-20; its maps for "raccoon" on the 40 test pictures with their boxes.
The rivals: random maps as smooth as each map is, an edge detector, and a blob in the middle. A round is a fifth of the
pictures; every map is judged on the same ones. The pictures: the shared data pack.
"""

from __future__ import annotations

import csv
import math
import shutil
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np

import pictures
from harness import Contender, carry_out, options, workplace
from judging import Goal
from page import Column

NAME = "trust_maps"
ROUNDS = 5
EACH = 10  # pictures a round and network for deletion and insertion
STEPS, RIVALS = 12, 2
RANDOMS = 8  # random maps a picture in the pointing game
SOFT = 16.0  # pixels, the smoothness of the softer ones
TOLERANCE = 0.0
EDGES, MIDDLE = "edge detector", "a blob in the middle"
RANDOM_PIXELS, RANDOM_SOFT = "random maps, single pixels", "random maps, soft"
# name -> (of the record, in words, file of weights in the data pack where its makers publish them elsewhere)
NETWORKS: dict[str, tuple[str, str, str | None]] = {
    "efficientnet-lite0": ("lite0", "EfficientNet-Lite0", None),
    "squeezenet1_0": ("squeezenet", "SqueezeNet 1.0", "squeezenet1_0.safetensors"),
}
PHOTOS, RACCOON = "raccoons", "raccoon"
# Every picture is squashed, so that its boxes are where its pixels are.
TRAINING: dict[str, Any] = {"fit": "squash", "seed": 0}


@dataclass(frozen=True, eq=False)
class Case:
    """A picture as the network takes it (C, H, W), the same in grey levels (H, W), the class, and its boxes (N, 4)."""

    picture: Any
    grey: Any
    class_index: int
    boxes: Any = None


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure all parts, or those that are named."""
    parser = options(__doc__ or "", rounds=ROUNDS, minutes=25)
    parts = (*NETWORKS, PHOTOS)
    parser.add_argument("--parts", nargs="+", choices=parts, default=parts, metavar="PART", help=", ".join(parts))
    given = parser.parse_args(arguments)
    status = 0
    for network in NETWORKS:
        if network in given.parts:
            status |= by_deletion(network, given)
    if PHOTOS in given.parts:
        status |= by_pointing(given)
    return status


# deletion and insertion


def by_deletion(network: str, given: Any) -> int:
    """One network's table."""
    import striate
    from striate.views.fared import fared
    from striate.views.random_maps import smoothness

    record, words, file = NETWORKS[network]
    weights = None if file is None else pictures.data_pack() / "weights" / file
    model = striate.load(network=network, weights=weights, class_names="imagenet", device="cpu")
    each, steps = (1, 3) if given.quick else (EACH, STEPS)
    names = chosen_maps(given)
    files = sorted((pictures.data_pack() / "imagenet-1k-sample" / "images").glob("*.jpg"))
    chosen = files[:: len(files) // (ROUNDS * each)][: ROUNDS * each]

    @cache
    def judged(number: int) -> dict[str, dict[str, float]]:
        found: dict[str, list[dict[str, float]]] = {}
        for photograph in chosen[number * each : (number + 1) * each]:
            case = case_of(model, pixels_of(photograph))
            maps = {**maps_of(model.network, case, names), EDGES: edges(case.grey), MIDDLE: middle(case.grey)}
            rivals = {name: softened_edges(case.grey, smoothness(one)) for name, one in maps.items()}
            drawn = dict(rivals.values())  # equally soft ones once
            given_to = (model.network, case.picture, {**maps, **drawn}, case.class_index)
            areas = fared(*given_to, steps=steps, rivals=RIVALS)
            for name, (softness, _) in rivals.items():
                found.setdefault(name, []).append(compared_areas(areas[name], areas[softness]))
        return {name: with_shares(means(figures)) for name, figures in found.items()}

    goals = [goal for name in names for goal in deletion_goals(name)]
    return carry_out(
        f"{NAME}_{record}",
        [contender(name, judged) for name in (*names, EDGES, MIDDLE)],
        given=given,
        columns=[
            Column("deletion", "deletion: area"),
            Column("deletion_to_random", "of random maps'"),
            Column("deletion_to_edges", "of edges'"),
            Column("insertion", "insertion: area"),
            Column("insertion_to_random", "of random maps'"),
            Column("insertion_to_edges", "of edges'"),
        ],
        goals=goals,
        compared=None,
        facts=[
            f"{words}, {ROUNDS * each} pictures of imagenet-1k-sample, {each} a round, {steps} steps, "
            f"{RIVALS} random maps and an edge map that are as smooth as each map is."
        ],
        program=NAME,
        peers=False,
    )


def softened_edges(grey: Any, smooth: float) -> tuple[str, Any]:
    """The edges of a picture, blurred about as soft as a map of this smoothness; how soft, in words, and the map."""
    from striate.views.blur import blurred

    doublings = round(math.log2(smooth / 0.5))  # as `fared` has them: 0 for single pixels
    return f"edges {doublings}", blurred(edges(grey), 0.5 * 2**doublings if doublings else 0.0)


def compared_areas(own: Any, edge: Any) -> dict[str, float]:
    """The areas of a map, of its random rivals, and of edges."""
    return {
        "deletion": own.deletion,
        "insertion": own.insertion,
        "random deletion": mean(own.random_deletion),
        "random insertion": mean(own.random_insertion),
        "edge deletion": edge.deletion,
        "edge insertion": edge.insertion,
    }


def with_shares(figures: Mapping[str, float]) -> dict[str, float]:
    """The areas, and what share they are of those of the rivals that are as smooth."""
    shares = {
        f"{area}_to_{rivals}": figures[area] / figures[f"{rival} {area}"]
        for area in ("deletion", "insertion")
        for rivals, rival in (("random", "random"), ("edges", "edge"))
    }
    return {"deletion": figures["deletion"], "insertion": figures["insertion"], **shares}


def deletion_goals(name: str) -> list[Goal]:
    """Below random maps, and below edges."""
    return [
        Goal(words=f"{name}: less than {rival}", figure=f"deletion_to_{key}", contender=name, at_most=1.0)
        for key, rival in (("random", "random maps"), ("edges", "edges"))
    ]


# pointing game


def by_pointing(given: Any) -> int:
    """Train, then the table."""
    import torch

    import striate
    from striate.views.pointing import pointing
    from striate.views.random_maps import NOISE, random_map

    with workplace() as folder:
        run = striate.train(
            raccoons_and_others(folder / "photos"),
            out=folder / "run",
            **({"epochs": 1} if given.quick else {}),
            **TRAINING,
        )
        model = striate.load(run, device="cpu")
        accuracy = run.metrics["test"]["accuracy"]["value"]
    raccoon = model.class_names.index(RACCOON)
    boxes, names = raccoon_boxes("test"), chosen_maps(given)
    files = list(boxes)[:ROUNDS] if given.quick else list(boxes)
    cases = [case_of(model, pixels_of(file), raccoon, boxes[file]) for file in files]
    with torch.no_grad():
        right = mean([float(model.network(case.picture[None])[0].argmax() == raccoon) for case in cases])

    @cache
    def judged(number: int) -> dict[str, dict[str, float]]:
        found: dict[str, list[dict[str, float]]] = {}
        for place in range(number, len(cases), ROUNDS):
            case = cases[place]
            height, width = case.grey.shape
            tried = {name: [one] for name, one in maps_of(model.network, case, names).items()}
            tried |= {EDGES: [edges(case.grey)], MIDDLE: [middle(case.grey)]}
            for name, smooth in ((RANDOM_PIXELS, NOISE), (RANDOM_SOFT, SOFT)):
                draws = range(place * RANDOMS, (place + 1) * RANDOMS)
                tried[name] = [random_map(height, width, smooth, seed=0, number=draw) for draw in draws]
            for name, maps in tried.items():
                points = [pointing(one, case.boxes, tolerance=TOLERANCE) for one in maps]
                figures = {"hit": mean([one.hit for one in points]), "share": mean([one.share for one in points])}
                found.setdefault(name, []).append({**figures, "area": points[0].area})
        return with_leads({name: means(figures) for name, figures in found.items()})

    rivals = (RANDOM_PIXELS, RANDOM_SOFT, EDGES)
    covered = mean([pointing(torch.ones_like(case.grey), case.boxes).area for case in cases])
    return carry_out(
        f"{NAME}_raccoons",
        [contender(name, judged) for name in (*names, *rivals, MIDDLE)],
        given=given,
        columns=[Column("hit", "points at it", percent=True), Column("share", "of the map on it", percent=True)],
        goals=[goal for name in names for goal in pointing_goals(name)],
        compared=None,
        facts=[
            f"`striate train` on 120 raccoons and 200 pictures of 20 other classes: test accuracy {accuracy:.1%}; "
            f"{right:.0%} of the {len(cases)} raccoons are answered so. Maps for raccoon on all of them; the boxes "
            f"cover {covered:.0%} of the pictures.",
        ],
        program=NAME,
        peers=False,
    )


def with_leads(found: Mapping[str, Mapping[str, float]]) -> dict[str, dict[str, float]]:
    """The figures of one round, with 1 and by which share of the pictures each points at the thing more often than the
    better random maps, and than edges. No quotients: among a few pictures a rival may never point at it."""
    random = max(found[name]["hit"] for name in (RANDOM_PIXELS, RANDOM_SOFT))
    edge = found[EDGES]["hit"]
    return {
        name: {**one, "lead_over_random": 1 + one["hit"] - random, "lead_over_edges": 1 + one["hit"] - edge}
        for name, one in found.items()
    }


def pointing_goals(name: str) -> list[Goal]:
    """As often as random maps or more often, and as edges."""
    return [
        Goal(
            words=f"{name}: points at it at least as often as {rival}",
            figure=f"lead_over_{key}",
            contender=name,
            at_least=1.0,
        )
        for key, rival in (("random", "random maps"), ("edges", "edges"))
    ]


def raccoons_and_others(folder: Path) -> Path:
    """Class folders under train and test."""
    for split in ("train", "test"):
        for file in raccoon_boxes(split):
            copied(file, folder / split / RACCOON / file.name)
    source = pictures.data_pack() / "caltech101-20"
    with (source / "labels.csv").open(newline="", encoding="utf-8") as file:
        for row in csv.DictReader(file):
            place = source / row["path"]
            copied(place, folder / row["split"] / row["class"] / place.name)
    return folder


def copied(file: Path, target: Path) -> None:
    """Copy, with the folder."""
    target.parent.mkdir(parents=True, exist_ok=True)
    shutil.copyfile(file, target)


@cache
def raccoon_boxes(split: str) -> dict[Path, list[list[float]]]:
    """The pictures of a split and their boxes as shares of the sides: left, top, right, bottom."""
    folder = pictures.data_pack() / "raccoon-boxes"
    found: dict[Path, list[list[float]]] = {}
    with (folder / "boxes.csv").open(newline="", encoding="utf-8") as file:
        for row in csv.DictReader(file):
            if row["split"] == split:
                sides = (float(row["width"]), float(row["height"]))
                box = [float(row[key]) / sides[place % 2] for place, key in enumerate(("xmin", "ymin", "xmax", "ymax"))]
                found.setdefault(folder / row["path"], []).append(box)
    return found


# the maps and their rivals


def chosen_maps(given: Any) -> tuple[str, ...]:
    """The maps of the table of views, or those that --only leaves."""
    from striate.views import VIEWS

    names = (name for name, view in VIEWS.items() if view.group == "map")
    return tuple(name for name in names if not given.only or any(word in name for word in given.only))


def maps_of(network: Any, case: Case, names: Sequence[str]) -> dict[str, Any]:
    """These maps (H, W) of one picture and its class."""
    from striate.views import VIEWS

    return {name: VIEWS[name].load()(network, case.picture[None], case.class_index).values[0, 0] for name in names}


def case_of(model: Any, pixels: np.ndarray, class_index: int | None = None, boxes: Any = None) -> Case:
    """A picture as this model takes it; the class that it answers where none is named."""
    import torch

    prepared = model.prepare(pixels)
    with torch.no_grad():
        picture = model.inputs(prepared[None])[0].contiguous()
        if class_index is None:
            class_index = int(model.network.eval()(picture[None])[0].argmax())
    sides = torch.tensor([picture.shape[2], picture.shape[1]] * 2)
    placed = None if boxes is None else torch.tensor(boxes) * sides
    return Case(picture, prepared.float().mean(dim=0), class_index, placed)


def edges(grey: Any) -> Any:
    """The size of the gradient of the grey levels (H, W) by Sobel's filters, edges of the picture left out."""
    import torch
    from torch.nn import functional

    across = torch.tensor([[-1.0, 0.0, 1.0], [-2.0, 0.0, 2.0], [-1.0, 0.0, 1.0]])
    padded = functional.pad(grey[None, None], (1, 1, 1, 1), mode="replicate")
    slopes = functional.conv2d(padded, torch.stack([across, across.T])[:, None])[0]
    return slopes.norm(dim=0)


def middle(grey: Any) -> Any:
    """What knows of no picture that what matters is mostly in the middle: (H, W)."""
    import torch

    height, width = grey.shape
    down = torch.linspace(-1, 1, height)[:, None]
    return torch.exp(-2 * (down**2 + torch.linspace(-1, 1, width) ** 2))


def pixels_of(file: Path) -> np.ndarray:
    """A photograph (H, W, 3)."""
    from PIL import Image

    with Image.open(file) as opened:
        return np.asarray(opened.convert("RGB"))


def contender(name: str, judged: Callable[[int], dict[str, dict[str, float]]]) -> Contender:
    """A map or a rival: its figures of one round after another, which are computed for all of them at once."""
    numbers: Iterator[int] = iter(range(ROUNDS))
    rivals = (EDGES, MIDDLE, RANDOM_PIXELS, RANDOM_SOFT)
    return Contender(name=name, way="rival" if name in rivals else "map", measure=lambda: judged(next(numbers))[name])


def mean(values: Sequence[float]) -> float:
    """Of at least one value."""
    return sum(values) / len(values)


def means(figures: Sequence[Mapping[str, float]]) -> dict[str, float]:
    """The mean of each figure."""
    return {key: mean([one[key] for one in figures]) for key in figures[0]}


if __name__ == "__main__":
    sys.exit(main())
