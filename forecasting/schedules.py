"""What this app does by itself in every tenant, and when."""

from __future__ import annotations

from datetime import time

from forecasting.services import drill
from forecasting.services.shadow import SHADOW, has_shadow_work
from tenants.schedules import Every, Schedule, register_schedule


def register() -> None:
    """Declare the schedules."""
    register_schedule(
        Schedule(
            name="forecasting.daily",
            kind=SHADOW,
            title="Daily forecast, with challengers in shadow",
            every=Every.DAY,
            at=time(5, 0),
            jitter=45,
            applies=has_shadow_work,
        )
    )
    register_schedule(
        Schedule(
            name="forecasting.rollback_drill",
            kind=drill.START,
            title="Rollback drill",
            every=Every.MONTH,
            day=7,
            at=time(4, 0),
            jitter=120,
            inputs={"reason": drill.SCHEDULED_REASON},
            applies=drill.may_drill,
        )
    )
