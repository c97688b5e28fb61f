"""Accuracy from realised demand: what was forecast against what came, beside seasonal naive on the same rows."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, timedelta
from typing import Any

import numpy as np
import pandas as pd
from django.db import transaction
from django.db.models import Max
from django.utils import timezone
from psycopg import sql

from forecasting import selectors
from forecasting.engine.outlook import Came, came
from forecasting.engine.panel import STEP_DAYS
from forecasting.engine.scores import ScoreSet, score_frame
from forecasting.engine.train import WEEK_STEPS
from forecasting.errors import NoDemandLoaded
from forecasting.models import AccuracyRecord, Channel, ForecastSet
from forecasting.services.accuracy_watch import watch_champion
from forecasting.services.bulk import read_out
from forecasting.services.engine_errors import engine_errors
from forecasting.services.hierarchy import realised
from forecasting.services.snapshots import demand_snapshot
from forecasting.services.windows import plan_window
from ledger.context import RunContext
from ledger.services.audit import record
from tenants.services import heartbeat

_VALUES = ("yhat", "lo80", "hi80", "lo95", "hi95")


@dataclass(frozen=True)
class _Measured:
    forecast_set: ForecastSet
    until: date
    scores: ScoreSet
    levels: dict[str, Any]
    naive: float | None
    sums: dict[str, float]
    days: int


def measure_accuracy(*, ctx: RunContext | None, until: date | None = None) -> list[AccuracyRecord]:
    """Score every stored forecast set, published or shadow, on the demand known by `until` (default: the newest day).

    A set is measured again when more of its days have come; the same days are not measured twice. Stocked-out, closed
    and unknown days are left out. Sets of a drill are left out, too: it scores its own. Then the champion's error in
    service is held against what it was approved with. Returns the records that were written. Raises NoDemandLoaded,
    AsOfOutsideData.
    """
    newest = selectors.newest_day(until)
    if newest is None:
        raise NoDemandLoaded()
    due = _due(newest)
    if not due:
        return []
    with engine_errors(), demand_snapshot() as demand:
        source = demand.source(plan_window(as_of=newest, mode="serving"))
        step = STEP_DAYS[source.grain]
        asked = [(one.origin_date, (last - one.origin_date).days // step) for one, last in due]
        facts = came(source, asked, demand.executor)
    measured = []
    for done, ((forecast_set, last), known) in enumerate(zip(due, facts, strict=True)):
        if ctx is not None:
            ctx.progress(done, len(due), f"Measuring {forecast_set}")
        found = _measure(known, source.grain, forecast_set, last)
        if found is not None:
            measured.append(found)
    written = _write(ctx, measured)
    if written:
        watch_champion()
    return written


def _due(newest: date) -> list[tuple[ForecastSet, date]]:
    """Sets with days that have come and were not measured yet, and the last of these days."""
    rows = ForecastSet.objects.select_related("version__spec").filter(channel=Channel.LIVE, origin_date__lt=newest)
    due: list[tuple[ForecastSet, date]] = []
    for forecast_set in rows.annotate(measured=Max("accuracy__actuals_until")).order_by("origin_date", "pk"):
        step = STEP_DAYS[forecast_set.version.spec.body["grain"]]
        steps = min((newest - forecast_set.origin_date).days // step, forecast_set.horizon)
        last = forecast_set.origin_date + timedelta(days=steps * step)
        if steps > 0 and (forecast_set.measured is None or last > forecast_set.measured):
            due.append((forecast_set, last))
    return due


def _measure(known: Came, grain: str, forecast_set: ForecastSet, last: date) -> _Measured | None:
    """Scores of one set; None where none of its series has a row in the days that came."""
    made = stored_rows(forecast_set, last)
    frame = made.merge(known.rows.drop(columns="h"), on=["unique_id", "ds"], how="inner", sort=False)
    if not len(frame):
        return None
    stores = known.static.set_index("unique_id")["store_id"]
    week, scales = WEEK_STEPS[grain], known.scales
    scores = score_frame(frame, scales, classes=known.classes, stores=stores, week_steps=week)
    naive = score_frame(frame.assign(yhat=frame["naive"]).drop(columns=["lo80", "lo95"]), scales, week_steps=week)
    sure = frame.loc[~frame["censored"] & frame["y"].notna()]
    levels = realised(forecast_set, frame, known.static)
    days = int(sure["ds"].nunique())
    return _Measured(forecast_set, last, scores, levels, naive.get("wape").value, error_sums(sure), days)


def stored_rows(forecast_set: ForecastSet, last: date) -> pd.DataFrame:
    """unique_id, ds, h and the stored figures of a set's steps up to `last`."""
    names = sql.SQL(", ").join(map(sql.Identifier, _VALUES))
    query = sql.SQL(
        "SELECT series_id AS unique_id, target_date AS ds, horizon AS h, {} FROM forecast_daily "
        "WHERE forecast_set_id = {} AND target_date <= {}"
    ).format(names, sql.Literal(forecast_set.pk), sql.Literal(last))
    kinds = {"unique_id": int, "ds": date, "h": int, **dict.fromkeys(_VALUES, float)}
    return read_out(query, kinds, "unique_id")


def error_sums(known: pd.DataFrame) -> dict[str, float]:
    """What pools over sets: sums of errors, and the count inside the 80% interval."""
    error = known["yhat"] - known["y"]
    inside = (known["y"] >= known["lo80"]) & (known["y"] <= known["hi80"])
    values = {
        "absolute": error.abs().sum(),
        "signed": error.sum(),
        "naive": (known["naive"] - known["y"]).abs().sum(),
        "actual": known["y"].abs().sum(),
        "inside80": inside.sum(),
    }
    return {name: float(np.nan_to_num(value)) for name, value in values.items()}


@transaction.atomic
def _write(ctx: RunContext | None, measured: list[_Measured]) -> list[AccuracyRecord]:
    if ctx is not None:
        ctx.fence()
    written = []
    for found in measured:
        scores: dict[str, Any] = {**found.scores.to_json(), "sums": found.sums, "by_level": found.levels}
        row, created = AccuracyRecord.objects.get_or_create(
            forecast_set=found.forecast_set,
            actuals_until=found.until,
            defaults={
                "version": found.forecast_set.version,
                "days": found.days,
                "rows": found.scores.rows,
                "wape": found.scores.get("wape").value,
                "wape_naive": found.naive,
                "bias": found.scores.get("bias").value,
                "coverage80": found.scores.get("coverage80").value,
                "scores": scores,
                "run_id": ctx.run.pk if ctx is not None else None,
            },
        )
        if created:
            written.append(row)
    if written:
        heartbeat.touch(last_accuracy_at=timezone.now())
        record(
            event="accuracy.measured",
            data={"records": [[r.version.number, r.actuals_until, r.wape, r.wape_naive] for r in written]},
            correlation_id=ctx.run.correlation_id if ctx is not None else None,
        )
    return written
