"""The one door to training data: a window is frozen first, the filter is in SQL, and the frame is checked again."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from typing import Any
from uuid import UUID

import numpy as np
import pandas as pd
from django.contrib.auth.models import AbstractBaseUser
from django.db import connection, transaction
from django.db.models import Max
from psycopg import sql

from forecasting.engine.errors import EngineError, NoUsableSeries, PartitionViolation
from forecasting.engine.panel import Panel, build_panel
from forecasting.engine.types import TrainingWindow
from forecasting.errors import (
    HoldoutBudgetSpent,
    PartitionBroken,
    SeriesUnusable,
    TrainingRefused,
    WrongRequest,
)
from forecasting.models import HoldoutAccess, KnownFuture, ModelVersion, Series
from forecasting.services.arrivals import late_arrivals
from forecasting.services.bulk import read_out
from forecasting.services.data_profile import DataProfile, active_profile
from ledger.services.audit import actor_name, record

_COLUMNS = ("unit_price", "unit_cost", "on_hand_qty", "on_order_qty", "is_promotional", "is_holiday")
_ALWAYS = ("unit_price", "unit_cost")


# --- the door ---------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class LoadedPanel:
    """A panel with the window it was loaded through; the window carries the fingerprint of its content."""

    panel: Panel
    window: TrainingWindow


@transaction.atomic
def load_training(window: TrainingWindow, *, ahead: int = 0) -> LoadedPanel:
    """Demand up to `window.train_end` as a panel, and the fingerprint of exactly those rows.

    ahead: steps after train_end for which the known future is read, too (to forecast, never to train). Writers wait
    until the caller's transaction ends, so that rows and fingerprint are of one state of the table.
    Raises NoDemandLoaded, SeriesUnusable, PartitionBroken.
    """
    profile = active_profile()
    with connection.cursor() as cursor:
        cursor.execute("LOCK TABLE forecasting_demand, forecasting_knownfuture IN SHARE MODE")
    fingerprint = window_fingerprint(window)
    rows = _demand_rows(window.train_end, profile)
    future = _future_rows(window.train_end, ahead * profile.step_days, profile)
    return LoadedPanel(_checked_panel(window, profile, rows, future, ahead=ahead), window.with_fingerprint(fingerprint))


def load_panel(window: TrainingWindow, *, ahead: int = 0) -> Panel:
    """As `load_training`, without the fingerprint."""
    return load_training(window, ahead=ahead).panel


def load_series(window: TrainingWindow, series: int, *, ahead: int = 0) -> Panel:
    """The same view of one series alone, in the time that one series takes. Writers do not wait: to look, not to train.

    Raises as `load_training`.
    """
    profile = active_profile()
    rows = _demand_rows(window.train_end, profile, (series,))
    future = _future_rows(window.train_end, ahead * profile.step_days, profile, (series,))
    return _checked_panel(window, profile, rows, future, (series,), ahead=ahead)


@dataclass(frozen=True)
class LoadedRows:
    """What a window sees before it is put on a grid, with the rules for reading it; for who cuts panels of many days
    out of one window. rows: as `build_panel` takes them, with `arrived` (see `services.arrivals`)."""

    rows: pd.DataFrame
    static: pd.DataFrame
    future: pd.DataFrame | None
    profile: DataProfile
    window: TrainingWindow


@transaction.atomic
def load_rows(window: TrainingWindow, *, ahead: int = 0) -> LoadedRows:
    """The rows behind `load_training`, checked against the same window. Writers wait. Raises as `load_training`."""
    profile = active_profile()
    with connection.cursor() as cursor:
        cursor.execute("LOCK TABLE forecasting_demand, forecasting_knownfuture IN SHARE MODE")
    fingerprint = window_fingerprint(window)
    rows = _demand_rows(window.train_end, profile)
    future = _future_rows(window.train_end, ahead * profile.step_days, profile)
    _checked_panel(window, profile, rows, future, ahead=ahead)
    late = late_arrivals(window.train_end)
    rows = (
        rows.merge(late, on=["unique_id", "ds"], how="left")
        if len(late)
        else rows.assign(arrived=np.datetime64("NaT", "ns"))
    )
    return LoadedRows(rows, _static_rows(profile), future, profile, window.with_fingerprint(fingerprint))


@dataclass(frozen=True)
class TenantShape:
    """What a window sees of the whole tenant and no segment alone can know.

    ids: the series with demand on or before its end, ascending. first_day: of the first panel day of any of them.
    carried: columns (prices, regressors) with a value in any row. covered: last day that any plan speaks of, or None.
    """

    ids: tuple[int, ...]
    first_day: date
    carried: tuple[str, ...]
    covered: date | None


def tenant_shape(window: TrainingWindow, profile: DataProfile, *, ahead: int = 0) -> TenantShape:
    """The shape of what a window sees, from the database's indexes. Raises SeriesUnusable where it sees nothing."""
    with connection.cursor() as cursor:
        cursor.execute(_STARTS, {"end": window.train_end})
        rows = cursor.fetchall()
        if not rows:
            raise SeriesUnusable(f"no demand lies on or before {window.train_end}")
        carried = []
        for name in _names(profile):
            query = sql.SQL("SELECT EXISTS (SELECT 1 FROM forecasting_demand d WHERE d.date <= {} AND {} IS NOT NULL)")
            cursor.execute(query.format(sql.Literal(window.train_end), _expression(name, "d")))
            carried += [name] if cursor.fetchone()[0] else []
    covered = _covered(window.train_end + timedelta(days=ahead * profile.step_days))
    return TenantShape(tuple(row[0] for row in rows), min(row[1] for row in rows), tuple(carried), covered)


def load_segment(
    window: TrainingWindow, ids: Sequence[int], *, profile: DataProfile, shape: TenantShape, ahead: int = 0
) -> Panel:
    """The view of some series, with the columns and the plan's reach of the whole tenant, in the time and memory that
    these series take. profile and shape: those of the window, taken in the same snapshot. Raises as `load_training`.
    """
    rows = _demand_rows(window.train_end, profile, ids, carried=shape.carried)
    future = _future_rows(window.train_end, ahead * profile.step_days, profile, ids, known=(shape.covered,))
    return _checked_panel(window, profile, rows, future, ids, ahead=ahead)


def _checked_panel(
    window: TrainingWindow,
    profile: DataProfile,
    rows: pd.DataFrame,
    future: pd.DataFrame | None,
    ids: Sequence[int] | None = None,
    *,
    ahead: int,
) -> Panel:
    """The panel of these rows, after every frame was held against the window: the query is not believed alone."""
    if not len(rows):
        raise SeriesUnusable(f"no demand lies on or before {window.train_end}")
    try:
        window.check(rows)
        if future is not None:
            plans_end = window.train_end + timedelta(days=ahead * profile.step_days)
            TrainingWindow.refit(window.train_start, plans_end).check(future)
        panel = build_panel(
            rows,
            static=_static_rows(profile, ids),
            future=future,
            regressors=profile.regressors,
            missing_days=profile.missing_days,
            grain=profile.grain,
            country=profile.country,
            end=window.train_end,
        )
        window.check(panel.history)
    except PartitionViolation as error:
        raise PartitionBroken(str(error)) from error
    except NoUsableSeries as error:
        raise SeriesUnusable(error.reason) from error
    except EngineError as error:
        raise TrainingRefused(str(error)) from error
    return panel


def open_holdout(
    *, candidate: ModelVersion, run_id: UUID, actor: AbstractBaseUser | None, reason: str = ""
) -> TrainingWindow:
    """Open a candidate's sealed holdout and return the window through its end; every opening is recorded and stays.

    Call it outside of the transaction that writes results: an opening that was followed by a failure is an opening.
    The same run opens it once, however often it is retried; beyond the policy's budget a run needs a reason
    (HoldoutBudgetSpent).
    """
    from forecasting.services.policy import active_policy, body_of

    window = TrainingWindow.from_json(candidate.evaluation_window)
    if window.holdout_start is None or window.holdout_end is None:
        raise WrongRequest(f"v{candidate.number} has no sealed holdout.")
    with transaction.atomic():
        ModelVersion.objects.select_for_update(of=("self",)).get(pk=candidate.pk)
        known = HoldoutAccess.objects.filter(candidate=candidate)
        if not known.filter(run_id=run_id).exists():
            times = known.count()
            if times >= body_of(active_policy()).gates.holdout_access_budget and not reason.strip():
                raise HoldoutBudgetSpent(candidate.number, times)
            access = HoldoutAccess.objects.create(
                candidate=candidate,
                run_id=run_id,
                holdout_start=window.holdout_start,
                holdout_end=window.holdout_end,
                reason=reason,
                opened_by_name=actor_name(actor),
            )
            record(
                event="holdout.opened",
                actor=actor,
                subject=access,
                data={"version": candidate.number, "opening": times + 1, "reason": reason, "run": str(run_id)},
            )
    return TrainingWindow.refit(window.train_start, window.holdout_end)


# --- what the door reads ----------------------------------------------------------------------------------------------

_FINGERPRINT = """
    SELECT encode(sha256(convert_to(COALESCE(
        string_agg(digest, '' ORDER BY store_id COLLATE "C", product_id COLLATE "C", part), ''), 'UTF8')), 'hex')
    FROM (
        SELECT s.store_id, s.product_id, 'd' AS part, encode(sha256(convert_to(
            s.category || s.store_attributes::text || s.product_attributes::text || string_agg(
                ROW(d.date - DATE '2000-01-01', d.quantity, d.returned_quantity, d.unit_price, d.unit_cost,
                    d.on_hand_qty, d.on_order_qty, d.is_promotional, d.is_holiday, d.stocked_out, d.extra)::text,
                chr(10) ORDER BY d.date), 'UTF8')), 'hex') AS digest
        FROM forecasting_demand d JOIN forecasting_series s ON s.id = d.series_id
        WHERE d.date <= %(end)s GROUP BY s.id
        UNION ALL
        SELECT s.store_id, s.product_id, 'k', encode(sha256(convert_to(string_agg(
            ROW(k.date - DATE '2000-01-01', k."values")::text, chr(10) ORDER BY k.date), 'UTF8')), 'hex')
        FROM forecasting_knownfuture k JOIN forecasting_series s ON s.id = k.series_id
        WHERE k.date <= %(end)s GROUP BY s.id
    ) AS parts
"""


def window_fingerprint(window: TrainingWindow) -> str:
    """SHA-256 of the content that a window may see, reckoned in the database, whatever the order of its rows.

    Series are named by store and product, not by row number, so that the same content in another database has the
    same fingerprint. The contract's rules for reading it (regressors, missing days) are part of it.
    """
    with connection.cursor() as cursor:
        cursor.execute(_FINGERPRINT, {"end": window.train_end})
        (content,) = cursor.fetchone()
    return hashlib.sha256(f"{content}|{active_profile()!r}".encode()).hexdigest()


_STARTS = """
    SELECT s.id, COALESCE(
        (SELECT d.date FROM forecasting_demand d WHERE d.series_id = s.id AND d.date <= %(end)s
            AND d.quantity > 0 AND NOT d.stocked_out ORDER BY d.date LIMIT 1),
        (SELECT d.date FROM forecasting_demand d WHERE d.series_id = s.id AND d.date <= %(end)s
            ORDER BY d.date LIMIT 1)) AS start
    FROM forecasting_series s
    WHERE EXISTS (SELECT 1 FROM forecasting_demand d WHERE d.series_id = s.id AND d.date <= %(end)s)
    ORDER BY s.id
"""


def _names(profile: DataProfile) -> tuple[str, ...]:
    """The columns beside y: prices and the declared dynamic regressors."""
    return tuple(dict.fromkeys((*_ALWAYS, *profile.regressors.dynamic)))


def _expression(name: str, table: str) -> sql.Composable:
    """A regressor's column, or its value in the row's JSON."""
    if table == "d" and name in _COLUMNS:
        return sql.SQL("d.{}").format(sql.Identifier(name))
    body = sql.SQL("d.extra" if table == "d" else 'k."values"')
    return sql.SQL("({} ->> {})::float8").format(body, sql.Literal(name))


def _value(name: str, table: str) -> sql.Composable:
    return sql.SQL("{} AS {}").format(_expression(name, table), sql.Identifier(name))


def _only(table: str, ids: Sequence[int] | None) -> sql.Composable:
    """The condition that leaves some series of a table; nothing where all are meant."""
    if ids is None:
        return sql.SQL("")
    return sql.SQL(" AND {}.series_id = ANY ({}::bigint[])").format(sql.Identifier(table), _array(ids))


def _array(ids: Sequence[int]) -> sql.Literal:
    """The ids as one text: a literal for each takes the driver longer than the database takes to find their rows."""
    return sql.Literal("{" + ",".join(str(int(one)) for one in ids) + "}")


def _demand_rows(
    end: date, profile: DataProfile, ids: Sequence[int] | None = None, *, carried: Sequence[str] | None = None
) -> pd.DataFrame:
    """unique_id, ds, y, censored, prices and declared regressors of every row (of these series) on or before `end`.

    carried: the columns that any row of the tenant has a value in; without them they are told from the rows.
    """
    names = _names(profile)
    query = sql.SQL(
        "SELECT d.series_id AS unique_id, d.date AS ds, d.quantity AS y, d.stocked_out AS censored{} "
        "FROM forecasting_demand d WHERE d.date <= {}{}"
    ).format(sql.SQL("").join(sql.SQL(", ") + _value(n, "d") for n in names), sql.Literal(end), _only("d", ids))
    kinds = {"unique_id": int, "ds": date, "y": float, "censored": bool, **dict.fromkeys(names, float)}
    frame = read_out(query, kinds, "unique_id")
    # A regressor that no row carries is not there at all; the engine says so where it needs it.
    if carried is not None:
        return frame.drop(columns=[n for n in names if n not in carried])
    if ids is not None:  # what these series do not carry, others may
        return frame
    return frame.drop(columns=[n for n in names if frame[n].isna().all()])


def _future_rows(
    end: date,
    ahead_days: int,
    profile: DataProfile,
    ids: Sequence[int] | None = None,
    *,
    known: tuple[date | None] | None = None,
) -> pd.DataFrame | None:
    """Known-future values (of these series) up to `end` plus `ahead_days`, or None where there are none of any.

    known: the last day that any series has a plan for, where it was asked before.
    """
    names = profile.regressors.known_future
    if not names:
        return None
    last = end + timedelta(days=ahead_days)
    query = sql.SQL(
        "SELECT k.series_id AS unique_id, k.date AS ds{} FROM forecasting_knownfuture k WHERE k.date <= {}{}"
    ).format(sql.SQL("").join(sql.SQL(", ") + _value(n, "k") for n in names), sql.Literal(last), _only("k", ids))
    frame = read_out(query, {"unique_id": int, "ds": date, **dict.fromkeys(names, float)}, "unique_id")
    covered = known[0] if known is not None else _covered(last)
    if covered is None:
        return None
    return _filled(frame, end, covered, profile, ids) if ahead_days else frame


def _covered(last: date) -> date | None:
    """The last day on or before `last` that any series has a plan for; None where there is none."""
    day: date | None = KnownFuture.objects.filter(date__lte=last).aggregate(day=Max("date"))["day"]
    return day


def _filled(
    frame: pd.DataFrame, end: date, covered: date, profile: DataProfile, ids: Sequence[int] | None
) -> pd.DataFrame:
    """Where the contract says what an absent value means, the days that the covariates file covers get it."""
    fills = dict(profile.fills)
    if not fills or covered <= end:
        return frame
    step = pd.Timedelta(days=profile.step_days)
    days = pd.date_range(pd.Timestamp(end) + step, covered, freq=step).astype("datetime64[ns]")
    rows = list(ids) if ids is not None else list(Series.objects.order_by("pk").values_list("pk", flat=True))
    grid = pd.MultiIndex.from_product([rows, days], names=["unique_id", "ds"]).to_frame(index=False)
    past = frame.loc[frame["ds"] <= pd.Timestamp(end)]
    return pd.concat([past, grid.merge(frame, on=["unique_id", "ds"], how="left").fillna(fills)], ignore_index=True)


def _static_rows(profile: DataProfile, ids: Sequence[int] | None = None) -> pd.DataFrame:
    """unique_id, store_id, product_id, category and the declared static attributes (of these series)."""
    known = ("unique_id", "store_id", "product_id", "category")
    others = [name for name in profile.regressors.static if name not in known]
    query = sql.SQL("SELECT id, store_id, product_id, category{} FROM forecasting_series{} ORDER BY id").format(
        sql.SQL(", store_attributes::text, product_attributes::text" if others else ""),
        sql.SQL("" if ids is None else " WHERE id = ANY ({}::bigint[])").format(_array(ids or ())),
    )
    with connection.cursor() as cursor:
        cursor.execute(query)
        rows: Sequence[tuple[Any, ...]] = cursor.fetchall()
    columns: list[Sequence[Any]] = list(zip(*rows, strict=True)) or [()] * (len(known) + 2)
    table = dict(zip(known, columns[: len(known)], strict=True))
    if others:
        of_series = [
            json.loads(of_store) | json.loads(of_product) for of_store, of_product in zip(*columns[-2:], strict=True)
        ]
        table |= {name: [attributes.get(name) for attributes in of_series] for name in others}
    return pd.DataFrame(table).astype({"unique_id": "int64"})
