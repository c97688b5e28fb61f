"""What this app does by itself in every tenant, and when."""

from __future__ import annotations

from datetime import time

from django.db.models import Max, Min

from forecasting import selectors
from forecasting.models import AccuracyRecord, ForecastSet, PromotionRequest, RequestState
from forecasting.services import drill
from forecasting.services.alarms import VERIFY_CHAMPION
from forecasting.services.chain_steps import ACCURACY, RETRAIN
from forecasting.services.promotion_jobs import LAPSE
from forecasting.services.shadow import SHADOW, has_shadow_work
from tenants.schedules import Every, Schedule, register_schedule

REFRESH_REASON = "Weekly refresh by schedule"


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
            name="forecasting.accuracy",
            kind=ACCURACY,
            title="Measure accuracy on the days that came since",
            every=Every.DAY,
            at=time(13, 0),
            jitter=60,
            applies=days_came,
        )
    )
    register_schedule(
        Schedule(
            name="forecasting.refresh",
            kind=RETRAIN,
            title="Refresh of the champion's spec on newer data",
            every=Every.WEEK,
            day=7,
            at=time(1, 0),
            jitter=180,
            inputs={"mode": "refresh", "reason": REFRESH_REASON, "chain": True},
            applies=may_refresh,
        )
    )
    register_schedule(
        Schedule(
            name="forecasting.verify_champion",
            kind=VERIFY_CHAMPION,
            title="Verify the stored files of what serves",
            every=Every.DAY,
            at=time(3, 0),
            jitter=60,
            applies=lambda: selectors.current_champion() is not None,
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


def days_came() -> bool:
    """Whether demand came for days that were forecast and not measured yet."""
    first = ForecastSet.objects.aggregate(day=Min("origin_date"))["day"]
    newest = selectors.newest_day()
    if first is None or newest is None or newest <= first:
        return False
    measured = AccuracyRecord.objects.aggregate(day=Max("actuals_until"))["day"]
    return measured is None or measured < newest


def may_refresh() -> bool:
    """Whether something serves, and demand came that its fit has not seen."""
    champion, newest = selectors.current_champion(), selectors.newest_day()
    return champion is not None and newest is not None and newest > champion.version.as_of


def requests_wait() -> bool:
    """Whether a request is pending in this tenant."""
    return PromotionRequest.objects.filter(state=RequestState.PENDING).exists()
