"""The page of `striate serve` in a real browser: a picture that is dropped on it gets the answer of the network."""

from __future__ import annotations

import base64
import io
import json
from pathlib import Path

import numpy as np
import pytest
from browser import Browser, browsing
from PIL import Image
from served import ask, model_of, serving

from striate.actions.serve import app_of
from striate.serving.body import Uploads
from striate.tasks.classification import Classification
from striate.tasks.multilabel import MultiLabel
from striate.tasks.regression import Regression

NAMES = ("<img src=x onerror=alert(1)>", "bee & wasp", "ant")
SIDE = 12

# Drops files, [name, base64] each, on the page as a person does, and waits until all of them are answered.
DROP = """
(async (files) => {
  const data = new DataTransfer();
  for (const [name, code] of files) {
    data.items.add(new File([Uint8Array.from(atob(code), (one) => one.charCodeAt(0))], name));
  }
  const asked = document.getElementById("asked");
  const before = asked.children.length;
  const done = () => asked.children.length === before + files.length
    && [...asked.children].every((one) => one.dataset.state !== "asked");
  const answered = new Promise((keep) => {
    const watch = new MutationObserver(() => done() && (watch.disconnect(), keep()));
    watch.observe(asked, { subtree: true, childList: true, attributes: true });
  });
  document.getElementById("drop").dispatchEvent(
    new DragEvent("drop", { dataTransfer: data, bubbles: true, cancelable: true }));
  await answered;
  return [...asked.children].map((one) => ({
    state: one.dataset.state,
    path: one.querySelector(".path").textContent,
    text: one.lastElementChild.innerText,
    names: [...one.querySelectorAll("bdi")].map((name) => name.textContent),
    widths: [...one.querySelectorAll(".bar i")].map((bar) => bar.style.width),
    tags: one.lastElementChild.querySelectorAll("img, script").length,
  }));
})(%s)
"""

# How the newest picture is drawn, once it is known to be small.
DRAWN = """
(async () => {
  const picture = document.querySelector(".asked img");
  for (let frames = 0; frames < 600 && !picture.classList.contains("pixel"); frames += 1) {
    await new Promise(requestAnimationFrame);
  }
  const { objectFit, width } = getComputedStyle(picture);
  return [objectFit, parseFloat(width)];
})()
"""


def photo(number: int) -> bytes:
    pixels = np.random.default_rng(number).integers(0, 255, (SIDE, SIDE, 3), dtype=np.uint8)
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, "PNG")
    return file.getvalue()


def dropped(browser: Browser, *files: tuple[str, bytes]) -> list[dict[str, object]]:
    """The cards of the page, the newest first, after these files were dropped on it."""
    named = [[name, base64.b64encode(data).decode()] for name, data in files]
    found: list[dict[str, object]] = browser.run(DROP % json.dumps(named))
    return found


def test_a_picture_that_is_dropped_is_answered(tmp_path: Path) -> None:
    classes = app_of(model_of(Classification(NAMES), SIDE), "runs/<b>insects</b>", Uploads(bytes=10_000))
    labels = app_of(model_of(MultiLabel(NAMES), SIDE), "labels")
    numbers = app_of(model_of(Regression(NAMES, (0.0, 5.0, -1e6), (1.0, 2.0, 3.0)), SIDE), "numbers")
    with (
        browsing(tmp_path / "browser") as browser,
        serving(classes) as port,
        serving(labels) as port_of_labels,
        serving(numbers) as port_of_numbers,
    ):
        answer = ask(port, "POST", "/predict?top=3", photo(1)).json
        browser.open(f"http://127.0.0.1:{port}/")
        (card,) = dropped(browser, ("a <b>.png", photo(1)))
        assert card["state"] == "answered"
        assert card["path"] == "a <b>.png"
        assert str(card["text"]).startswith(answer["prediction"])
        assert card["names"] == [one["label"] for one in answer["top"]]
        assert widths(card) == pytest.approx([100 * one["probability"] for one in answer["top"]], abs=0.06)
        assert card["tags"] == 0  # names are text
        fit, width = browser.run(DRAWN)
        assert fit == "contain"  # a small picture is drawn larger, and keeps its shape
        assert width > SIDE
        cards = dropped(browser, ("no.png", b"no picture"), ("large.png", bytes(10_001)))
        assert [one["state"] for one in cards] == ["refused", "refused", "answered"]
        assert "larger than" in str(cards[0]["text"])
        assert "not a picture in a known format" in str(cards[1]["text"])
        # The page's own policy lets it reach nothing else.
        elsewhere = f"fetch('http://localhost:{port}/health', {{ mode: 'no-cors' }})"
        assert browser.run(f"{elsewhere}.then(() => 'reached', (error) => error.name)") == "TypeError"
        loaded = "performance.getEntriesByType('resource').map((one) => new URL(one.name).pathname)"
        assert set(browser.run(loaded)) <= {"/predict", "/favicon.ico"}

        answer = ask(port_of_labels, "POST", "/predict", photo(1)).json
        browser.open(f"http://localhost:{port_of_labels}/")
        (card,) = dropped(browser, ("a.png", photo(1)))
        assert str(card["text"]).startswith(", ".join(answer["labels"]) or "none of its labels")
        ordered = sorted(answer["probabilities"].items(), key=lambda pair: -pair[1])
        assert card["names"] == [name for name, _ in ordered]
        assert widths(card) == pytest.approx([100 * probability for _, probability in ordered], abs=0.06)

        answer = ask(port_of_numbers, "POST", "/predict", photo(1)).json
        browser.open(f"http://127.0.0.1:{port_of_numbers}/")
        (card,) = dropped(browser, ("a.png", photo(1)))
        assert card["names"] == list(NAMES)
        shown = [float(line) for line in str(card["text"]).splitlines() if line.lstrip("-").replace(".", "").isdigit()]
        assert shown == pytest.approx(list(answer["numbers"].values()), rel=1e-5)


def widths(card: dict[str, object]) -> list[float]:
    """How long the bars are, in percent."""
    found = card["widths"]
    assert isinstance(found, list)
    return [float(one.removesuffix("%")) for one in found]
