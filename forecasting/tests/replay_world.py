"""What the replay's tests share: a noisy tenant, a policy that lets a better model pass, a queue worked off here."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date, timedelta
from typing import Any

import numpy as np

from forecasting.engine.replay.config import ReplayConfig
from forecasting.models import Demand, Replay, Series
from forecasting.services.policy import change_policy
from forecasting.services.replay_request import REPLAY, check_replay
from forecasting.tests.factories import AS_OF, make_person, make_series
from ledger.execution import execute
from ledger.models import Run, RunState
from ledger.schema import connection
from tenants.models import Tenant
from tenants.roles import Role

FAMILIES = ["seasonal_average"]
EASY = {
    "min_p_lower": 0.5, "max_upper95_change": 1.0, "coverage80_tolerance": 0.19, "stockout_rate_tolerance": 1.0,
    "overstock_rate_tolerance": 1.0, "max_cost_ratio": 2.0, "max_total_cost_ratio": 2.0, "bias_tolerance": 1.0,
    "max_total_cost_ratio_with_fewer_stockouts": 2.0, "max_winkler_ratio": 2.0, "bootstrap_resamples": 200,
    "free_candidates_per_holdout": 20,
}  # fmt: skip


def make_noisy(*, series: Sequence[Series] | None = None, until: date = AS_OF, days: int = 120) -> list[Series]:
    """Poisson demand with a weekly wave, with price and cost: noise that an average forecasts better than a repeat."""
    rng, series = np.random.default_rng(11), list(series if series is not None else make_series(8))
    rows = []
    for k, one in enumerate(series):
        for back in range(days):
            day = until - timedelta(days=back)
            mean = (9.0 + 2 * k) * (1.3 if day.weekday() >= 5 else 1.0)
            rows.append(Demand(series=one, date=day, quantity=float(rng.poisson(mean)), unit_price=3.0, unit_cost=2.0,
                               batch_id=1))  # fmt: skip
        one.first_day, one.last_day = until - timedelta(days=days - 1), until
        one.save(update_fields=["first_day", "last_day"])
    Demand.objects.bulk_create(rows)
    return series


def easy_policy() -> None:
    """Let a model pass that is a little better."""
    admin = make_person("tom", Role.TENANT_ADMIN)
    change_policy(body={"gates": EASY}, actor=admin, reason="A small world")


def ask(days: int = 4, **changes: Any) -> ReplayConfig:
    """A short replay by a cheap family."""
    return check_replay(**{"holdout_days": days, "horizon": 7, "families": FAMILIES, "portfolio": "off", **changes})


def work_off(tenant: Tenant) -> list[Run]:
    """Do the replays' queued runs as the worker does."""
    done: list[Run] = []
    while True:
        run = Run.objects.filter(kind=REPLAY, state=RunState.QUEUED).order_by("queued_at").first()
        if run is None:
            return done
        execute(tenant.schema_name, str(run.pk))
        connection.set_tenant(tenant)
        done.append(Run.objects.get(pk=run.pk))


def hashes(replay: Replay) -> dict[str, str]:
    """The finished replay's files by name."""
    return {file["name"]: file["sha256"] for file in replay.files}
