"""What a network has learned and why it answered so: a file a view. `VIEWS` maps the name of each to its place.

A view is a function of a network and pictures as the network takes them. It changes nothing of the network, also where
it fails. Importing this room imports no torch.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal

__all__ = ["VIEWS", "Group", "View"]

# map: why this answer for this picture; network: what was learned; dream: pictures made for a network;
# trust: how far the maps themselves can be believed.
Group = Literal["map", "network", "dream", "trust"]


@dataclass(frozen=True, kw_only=True)
class View:
    """A view: where its function is, and a sentence each on what a reader has to know of it."""

    module: str
    function: str
    group: Group
    answers: str  # the question that it answers
    needs: str  # of the network or the data; "" where it needs nothing
    cost: str  # in passes of the network
    misleads: str  # when it should not be believed
    paper: str

    def load(self) -> Callable[..., Any]:
        """The function itself; imports torch."""
        found: Callable[..., Any] = getattr(importlib.import_module(self.module), self.function)
        return found


VIEWS: dict[str, View] = {}
