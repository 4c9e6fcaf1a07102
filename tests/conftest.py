"""Fixtures that every room's tests share."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).resolve().parent.parent


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """The shared data pack; the test is skipped where it is not there."""
    folder = Path(os.environ.get("STRIATE_SHARED", REPOSITORY.parent / "shared")) / "data"
    if not folder.is_dir():
        pytest.skip("needs the shared data pack beside the repository (or STRIATE_SHARED)")
    return folder
