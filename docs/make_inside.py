"""The pictures of looking-inside.md: each view on networks that were truly trained.

    python docs/make_inside.py [VIEW ...]

EfficientNet-Lite0 with the weights of the installation and SqueezeNet 1.0 with those of the shared data pack
(`../shared` beside the repository, or STRIATE_SHARED), on photographs of its caltech101-20. About five minutes on two
cores. What a picture shows is said in the page (`make_pages.py`); here it is only made. All together stay below a
megabyte.
"""

from __future__ import annotations

import argparse
import csv
import os
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np

DOCS = Path(__file__).resolve().parent
IMAGES = DOCS / "images" / "inside"
# Classes of caltech101-20 that ImageNet has too, and which of their pictures for training: photographs, no drawings.
SHOWN = (("llama", 3), ("dragonfly", 2))
CELL, GAP = 168, 4  # pixels of a picture in a strip, and between two
QUALITY = 80
LARGEST = 1_000_000  # bytes of all pictures
SEED = 0


@dataclass(frozen=True, eq=False)
class Shown:
    """A photograph: as a model takes it (1, C, H, W), as it is seen (H, W, 3) uint8, and the class that is answered."""

    inputs: Any
    seen: np.ndarray
    class_index: int


def main() -> int:
    """Make the pictures of all views, or of those that are named."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("views", nargs="*", metavar="VIEW", help=", ".join(figures()))
    given = parser.parse_args()
    for name in given.views:
        if name not in figures():
            parser.error(f"no picture of '{name}'")
    if not data_pack().is_dir():
        print(f"{data_pack()}: the data pack is not there; say where with STRIATE_SHARED=FOLDER", file=sys.stderr)
        return 2
    IMAGES.mkdir(parents=True, exist_ok=True)
    for name in given.views or figures():
        place = IMAGES / f"{name.replace('+', '-plus')}.jpg"
        save(figures()[name](), place)
        print(f"wrote {place}: {place.stat().st_size:,} bytes", flush=True)
    size = sum(file.stat().st_size for file in IMAGES.iterdir())
    print(f"{size:,} bytes in all")
    return 0 if size < LARGEST else 1


@cache
def figures() -> dict[str, Callable[[], np.ndarray]]:
    """View -> what makes its picture (H, W, 3) uint8."""
    from striate.views import VIEWS

    maps = {name: lambda name=name: map_strip(name) for name, view in VIEWS.items() if view.group == "map"}
    others = {
        "filters": filters,
        "feature-maps": feature_maps,
        "top-patches": top_patches,
        "invariance": moved,
        "feature-space": feature_space,
        "dreams": dreams,
        "deepdream": deepdream,
        "deletion": deletion,
        "randomisation": randomisation,
        "planted-square": planted_square,
    }
    return maps | {name: function for name, function in others.items() if name in VIEWS}


# maps


def map_strip(name: str) -> np.ndarray:
    """Photograph, map by one network, map by the other; another photograph and its two."""
    from striate.errors import InputError
    from striate.views import VIEWS

    cells = []
    for wanted in SHOWN:
        for number, model in enumerate(models()):
            shown = shown_to(model, photograph(*wanted))
            if number == 0:
                cells.append(shown.seen)
            try:
                values = VIEWS[name].load()(model.network, shown.inputs, shown.class_index).values[0, 0].numpy()
            except InputError as error:  # a view that cannot be right for one of them says so; the cell stays empty
                print(f"{name}: {error}", file=sys.stderr)
                cells.append(np.full_like(shown.seen, 128))
                continue
            cells.append(laid_over(values, shown.seen))
    return strip(cells)


def laid_over(values: np.ndarray, seen: np.ndarray) -> np.ndarray:
    """A map over the dimmed photograph, as the page of `striate explain` has it."""
    from striate.reports.colours import over, strength

    return over(values, seen, strength(values))


# what was learned


def filters() -> np.ndarray:
    """The filters of the first layer of either network."""
    from striate.views import VIEWS

    rows = []
    for model in models():
        shown = shown_to(model, photograph(*SHOWN[0]))
        weights = VIEWS["filters"].load()(model.network, shown.inputs)[0].values.numpy()
        cells = [np.kron(stretched(one.transpose(1, 2, 0)), np.ones((6, 6, 1), np.uint8)) for one in weights]
        rows.append(grid(cells, 32))
    width = max(one.shape[1] for one in rows)
    return np.vstack([padded(one, width) for one in rows])


def feature_maps() -> np.ndarray:
    """The strongest maps of six layers of SqueezeNet, from the picture upwards."""
    from striate.reports.colours import alone
    from striate.views import VIEWS

    model = models()[1]
    shown = shown_to(model, photograph(*SHOWN[0]))
    found = VIEWS["feature-maps"].load()(model.network, shown.inputs)
    chosen = [found[round(number * (len(found) - 1) / 5)] for number in range(6)]
    cells = [one.values[0, unit].numpy() for one in chosen for unit in one.strongest(0, 2)]
    drawn = [sized(alone(cell, float(np.abs(cell).max())), 88) for cell in cells]
    return grid(drawn, 12)


def top_patches() -> np.ndarray:
    """Three units of SqueezeNet: the photographs that excite each most, and what the deconvnet makes of them."""
    import torch

    from striate.taps.fields import receptive_fields
    from striate.views.deconvnet import reconstructions
    from striate.views.top_patches import top_patches

    model = models()[1]
    layer, units = "features.7.expand3x3_activation", (20, 57, 113)
    photographs = [shown_to(model, pixels) for pixels, _ in caltech("train")]
    inputs = torch.cat([one.inputs for one in photographs])
    top = top_patches(model.network, inputs, layers=[layer], count=6)[layer]
    fields = receptive_fields(model.network, [layer], tuple(inputs.shape[1:]))[layer]
    rows = []
    for unit in units:
        best = top.of(unit)
        numbers, cells = [row for _, row, _ in best], [cell for _, _, cell in best]
        made = reconstructions(model.network, inputs[numbers], layer, [unit] * len(best), cells, fields=fields).numpy()
        drawn = []
        for number, cell, one in zip(numbers, cells, made, strict=True):
            up, left, down, right = fields.at(*cell)
            patch = photographs[number].seen[up:down, left:right]
            back = stretched(one.transpose(1, 2, 0)[up:down, left:right])
            drawn += [sized(patch, 76), sized(back, 76)]
        rows.append(grid(drawn, 12))
    return np.vstack(rows)


def moved() -> np.ndarray:
    """A photograph moved, scaled and turned, and beside it how far the features of three layers of SqueezeNet move,
    a low one (dark), one in the middle, the last (white)."""
    import torch

    from striate.views.invariance import changed, invariance, matrix

    model = models()[1]
    shown = shown_to(model, photograph(*SHOWN[0]))
    layers = ["features.2", "features.7.expand3x3_activation", "classifier.3"]
    mean = torch.tensor(model.input_spec.mean).view(-1, 1, 1) * 255
    seen = torch.from_numpy(shown.seen.copy()).permute(2, 0, 1).float()[None] - mean
    rows = []
    for one in invariance(model.network, shown.inputs, shown.class_index, layers=layers):
        amounts = one.amounts[torch.linspace(0, len(one.amounts) - 1, 5).round().long()].tolist()
        matrices = torch.stack([matrix(one.change, amount, seen.shape[2:]) for amount in amounts])
        cells = [as_seen(picture.clamp(0, 255) / 255) for picture in changed(seen, matrices) + mean]
        shares = (one.distances[:, 0] / one.lengths[:, :1]).numpy()
        rows.append(np.hstack([grid([sized(cell, 118) for cell in cells], 5), curves(shares, 2 * 118, 118 + GAP)]))
    return np.vstack(rows)


def feature_space() -> np.ndarray:
    """400 photographs of 20 classes where t-SNE puts what EfficientNet-Lite0 makes of them."""
    import torch
    from PIL import Image

    from striate.views.feature_space import feature_space

    model = models()[0]
    photographs = [shown_to(model, pixels) for pixels, _ in caltech("test")]
    inputs = torch.cat([one.inputs for one in photographs])
    points = feature_space(model.network, inputs, way="t-sne", seed=SEED).points.numpy()
    low, high = points.min(axis=0), points.max(axis=0)
    side, small = 760, 34
    places = ((points - low) / (high - low) * (side - small)).astype(int)
    sheet = Image.new("RGB", (side, side), (24, 26, 30))
    for one, (across, down) in zip(photographs, places.tolist(), strict=True):
        sheet.paste(Image.fromarray(sized(one.seen, small)), (across, down))
    return np.asarray(sheet)


# dreams


def dreams() -> np.ndarray:
    """What EfficientNet-Lite0 takes for the surest of six classes."""
    from striate.views import VIEWS

    model = models()[0]
    spec = model.input_spec
    # goldfish, peacock, starfish, lighthouse, volcano, strawberry
    found = VIEWS["dreams"].load()(
        model.network,
        (1, 84, 327, 437, 980, 949),
        size=(spec.height, spec.width),
        mean=spec.mean,
        deviation=spec.deviation,
        seed=SEED,
    )
    return strip([as_seen(one) for one in found.pixels])


def deepdream() -> np.ndarray:
    """A photograph, and what three layers of SqueezeNet add to it."""
    import torch

    from striate.views import VIEWS

    model = models()[1]
    shown = shown_to(model, photograph(*SHOWN[1]))
    picture = torch.from_numpy(shown.seen.copy()).permute(2, 0, 1) / 255
    cells = [shown.seen]
    for layer in ("features.3", "features.7", "features.12"):
        found = VIEWS["deepdream"].load()(
            model.network, picture, layer=layer, mean=model.input_spec.mean, deviation=model.input_spec.deviation
        )
        cells.append(as_seen(found.pixels[0]))
    return strip(cells)


# trust


def deletion() -> np.ndarray:
    """A photograph as it loses the pixels that Grad-CAM marks, and as it loses those that a random map does."""
    import torch

    from striate.views.deletion import between, fractions, ranks
    from striate.views.grad_cam import grad_cam
    from striate.views.random_maps import random_map, smoothness

    model = models()[0]
    shown = shown_to(model, photograph(*SHOWN[0]))
    importance = grad_cam(model.network, shown.inputs, shown.class_index).values[0, 0]
    random = random_map(*importance.shape, smoothness(importance), seed=SEED, number=0)
    seen = torch.from_numpy(shown.seen.copy()).permute(2, 0, 1)
    filled = torch.full_like(seen, 128)
    rows = []
    for marks in (importance, random):
        taken = between(seen, filled, ranks(marks, SEED), fractions(6)[:6])
        rows.append(strip([one.permute(1, 2, 0).numpy() for one in taken]))
    return np.vstack(rows)


def randomisation() -> np.ndarray:
    """Grad-CAM and guided back-propagation while EfficientNet-Lite0's layers lose their order from the top."""
    import copy

    from striate.views.grad_cam import grad_cam
    from striate.views.randomisation import put_out_of_order, randomisation
    from striate.views.rectified import guided_backpropagation

    model = models()[0]
    shown = shown_to(model, photograph(*SHOWN[0]))
    rows = []
    for method in (grad_cam, guided_backpropagation):
        layers = randomisation(model.network, shown.inputs, method, shown.class_index, steps=4, seed=SEED).layers
        network = copy.deepcopy(model.network)
        cells = [
            shown.seen,
            laid_over(method(network, shown.inputs, shown.class_index).values[0, 0].numpy(), shown.seen),
        ]
        for names in layers:
            for name in names:
                put_out_of_order(network.get_submodule(name), name, SEED)
            values = method(network, shown.inputs, shown.class_index).values[0, 0].numpy()
            cells.append(laid_over(values, shown.seen))
        rows.append(strip(cells))
    return np.vstack(rows)


def planted_square() -> np.ndarray:
    """Two pictures with a square, each with its Grad-CAM by the trained network and by the one of random weights."""
    from striate.views.grad_cam import grad_cam
    from striate.views.planted_square import plant

    trained, fresh = plant(seed=SEED), plant(trained=False, seed=SEED)
    cells = []
    for number in (0, 1):
        picture, wanted = trained.pictures[number : number + 1], int(trained.classes[number])
        seen = np.repeat(((picture[0, 0].numpy() + 1) * 127.5).astype(np.uint8)[..., None], 3, axis=2)
        seen = np.kron(seen, np.ones((3, 3, 1), np.uint8))
        cells.append(seen)
        for planted in (trained, fresh):
            values = grad_cam(planted.network, picture, wanted).values[0, 0].numpy()
            cells.append(laid_over(np.kron(values, np.ones((3, 3))), seen))
    return strip(cells)


# networks and photographs


def data_pack() -> Path:
    """The shared data pack."""
    return Path(os.environ.get("STRIATE_SHARED", DOCS.parent.parent / "shared")) / "data"


@cache
def models() -> tuple[Any, Any]:
    """EfficientNet-Lite0 and SqueezeNet with their ImageNet weights."""
    import striate

    weights = data_pack() / "weights" / "squeezenet1_0.safetensors"
    return (
        striate.load(network="efficientnet-lite0", device="cpu"),
        striate.load(network="squeezenet1_0", weights=weights, device="cpu"),
    )


@cache
def caltech(split: str) -> list[tuple[np.ndarray, str]]:
    """Photographs (H, W, 3) of a split of caltech101-20, and their classes."""
    from PIL import Image

    folder = data_pack() / "caltech101-20"
    found = []
    with (folder / "labels.csv").open(newline="", encoding="utf-8") as file:
        for row in csv.DictReader(file):
            if row["split"] == split:
                with Image.open(folder / row["path"]) as opened:
                    found.append((np.asarray(opened.convert("RGB")), row["class"]))
    return found


def photograph(wanted: str, number: int) -> np.ndarray:
    """One of a class for training."""
    return [pixels for pixels, name in caltech("train") if name == wanted][number]


def shown_to(model: Any, pixels: np.ndarray) -> Shown:
    """A photograph as a model takes it."""
    import torch

    prepared = model.prepare(pixels)
    with torch.no_grad():
        inputs = model.inputs(prepared[None])
        answer = int(model.network(inputs)[0].argmax())
    return Shown(inputs, prepared.permute(1, 2, 0).numpy(), answer)


# drawing


def strip(cells: Sequence[np.ndarray]) -> np.ndarray:
    """Pictures beside each other, each CELL wide and high."""
    return grid([sized(cell, CELL) for cell in cells], len(cells))


def grid(cells: Sequence[np.ndarray], columns: int) -> np.ndarray:
    """Pictures of one size in rows of so many, with gaps of a grey that is neither page's."""
    height, width = cells[0].shape[:2]
    rows = -(-len(cells) // columns)
    sheet = np.full((rows * (height + GAP), columns * (width + GAP), 3), 128, np.uint8)
    for number, cell in enumerate(cells):
        down, across = (number // columns) * (height + GAP), (number % columns) * (width + GAP)
        sheet[down : down + height, across : across + width] = cell
    return sheet


def curves(values: np.ndarray, width: int, height: int) -> np.ndarray:
    """Up to three lines (L, T) from 0 to the largest, on grey: dark, orange, white."""
    from PIL import Image, ImageDraw

    fine = 4  # drawn larger and reduced, so that lines are smooth
    picture = Image.new("RGB", (fine * width, fine * height), (128, 128, 128))
    draw, margin = ImageDraw.Draw(picture), fine * 8
    across = np.linspace(margin, fine * width - margin, values.shape[1])
    for line, shade in zip(values, ((25, 25, 25), (255, 165, 60), (255, 255, 255)), strict=False):
        down = fine * height - margin - (fine * height - 2 * margin) * line / max(1e-9, float(values.max()))
        draw.line(list(zip(across.tolist(), down.tolist(), strict=True)), fill=shade, width=fine * 2, joint="curve")
    return np.asarray(picture.resize((width, height), Image.Resampling.LANCZOS))


def padded(sheet: np.ndarray, width: int) -> np.ndarray:
    """A sheet with grey on its right."""
    return np.pad(sheet, ((0, 0), (0, width - sheet.shape[1]), (0, 0)), constant_values=128)


def sized(cell: np.ndarray, side: int) -> np.ndarray:
    """A picture (H, W, 3) uint8 at another size."""
    from PIL import Image

    return np.asarray(Image.fromarray(np.ascontiguousarray(cell)).resize((side, side), Image.Resampling.BICUBIC))


def stretched(values: np.ndarray) -> np.ndarray:
    """Numbers (H, W, 3) as a picture: 0 is grey, the largest magnitude is full."""
    largest = float(np.abs(values).max()) or 1.0
    return np.rint(127.5 + 127.5 * values / largest).astype(np.uint8)


def as_seen(picture: Any) -> np.ndarray:
    """A tensor (C, H, W) in [0, 1] -> (H, W, 3) uint8."""
    pixels: np.ndarray = (picture.permute(1, 2, 0).numpy() * 255).round().astype(np.uint8)
    return pixels


def save(sheet: np.ndarray, place: Path) -> None:
    """As a JPEG without anything beside the pixels."""
    from PIL import Image

    Image.fromarray(sheet).save(place, quality=QUALITY, optimize=True, progressive=True)


if __name__ == "__main__":
    sys.exit(main())
