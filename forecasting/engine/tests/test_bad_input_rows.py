"""Troubled rows at the engine's door: mended where their meaning is plain, else refused with what to do."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pandas as pd
import pytest

from forecasting.engine.errors import DuplicateDays, NoUsableSeries, WeeksApart
from forecasting.engine.panel import Panel, build_panel
from forecasting.engine.tests.bad_input import PROMO, plain_rows, plan, promo
from forecasting.engine.types import RegressorSet


def same(one: Panel, other: Panel) -> None:
    pd.testing.assert_frame_equal(one.history, other.history, check_exact=True)
    pd.testing.assert_frame_equal(one.static, other.static, check_exact=True)


SAME_AS_PLAIN: dict[str, Callable[[pd.DataFrame], pd.DataFrame]] = {
    "out of order": lambda f: f.sample(frac=1.0, random_state=3),
    "days as texts": lambda f: f.assign(ds=f["ds"].astype(str)),
    "days as dates": lambda f: f.assign(ds=f["ds"].dt.date),
    "moments of the day": lambda f: f.assign(ds=f["ds"] + pd.Timedelta(hours=14)),
    "with a zone": lambda f: f.assign(ds=f["ds"].dt.tz_localize("Europe/Berlin")),
    "late in the evening in a zone behind": lambda f: f.assign(
        ds=(f["ds"] + pd.Timedelta(hours=23, minutes=30)).dt.tz_localize("America/New_York")
    ),
    "early in the morning in a zone ahead": lambda f: f.assign(
        ds=(f["ds"] + pd.Timedelta(minutes=30)).dt.tz_localize("Asia/Tokyo")
    ),
    "whole numbers": lambda f: f.assign(unique_id=f["unique_id"].astype("int32")),
    "an index of its own": lambda f: f.set_index(pd.Index(np.arange(len(f)) * 7)),
    "columns that nobody declared": lambda f: f.assign(leak=f["y"], note="x"),
    "nobody was stocked out, said in three ways": lambda f: f.assign(
        censored=pd.Series([None, False, np.nan] * (len(f) // 3), dtype=object)
    ),
}


@pytest.mark.parametrize("name", SAME_AS_PLAIN)
def test_rows__said_in_another_way__give_the_same_panel(name: str) -> None:
    rows = plain_rows(days=66)
    same(build_panel(SAME_AS_PLAIN[name](rows)), build_panel(rows))


def test_rows__hour_that_the_clocks_leave_out__belongs_to_its_day() -> None:
    days = pd.date_range("2024-03-29", "2024-04-02", tz="Europe/Berlin")  # on the 31st a day has 23 hours
    rows = pd.DataFrame({"unique_id": 1, "ds": days + pd.Timedelta(hours=12), "y": [1.0, 2.0, 3.0, 4.0, 5.0]})
    panel = build_panel(rows)
    assert [d.day for d in panel.history["ds"]] == [29, 30, 31, 1, 2] and panel.history["y"].tolist() == [1, 2, 3, 4, 5]


def test_rows__leap_day_and_new_year__are_days_like_others() -> None:
    rows = pd.DataFrame({"unique_id": 1, "ds": pd.to_datetime(["2023-12-30", "2024-03-01"]), "y": [1.0, 2.0]})
    days = build_panel(rows).history["ds"]
    assert len(days) == 63 and {pd.Timestamp("2024-01-01"), pd.Timestamp("2024-02-29")} <= set(days)


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_rows__quantity_that_is_no_number__is_a_day_not_known(value: float) -> None:
    panel = build_panel(plain_rows().assign(y=lambda f: f["y"].where(f.index != 7, value)))
    row = panel.history.iloc[7]
    assert np.isnan(row["y"]) and row["censored"]


def test_rows__negative_net_sales__count_as_nothing_sold() -> None:
    panel = build_panel(plain_rows().assign(y=lambda f: f["y"].where(f.index != 7, -400.0)))
    assert panel.history["y"].iloc[7] == 0.0 and not panel.history["censored"].iloc[7]


@pytest.mark.parametrize("value", [np.inf, -np.inf])
def test_regressor__infinite__is_unknown_in_history_and_in_the_plan(value: float) -> None:
    rows = plain_rows(promo=promo, stock=promo, unit_price=promo)
    rows.loc[[7, 8], ["promo", "stock", "unit_price"]] = value
    both = RegressorSet(known_future=("promo",), historic_only=("stock",))
    panel = build_panel(rows, regressors=both, future=plan(rows, value))
    assert np.isfinite(panel.history[["promo", "unit_price"]].iloc[9:].to_numpy()).all()
    assert panel.history["stock"].iloc[7:9].isna().all()
    assert panel.future is not None
    ahead = panel.future.loc[panel.future["ds"] > rows["ds"].max(), "promo"]
    assert ahead.isna().all()


def test_plan__twice_with_a_zone_and_for_unknown_series__is_read_once_by_day() -> None:
    rows = plain_rows(promo=promo)
    once = build_panel(rows, regressors=PROMO, future=plan(rows))
    zoned = plan(rows).assign(ds=lambda f: f["ds"].dt.tz_localize("Europe/Berlin"))
    other = plan(rows).assign(unique_id=99)
    twice = build_panel(rows, regressors=PROMO, future=pd.concat([zoned, zoned]))
    more = build_panel(rows, regressors=PROMO, future=pd.concat([plan(rows), other]))
    assert once.future is not None and twice.future is not None and more.future is not None
    pd.testing.assert_frame_equal(twice.future, once.future)
    pd.testing.assert_frame_equal(more.future, once.future)


def _weeks(shift: int) -> pd.DataFrame:
    rows = plain_rows(days=30)
    rows["ds"] = pd.Timestamp("2022-10-02") + pd.to_timedelta(7 * rows.groupby("unique_id").cumcount(), unit="D")
    rows.loc[rows["unique_id"] == 2, "ds"] += pd.Timedelta(days=shift)
    return rows


def _an_hour_later(rows: pd.DataFrame) -> pd.DataFrame:
    return rows.assign(ds=rows["ds"] + pd.Timedelta(hours=1))


REFUSED: dict[str, tuple[Callable[[], Any], type[Exception], str]] = {
    "no rows": (lambda: build_panel(plain_rows().iloc[:0]), NoUsableSeries, "load demand"),
    "the same day twice": (
        lambda: build_panel(pd.concat([plain_rows(), plain_rows().iloc[[5]]])), DuplicateDays, "dedupe_keys",
    ),
    "the same day twice at two hours": (
        lambda: build_panel(pd.concat([plain_rows(), _an_hour_later(plain_rows().iloc[[5]])])),
        DuplicateDays, "series 1 on 2023-11-25",
    ),
    "no day known": (lambda: build_panel(plain_rows().assign(y=np.nan)), NoUsableSeries, "censored or not a number"),
    "all days after the end": (
        lambda: build_panel(plain_rows(), end=pd.Timestamp("2020-01-01").date()), NoUsableSeries, "after the panel's",
    ),
    "a row without a date": (
        lambda: build_panel(plain_rows().assign(ds=lambda f: f["ds"].where(f.index != 7))), ValueError, "no date",
    ),
    "no column of quantities": (lambda: build_panel(plain_rows().drop(columns="y")), ValueError, "no column y"),
    "attributes twice": (
        lambda: build_panel(plain_rows(), static=pd.DataFrame({"unique_id": [1, 1, 2, 3], "size": 1})),
        ValueError, "one row a series",
    ),
    "weeks that end on different weekdays": (lambda: build_panel(_weeks(2), grain="W"), WeeksApart, "same weekday"),
    "a policy that does not exist": (
        lambda: build_panel(plain_rows(), missing_days="often"), ValueError, "zero, closed or unknown",
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", REFUSED)
def test_rows__whose_meaning_is_not_plain__are_refused_with_what_to_do(name: str) -> None:
    call, error, words = REFUSED[name]
    with pytest.raises(error, match=words):
        call()


def test_weeks__whole_weeks_apart__are_one_grid() -> None:
    panel = build_panel(_weeks(7), grain="W")
    last = panel.history["ds"] == panel.history["ds"].max()
    assert panel.history.loc[~last, "y"].gt(0).all()
    assert panel.history.loc[last, "y"].gt(0).tolist() == [False, True, False], "only one has a row for the last week"


def test_weeks_apart__error__names_rows_days_and_weekdays() -> None:
    with pytest.raises(WeeksApart) as caught:
        build_panel(_weeks(2), grain="W")
    error = caught.value
    assert error.rows == 60 and error.newest.weekday() == 1 and error.example[0] == 1
    assert "60 weekly" in str(error) and "Tuesday" in str(error) and "Sunday" in str(error)
