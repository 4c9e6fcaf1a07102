"""What is made for an accelerator beside its training: memory that it copies from by itself, a stream of its own, and
the event that the training's stream waits for. Without a CUDA device all of it does nothing.

One thread queues the copy of a batch and all that is done to it; the stream of the training waits for it on the device,
so that neither thread waits for the other. Pinned memory and the device's are given back when the stream that used
them last has come so far: torch's allocators keep account of that. Not run on a GPU yet: there was none at hand.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import torch


def made_on(device: str) -> str | None:
    """Where batches for a training on `device` are made: on a CUDA device itself; None: on the processor.

    Apple's GPUs know no float64 and share the processor's memory: batches for them are made by the processor.
    """
    return device if device.startswith("cuda") else None


class Beside:
    """Work on `device`, "cpu" or a CUDA device, beside what is trained on it. For one thread."""

    def __init__(self, device: str) -> None:
        self.device = torch.device(device)
        cuda = self.device.type == "cuda"
        self._stream = torch.cuda.Stream(self.device) if cuda else None  # type: ignore[no-untyped-call]

    def memory(self, count: int, dtype: torch.dtype) -> torch.Tensor:
        """(count,) of the processor's memory, as it comes, which `sent` copies from without waiting."""
        return torch.empty(count, dtype=dtype, pin_memory=self._stream is not None)

    def sent(self, values: torch.Tensor) -> torch.Tensor:
        """The same on the device. On the processor it is `values` itself."""
        return values.to(self.device, non_blocking=True)

    @contextmanager
    def working(self) -> Iterator[None]:
        """What is computed in this context is queued on the stream beside."""
        if self._stream is None:
            yield
            return
        with torch.cuda.stream(self._stream):
            yield

    def event(self) -> torch.cuda.Event | None:
        """When all that was queued until now is done; None: it is."""
        if self._stream is None:
            return None
        event = torch.cuda.Event()  # type: ignore[no-untyped-call]
        event.record(self._stream)
        return event


def wait_for(event: torch.cuda.Event | None, tensors: Sequence[torch.Tensor]) -> None:
    """From here on the stream of this thread may read `tensors`, which were made before `event` on another one."""
    if event is None:
        return
    stream = torch.cuda.current_stream(tensors[0].device)
    stream.wait_event(event)
    for tensor in tensors:
        tensor.record_stream(stream)  # their memory is not used again before this stream is done with it
