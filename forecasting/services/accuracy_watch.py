"""The watch over the champion's error in service: the engine's rule on what was realised, an incident if it fires."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from django.db.models import OuterRef, Subquery

from forecasting import selectors
from forecasting.engine.regression import InService, Promise, Regression, detect_regression
from forecasting.models import AccuracyRecord, Channel, ModelVersion
from forecasting.services import alarms
from forecasting.services.policy import active_policy, body_of


def promised(version: ModelVersion) -> Promise:
    """What a version was approved with: its scores on the sealed holdout, else those of its backtest."""
    for scores in (version.evaluation.get("scores"), version.backtest.get("scores")):
        overall: dict[str, Any] = (scores or {}).get("overall") or {}
        wape = (overall.get("wape") or {}).get("value")
        if wape is not None:
            fva = (overall.get("fva") or {}).get("value")
            return Promise(wape, wape / (1.0 - fva) if fva is not None and fva < 1.0 else None)
    return Promise(None, None)


def in_service(version: ModelVersion, *, days: int) -> InService:
    """What came of the version's published forecasts from origins of the last ``days``: of each set, its newest
    measure."""
    newest = selectors.newest_day()
    if newest is None:
        return InService(0.0, 0.0, 0.0, 0, 0)
    last = AccuracyRecord.objects.filter(forecast_set=OuterRef("forecast_set")).order_by("-actuals_until")
    rows = AccuracyRecord.objects.select_related("forecast_set").filter(
        version=version,
        forecast_set__channel=Channel.LIVE,
        forecast_set__published_at__isnull=False,
        forecast_set__origin_date__gte=newest - timedelta(days=days),
        pk=Subquery(last.values("pk")[:1]),
    )
    records = [row for row in rows if row.wape is not None]
    if not records:
        return InService(0.0, 0.0, 0.0, 0, 0)
    sums = [row.scores.get("sums", {}) for row in records]
    absolute, naive, actual = (
        sum(float(one.get(name, 0.0)) for one in sums) for name in ("absolute", "naive", "actual")
    )
    first = min(row.forecast_set.origin_date for row in records)
    until = max(row.actuals_until for row in records)
    return InService(absolute, naive, actual, (until - first).days, sum(row.rows for row in records))


def regression_of(version: ModelVersion) -> Regression:
    """The rule's answer for a version in service, under the policy in force."""
    rules = body_of(active_policy()).regression
    return detect_regression(
        in_service(version, days=rules.watched_days), promised(version), rules.regression_rules()
    )  # fmt: skip


def watch_champion() -> Regression | None:
    """Look at the live champion; open an incident where its error in service is worse than what was approved.

    None where nothing serves. Called whenever accuracy was measured; the same regression is one incident.
    """
    champion = selectors.current_champion()
    if champion is None:
        return None
    told = regression_of(champion.version)
    if told.detected:
        alarms.accuracy_regression(champion, told)
    return told
