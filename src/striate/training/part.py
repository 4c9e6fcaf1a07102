"""What a person should know of a part of training that is no choice by name, but a setting of its own."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class Part:
    """One row of the table: the flags that ask for it, and a sentence each."""

    flags: str
    sentence: str
    needs: str
    cost: str
    good_for: str
    paper: str
