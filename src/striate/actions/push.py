"""`striate push`: a finished run to the Hugging Face Hub, where `hf://owner/name` names it for everybody who may."""

from __future__ import annotations

from pathlib import Path

from striate.models.hub import push
from striate.models.run import Run


def push_to_hub(run: Run | str | Path, address: str, *, private: bool | None = None) -> str:
    """Upload the files of a finished run, without its checkpoints, and give the address of its page.

    address: "owner/name", "hf://owner/name", or with "@branch". The repository is made where it is not there, private
    where that is asked for. The Hub knows you by the token in HF_TOKEN. What goes there is what
    the run folder holds: the report shows some of the pictures, tables name their files, the recipe where they lay.
    Raises InputError for what is no finished run, and where the Hub refuses or cannot be reached.
    """
    return push(run if isinstance(run, Run) else Run(Path(run)), address, private=private)
