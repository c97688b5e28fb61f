"""Scores against an oracle written out by hand, row by row."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from forecasting.engine.scores import Score, ScoreSet, score_frame

QUANTILES = (0.1, 0.5, 0.9)


def case(seed: int = 3, series: int = 5, origins: int = 2, horizon: int = 14) -> tuple[pd.DataFrame, pd.DataFrame]:
    rng = np.random.default_rng(seed)
    rows, scales = [], []
    for u in range(1, series + 1):
        for o in range(origins):
            origin = pd.Timestamp("2022-03-01") + pd.Timedelta(days=14 * o)
            scales.append((u, origin, rng.uniform(1, 9), rng.uniform(1, 4), rng.random()))
            for h in range(1, horizon + 1):
                yhat = rng.uniform(1, 20)
                rows.append((u, origin, origin + pd.Timedelta(days=h), h, float(rng.poisson(10)), rng.random() < 0.1,
                             yhat, rng.uniform(1, 20), yhat - 4, yhat + 4, yhat - 7, yhat + 7))  # fmt: skip
    names = ["unique_id", "origin", "ds", "h", "y", "censored", "yhat", "naive", "lo80", "hi80", "lo95", "hi95"]
    columns = ["unique_id", "origin", "rmsse_scale", "mase_scale", "weight"]
    return pd.DataFrame(rows, columns=names), pd.DataFrame(scales, columns=columns)


def oracle(frame: pd.DataFrame, scales: pd.DataFrame, grid: pd.DataFrame) -> dict[str, float]:
    """Plain loops over evaluation.md's definitions."""
    keys: dict[Any, Any] = {(r.unique_id, r.origin): r for r in scales.itertuples()}
    records: list[Any] = list(frame.itertuples())
    y_sum = e_sum = signed = naive_sum = pinball = winkler = 0.0
    in80 = in95 = n = 0
    paths: dict = {}
    for i, r in enumerate(records):
        if r.censored or math.isnan(r.y):
            continue
        n += 1
        y_sum += abs(r.y)
        e_sum += abs(r.y - r.yhat)
        naive_sum += abs(r.y - r.naive)
        signed += r.yhat - r.y
        in80 += r.lo80 <= r.y <= r.hi80
        in95 += r.lo95 <= r.y <= r.hi95
        s = keys[(r.unique_id, r.origin)]
        width = r.hi80 - r.lo80
        width += 2 / 0.2 * (r.lo80 - r.y) if r.y < r.lo80 else 0
        width += 2 / 0.2 * (r.y - r.hi80) if r.y > r.hi80 else 0
        winkler += width / s.mase_scale
        for q in QUANTILES:
            d = r.y - grid.iloc[i][q]
            pinball += (q * d if d >= 0 else (q - 1) * d) / len(QUANTILES)
        paths.setdefault((r.unique_id, r.origin), []).append(r.y - r.yhat)
    rmsse = {k: math.sqrt(sum(e * e for e in v) / len(v) / keys[k].rmsse_scale) for k, v in paths.items()}
    mase = {k: sum(abs(e) for e in v) / len(v) / keys[k].mase_scale for k, v in paths.items()}
    weight = {k: keys[k].weight for k in paths}
    return {
        "wape": e_sum / y_sum,
        "bias": signed / y_sum,
        "rmsse": sum(rmsse.values()) / len(rmsse),
        "wrmsse": sum(rmsse[k] * weight[k] for k in rmsse) / sum(weight.values()),
        "mase": sum(mase.values()) / len(mase),
        "coverage80": in80 / n,
        "coverage95": in95 / n,
        "winkler80": winkler / n,
        "scrps": pinball / y_sum,
        "fva": 1 - e_sum / naive_sum,
    }


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_scores__random_rows__equal_the_oracle(seed: int):
    frame, scales = case(seed)
    grid = pd.DataFrame({q: frame["yhat"] + 8 * (q - 0.5) for q in QUANTILES})
    found = score_frame(frame, scales, quantiles=grid).overall
    expected = oracle(frame, scales, grid)
    assert set(found) == set(expected)
    for name, value in expected.items():
        assert found[name].value == pytest.approx(value, rel=1e-12), name


def test_scores__against_utilsforecast__equal():
    from utilsforecast.losses import coverage, winkler_score

    frame, scales = case(5)
    frame["censored"] = False
    table = frame.rename(columns={"lo80": "m-lo-80", "hi80": "m-hi-80"}).assign(unique_id=1)
    found = score_frame(frame, scales.assign(mase_scale=1.0)).overall
    assert found["coverage80"].value == pytest.approx(coverage(table, ["m"], 80)["m"].iloc[0])
    assert found["winkler80"].value == pytest.approx(winkler_score(table, ["m"], 80)["m"].iloc[0])


def test_scores__rows_in_another_order__same_values():
    frame, scales = case()
    mixed = frame.sample(frac=1, random_state=1)
    one, two = score_frame(frame, scales), score_frame(mixed, scales)
    for name, score in one.overall.items():
        assert two.overall[name].n == score.n
        if score.value is not None:
            assert two.overall[name].value == pytest.approx(score.value)


def test_scores__all_censored__none_with_a_reason():
    frame, scales = case()
    scores = score_frame(frame.assign(censored=True), scales).overall
    assert all(s.value is None and s.reason and s.n == 0 for n, s in scores.items() if n not in {"scrps", "coverage80"})
    assert scores["wape"].reason == "no rows with a known actual"


def test_scores__all_actuals_zero__wape_is_none_not_zero():
    frame, scales = case()
    scores = score_frame(frame.assign(y=0.0), scales).overall
    assert scores["wape"].value is None and "zero" in (scores["wape"].reason or "")
    assert scores["bias"].value is None
    assert scores["coverage80"].value is not None


def test_scores__no_training_scale__scaled_scores_are_none():
    frame, scales = case()
    scores = score_frame(frame, scales.assign(rmsse_scale=0.0, mase_scale=np.nan)).overall
    for name in ("rmsse", "wrmsse", "mase", "winkler80"):
        assert scores[name].value is None and scores[name].reason


def test_scores__without_intervals_quantiles_or_naive__none_with_a_reason():
    frame, scales = case()
    bare = frame[["unique_id", "origin", "ds", "h", "y", "censored", "yhat"]]
    scores = score_frame(bare, scales).overall
    for name in ("coverage80", "coverage95", "winkler80", "scrps", "fva"):
        assert scores[name].value is None and scores[name].reason


def test_scores__groups__pool_to_the_whole():
    frame, scales = case()
    classes = pd.Series({1: "smooth", 2: "smooth", 3: "lumpy", 4: "lumpy", 5: "lumpy"})
    found = score_frame(frame, scales, classes=classes, stores=classes)
    assert set(found.by_week) == {"1", "2"} and set(found.by_class) == {"smooth", "lumpy"}
    assert sum(s["wape"].n for s in found.by_week.values()) == found.rows == found.overall["wape"].n
    alone = score_frame(frame.loc[frame["unique_id"] <= 2], scales).overall
    assert found.by_class["smooth"]["wape"] == alone["wape"]
    assert ScoreSet.from_json(found.to_json()) == found


@given(st.lists(st.tuples(st.floats(0, 1e6), st.floats(0, 1e6)), min_size=1, max_size=30))
@settings(max_examples=40, deadline=None)
def test_wape_and_bias__any_demand__bias_never_exceeds_wape(pairs: list[tuple[float, float]]):
    n = len(pairs)
    origin = pd.Timestamp("2022-01-01")
    frame = pd.DataFrame(
        {"unique_id": 1, "origin": origin, "ds": pd.date_range(origin, periods=n), "h": range(1, n + 1)}
    )
    frame = frame.assign(y=[p[0] for p in pairs], yhat=[p[1] for p in pairs], censored=False)
    scales = pd.DataFrame({"unique_id": [1], "origin": [origin], "rmsse_scale": 1.0, "mase_scale": 1.0, "weight": 1.0})
    scores = score_frame(frame, scales).overall
    wape, bias = scores["wape"].value, scores["bias"].value
    assert wape is not None or frame["y"].sum() < 1e-290
    if wape is not None and bias is not None:
        assert abs(bias) <= wape * (1 + 1e-9)


@pytest.mark.parametrize("bad", [(None, None), (1.0, "why"), (float("nan"), None), (float("inf"), None)])
def test_score__value_and_reason_disagree_or_not_finite__refused(bad: tuple[float | None, str | None]):
    with pytest.raises(ValueError, match="score"):
        Score(bad[0], 1, bad[1])
