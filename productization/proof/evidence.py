"""Kinds of evidence, the states that a piece can be in, and what a look at one piece found."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any


class Kind(StrEnum):
    TEST = "test"
    ARTIFACT = "artifact"
    DOCUMENT = "document"
    LIVE = "live"
    EXTERNAL = "external"
    ITEM = "item"


class State(StrEnum):
    """What a piece of evidence is today. Only ``verified`` counts."""

    VERIFIED = "verified"
    MISSING = "missing"
    ALTERED = "altered"
    STALE = "stale"
    FAILED = "failed"
    BLOCKED = "blocked"
    UNKNOWN = "unknown"


class Status(StrEnum):
    """What a row of the tracker is, by its evidence."""

    OPEN = "open"
    IN_PROGRESS = "in_progress"
    BLOCKED = "blocked"
    DONE = "done"


@dataclass(frozen=True, slots=True)
class Finding:
    """What a look at one piece found: its state, why in words, and facts such as a hash or a day."""

    state: State
    reason: str = ""
    facts: Mapping[str, Any] = field(default_factory=dict)

    @property
    def holds(self) -> bool:
        """Whether the piece proves something today."""
        return self.state is State.VERIFIED
