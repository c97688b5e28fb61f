"""What this app does by itself in every tenant, and when."""

from __future__ import annotations

from datetime import time

from forecasting.models import PromotionRequest, RequestState
from forecasting.services import drill
from forecasting.services.promotion_jobs import LAPSE
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
    register_schedule(
        Schedule(
            name="forecasting.lapse_requests",
            kind=LAPSE,
            title="Lapse requests whose evidence or days are over",
            every=Every.HOUR,
            at=time(0, 10),
            applies=requests_wait,
        )
    )


def requests_wait() -> bool:
    """Whether a request is pending in this tenant."""
    return PromotionRequest.objects.filter(state=RequestState.PENDING).exists()
