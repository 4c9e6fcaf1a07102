"""docs/observers.md: each block runs, those of other services in their offline modes where they are installed."""

from __future__ import annotations

import re
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

PAGE = Path(__file__).resolve().parents[2] / "docs" / "observers.md"
SERVICES = ("wandb", "mlflow")


def blocks() -> list[str]:
    return re.findall(r"^```python\n(.*?)^```$", PAGE.read_text(encoding="utf-8"), re.DOTALL | re.MULTILINE)


def block_of(name: str) -> str:
    (found,) = [text for text in blocks() if re.search(rf"^(import|from) .*\b{name}\b", text, re.MULTILINE)]
    return found


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A working folder with photos/: bright and dark ones."""
    monkeypatch.chdir(tmp_path)
    for number in range(24):
        place = tmp_path / "photos" / ("dark", "bright")[number % 2]
        place.mkdir(parents=True, exist_ok=True)
        pixels = np.random.default_rng(number).integers(0, 100, (8, 8)) + 100 * (number % 2)
        Image.fromarray(pixels.astype(np.uint8)).save(place / f"{number}.png")
    return tmp_path


def executed(*texts: str) -> dict[str, Any]:
    names: dict[str, Any] = {"__name__": "__main__"}
    for text in texts:
        exec(compile(text, str(PAGE), "exec"), names)
    return names


def test_the_page_has_a_block_for_each() -> None:
    assert len(blocks()) == 1 + len(SERVICES)
    for name in SERVICES:
        body = block_of(name).partition('"""')[2].partition('"""')[2].partition("\n\n\n")[0]
        assert len([line for line in body.splitlines() if line.strip()]) <= 10


def test_the_block_of_tensorboard_runs(folder: Path) -> None:
    executed(block_of("tensorboard"))
    (path,) = (folder / "logs" / "second").iterdir()
    assert path.stat().st_size > 500


@pytest.mark.parametrize("name", SERVICES)
@pytest.mark.filterwarnings("default")  # theirs are not ours
def test_the_block_of_a_service_runs_offline(name: str, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    if find_spec(name) is None:
        pytest.skip(f"needs {name}, which is not installed")
    monkeypatch.setenv("WANDB_MODE", "offline")
    monkeypatch.setenv("WANDB_SILENT", "true")
    monkeypatch.setenv("MLFLOW_DISABLE_TELEMETRY", "true")
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{folder}/mlflow.db")
    names = executed("import striate", block_of(name))
    rows = len((folder / "runs" / name / "history.csv").read_text(encoding="utf-8").splitlines()) - 1
    assert rows == 2
    if name == "wandb":
        names["wandb"].teardown()  # its service is a process of its own
        assert list(folder.glob("wandb/offline-run-*/*.wandb"))
        return
    import mlflow

    (run,) = mlflow.search_runs(output_format="list")
    assert {"loss", "epoch/loss", "epoch/validation_accuracy"} <= set(run.data.metrics)
    assert len(mlflow.MlflowClient().get_metric_history(run.info.run_id, "epoch/loss")) == rows
