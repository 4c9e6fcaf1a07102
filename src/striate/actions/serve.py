"""`striate serve RUN`: a model's answers over HTTP, for this machine alone, and a page to drop pictures on."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from striate.actions.answers import answer_schema, plain_answer
from striate.actions.rows import require_pictures
from striate.actions.subject import open_subject
from striate.data.decode import decode
from striate.data.samples import REGRESSION
from striate.serving.server import address_of, listening_on, require_server, server_of

if TYPE_CHECKING:
    from torch import nn

    from striate.models.input_spec import InputSpec
    from striate.models.model import Model
    from striate.models.run import Run
    from striate.serving.app import App
    from striate.serving.body import Uploads

PORT = 8000
NOT_RANKED = "it answers numbers, none of which is more probable than another; leave top away"


def serve(
    run: Run | Model | str | Path | None,
    *,
    port: int = PORT,
    network: str | nn.Module | None = None,
    weights: str | Path | None = None,
    class_names: str | Path | Sequence[str] | None = None,
    input_spec: InputSpec | None = None,
    device: str = "auto",
    began: Callable[[str], None] | None = None,
) -> None:
    """Answer pictures at http://127.0.0.1:<port>/ until Ctrl-C (a KeyboardInterrupt).

    run: a run, a model, or None where `network` (with `weights` and `class_names`) stands in its place, as
    `actions.subject.open_subject` says. port: 0 for one that is free. began: told the address when it answers.

    The address itself is a page on which pictures are dropped; POST /predict takes the bytes of a picture and gives a
    line of `striate predict --format jsonl`; /openapi.json describes all of it. Nothing that is sent is kept. Raises
    InputError where the run cannot be loaded, the port is in use, or uvicorn is not installed.
    """
    require_server()
    with listening_on(port) as listening:
        model = open_subject(
            run, network=network, weights=weights, class_names=class_names, input_spec=input_spec, device=device
        )
        require_pictures(model.input_spec, "striate serve")
        title = str(network) if isinstance(network, str) else "a model" if _is_model(run) else str(run)
        app = app_of(model, title)
        server = server_of(app)
        if began is not None:
            began(address_of(listening))
        try:
            server.run(sockets=[listening])
        finally:
            app.close()


def app_of(model: Model, title: str, uploads: Uploads | None = None) -> App:
    """The application that answers by this model. title: what the page calls it."""
    from importlib.metadata import version

    from striate.reports.serve_page import serve_page
    from striate.serving.app import App, Service
    from striate.serving.body import Uploads
    from striate.serving.openapi import openapi

    uploads = uploads or Uploads()
    own_version, names = version("striate"), model.class_names
    one_at_a_time = threading.Lock()

    def answer(data: bytes, name: str, top: int) -> Mapping[str, Any]:
        prepared = model.prepare(decode(data))
        # A network may keep things between the layers of a pass.
        with one_at_a_time:
            answers = model.answer(prepared[None]).numpy()
        return plain_answer(model.predictions([name], answers)[0], names, top)

    numbers = model.task.name == REGRESSION
    return App(
        Service(
            page=serve_page(title=title, task=model.task.name, class_names=names, most_bytes=uploads.bytes),
            health={"status": "ok", "task": model.task.name, "class_names": list(names), "striate": own_version},
            openapi=openapi(answer_schema(model.task.name, names), uploads, own_version, ranked=not numbers),
            answer=answer,
            uploads=uploads,
            not_top=NOT_RANKED if numbers else "",
        )
    )


def _is_model(run: object) -> bool:
    from striate.models.model import Model

    return isinstance(run, Model)
