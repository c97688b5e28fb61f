"""Weights: convex, readable, never outside of their members, never far from the best single on what they saw."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from forecasting.engine import weights as weights_module
from forecasting.engine.backtest import Backtest
from forecasting.engine.bootstrap import resampled_totals, sure_lower
from forecasting.engine.choice import Study
from forecasting.engine.combine import FALLBACKS, choose_spec, class_weights, combine, series_errors, spec_of, study
from forecasting.engine.tests.test_combine import ALL_SMOOTH, noisy_backtest
from forecasting.engine.types import ANY_CLASS, ModelSpec
from forecasting.engine.weights import NEAR, Rows, best_single, even_mixture, rounded

NAMES = ("seasonal_naive", "lightgbm", "lightgbm_direct", "prophet")


def made(seed: int, *, declines: bool = False, series: int = 30) -> Backtest:
    """Four families with errors of random size that partly go together."""
    rng = np.random.default_rng(seed)
    result = noisy_backtest(dict.fromkeys(NAMES, 1.0), series=series, seed=seed)
    frame, shared = result.frame.copy(), rng.standard_normal(len(result.frame))
    for name in NAMES:
        own = rng.uniform(1, 9) * rng.standard_normal(len(frame)) + rng.uniform(0, 4) * shared
        frame[name] = np.maximum(frame["y"] + rng.uniform(-2, 2) + own, 0.0)
    if declines:
        frame["prophet"] = frame["prophet"].where(frame["unique_id"] % 3 == 0)
        frame["lightgbm_direct"] = frame["lightgbm_direct"].where(frame["unique_id"] != 1)
    return replace(result, frame=frame)


def rows_of(result: Backtest, classes: pd.Series = ALL_SMOOTH) -> Rows:
    return Rows.read(result.frame, result.families, classes, FALLBACKS)


@given(st.integers(0, 10_000), st.booleans())
@settings(max_examples=15, deadline=None)
def test_weights__any_backtest__convex_in_twentieths_and_inside_of_the_members(seed: int, declines: bool):
    result = made(seed, declines=declines, series=12)
    weights = class_weights(result, ALL_SMOOTH)
    for row in weights.values():
        assert sum(row.values()) == pytest.approx(1.0, abs=1e-9)
        assert all(share > 0 and share * 20 == pytest.approx(round(share * 20)) for share in row.values())
    yhat = combine(result.frame, weights, ALL_SMOOTH)["yhat"].to_numpy()
    members = result.frame[list(NAMES)].to_numpy()
    assert (yhat >= np.nanmin(members, axis=1) - 1e-9).all() and (yhat <= np.nanmax(members, axis=1) + 1e-9).all()


@example(1780, True)  # the best single misses a series, so that it is not in the mixture
@given(st.integers(0, 10_000), st.booleans())
@settings(max_examples=15, deadline=None)
def test_choice__any_backtest__never_far_worse_than_the_best_single_on_the_origins_it_saw(seed: int, declines: bool):
    result = made(seed, declines=declines, series=12)
    spec, _, _ = choose_spec(result, ModelSpec(result.families), ALL_SMOOTH)
    own = series_errors(result, spec.weights, ALL_SMOOTH)["error"].sum()
    whole = [name for name in NAMES if result.frame[name].notna().mean() > 0.5]
    singles = [series_errors(result, {ANY_CLASS: {name: 1.0}}, ALL_SMOOTH)["error"].sum() for name in whole]
    assert own <= min(singles) * (1 + 2 * NEAR)  # its members are within one


@pytest.mark.parametrize("seed", [5, 6])
def test_losses__families_that_declined__as_combine_makes_of_them(seed: int):
    result = made(seed, declines=True)
    rows, rng = rows_of(result), np.random.default_rng(seed)
    for shares in [*np.eye(4), *rng.dirichlet(np.ones(4), size=3)]:
        weights = {ANY_CLASS: dict(zip(NAMES, shares, strict=True))}
        mixed = combine(result.frame, weights, ALL_SMOOTH)["yhat"]
        plain = sum(abs(y - f) for y, f in zip(result.frame["y"], mixed, strict=True))
        assert float(rows.losses(shares[None, :])[0]) == pytest.approx(plain)
        assert float(rows.errors(shares).sum()) == pytest.approx(plain)


def test_even_mixture__near_equals_and_one_far_off__equal_shares_of_the_near():
    result = noisy_backtest({"prophet": 25.0, "lightgbm": 6.0, "lightgbm_direct": 6.0}, series=200)
    assert even_mixture(rows_of(result)).tolist() == [0.0, 0.5, 0.5]
    alone = rows_of(noisy_backtest({"seasonal_naive": 25.0, "lightgbm": 1.0}, series=40))
    assert even_mixture(alone).tolist() == best_single(alone).tolist() == [0.0, 1.0]


def test_even_mixture__three_as_good__shares_in_twentieths_that_favour_the_first():
    result = noisy_backtest({"seasonal_naive": 6.0, "lightgbm": 6.0, "prophet": 6.0}, series=40)
    same = result.frame["lightgbm"]
    rows = rows_of(replace(result, frame=result.frame.assign(seasonal_naive=same, prophet=same)))
    assert even_mixture(rows).tolist() == [0.35, 0.35, 0.3]


def test_even_mixture__a_family_further_off__joins_only_where_it_makes_the_others_better():
    result = noisy_backtest({"prophet": 25.0, "lightgbm": 6.0, "lightgbm_direct": 6.6}, series=200)
    assert even_mixture(rows_of(result)).tolist() == [0.0, 0.5, 0.5]  # a tenth worse, but its errors are its own
    off = result.frame["lightgbm"] - result.frame["y"]
    alike = rows_of(replace(result, frame=result.frame.assign(lightgbm_direct=result.frame["y"] + 1.1 * off)))
    assert even_mixture(alike).tolist() == [0.0, 1.0, 0.0]


def test_even_mixture__a_plain_family_far_off__gets_a_twentieth_only_where_that_helps():
    noise = {"seasonal_naive": 40.0, "seasonal_average": 12.0, "lightgbm": 6.0, "lightgbm_direct": 6.0}
    result = noisy_backtest(noise, series=200)
    assert even_mixture(rows_of(result)).tolist() == [0.0, 0.05, 0.5, 0.45]  # of the plain two the one that helps more
    wrong = rows_of(replace(result, frame=result.frame.assign(seasonal_average=0.0)))
    assert even_mixture(wrong)[1] == 0.0
    alone = rows_of(noisy_backtest({"seasonal_average": 12.0, "lightgbm": 2.0}, series=200))
    assert even_mixture(alone).tolist() == [0.0, 1.0]  # what stands alone stays alone


@pytest.mark.parametrize("kept", [10, 30])
def test_even_mixture__family_that_declined_some__takes_no_part_however_good(kept: int):
    result = noisy_backtest({"seasonal_naive": 8.0, "lightgbm": 6.0, "prophet": 0.1}, series=40)
    frame = result.frame.assign(prophet=lambda f: f["prophet"].where(f["unique_id"] <= kept))
    assert even_mixture(rows_of(replace(result, frame=frame)))[2] == 0.0


@given(st.lists(st.floats(0, 1), min_size=2, max_size=6).filter(lambda values: sum(values) > 0.01))
@settings(max_examples=50, deadline=None)
def test_rounded__any_shares__twentieths_that_sum_to_one_and_stay_near(values: list[float]):
    shares = np.array(values)
    found = rounded(shares)
    assert found.sum() == pytest.approx(1.0) and (found >= 0).all()
    assert np.abs(found - shares / shares.sum()).max() <= 0.05 + 1e-9


def test_choice__origins_left_out__are_not_looked_at():
    result = made(8)
    last = pd.Timestamp(result.origins[-1])
    poisoned = result.frame.assign(y=result.frame["y"].where(result.frame["origin"] != last, result.frame["y"] * 1000))
    rest = result.origins[:-1]
    clean, other = study(result, ALL_SMOOTH), study(replace(result, frame=poisoned), ALL_SMOOTH)
    assert clean.chosen(rest) == other.chosen(rest) and clean.fitted(rest) == other.fitted(rest)


def test_choice__one_origin__the_best_single_and_why():
    result = made(9)
    chosen = Study(rows_of(result)).chosen(result.origins[:1])
    assert list(chosen.weights) == [ANY_CLASS] and len(chosen.weights[ANY_CLASS]) == 1
    assert "second origin" in chosen.reason


def test_spec__a_class_whose_families_can_all_decline__brings_a_stand_in():
    result = made(10)
    sparse = result.frame["unique_id"] <= 15
    frame = result.frame.assign(
        prophet=result.frame["y"].where(sparse & (result.frame["unique_id"] > 1)),
        lightgbm=result.frame["lightgbm"].where(~sparse, result.frame["y"] + 12),
        lightgbm_direct=result.frame["lightgbm_direct"].where(~sparse, result.frame["y"] + 12),
    )
    result = replace(result, frame=frame)
    classes = pd.Series(["lumpy"] * 15 + ["smooth"] * 15, index=range(1, 31))
    spec, _ = spec_of(study(result, classes), result, ModelSpec(result.families))
    assert spec.weights["lumpy"].get("prophet", 0) >= 0.5
    made_of = combine(frame[["unique_id", *spec.families]], spec.weights, classes)
    assert made_of["yhat"].notna().all() and "lightgbm" in spec.families


def test_sure_lower__better_at_one_origin_alone__not_sure():
    series, origin = np.tile(np.arange(50), 4), np.repeat(np.arange(4), 50)
    champion = np.ones(200)
    everywhere = champion - 0.1
    once = np.where(origin == 2, champion - 0.5, champion + 0.1)
    assert sure_lower(series, origin, champion, everywhere, seed=1, resamples=300) == 1.0
    assert 0.3 < sure_lower(series, origin, champion, once, seed=1, resamples=300) < 0.9
    assert sure_lower(series, origin, champion, champion, seed=1, resamples=300) == 0.5
    assert sure_lower(series[:3], origin[:3], champion[:3], everywhere[:3], seed=1, resamples=300) == 0.0


def test_resampled_totals__in_chunks__as_all_at_once(monkeypatch: pytest.MonkeyPatch):
    amounts = np.random.default_rng(1).random((40, 3))
    whole = resampled_totals(amounts, seed=3, resamples=101)
    monkeypatch.setattr("forecasting.engine.bootstrap.MOST_COUNTS", 400)
    assert resampled_totals(amounts, seed=3, resamples=101) == pytest.approx(whole, rel=1e-12)
    assert whole.mean(axis=0) == pytest.approx(amounts.sum(axis=0), rel=0.05)


@pytest.mark.parametrize("most", [1, 7, 100_000])
def test_losses__pieces_of_any_size__as_row_by_row(monkeypatch: pytest.MonkeyPatch, most: int):
    monkeypatch.setattr(weights_module, "MOST_ROWS", most)
    rows = rows_of(made(3, declines=True, series=6))
    shares = np.array([[1, 0, 0, 0], [0, 0, 1, 0], [0, 0, 0, 1], [0.25, 0.5, 0.25, 0], [0.1, 0.2, 0.3, 0.4]])
    assert len(np.unique(rows.made_by)) > 1, "some rows were declined"
    expected = [float(rows.errors(one).sum()) for one in shares]
    assert rows.losses(shares) == pytest.approx(expected, rel=1e-12)
