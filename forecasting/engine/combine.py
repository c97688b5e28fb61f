"""Ensemble weights and the choice of a spec, from rolling-origin forecasts only."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import combinations
from typing import Any

import numpy as np
import pandas as pd

from forecasting.engine.backtest import Backtest
from forecasting.engine.bootstrap import MIN_SERIES, resampled_totals
from forecasting.engine.choice import Study
from forecasting.engine.paths import MOST_ROWS
from forecasting.engine.types import ANY_CLASS, ModelSpec
from forecasting.engine.weights import MIN_COVERED as MIN_COVERED  # the sweep of a strategy cycle asks the same
from forecasting.engine.weights import Rows

Weights = Mapping[str, Mapping[str, float]]
STEPS = 10
FALLBACKS = ("lightgbm", "lightgbm_direct", "seasonal_naive")
SWEEP_RESAMPLES = 500


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
    `FALLBACKS` that has a value stands in. `family` names who really made it ("lightgbm",
    "lightgbm+prophet"); flags: "declined:<family>" for a weighted family that is missing, "fallback" for a stand-in.
    """
    names, yhat, used, lost = _mixed(frame, weights, classes)
    bits = 1 << np.arange(len(names))
    family = _texts(used @ bits, lambda by: "+".join(_picked(names, by)))
    flags = _texts(lost @ bits, lambda gone: ",".join(f"declined:{name}" for name in _picked(names, gone)))
    out = pd.DataFrame({"yhat": yhat, "family": family, "flags": flags}, index=frame.index)
    for name in (f for f in FALLBACKS if f in frame.columns):
        need = out["yhat"].isna() & frame[name].notna()
        out.loc[need, "yhat"] = frame.loc[need, name]
        out.loc[need, "family"] = name
        out.loc[need, "flags"] = out.loc[need, "flags"].map(lambda text: "fallback," + text if text else "fallback")
    return out


def combined(frame: pd.DataFrame, weights: Weights, classes: pd.Series) -> np.ndarray:
    """yhat of `combine` alone (units; NaN where no family forecast), one for each row, reckoned some rows at a time."""
    parts = []
    for start in range(0, len(frame), MOST_ROWS):
        rows = frame.iloc[start : start + MOST_ROWS]
        yhat = _mixed(rows, weights, classes)[1]
        for name in (f for f in FALLBACKS if f in frame.columns):
            yhat = np.where(np.isnan(yhat), rows[name].to_numpy(dtype="float64"), yhat)
        parts.append(yhat)
    return np.concatenate(parts) if parts else np.zeros(0)


def _mixed(
    frame: pd.DataFrame, weights: Weights, classes: pd.Series
) -> tuple[list[str], np.ndarray, np.ndarray, np.ndarray]:
    """The families that carry weight; yhat of each row before anything stands in; which of them made it and which of
    those meant to are missing (rows × families)."""
    names = sorted({f for row in weights.values() for f, w in row.items() if w > 0})
    kinds = [ANY_CLASS, *sorted(set(weights) - {ANY_CLASS})]
    number = classes.map({kind: place for place, kind in enumerate(kinds)}).fillna(0).astype("int64")
    at = number.index.get_indexer(pd.Index(frame["unique_id"]))
    kind = np.where(at < 0, 0, number.to_numpy()[at]) if len(number) else np.zeros(len(frame), dtype="int64")
    shares = np.array([[weights[one].get(f, 0.0) for f in names] for one in kinds])
    weight, values = shares.reshape(len(kinds), len(names))[kind], frame[names].to_numpy(dtype="float64")
    present = np.isfinite(values)
    used = np.where(present, weight, 0.0)
    total = used.sum(axis=1)
    safe = np.where(total > 0, total, 1.0)
    yhat = np.where(total > 0, (np.where(present, values, 0.0) * used).sum(axis=1) / safe, np.nan)
    return names, yhat, used.astype(bool), (weight > 0) & ~present


def _picked(names: Sequence[str], bits: int) -> list[str]:
    return [name for place, name in enumerate(names) if bits >> place & 1]


def _texts(bits: np.ndarray, text: Callable[[int], str]) -> np.ndarray:
    """The text of each row's number, made once for each number."""
    code, found = pd.factorize(bits)
    return np.array([text(int(one)) for one in found], dtype=object)[code]


def study(backtest: Backtest, classes: pd.Series, seed: int = 2017) -> Study:
    """The backtest's rows, ready to fit weights on and to choose from, for all of its origins or some of them."""
    return Study(Rows.read(backtest.frame, backtest.families, classes, FALLBACKS), seed)


def pair_sweep(backtest: Backtest, classes: pd.Series, seed: int) -> list[SweepPoint]:
    """Each pair of families at weights 1.0, 0.9, ... 0.0, scored on all rows of the backtest."""
    rows = Rows.read(backtest.frame, backtest.families, classes, FALLBACKS)
    ids, code = np.unique(rows.series, return_inverse=True)
    weights, columns = [], []
    for one, other in combinations(range(len(rows.families)), 2):
        for share, errors in _pair_errors(rows, one, other):
            names = {rows.families[one]: share, rows.families[other]: round(1.0 - share, 10)}
            weights.append(names)
            columns.append(np.bincount(code, errors, minlength=len(ids)))
    actual = np.bincount(code, rows.y, minlength=len(ids)) if len(rows.y) else np.zeros(0)
    total = float(actual.sum())
    bands = _bands(columns, actual, seed) if columns and total > 0 and len(ids) >= MIN_SERIES else None
    points = []
    for number, (row, column) in enumerate(zip(weights, columns, strict=True)):
        label = " / ".join(f"{name} {share:.1f}" for name, share in row.items())
        low, high = (None, None) if bands is None else (float(bands[0, number]), float(bands[1, number]))
        wape = float(column.sum()) / total if total > 0 else None
        points.append(SweepPoint(label, {ANY_CLASS: row}, wape, low, high))
    return points


def _pair_errors(rows: Rows, one: int, other: int) -> Iterator[tuple[float, np.ndarray]]:
    """Share of the first, and the absolute error of each row: 1.0, 0.9, ... 0.0."""
    left, right = rows.values[:, one], rows.values[:, other]
    has_left, has_right = np.isfinite(left), np.isfinite(right)
    first = np.where(has_left, left, np.where(has_right, right, rows.stand_in))
    second = np.where(has_right, right, first)
    off, apart = rows.y - second, first - second
    for tenth in range(STEPS, -1, -1):
        share = tenth / STEPS
        if tenth == STEPS:
            errors = rows.y - np.where(has_left, left, rows.stand_in)
        elif tenth == 0:
            errors = rows.y - np.where(has_right, right, rows.stand_in)
        else:
            errors = off - share * apart
        yield share, np.nan_to_num(np.abs(errors), nan=0.0)


def _bands(columns: list[np.ndarray], actual: np.ndarray, seed: int) -> np.ndarray:
    """The central 95% of the pooled error of each column of series errors: 2 × columns."""
    totals = resampled_totals(np.column_stack([actual, *columns]), seed=seed, resamples=SWEEP_RESAMPLES)
    usable = totals[:, 0] > 0
    return np.asarray(np.quantile(totals[usable, 1:] / totals[usable, :1], [0.025, 0.975], axis=0))


def series_errors(backtest: Backtest, weights: Weights, classes: pd.Series) -> pd.DataFrame:
    """Sum of absolute errors and of actuals per series (index unique_id; columns error, actual)."""
    frame = backtest.frame
    known = ~frame["censored"] & frame["y"].notna()
    frame = frame.loc[known]
    yhat = combined(frame, weights, classes)
    rows = pd.DataFrame({"unique_id": frame["unique_id"], "error": (frame["y"] - yhat).abs(), "actual": frame["y"]})
    return rows.groupby("unique_id", sort=True).sum()


def class_weights(backtest: Backtest, classes: pd.Series) -> dict[str, dict[str, float]]:
    """The ensemble: under "*" the mixture of all rows with the least error, and for a demand class weights of its own
    where they beat it beyond noise on origins that they were not fitted on."""
    return study(backtest, classes).fitted(backtest.origins)


def choose_spec(backtest: Backtest, base: ModelSpec, classes: pd.Series) -> tuple[ModelSpec, list[SweepPoint], str]:
    """The spec that a search proposes, the sweep, and why in one sentence.

    Families that are as good as the best share equally, unless the best is clearly better alone; weights of a demand
    class's own are taken where they beat that beyond noise on origins that they were not fitted on
    (`choice.Study.chosen`).
    """
    sweep = pair_sweep(backtest, classes, base.seed)
    ready = study(backtest, classes, base.seed)
    spec, reason = spec_of(ready, backtest, base)
    return spec, sweep, reason


def spec_of(ready: Study, backtest: Backtest, base: ModelSpec) -> tuple[ModelSpec, str]:
    """As `choose_spec` for the origins of `backtest`, without the sweep. `ready` may hold other origins; they are not
    looked at."""
    chosen = ready.chosen(backtest.origins)
    days = np.isin(ready.rows.origin, [int(np.datetime64(day, "D").astype("int64")) for day in backtest.origins])
    families = _with_stand_ins(chosen.weights, ready.rows.where(days))
    return replace(base, families=families, weights=chosen.weights), chosen.reason


def _with_stand_ins(weights: Weights, rows: Rows) -> tuple[str, ...]:
    """The families that carry weight, those that stand in where a class's families can all decline, and seasonal_naive,
    the floor, which is always there."""
    used = sorted({f for row in weights.values() for f, w in row.items() if w > 0})
    names, whole = list(rows.families), np.isfinite(rows.values).all(axis=0)
    covered = all(any(whole[names.index(f)] for f, w in row.items() if w > 0) for row in weights.values())
    stand_ins = [] if covered else [f for f in FALLBACKS if f in names]
    return tuple(dict.fromkeys([*used, *stand_ins[:1], "seasonal_naive"]))
