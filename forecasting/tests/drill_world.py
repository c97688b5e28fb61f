"""What the drill's tests share: a champion whose days have come, and a queue that is worked off in this process."""

from __future__ import annotations

import uuid
from datetime import date, timedelta

from django.utils import timezone

from forecasting.models import ChampionAssignment, RollbackDrill
from forecasting.services import drill
from forecasting.tests.factories import AS_OF, make_demand, make_series, promote
from forecasting.tests.fitted import make_fitted
from ledger.execution import execute
from ledger.models import Run, RunState
from ledger.schema import connection
from tenants.models import Tenant

NEWEST = AS_OF + timedelta(days=7)


def make_ground(*, newest: date = NEWEST, days: int = 110) -> ChampionAssignment:
    """A champion that published from AS_OF, and a week of demand since."""
    make_demand(series=make_series(10), until=newest, days=days)
    return promote(make_fitted(real=True))


def work_off(tenant: Tenant, *, until: str = "") -> list[Run]:
    """Do what the drill has queued, step by step, as the worker does; stop before the step ``until``."""
    while True:
        run = Run.objects.filter(kind__in=drill.STEPS, state=RunState.QUEUED).exclude(kind=until).first()
        if run is None:
            return list(Run.objects.filter(kind__in=drill.STEPS).order_by("queued_at"))
        execute(tenant.schema_name, str(run.pk))
        connection.set_tenant(tenant)


def make_drill() -> RollbackDrill:
    """The record of a drill that passed, for the pages; nothing of it was run."""
    verdict = {"severity": "", "detected": False, "reason": "within 1.25 times", "wape": 0.3, "ratio": 0.9,
               "naive_ratio": None}  # fmt: skip
    bad = {**verdict, "severity": "gone", "detected": True, "wape": 1.9, "ratio": 5.7, "naive_ratio": 5.1}
    now = timezone.now()
    return RollbackDrill.objects.create(
        run_id=uuid.uuid4(), outcome="passed", sentence="Noticed after 3 steps.", origin_date=AS_OF, days_to_detect=3,
        seconds_to_detect=12.5, seconds_to_restore=0.4, bit_identical=True, report_sha256="a" * 64,
        started_at=now - timedelta(minutes=1), finished_at=now, reason="Before the season",
        report={
            "checks": [{"name": "bit_identical", "passed": True, "text": "the same bits"}],
            "steps": [{"title": "Begin", "kind": drill.START, "run": str(uuid.uuid4()), "state": "succeeded",
                       "attempts": 1, "worker": "host:1", "seconds": 1.5}],
            "days": [{"day": "2026-04-01", "steps": 1, "damaged": bad, "whole": verdict}],
            "before": {"champion": "v1"}, "after": {"champion": "v1"}, "published_sha256": "b" * 64,
            "rollback": {"files": 8, "bytes": 100, "seconds": {"verify": 0.1, "load": 0.1, "publish": 0.1}},
        },
    )  # fmt: skip
