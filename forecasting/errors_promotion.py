"""Errors around a request: its decision's reason, and what people say about it."""

from __future__ import annotations

from collections.abc import Sequence

from forecasting.errors import WrongRequest


class DecisionCodeUnknown(WrongRequest):
    """The short reason is none of those of this decision."""

    code = "decision_code_unknown"

    def __init__(self, given: str, allowed: Sequence[str]) -> None:
        self.given, self.allowed = given, tuple(allowed)
        super().__init__(f"{given[:40]!r} is no reason of this decision. Choose one of: {', '.join(allowed)}.")


class CommentRefused(WrongRequest):
    """The remark says nothing, or too much."""

    code = "comment_refused"
