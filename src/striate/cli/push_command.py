"""A finished run to the Hugging Face Hub; hf://OWNER/NAME then stands wherever RUN does.

The Hub knows you by the token in HF_TOKEN. Checkpoints stay here. The report shows some of the
pictures, and tables name their files: look through them first.
"""

from __future__ import annotations

import argparse

from striate.cli.flags import Parser
from striate.cli.text import print_json
from striate.names import on_one_line


def add_arguments(parser: Parser) -> None:
    """Flags of `striate push`."""
    parser.add_argument("run", metavar="RUN", help="the folder of a finished run")
    parser.add_argument("address", metavar="hf://OWNER/NAME", help="where it goes; @BRANCH for another than main")
    parser.add_argument("--private", action="store_true", help="a repository that is made for it is for you alone")
    parser.add_argument("--json", action="store_true", help="its page as JSON")


def run(arguments: argparse.Namespace, started: float) -> int:
    """Push and print."""
    from striate.actions.push import push_to_hub

    given = vars(arguments)
    page = push_to_hub(given["run"], given["address"], private=True if given.get("private") else None)
    if given.get("json"):
        print_json({"page": page})
    else:
        print(on_one_line(f"page  {page}"))
    return 0
