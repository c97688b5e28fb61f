"""Sparse demand: what the members say, which one is chosen, and what never comes out of it."""

from __future__ import annotations

import subprocess
import sys
from typing import Any

import numpy as np
import pandas as pd
import pytest

from forecasting.engine.families.intermittent import FAMILY
from forecasting.engine.families.intermittent_rate import rates
from forecasting.engine.panel import Panel, build_panel
from forecasting.engine.tests.conftest import START
from forecasting.engine.types import ModelSpec

SPEC = ModelSpec(("seasonal_naive", "intermittent"))
WEEKLY = ModelSpec(("seasonal_naive", "intermittent"), horizon=4, season_length=52, grain="W")


def panel_of(*series: np.ndarray, store: str | None = "s0", **options: Any) -> Panel:
    """One series for each array of daily sales, all ending on the same day; NaN is a censored day."""
    days = max(len(y) for y in series)
    step = 7 if options.get("grain") == "W" else 1
    parts = []
    for number, y in enumerate(series, start=1):
        ds = START + pd.to_timedelta((np.arange(len(y)) + days - len(y)) * step, unit="D")
        parts.append(pd.DataFrame({"unique_id": number, "ds": ds, "y": np.asarray(y, dtype=float)}))
    rows = pd.concat(parts).sample(frac=1, random_state=5)
    static = pd.DataFrame({"unique_id": range(1, len(series) + 1)})
    if store is not None:
        static["store_id"] = store
    return build_panel(rows, static=static, **options)


def sparse(seed: int, days: int = 250, chance: Any = 0.3, size: float = 4.0) -> np.ndarray:
    """A sale of 1 + Poisson(size) units on a day with that chance."""
    rng = np.random.default_rng(seed)
    return np.where(rng.random(days) < chance, 1.0 + rng.poisson(size, days), 0.0)


def smoothed(values: list[float], alpha: float) -> float:
    """Simple exponential smoothing, started with the first value."""
    level = values[0]
    for value in values[1:]:
        level = alpha * value + (1 - alpha) * level
    return level


def croston_sba(y: list[float]) -> float:
    """Syntetos and Boylan (2005): sizes and intervals smoothed by 0.1, times 1 - 0.1 / 2."""
    sizes, gaps, since = [], [], 0
    for value in y:
        since += 1
        if value > 0:
            sizes.append(value)
            gaps.append(float(since))
            since = 0
    return 0.95 * smoothed(sizes, 0.1) / smoothed(gaps, 0.1)


def tsb(y: list[float], alpha: float) -> float:
    """Teunter, Syntetos and Babai (2011): chance of a sale times its size; the chance also falls without sales."""
    return smoothed([float(v > 0) for v in y], alpha) * smoothed([v for v in y if v > 0], 0.1)


def test_rates__known_and_unknown_days__as_the_published_formulas_on_the_known():
    known = sparse(3, 120)
    row = np.insert(known, [0, 0, 40, 41, 100], np.nan)
    y = known.tolist()
    found = rates(row, ["croston_sba", "tsb_0.02", "tsb_0.2"])
    assert found == pytest.approx([croston_sba(y), tsb(y, 0.02), tsb(y, 0.2)], rel=1e-12)
    assert found[1] != pytest.approx(found[2], rel=0.01)


@pytest.mark.parametrize("member", ["croston_sba", "tsb_0.05", "adida", "imapa"])
@pytest.mark.parametrize(
    ("row", "low", "high"),
    [
        ([0.0] * 90, 0, 0),
        ([3.0] + [0.0] * 89, 0, 3),
        ([0.0] * 89 + [3.0], 0, 3),
        ([5.0], 0, 5),
        ([np.nan, 5.0, np.nan], 0, 5),
        ([0.0, 0.0, 2.0] * 30 + [0.0, 0.0, 1e6], 0.3, 15),
    ],
    ids=["never", "first day only", "last day only", "one observation", "one among unknown", "absurd day"],
)
def test_rates__odd_series__finite_and_within_what_was_sold(member: str, row: list[float], low: float, high: float):
    assert low <= rates(np.array(row), [member])[0] <= high


def test_fit__smooth_and_sparse_together__smooth_is_declined_with_its_reason():
    daily = np.random.default_rng(1).poisson(30, 250)
    panel = panel_of(sparse(1), daily, sparse(2))
    fitted = FAMILY.fit(panel, SPEC)
    assert fitted.declined.to_dict("list") == {"unique_id": [2], "reason": ["demand is smooth"]}
    made = fitted.predict(panel, 14)
    assert made["unique_id"].unique().tolist() == [1, 3] and len(made) == 28
    assert made["ds"].min() == pd.Timestamp(panel.last_day) + pd.Timedelta(days=1)
    assert fitted.describe()["series"] == 2 and fitted.describe()["declined"] == 1


def test_fit__only_smooth_series__library_is_not_imported():
    code = (
        "import sys\n"
        "from forecasting.engine.families import get_family\n"
        "from forecasting.engine.tests.conftest import demand_rows, make_panel\n"
        "from forecasting.engine.types import ModelSpec\n"
        "rows = demand_rows(3, 80)\n"
        "panel = make_panel(rows)\n"
        "fitted = get_family('intermittent').fit(panel, ModelSpec(('intermittent',)))\n"
        "assert len(fitted.declined) == 3 and not len(fitted.predict(panel, 7))\n"
        "print('statsforecast' in sys.modules)\n"
    )
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=300)
    assert out.stdout.strip() == "False"


def test_predict__saturdays_sell_and_sundays_are_closed__the_week_is_shaped_and_its_sum_kept():
    weekday = (START.dayofweek + np.arange(280)) % 7
    chance = np.choose(weekday, [0.2, 0.2, 0.2, 0.2, 0.2, 0.8, 0.0])
    panel = panel_of(*(sparse(seed, 280, chance) for seed in range(8)))
    fitted = FAMILY.fit(panel, SPEC)
    assert all(name.endswith("+weekday") for name in fitted.describe()["members"])
    made = fitted.predict(panel, 14)
    by_day = made.groupby(made["ds"].dt.dayofweek)["yhat"].mean()
    assert by_day[6] < 0.1 * by_day[5]
    assert by_day[5] / by_day[:5].mean() == pytest.approx(4.0, rel=0.35)
    sold = panel.history["y"].mean()
    assert made["yhat"].mean() == pytest.approx(sold, rel=0.15)


def test_predict__few_own_sales__weekdays_come_from_the_store():
    weekday = (START.dayofweek + np.arange(280)) % 7
    busy = [np.random.default_rng(s).poisson(np.where(weekday == 2, 40.0, 10.0)) for s in range(3)]
    rare = [sparse(s, 280, np.where(weekday == 2, 0.12, 0.03)) for s in range(20)]
    panel = panel_of(*rare, *busy)
    made = FAMILY.fit(panel, SPEC).predict(panel, 7)
    middle = made["ds"].dt.dayofweek == 2
    assert made["unique_id"].nunique() == 20
    of_series = made[middle].set_index("unique_id")["yhat"] / made[~middle].groupby("unique_id")["yhat"].mean()
    assert of_series.median() == pytest.approx(4.0, rel=0.2) and of_series.min() > 2.5


def test_fit__demand_that_fell_away__fast_member_and_low_forecast():
    """A long history of daily chances, then almost nothing for half of the inner folds and before them."""
    fading = [np.r_[sparse(s, 200, 0.6), sparse(s + 50, 80, 0.06)] for s in range(12)]
    panel = panel_of(*fading)
    fitted = FAMILY.fit(panel, SPEC)
    made = fitted.predict(panel, 14)["yhat"].mean()
    truth, before = 0.06 * 5.0, 0.6 * 5.0
    assert abs(made - truth) < 0.25 * (before - truth)
    members = fitted.describe()["members"]
    assert sum(n for name, n in members.items() if name.startswith("tsb")) >= 10


def test_fit__days_after_the_origin__change_nothing():
    series = [sparse(s) for s in range(5)]
    cut = START + pd.Timedelta(days=220)
    honest, poisoned = panel_of(*series), panel_of(*(np.r_[y[:221], 1000 * (y[221:] + 1)] for y in series))
    one, two = (FAMILY.fit(panel.upto(cut), SPEC) for panel in (honest, poisoned))
    assert one.state == two.state
    pd.testing.assert_frame_equal(
        one.predict(honest.upto(cut), 9), two.predict(poisoned.upto(cut), 9), check_exact=True
    )


def test_predict__new_days__enter_without_a_refit_and_a_reload_is_bit_identical(tmp_path):
    panel = panel_of(*(sparse(s, 260) for s in range(6)))
    early = panel.upto(START + pd.Timedelta(days=229))
    fitted = FAMILY.fit(early, SPEC)
    assert fitted.save(tmp_path) == ["intermittent.json"]
    again = FAMILY.load(tmp_path)
    pd.testing.assert_frame_equal(fitted.predict(panel, 14), again.predict(panel, 14), check_exact=True)
    pd.testing.assert_frame_equal(fitted.declined, again.declined)
    assert again.trained_until == fitted.trained_until == early.last_day
    level = [fitted.predict(known, 7).groupby("unique_id")["yhat"].mean() for known in (early, panel)]
    assert (level[0] - level[1]).abs().min() > 0
    tsb_only = {i for i, name in fitted.state["choice"].items() if name.startswith("tsb")}
    quiet = panel_of(*(np.r_[sparse(s, 260)[:230], np.zeros(30)] for s in range(6)))
    fallen = level[0] - fitted.predict(quiet, 7).groupby("unique_id")["yhat"].mean()
    assert tsb_only and all(fallen[int(i)] > 0 for i in tsb_only)


def test_predict__one_series_alone__as_among_the_others():
    panel = panel_of(*(sparse(s) for s in range(5)), np.random.default_rng(1).poisson(30, 250))
    fitted = FAMILY.fit(panel, SPEC)
    whole = fitted.predict(panel, 14)
    alone = pd.concat([fitted.predict(panel.subset([i]), 14) for i in (1, 2, 3, 4, 5, 6)], ignore_index=True)
    pd.testing.assert_frame_equal(whole, alone, check_exact=True)


def test_predict__series_that_came_later__default_where_it_is_sparse():
    series = [sparse(s) for s in range(4)]
    young = sparse(9, 60)
    fitted = FAMILY.fit(panel_of(*series), SPEC)
    later = panel_of(*series, young, np.random.default_rng(1).poisson(30, 60))
    made = fitted.predict(later, 7)
    assert made["unique_id"].unique().tolist() == [1, 2, 3, 4, 5]
    assert made.loc[made["unique_id"] == 5, "yhat"].mean() == pytest.approx(young.mean(), rel=0.5)


def test_predict__censored_days__are_not_zeros():
    honest = sparse(4, 250, 0.4)
    unknown, zeros = honest.copy(), honest.copy()
    unknown[-40:], zeros[-40:] = np.nan, 0.0
    made = {}
    for name, last in (("unknown", unknown), ("zeros", zeros), ("true", honest)):
        panel = panel_of(*(sparse(s, 250, 0.4) for s in range(4)), last)
        made[name] = FAMILY.fit(panel, SPEC).predict(panel, 14).query("unique_id == 5")["yhat"].mean()
    assert made["unknown"] == pytest.approx(made["true"], rel=0.3)
    assert made["zeros"] < 0.8 * made["unknown"]


def test_predict__not_sold_for_half_a_year__zero():
    panel = panel_of(np.r_[sparse(1, 200), np.zeros(190)], sparse(2, 390))
    made = FAMILY.fit(panel, SPEC).predict(panel, 14).groupby("unique_id")["yhat"].max()
    assert made[1] == 0.0 and made[2] > 0.5


def test_fit__weeks__same_rate_for_every_step_and_no_weekday():
    panel = panel_of(*(sparse(s, 90, 0.4) for s in range(4)), grain="W")
    fitted = FAMILY.fit(panel, WEEKLY)
    assert not any("weekday" in name for name in fitted.describe()["members"])
    made = fitted.predict(panel, 4)
    assert len(made) == 16 and (made.groupby("unique_id")["yhat"].nunique() == 1).all()
    assert made["ds"].dt.dayofweek.nunique() == 1


def test_fit__no_stores_known_and_young_series__a_sane_rate():
    panel = panel_of(sparse(1, 30), np.r_[4.0, np.zeros(5)], np.zeros(40), store=None)
    fitted = FAMILY.fit(panel, SPEC)
    made = fitted.predict(panel, 14)
    assert made["unique_id"].nunique() == 3 and made["yhat"].between(0, 9).all()
    assert made.loc[made["unique_id"] == 3, "yhat"].eq(0).all()
