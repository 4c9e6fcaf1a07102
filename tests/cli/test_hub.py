"""Runs on the Hugging Face Hub: pushed to a small Hub on this machine, fetched from it, read from the cache alone."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from command import Said, here, process
from hub import SHA, Hub, small_hub
from huggingface_hub import ModelCard

import striate
from striate.errors import InputError
from striate.machine.folders import cache_folder
from striate.models.hub import fetched, is_address, parsed

LISTED = {
    *("model.safetensors", "config.json", "recipe.toml", "history.csv", "log.txt", "metrics.json", "predictions.csv"),
    *("README.md", "report.html", "seen.safetensors"),
}


def asked(hub: Hub, cache: Path, *arguments: str | Path, **more: str) -> Said:
    """A command in a process of its own, for which this is the Hub."""
    told = {"HF_ENDPOINT": hub.address, "HF_TOKEN": "hf_no-such-token", "HF_HUB_DISABLE_XET": "1"}
    return process(*arguments, more={**told, "STRIATE_CACHE": str(cache), **more})


def test_a_run_goes_to_the_hub_and_comes_back(run, tmp_path):
    (run / "thesis.tex").write_text("years of work")
    (run / "pickled.pkl").write_bytes(b"\x80\x04")
    cache = tmp_path / "cache"
    with small_hub() as hub:
        said = asked(hub, cache, "push", run, "hf://me/letters", "--json")
        assert said.code == 0, said.err
        assert json.loads(said.out) == {"page": f"{hub.address}/me/letters"}
        held = hub.held["me/letters"]
        assert set(held) == LISTED, "checkpoints and what is not the run's stay"
        assert all((run / name).read_bytes() == content for name, content in held.items())
        assert "Bearer hf_no-such-token" in hub.tokens
        held["code.py"], held["weights.pkl"] = b"raise SystemExit", b"\x80\x04"
        answers = asked(hub, cache, "predict", "hf://me/letters", "pictures", "--json", cwd=str(tmp_path))
        assert answers.code == 0, answers.err
        got = [one.rpartition("/")[2] for one in hub.asked if one.startswith("GET") and "/resolve/" in one]
        assert set(got) <= LISTED
    # Without a Hub, what was fetched is there.
    again = asked(hub, cache, "predict", "hf://me/letters", "pictures", "--json", HF_HUB_OFFLINE="1")
    assert again.out == answers.out


@pytest.mark.long
def test_what_the_hub_refuses_is_one_sentence(run, tmp_path):
    cache = tmp_path / "cache"
    with small_hub() as hub:
        said = asked(hub, cache, "predict", "hf://me/nothing", "pictures")
        assert "hf://me/nothing: there is no such repository, or it is private" in said.sentence
        hub.held["me/other"] = {"pytorch_model.bin": b"x", "config.json": b'{"model_type": "bert"}'}
        assert (
            "config.json: not written by striate" in asked(hub, cache, "evaluate", "hf://me/other", "pictures").sentence
        )
        hub.held["me/empty"] = {"weights.pkl": b"x"}
        assert "hf://me/empty: holds no run of Striate's" in asked(hub, cache, "describe", "hf://me/empty").sentence
        assert "has no such revision" in asked(hub, cache, "describe", "hf://me/empty@v9").sentence
        hub.closed = True
        assert "set HF_TOKEN to a token that may" in asked(hub, cache, "push", run, "hf://me/letters").sentence
    assert "cannot be reached" in asked(hub, cache, "push", run, "hf://me/letters").sentence


@pytest.fixture
def kept(run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The run as hf://me/letters in the cache folder, laid out as huggingface_hub does; no network is asked."""
    monkeypatch.setenv("STRIATE_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)  # as by HF_HUB_OFFLINE=1
    place = cache_folder("huggingface", "hub") / "models--me--letters"
    (place / "refs").mkdir(parents=True)
    (place / "refs" / "main").write_text(SHA)
    (place / "refs" / "v1").write_text(SHA)
    snapshot = place / "snapshots" / SHA
    shutil.copytree(run, snapshot, ignore=shutil.ignore_patterns("checkpoints"))
    return snapshot


def test_what_lies_in_the_cache_stands_wherever_a_run_does(kept, run, tmp_path, capsys):
    expected = here(capsys, "predict", run, "pictures", "--json").out
    assert expected.count("\n") == 12
    assert here(capsys, "predict", "hf://me/letters", "pictures", "--json").out == expected
    assert here(capsys, "predict", "hf://me/letters@v1", "pictures", "--json").out == expected
    own, theirs = (here(capsys, "evaluate", name, "pictures", "--json") for name in (run, "hf://me/letters"))
    assert theirs.out == own.out
    assert "among those that the run learned from" in theirs.out
    assert here(capsys, "describe", "hf://me/letters").out == here(capsys, "describe", run).out
    said = here(capsys, "explain", "hf://me/letters", "pictures/a/0.png", "--method", "gradient", "--out", "why")
    assert said.code == 0, said.err
    assert "striate explain hf://me/letters pictures/a/0.png" in next(Path("why").glob("*.html")).read_text("utf-8")
    asked = here(capsys, "train", "pictures", "--from", "hf://me/letters", "--out", "more", "--epochs", "1")
    assert asked.code == 0, asked.err
    assert "it starts from the weights of hf://me/letters" in Path("more/log.txt").read_text("utf-8")
    model = striate.load("hf://me/letters")
    picture = np.full((8, 8, 3), 7, np.uint8)
    assert np.array_equal(model.predict(picture)[0].probabilities, striate.load(run).predict(picture)[0].probabilities)


def test_what_is_not_in_the_cache_is_one_sentence(kept, capsys):
    for name in ("hf://me/others", "hf://me/letters@v2"):
        sentence = here(capsys, "predict", name, "pictures").sentence
        assert sentence.startswith(f"{name}: is not in the cache folder, and the Hub cannot be reached")


def test_addresses():
    assert parsed("hf://me/letters") == ("me/letters", None)
    assert parsed("me/letters") == ("me/letters", None)
    assert parsed("hf://me/letters@v1.0") == ("me/letters", "v1.0")
    assert parsed(Path("hf://me/letters@refs/pr/1")) == ("me/letters", "refs/pr/1")
    assert is_address("hf://me/letters")
    assert not is_address("runs/hf")
    assert not is_address(None)
    assert fetched("runs/hf") == "runs/hf"
    assert fetched(None) is None
    for wrong in ("hf://", "hf://letters", "hf://a/b/c", "hf://../../etc", "hf://me/..", "hf://me/a b", "hf://me/x@"):
        with pytest.raises(InputError, match=r"is no run on the Hub|is no revision"):
            parsed(wrong)
    with pytest.raises(InputError, match="is no revision"):
        parsed("hf://me/letters@../../x")


def test_the_card_is_one_that_the_hub_reads(run):
    card = ModelCard.load(run / "README.md")
    data = card.data.to_dict()
    assert data["library_name"] == "striate"
    assert data["pipeline_tag"] == "image-classification"
    assert {"striate", "image-classification"} <= set(data["tags"])
    assert "# " in card.text


def test_what_is_no_finished_run_is_not_pushed(run, capsys):
    (run / "report.html").unlink()
    assert "has not come to its end" in here(capsys, "push", run, "hf://me/letters").sentence
    assert "pictures: not a run" in here(capsys, "push", "pictures", "hf://me/letters").sentence
    assert "is no run on the Hub" in here(capsys, "push", run, "letters").sentence
