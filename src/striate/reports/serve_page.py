"""The page of `striate serve`: one drops pictures on it and sees the answers.

The only page with a script. What the script may do is said by the page's own policy: ask its own server, and show
pictures that the browser already has. Names are put on the page as text and never as HTML.
"""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Sequence
from pathlib import Path

from markupsafe import Markup

from striate.data.samples import CLASSIFICATION
from striate.reports.environment import environment

SHOWN_CLASSES = 5  # of an answer
NAMED_CLASSES = 60  # on the page, at its end


def serve_page(*, title: str, task: str, class_names: Sequence[str], most_bytes: int) -> str:
    """The page as one HTML document. title: whose answers these are; most_bytes: of one picture."""
    script = (Path(__file__).parent / "templates" / "serve.js").read_text(encoding="utf-8")
    digest = base64.b64encode(hashlib.sha256(script.encode("utf-8")).digest()).decode("ascii")
    return (
        environment()
        .get_template("serve.html")
        .render(
            title=title,
            task=task,
            names=list(class_names[:NAMED_CLASSES]),
            more=max(0, len(class_names) - NAMED_CLASSES),
            most_bytes=most_bytes,
            # Of labels and numbers all are told.
            shown=min(SHOWN_CLASSES, len(class_names)) if task == CLASSIFICATION else 0,
            script=Markup(script),
            digest=f"sha256-{digest}",
        )
    )
