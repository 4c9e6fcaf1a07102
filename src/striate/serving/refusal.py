"""A request that is refused: the status of HTTP, and one sentence for whoever asked."""

from __future__ import annotations


class Refusal(Exception):
    """Answered by `status` and {"error": sentence}. allow: the methods that this address takes, for 405."""

    def __init__(self, status: int, sentence: str, *, allow: str = "") -> None:
        super().__init__(sentence)
        self.status, self.sentence, self.allow = status, sentence, allow


class Gone(Exception):
    """Whoever asked has gone: there is nobody to answer."""
