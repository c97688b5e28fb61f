"""The readiness board by the rows as they were last looked at."""

from __future__ import annotations

from typing import Any

from productization.models import TrackerItem
from productization.proof.board import board_body, standings
from productization.proof.evidence import Status
from productization.proof.judge import Judge, Verdict
from productization.services.ground import current_ground


def board_now() -> dict[str, Any]:
    """Capabilities with their levels and the statement. Rows are as they stand in the database, so that nobody else is
    asked; what only a capability cites is looked at."""
    rows = TrackerItem.objects.all()
    known = {row.code: Verdict(row.code, Status(row.status), row.reason, ()) for row in rows}
    return board_body(standings(Judge(current_ground(), known=known)))
