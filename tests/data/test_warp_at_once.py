"""Pictures placed on a device, all of a batch at once, are those that the processor places one by one.

The device is the processor here, through the same code; where there is a GPU, that too.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing, contextmanager
from typing import Any

import numpy as np
import pytest
import torch
from torch.nn import functional

from kept_pictures import Classes, Kept
from striate.data.augment import apply
from striate.data.augmentation import Augmentation
from striate.data.batches import Batch, Batches
from striate.data.drawing import draw
from striate.data.packing import ROOM, packed
from striate.data.warp_at_once import LONGEST, Lines, filters
from striate.machine.beside import Beside, made_on
from striate.models.input_spec import InputSpec

DEVICES = ["cpu", *(["cuda"] if torch.cuda.is_available() else [])]
WAYS: list[dict[str, Any]] = [
    {},
    {"pad_crop": 4, "flip_horizontal": True, "flip_vertical": True},
    {"translation": 0.3, "flip_horizontal": True},
    {"random_resized_crop": 0.2, "flip_horizontal": True, "flip_vertical": True},
    {"random_resized_crop": 0.5, "scale": 1.4, "translation": 0.4, "flip_horizontal": True},
    {"rotation": 30.0, "flip_vertical": True},
    {"rotation": 15.0, "scale": 1.3, "shear": 8.0, "translation": 0.5},
    {"random_resized_crop": 0.3, "rotation": 20.0, "flip_vertical": True, "pad_crop": 3},
]
SIZES = {
    "own": [(32, 28)] * 3,
    "small": [(40, 52)] * 3,
    "large": [(130, 90)] * 3,
    "ragged": [(90, 130), (150, 100), (20, 31), (300, 40), (1, 1)],
}


def spec(channels: int = 3, fit: str = "squash", height: int = 32, width: int = 28, **more: Any) -> InputSpec:
    values = {"mean": (0.4, 0.5, 0.6)[:channels], "deviation": (0.2,) * channels}
    return InputSpec(channels=channels, height=height, width=width, fit=fit, **values, **more)


def noise(sizes: list[tuple[int, int]], dtype: Any = np.uint8, channels: int = 3) -> list[np.ndarray]:
    """Every pixel by itself: whatever is read at a wrong place shows."""
    chance = np.random.default_rng(0)
    return [chance.uniform(0, 255, (*size, channels)).astype(dtype) for size in sizes]


def both(
    pictures: list[np.ndarray], options: Augmentation, frame: InputSpec, device: str, uniform: bool, epoch: int = 1
) -> tuple[torch.Tensor, torch.Tensor]:
    """By the processor, and on the device."""
    shapes = np.array([picture.shape for picture in pictures])
    drawn = draw(options, 3, epoch, np.arange(len(pictures)), shapes, frame, uniform=uniform)
    given = np.stack(pictures) if uniform else pictures
    there = apply(given, drawn, frame, Beside(device))
    assert there.device.type == device
    assert there.is_contiguous(memory_format=torch.channels_last)
    return apply(given, drawn, frame), there.cpu()


@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize("options", WAYS, ids=lambda options: "+".join(options) or "nothing")
@pytest.mark.parametrize("fit", ["squash", "crop", "pad"])
@pytest.mark.parametrize("sizes", SIZES)
@pytest.mark.parametrize("dtype", [np.uint8, np.float32])
def test_a_device_places_pictures_as_the_processor_does(device, options, fit, sizes, dtype):
    pictures = noise(SIZES[sizes], dtype)
    here, there = both(pictures, Augmentation(**options), spec(fit=fit), device, sizes != "ragged")
    assert there.dtype == here.dtype
    assert there.shape == here.shape
    error = (there.float() - here.float()).abs()
    if dtype == np.float32:
        # What is left is the place of a sample, which float32 holds to 1e-5 of a pixel.
        assert float(error.max()) < 0.05
    else:
        # The processor rounds after a reduction's columns, after its rows, and after the warp.
        assert float(error.max()) <= 2
        assert float(error.mean()) < 0.35


@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize("dtype", [np.uint8, np.float32])
@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("fit", ["squash", "crop", "pad"])
def test_whole_pixels_are_moved_exactly(device, dtype, channels, fit):
    pictures = noise([(32, 28)] * 40, dtype, channels)
    options = Augmentation(pad_crop=5, flip_horizontal=True, flip_vertical=True)
    here, there = both(pictures, options, spec(channels, fit), device, uniform=True)
    assert torch.equal(here, there)
    assert len({here[index].numpy().tobytes() for index in range(40)}) == 40


@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize("fit", ["squash", "crop", "pad"])
@pytest.mark.parametrize("interpolation", ["bilinear", "bicubic"])
@pytest.mark.parametrize("share", [1.0, 0.8])
def test_nothing_drawn_is_what_prepare_gives(device, fit, interpolation, share):
    frame = spec(fit=fit, interpolation=interpolation, crop_share=share)
    # torch places its filters by float32, which at pixel 200 holds 1e-5 of a pixel.
    for dtype, most in ((np.uint8, 1.0), (np.float32, 5e-3)):
        pictures = noise([(50, 90), (33, 32), (32, 28), (7, 5), (1, 1), (200, 31)], dtype)
        pictures.append(pictures[0][..., :1])  # a grey one among them
        _, there = both(pictures, Augmentation(), frame, device, uniform=False)
        for picture, one in zip(pictures, there, strict=True):
            assert float((frame.prepare(picture).float() - one.float()).abs().max()) <= most


@pytest.mark.parametrize("device", DEVICES)
def test_colours_and_rectangles_are_the_same_functions(device):
    options = Augmentation(brightness=0.4, contrast=0.5, saturation=0.8, hue=0.3, erasing=0.8)
    for dtype, most in ((np.uint8, 1.0), (np.float32, 1e-2)):
        here, there = both(noise([(32, 28)] * 9, dtype), options, spec(), device, uniform=True)
        assert float((here.float() - there.float()).abs().max()) <= (0 if device == "cpu" else most)


AXES = (0.12, 0.11, 0.1, 0.01, 0.0, -0.01, 0.002, -0.004, 0.002)  # of colour, as photographs have them


@pytest.mark.parametrize("device", DEVICES)
def test_tints_blur_and_noise_are_the_same_functions(device):
    options = Augmentation(pca_colour=1.0, pca_axes=AXES, blur=1.5, noise=0.2)
    for dtype, most in ((np.uint8, 1.0), (np.float32, 1e-2)):
        here, there = both(noise([(32, 28)] * 9, dtype), options, spec(), device, uniform=True)
        assert float((here.float() - there.float()).abs().max()) <= (0 if device == "cpu" else most)


@pytest.mark.parametrize("interpolation", ["bilinear", "bicubic"])
@pytest.mark.parametrize(("length", "count"), [(224, 224), (500, 224), (37, 224), (225, 224), (3, 1), (1, 5), (999, 7)])
def test_filters_are_those_of_torchs_antialiased_resize(interpolation, length, count):
    signal = torch.from_numpy(np.random.default_rng(1).uniform(0, 255, length))
    steps = np.array([length / count])
    lines = Lines((np.arange(count)[None] + 0.5) * steps, steps)
    found = filters(lines, np.array([length]), length + 11, interpolation, torch.device("cpu"))
    assert (found[..., length:] == 0).all()
    across = functional.interpolate(
        signal.expand(1, 1, length, length), size=(length, count), mode=interpolation, antialias=True
    )[0, 0, 0]
    assert torch.allclose(found[0, :, :length].double() @ signal, across, rtol=0, atol=1e-3)


@contextmanager
def new_memory_full() -> Iterator[None]:
    """Memory as it comes holds the largest values, which torch sees to in this mode, not what was there by chance."""
    torch.use_deterministic_algorithms(True)
    try:
        yield
    finally:
        torch.use_deterministic_algorithms(False)


def test_pictures_of_all_shapes_are_packed_with_little_room():
    chance = np.random.default_rng(4)
    sizes = [tuple(size) for size in chance.integers(1, 400, (60, 2)).tolist()] + [(9, 5000), (5000, 9), (1, 1)]
    pictures = noise(sizes)
    pictures[7] = pictures[7][..., :1]
    with new_memory_full():
        blocks = packed(pictures, 3, Beside("cpu"))
    assert sorted(np.concatenate([block.members for block in blocks]).tolist()) == list(range(63))
    for block in blocks:
        own = 3 * int(block.sizes.prod(axis=1).sum())
        assert block.pixels.numel() <= ROOM * own
        for pixels, index, (height, width) in zip(block.pixels, block.members, block.sizes, strict=True):
            assert (pixels[:height, :width].numpy() == pictures[index]).all()
            assert int(pixels.long().sum()) == int(np.broadcast_to(pictures[index], (height, width, 3)).sum())


def test_a_panorama_in_a_batch_is_placed_too():
    pictures = noise([(3, LONGEST + 1), (40, 40)])
    here, there = both(pictures, Augmentation(random_resized_crop=0.5), spec(), "cpu", uniform=False)
    assert torch.equal(here, there)


def test_batches_for_a_gpu_are_made_on_it():
    assert [made_on(device) for device in ("cpu", "mps", "cuda", "cuda:1")] == [None, None, "cuda", "cuda:1"]


# -- whole batches ----------------------------------------------------------------------------------


# Parts that only a processor does: it makes the whole batch.
BY_PROCESSOR = Augmentation(rand_augment=2, jpeg=60, rotation=20.0, elastic=20.0, mixup=0.5)
MUCH = Augmentation(
    rotation=20.0, scale=1.2, flip_horizontal=True, contrast=0.4, hue=0.1, erasing=0.5, mixup=0.5, cutmix=1.0
)


def made(
    ragged: bool,
    device: str | None,
    *,
    ahead: bool = True,
    start: int = 0,
    size: int = 4,
    augmentation: Augmentation = MUCH,
) -> list[Batch]:
    sizes = [(20 + 3 * (i % 4), 16 + 5 * (i % 3)) if ragged else (32, 28) for i in range(23)]
    batches = Batches(
        Kept(noise(sizes)),
        task=Classes(),
        frame=spec(),
        batch_size=size,
        seed=3,
        augmentation=augmentation,
        weights=np.linspace(0.5, 1.5, 23),
        drop_last=False,
        ahead=ahead,
        device=device,
    )
    with closing(batches.epoch(1, start)) as epoch:
        return list(epoch)


@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize("ragged", [False, True])
def test_batches_made_on_a_device_are_those_of_the_processor(device, ragged):
    for here, there in zip(made(ragged, None), made(ragged, device), strict=True):
        assert here.rows.tolist() == there.rows.tolist()
        assert torch.equal(here.targets, there.targets.cpu())
        assert there.weights is not None
        assert torch.equal(here.weights, there.weights.cpu())
        assert {one.device.type for one in (there.pictures, there.targets, there.weights)} == {device}
        error = (here.pictures.float() - there.pictures.cpu().float()).abs()
        # Colours take a level further: contrast by 1.4 and a turn of the hue.
        assert float(error.max()) <= 4
        assert float(error.mean()) < 0.3


@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize("ragged", [False, True])
def test_the_thread_and_the_first_step_change_no_bit(device, ragged):
    whole = made(ragged, device)
    for other in (made(ragged, device, ahead=False), made(ragged, device)):
        assert all(torch.equal(one.pictures, two.pictures) for one, two in zip(whole, other, strict=True))
    late = made(ragged, device, start=2)
    assert all(torch.equal(one.pictures, two.pictures) for one, two in zip(whole[2:], late, strict=True))


@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize("ragged", [False, True])
def test_what_only_a_processor_does_is_done_by_it_and_copied(device, ragged):
    assert BY_PROCESSOR.by_processor == ("rand_augment", "jpeg")
    assert MUCH.by_processor == ()
    pairs = zip(
        made(ragged, None, augmentation=BY_PROCESSOR), made(ragged, device, augmentation=BY_PROCESSOR), strict=True
    )
    for here, there in pairs:
        assert there.pictures.device.type == device
        error = (here.pictures.float() - there.pictures.cpu().float()).abs()
        assert float(error.max()) <= (0 if device == "cpu" else 1)  # mixing rounds
