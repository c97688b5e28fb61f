"""Forecasts: made from the verified serving fit, stored as paths, published when their version is champion."""

from __future__ import annotations

import json
from datetime import date

import pandas as pd
import pyarrow as pa
from django.db import transaction
from django.utils import timezone

from forecasting import selectors
from forecasting.engine.outlook import forecast_all
from forecasting.engine.types import TrainingWindow
from forecasting.errors import OriginBeforeFit, WrongRequest
from forecasting.models import Channel, ForecastSet, ModelVersion
from forecasting.models.registry import TrainingMode
from forecasting.services.artifacts import load_fit
from forecasting.services.bulk import array_columns, copy_in
from forecasting.services.data_profile import active_profile
from forecasting.services.engine_errors import engine_errors
from forecasting.services.hierarchy import node_frame, store_nodes
from forecasting.services.snapshots import demand_snapshot
from forecasting.services.windows import plan_window
from ledger.context import RunContext
from ledger.services.audit import record
from tenants.services import heartbeat

_ARRAYS = ("yhat", "lo80", "hi80", "lo95", "hi95")
_COLUMNS = ("forecast_set_id", "series_id", "start_date", "step_days", "family", "flags", *_ARRAYS)


def forecast_version(
    *, ctx: RunContext | None, version: ModelVersion, origin: date | None = None, channel: str = Channel.LIVE
) -> ForecastSet:
    """Forecast from the serving fit as of `origin` (default: the newest day of demand) and store the paths.

    Nothing is refitted: new days enter through the lags of a family that rolls, and a family that cannot says how old
    its fit is. Only demand up to the origin is read. A champion's forecasts begin to serve at once; others are kept in
    its shadow. The same version, channel and origin give the set that is there.
    Raises OriginBeforeFit, ArtifactCorrupt, NoDemandLoaded, AsOfOutsideData, TrainingRefused.
    """
    if version.mode == TrainingMode.DRILL and channel == Channel.LIVE:
        raise WrongRequest(f"{version.label} was made for a drill and forecasts on its channel only.")
    window = plan_window(as_of=origin, mode="serving")
    day = window.as_of
    if day < version.as_of:
        raise OriginBeforeFit(version.number, day, version.as_of)
    known = ForecastSet.objects.filter(version=version, channel=channel, origin_date=day).first()
    if known is not None:
        return known
    frame, nodes, horizon = forecast_frame(version, window)
    return _store(ctx, version, channel, day, horizon, frame, nodes)


def forecast_frame(version: ModelVersion, window: TrainingWindow) -> tuple[pd.DataFrame, pd.DataFrame, int]:
    """Forecasts of the series, those of the levels above them, and the horizon: from the stored artifact, read anew."""
    fitted = load_fit(version, "serving")
    horizon = fitted.spec.horizon
    with engine_errors(), demand_snapshot() as demand:
        source = demand.source(window, ahead=horizon)
        frame, static = forecast_all(source, fitted, horizon, demand.executor)
        return frame, node_frame(fitted, frame, static), horizon


@transaction.atomic
def _store(
    ctx: RunContext | None,
    version: ModelVersion,
    channel: str,
    day: date,
    horizon: int,
    frame: pd.DataFrame,
    nodes: pd.DataFrame,
) -> ForecastSet:
    if ctx is not None:
        ctx.fence()
    champion = selectors.current_champion(channel)
    published = champion is not None and champion.version_id == version.pk
    made, created = ForecastSet.objects.get_or_create(
        version=version,
        channel=channel,
        origin_date=day,
        defaults={
            "horizon": horizon,
            "series_count": int(frame["unique_id"].nunique()),
            "fit_age_days": (day - version.as_of).days,
            "run_id": ctx.run.pk if ctx is not None else None,
        },
    )
    if not created:
        return made
    _fill(made, frame, nodes)
    if published:  # last of all: what has served takes no further paths
        made.published_at = timezone.now()
        made.save(update_fields=["published_at"])
        if channel == Channel.LIVE:
            heartbeat.touch(last_forecast_at=made.published_at)
    record(
        event="forecast.published" if published else "forecast.stored",
        actor=ctx.run.requested_by if ctx is not None else None,
        subject=made,
        data={"version": version.number, "channel": channel, "origin": day, "series": made.series_count},
        correlation_id=ctx.run.correlation_id if ctx is not None else None,
    )
    return made


def _fill(made: ForecastSet, frame: pd.DataFrame, nodes: pd.DataFrame) -> None:
    step_days = active_profile().step_days
    copy_in(_paths(made, frame, step_days), "forecasting_forecastpath", _COLUMNS)
    store_nodes(made, nodes, step_days)


def is_complete(forecast_set: ForecastSet) -> bool:
    """Whether the set holds the path of every series that it counts, each as long as its horizon."""
    whole = forecast_set.paths.filter(yhat__len=forecast_set.horizon)
    return forecast_set.series_count > 0 and whole.count() == forecast_set.paths.count() == forecast_set.series_count


def repair_set(forecast_set: ForecastSet) -> ForecastSet:
    """Make the paths of a set that lost some anew, from the stored fit and the same origin; all or none.

    Raises as `forecast_version`.
    """
    version = forecast_set.version
    window = plan_window(as_of=forecast_set.origin_date, mode="serving")
    frame, nodes, _ = forecast_frame(version, window)
    with transaction.atomic():
        locked = ForecastSet.objects.select_for_update().get(pk=forecast_set.pk)
        if is_complete(locked):
            return locked
        lost = locked.series_count - locked.paths.count()
        locked.paths.all().delete()
        locked.node_paths.all().delete()
        _fill(locked, frame, nodes)
        locked.series_count = int(frame["unique_id"].nunique())
        locked.save(update_fields=["series_count"])
        record(
            event="forecast.repaired",
            subject=locked,
            data={"version": version.number, "channel": locked.channel, "origin": locked.origin_date, "lost": lost},
        )
        return locked


def _paths(made: ForecastSet, frame: pd.DataFrame, step_days: int) -> pa.Table:
    """One row per series, arrays in PostgreSQL's text form; floats keep every digit."""
    frame = frame.sort_values(["unique_id", "h"], kind="stable")
    by = frame.groupby("unique_id", sort=False)
    table = by.agg(ds=("ds", "first"), family=("family", "first"), steps=("h", "size")).reset_index()
    flags = _flags_of(frame)
    if table["steps"].nunique() != 1:
        raise AssertionError("paths of one set have one length")
    columns = {
        "forecast_set_id": pa.array([made.pk] * len(table), pa.int64()),
        "series_id": pa.array(table["unique_id"], pa.int64()),
        "start_date": pa.array(table["ds"].dt.date, pa.date32()),
        "step_days": pa.array([step_days] * len(table), pa.int16()),
        "family": pa.array(table["family"].astype(str).str[:40]),
        "flags": pa.array(flags.reindex(table["unique_id"])),
        **array_columns(frame, _ARRAYS, len(table)),
    }
    return pa.table(columns)


def _flags_of(frame: pd.DataFrame) -> pd.Series:
    """The distinct flags of each path's steps, in order, as JSON (index unique_id); most paths have none."""
    marked = frame.loc[frame["flags"] != ""]
    told = marked.groupby("unique_id", sort=False)["flags"].agg(lambda texts: json.dumps(_flags(texts)))
    return told.reindex(frame["unique_id"].unique(), fill_value="[]")


def _flags(texts: pd.Series) -> list[str]:
    """The distinct flags of some steps, in order."""
    return list(dict.fromkeys(flag for text in texts.unique() for flag in str(text).split(",") if flag))


@transaction.atomic
def publish_newest(version: ModelVersion, channel: str = Channel.LIVE) -> ForecastSet | None:
    """Let a new champion's newest forecasts serve, in the transaction that assigns it. None where it has none."""
    newest = selectors.newest_set(version, channel)
    if newest is None:
        return None
    newest = ForecastSet.objects.select_for_update().get(pk=newest.pk)
    if newest.published_at is None:
        newest.published_at = timezone.now()
        newest.save(update_fields=["published_at"])
        if channel == Channel.LIVE:
            heartbeat.touch(last_forecast_at=newest.published_at)
        record(
            event="forecast.published",
            subject=newest,
            data={"version": version.number, "channel": channel, "origin": newest.origin_date},
        )
    return newest
