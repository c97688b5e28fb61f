"""The readiness board: each capability's level from its evidence, and the one statement that may be made."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from productization.proof.judge import Judge, Level, Standing


def standings(judge: Judge) -> list[Standing]:
    """Every declared capability, in order."""
    return [judge.standing(capability) for capability in judge.ground.declared.capabilities]


def statement(found: Sequence[Standing]) -> str:
    """The canonical statement: the only readiness claim that a page may make."""
    of = {level: [one for one in found if one.level is level] for level in Level}
    proven = len(of[Level.PILOT_VALIDATED])
    counted = f"{proven} of {len(found)} capabilities are pilot validated"
    if proven == len(found):
        return f"Forecourt is production-ready: all {len(found)} capabilities are pilot validated."
    for level in (Level.IMPLEMENTED, Level.PARTIAL, Level.BLOCKED):
        if of[level]:
            counted += f"; {_names(of[level])} {'is' if len(of[level]) == 1 else 'are'} {level.value}"
    if of[Level.PARTIAL]:
        return f"Forecourt is not ready for a pilot: {counted}."
    return f"Forecourt is ready for a supervised pilot, not production-ready: {counted}."


def board_body(found: Sequence[Standing]) -> dict[str, Any]:
    """The board as it is published."""
    return {
        "statement": statement(found),
        "capabilities": [
            {
                "id": one.capability.id,
                "title": one.capability.title,
                "what": one.capability.what,
                "level": one.level.value,
                "reason": one.reason,
                "pilot": list(one.capability.pilot),
                "limits": one.capability.limits,
            }
            for one in found
        ],
    }


def _names(found: Sequence[Standing]) -> str:
    titles = [f"“{one.capability.title}”" for one in found]
    return titles[0] if len(titles) == 1 else f"{', '.join(titles[:-1])} and {titles[-1]}"
