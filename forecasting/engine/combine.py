"""Ensemble weights and the choice of a spec, from rolling-origin forecasts only."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from itertools import combinations
from typing import Any

import numpy as np
import pandas as pd

from forecasting.engine.backtest import Backtest
from forecasting.engine.bootstrap import paired_bootstrap
from forecasting.engine.types import ANY_CLASS, ModelSpec

Weights = Mapping[str, Mapping[str, float]]
STEPS = 10
FALLBACKS = ("lightgbm", "seasonal_naive")
MIN_CLASS_ROWS = 200
MIN_COVERED = 0.5
MIN_SURE = 0.90
"""An ensemble has to beat the best single with this probability (bootstrap over series); else the single is chosen."""


@dataclass(frozen=True)
class SweepPoint:
    """One point of a sweep: the weights tried and the pooled error they give, with a bootstrap interval."""

    label: str
    weights: Mapping[str, Mapping[str, float]]
    wape: float | None
    low: float | None
    high: float | None

    def to_json(self) -> dict[str, Any]:
        """Plain JSON values."""
        return {**self.__dict__, "weights": {k: dict(v) for k, v in self.weights.items()}}


def combine(frame: pd.DataFrame, weights: Weights, classes: pd.Series) -> pd.DataFrame:
    """yhat, family and flags of each row of `frame` (one column per family, NaN where it declined).

    The weights of a row's demand class are renormalised over the families that made it; where none did, the first of
    lightgbm and seasonal_naive that has a value stands in. `family` names who really made it ("lightgbm",
    "lightgbm+prophet"); flags: "declined:<family>" for a weighted family that is missing, "fallback" for a stand-in.
    """
    names = sorted({f for row in weights.values() for f, w in row.items() if w > 0})
    stand_ins = [f for f in FALLBACKS if f in frame.columns]
    values = frame[names].to_numpy(dtype="float64")
    of_class = frame["unique_id"].map(classes).fillna(ANY_CLASS).astype(str).to_numpy()
    weight = np.zeros_like(values)
    for name in set(of_class):
        row = weights.get(name, weights[ANY_CLASS])
        weight[of_class == name] = [row.get(f, 0.0) for f in names]
    present = np.isfinite(values)
    used = np.where(present, weight, 0.0)
    total = used.sum(axis=1)
    safe = np.where(total > 0, total, 1.0)
    yhat = np.where(total > 0, (np.where(present, values, 0.0) * used).sum(axis=1) / safe, np.nan)
    missing = (weight > 0) & ~present
    code = used.astype(bool) @ (1 << np.arange(len(names))) if names else np.zeros(len(frame), dtype=int)
    lost = missing @ (1 << np.arange(len(names)))
    family = pd.Series(code).map({c: "+".join(f for i, f in enumerate(names) if c >> i & 1) for c in set(code)})
    flags = pd.Series(lost).map({c: _flags(names, int(c)) for c in set(lost)})
    out = pd.DataFrame({"yhat": yhat, "family": family.to_numpy(), "flags": flags.to_numpy()}, index=frame.index)
    for name in stand_ins:
        need = out["yhat"].isna() & frame[name].notna()
        out.loc[need, "yhat"] = frame.loc[need, name]
        out.loc[need, "family"] = name
        out.loc[need, "flags"] = out.loc[need, "flags"].map(lambda text: "fallback," + text if text else "fallback")
    return out


def _flags(names: list[str], code: int) -> str:
    return ",".join(f"declined:{f}" for i, f in enumerate(names) if code >> i & 1)


def pair_sweep(backtest: Backtest, classes: pd.Series, seed: int) -> list[SweepPoint]:
    """Each pair of families at weights 1.0, 0.9, ... 0.0, scored on all rows of the backtest."""
    points = []
    for one, other in combinations(backtest.families, 2):
        for tenth in range(STEPS, -1, -1):
            share = tenth / STEPS
            weights = {ANY_CLASS: {one: share, other: round(1.0 - share, 10)}}
            points.append(_point(backtest, weights, classes, f"{one} {share:.1f} / {other} {1 - share:.1f}", seed))
    return points


def _point(backtest: Backtest, weights: Weights, classes: pd.Series, label: str, seed: int) -> SweepPoint:
    errors = series_errors(backtest, weights, classes)
    total = float(errors["actual"].sum())
    if not total > 0:
        return SweepPoint(label, weights, None, None, None)
    result = paired_bootstrap(errors["error"], errors["error"], denominator=errors["actual"], seed=seed, resamples=500)
    return SweepPoint(label, weights, float(errors["error"].sum()) / total, result.low, result.high)


def series_errors(backtest: Backtest, weights: Weights, classes: pd.Series) -> pd.DataFrame:
    """Sum of absolute errors and of actuals per series (index unique_id; columns error, actual)."""
    frame = backtest.frame
    known = ~frame["censored"] & frame["y"].notna()
    frame = frame.loc[known]
    yhat = combine(frame, weights, classes)["yhat"]
    rows = pd.DataFrame({"unique_id": frame["unique_id"], "error": (frame["y"] - yhat).abs(), "actual": frame["y"]})
    return rows.groupby("unique_id", sort=True).sum()


def class_weights(backtest: Backtest, classes: pd.Series) -> dict[str, dict[str, float]]:
    """The best pair weights (tenths) of each demand class with enough rows; "*" holds the best over all rows."""
    frame = backtest.frame.loc[~backtest.frame["censored"] & backtest.frame["y"].notna()]
    of_row = frame["unique_id"].map(classes)
    out = {ANY_CLASS: _best_pair(frame, backtest.families)}
    for name, size in of_row.value_counts().sort_index().items():
        if size >= MIN_CLASS_ROWS:
            out[str(name)] = _best_pair(frame.loc[of_row == name], backtest.families)
    return out


def _best_pair(frame: pd.DataFrame, families: tuple[str, ...]) -> dict[str, float]:
    """The pair and share (in tenths) with the least absolute error; ties go to the simpler: singles stand first."""
    y = frame["y"].to_numpy()
    values = {f: frame[f].to_numpy(dtype="float64") for f in families}
    stand_in = np.full(len(frame), np.nan)
    for name in (f for f in FALLBACKS if f in values):
        stand_in = np.where(np.isnan(stand_in), values[name], stand_in)
    tried = [({f: 1.0}, f, f, 1.0) for f in families]
    for one, other in combinations(families, 2):
        for tenth in range(STEPS - 1, 0, -1):
            share = tenth / STEPS
            tried.append(({one: share, other: round(1.0 - share, 10)}, one, other, share))

    def loss(point: tuple[dict[str, float], str, str, float]) -> float:
        _, one, other, share = point
        return float(np.abs(y - _mix(values[one], values[other], share, stand_in)).sum())

    return min(tried, key=loss)[0]


def _mix(one: np.ndarray, other: np.ndarray, share: float, stand_in: np.ndarray) -> np.ndarray:
    """What `combine` makes of two families: weights renormalised over those present, else the stand-in."""
    left = np.where(np.isfinite(one), share, 0.0)
    right = np.where(np.isfinite(other), 1.0 - share, 0.0)
    total = left + right
    mixed = (np.nan_to_num(one) * left + np.nan_to_num(other) * right) / np.where(total > 0, total, 1.0)
    return np.where(total > 0, mixed, stand_in)


def choose_spec(backtest: Backtest, base: ModelSpec, classes: pd.Series) -> tuple[ModelSpec, list[SweepPoint], str]:
    """The simplest spec within the noise of the best, the sweep, and why in one sentence.

    Singles are ranked by pooled error; an ensemble (the best pair, or weights per class) is taken only if it beats the
    best single with probability >= 0.90 in a paired bootstrap over series, judged on origins its weights were not
    fitted on where there are several. So the choice is never worse than the best single on the rolling origins.
    """
    sweep = pair_sweep(backtest, classes, base.seed)
    covered = backtest.frame[list(backtest.families)].notna().mean()
    # A family that declines most rows is no single: with its stand-in it is a mixture, and competes as one.
    able = [f for f in backtest.families if covered[f] >= MIN_COVERED] or list(backtest.families)
    singles = {f: float(series_errors(backtest, {ANY_CLASS: {f: 1.0}}, classes)["error"].sum()) for f in able}
    best = min(singles, key=lambda f: (singles[f], f))
    single = replace(base, families=_with_stand_ins([best], backtest.families), weights={ANY_CLASS: {best: 1.0}})
    if len(backtest.families) < 2:
        return single, sweep, f"{best} is the only family"
    alone = series_errors(backtest, single.weights, classes)
    for title, fit in (("one pair of weights", _pooled), ("weights per demand class", class_weights)):
        weights = fit(backtest, classes)
        honest = _held_out_errors(backtest, fit, classes)
        full = series_errors(backtest, weights, classes)
        result = paired_bootstrap(alone["error"], honest["error"], seed=base.seed)
        better = honest["error"].sum() < alone["error"].sum() and full["error"].sum() < alone["error"].sum()
        if better and result.p_lower is not None and result.p_lower >= MIN_SURE:
            used = sorted({f for row in weights.values() for f, w in row.items() if w > 0})
            spec = replace(base, families=_with_stand_ins(used, backtest.families), weights=weights)
            if spec.mode == "ensemble":
                return spec, sweep, f"{title} beat {best} alone with probability {result.p_lower:.2f}"
    return single, sweep, f"no ensemble beat {best} alone beyond noise"


def _with_stand_ins(families: list[str], compared: tuple[str, ...]) -> tuple[str, ...]:
    """A family that declines series brings those that stand in for it; seasonal_naive, the floor, is always there."""
    stand_ins = [f for f in FALLBACKS if f in compared and "prophet" in families]
    return tuple(dict.fromkeys([*families, *stand_ins, "seasonal_naive"]))


def _pooled(backtest: Backtest, classes: pd.Series) -> dict[str, dict[str, float]]:
    known = ~backtest.frame["censored"] & backtest.frame["y"].notna()
    return {ANY_CLASS: _best_pair(backtest.frame.loc[known], backtest.families)}


def _held_out_errors(backtest: Backtest, fit: Any, classes: pd.Series) -> pd.DataFrame:
    """Errors per series where each origin is combined by weights fitted on the other origins."""
    if len(backtest.origins) < 2:
        return series_errors(backtest, fit(backtest, classes), classes)
    parts = []
    for origin in backtest.origins:
        here = backtest.frame["origin"] == pd.Timestamp(origin)
        weights = fit(replace(backtest, frame=backtest.frame.loc[~here]), classes)
        parts.append(series_errors(replace(backtest, frame=backtest.frame.loc[here]), weights, classes))
    return pd.concat(parts).groupby(level=0, sort=True).sum()
