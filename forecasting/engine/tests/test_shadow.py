"""Champion and challenger on the same days, against figures reckoned row by row in plain Python."""

from __future__ import annotations

import math
from datetime import date, timedelta

import numpy as np
import pandas as pd
import pytest

from forecasting.engine.business import BusinessPolicy, unit_economics
from forecasting.engine.conformal import Calibration
from forecasting.engine.shadow import (
    CHALLENGER,
    CHAMPION,
    COST,
    TIE,
    UNDECIDED,
    WAPE,
    Days,
    SideForecasts,
    compare_window,
    pool,
    window_of,
)

MONDAY = date(2026, 3, 2)
SUNDAY = MONDAY + timedelta(days=6)
POLICY = BusinessPolicy(lead_time_days=1, review_period_days=2)
SERIES = range(1, 9)


def _calibration(seed: int = 1) -> Calibration:
    rng = np.random.default_rng(seed)
    days = pd.date_range("2026-01-01", periods=7)
    rows = [
        {"unique_id": i, "origin": pd.Timestamp("2025-12-31"), "h": h + 1, "y": 20 + rng.normal(0, 3), "yhat": 20.0,
         "censored": False, "ds": days[h]}
        for i in SERIES for h in range(7)
    ]  # fmt: skip
    return Calibration.fit(pd.DataFrame(rows), pd.Series("smooth", index=list(SERIES)))


def _origins(first: date = MONDAY - timedelta(days=4), count: int = 10) -> list[date]:
    return [first + timedelta(days=k) for k in range(count)]


def _days(origins: list[date], *, horizon: int = 7, hidden: tuple[int, date] | None = None) -> Days:
    rows, scales = [], []
    for origin in origins:
        for i in SERIES:
            scales.append({"unique_id": i, "origin": pd.Timestamp(origin), "rmsse_scale": 4.0, "mase_scale": 2.0,
                           "weight": i / sum(SERIES)})  # fmt: skip
            for h in range(1, horizon + 1):
                day = origin + timedelta(days=h)
                rows.append({"unique_id": i, "origin": pd.Timestamp(origin), "ds": pd.Timestamp(day), "h": h,
                             "y": _actual(i, day), "censored": (i, day) == hidden, "closed": False})  # fmt: skip
    values = pd.DataFrame({"unique_id": list(SERIES), "unit_price": 3.0, "unit_cost": 2.0})
    return Days(pd.DataFrame(rows), pd.DataFrame(scales), values)


def _actual(i: int, day: date) -> float:
    return 20.0 + i + 5.0 * math.sin(day.toordinal() + i)


def _side(origins: list[date], off: float, *, horizon: int = 7, leave: int | None = None) -> SideForecasts:
    rows = []
    for origin in origins:
        for i in SERIES:
            if i == leave:
                continue
            for h in range(1, horizon + 1):
                day = origin + timedelta(days=h)
                yhat = _actual(i, day) + off * (1 + i / 10)
                rows.append({"unique_id": i, "origin": pd.Timestamp(origin), "ds": pd.Timestamp(day), "h": h,
                             "yhat": yhat, "lo80": yhat - 4, "hi80": yhat + 4, "lo95": yhat - 7,
                             "hi95": yhat + 7})  # fmt: skip
    return SideForecasts(pd.DataFrame(rows), _calibration())


def _compare(champion, challenger, days, **options):
    given = {"start": MONDAY, "end": SUNDAY, "until": SUNDAY, "policy": POLICY, "resamples": 400, **options}
    return compare_window(champion, challenger, days, **given)


def test_window_of__any_day__weeks_begin_on_monday_and_four_weeks_never_move():
    assert window_of(MONDAY) == window_of(SUNDAY) == (MONDAY, SUNDAY)
    assert window_of(MONDAY - timedelta(days=1))[1] == MONDAY - timedelta(days=1)
    start, end = window_of(MONDAY, "W")
    assert (end - start).days == 27 and start.isoweekday() == 1
    assert {window_of(start + timedelta(days=k), "W") for k in range(28)} == {(start, end)}


def test_compare_window__against_the_oracle__every_score_is_of_the_shared_rows_alone():
    origins = _origins()
    result = _compare(_side(origins, 3.0), _side(origins[2:], 1.0, leave=3), _days(origins))
    assert result is not None
    shared = [
        (i, origin, origin + timedelta(days=h))
        for origin in origins[2:] for i in SERIES for h in range(1, 8)
        if i != 3 and MONDAY <= origin + timedelta(days=h) <= SUNDAY
    ]  # fmt: skip
    assert (result.rows, result.n_series, result.days) == (len(shared), 7, 7)
    actual = sum(_actual(i, day) for i, _, day in shared)
    for side, off in ((CHAMPION, 3.0), (CHALLENGER, 1.0)):
        error = sum(off * (1 + i / 10) for i, _, _ in shared)
        assert result.scores[side]["wape"].value == pytest.approx(error / actual, rel=1e-12)
        inside = sum(off * (1 + i / 10) <= 4 for i, _, _ in shared) / len(shared)
        assert result.scores[side]["coverage80"].value == pytest.approx(inside)
        # Every path of a series has the same error, so that RMSSE needs no mean.
        paths = {(i, origin) for i, origin, _ in shared}
        weights = {i: i / sum(SERIES) for i in SERIES}
        top = sum(weights[i] * off * (1 + i / 10) / 2.0 for i, _ in paths)
        assert result.scores[side]["wrmsse"].value == pytest.approx(top / sum(weights[i] for i, _ in paths))
    assert (result.winner, result.basis, result.complete) == (CHALLENGER, COST, True)


def test_compare_window__orders__cost_is_of_those_whose_interval_ended_in_the_window():
    origins = _origins()
    champion, challenger = _side(origins, -4.0), _side(origins, 0.5)
    result = _compare(champion, challenger, _days(origins))
    assert result is not None
    steps = POLICY.protection_days
    ended = [o for o in origins if MONDAY <= o + timedelta(days=steps) <= SUNDAY]
    assert result.paths == len(ended) * len(SERIES)
    economics = unit_economics(_days(origins).values, POLICY)
    for side, forecasts in ((CHAMPION, champion), (CHALLENGER, challenger)):
        frame = forecasts.frame.loc[forecasts.frame["h"] <= steps]
        quantity = forecasts.calibration.protection_quantile(frame, steps, economics["critical_ratio"])
        ordered = quantity.set_index(["unique_id", "origin"])["quantity"]
        total = 0.0
        for origin in ended:
            for i in SERIES:
                demand = sum(_actual(i, origin + timedelta(days=h)) for h in range(1, steps + 1))
                q = ordered.loc[(i, pd.Timestamp(origin))]
                cu, co = economics.loc[i, "cu"], economics.loc[i, "co"]
                total += cu * max(demand - q, 0) + co * max(q - demand, 0)
        assert result.scores[side][COST].value == pytest.approx(total, rel=1e-9)
    change = result.scores[CHALLENGER][COST].value / result.scores[CHAMPION][COST].value - 1
    assert result.differences[COST].change == pytest.approx(change)
    low, high = result.differences[COST].low, result.differences[COST].high
    assert low <= change <= high and result.differences[COST].p_lower == 1.0


def test_compare_window__censored_day__is_left_out_of_both_and_of_the_orders_over_it():
    origins, day = _origins(), MONDAY + timedelta(days=3)
    whole = _compare(_side(origins, 2.0), _side(origins, 1.0), _days(origins))
    hidden = _compare(_side(origins, 2.0), _side(origins, 1.0), _days(origins, hidden=(5, day)))
    assert whole is not None and hidden is not None
    seen_from = sum(1 for o in origins if 1 <= (day - o).days <= 7)
    assert whole.rows - hidden.rows == seen_from
    steps = POLICY.protection_days
    ended = [o for o in origins if MONDAY <= o + timedelta(days=steps) <= SUNDAY]
    covered = [o for o in ended if 1 <= (day - o).days <= steps]
    assert whole.paths - hidden.paths == len(covered)


def test_compare_window__last_day_is_to_come__nobody_has_won_yet():
    origins = _origins()
    result = _compare(_side(origins, 3.0), _side(origins, 1.0), _days(origins), until=SUNDAY - timedelta(days=1))
    assert result is not None
    assert (result.complete, result.winner, result.days) == (False, UNDECIDED, 6) and "has not come" in result.reason
    assert pool([result]).weeks == 0


def test_compare_window__no_order_ended__undecided_with_the_reason():
    late = [SUNDAY - timedelta(days=2)]
    result = _compare(_side(late, 3.0), _side(late, 1.0), _days(late))
    assert result is not None
    assert result.winner == UNDECIDED and result.paths == 0 and "no order" in result.reason


def test_compare_window__nothing_shared__is_none():
    origins = _origins()
    assert _compare(_side(origins[:1], 1.0), _side(origins[5:], 1.0), _days(origins)) is None
    assert _compare(_side(origins, 1.0), _side(origins, 1.0), _days(origins), start=SUNDAY + timedelta(days=90),
                    end=SUNDAY + timedelta(days=96), until=SUNDAY + timedelta(days=96)) is None  # fmt: skip


def test_compare_window__no_price__the_error_decides():
    origins = _origins()
    days = _days(origins)
    bare = Days(days.rows, days.scales, days.values.assign(unit_price=np.nan, unit_cost=np.nan))
    result = _compare(_side(origins, 3.0), _side(origins, 1.0), bare)
    assert result is not None
    assert (result.winner, result.basis, result.confidence) == (CHALLENGER, WAPE, "unavailable")
    assert result.differences[COST].change is None and "price" in (result.differences[COST].reason or "")


def test_compare_window__the_same_forecasts__tie_with_no_difference():
    origins = _origins()
    result = _compare(_side(origins, 2.0), _side(origins, 2.0), _days(origins))
    assert result is not None
    assert (result.winner, result.differences[COST].change, result.differences[COST].p_lower) == (TIE, 0.0, 0.5)


def test_compare_window__rows_in_another_order__gives_the_same():
    origins = _origins()
    first = _compare(_side(origins, 3.0), _side(origins, 1.0), _days(origins))
    days = _days(origins)
    shuffled = Days(days.rows.sample(frac=1, random_state=3), days.scales.sample(frac=1, random_state=4), days.values)
    again = SideForecasts(_side(origins, 1.0).frame.sample(frac=1, random_state=5), _calibration())
    second = _compare(_side(origins, 3.0), again, shuffled)
    assert first is not None and second is not None
    assert first.scores_json() == second.scores_json() and first.differences == second.differences


def test_pool__windows_won_and_lost__sums_series_over_windows_and_says_so():
    weeks = []
    for k, (theirs, ours) in enumerate(((3.0, 1.0), (1.0, 3.0), (3.0, 1.0))):
        shift = timedelta(days=7 * k)
        origins = [day + shift for day in _origins()]
        weeks.append(_compare(_side(origins, theirs), _side(origins, ours), _days(origins),
                              start=MONDAY + shift, end=SUNDAY + shift, until=SUNDAY + shift))  # fmt: skip
    standing = pool(weeks, resamples=400)
    assert (standing.weeks, standing.won, standing.lost, standing.tied) == (3, 2, 1, 0)
    assert (standing.first_day, standing.last_day) == (MONDAY, SUNDAY + timedelta(days=14))
    costs = {side: sum(one.scores[side][COST].value for one in weeks) for side in (CHAMPION, CHALLENGER)}
    assert standing.scores[CHAMPION][COST].value == pytest.approx(costs[CHAMPION])
    assert standing.differences[COST].change == pytest.approx(costs[CHALLENGER] / costs[CHAMPION] - 1)
    errors = {s: sum(float(one.series[f"{s}_error"].sum()) for one in weeks) for s in (CHAMPION, CHALLENGER)}
    assert standing.differences[WAPE].change == pytest.approx(errors[CHALLENGER] / errors[CHAMPION] - 1)
    text = standing.sentence()
    assert text.startswith("won 2 of 3 weeks in shadow; cost ") and "−" in text and "[" in text


def test_pool__nothing_judged__says_so():
    standing = pool([])
    assert standing.sentence() == "no whole week in shadow yet" and standing.differences[COST].change is None
