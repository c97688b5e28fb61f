"""What jobs do with promotion requests by themselves."""

from __future__ import annotations

from typing import Any

from forecasting.services.promotion import lapse_stale
from ledger.context import RunContext

LAPSE = "forecasting.lapse_requests"


def lapse(ctx: RunContext) -> dict[str, Any]:
    """Lapse every pending request whose evidence no longer holds or whose days are over, and say which and why."""
    lapsed = lapse_stale()
    ctx.progress(1, 1, f"{len(lapsed)} request(s) lapsed")
    return {"lapsed": {str(one.pk): one.decision_reason for one in lapsed}}
