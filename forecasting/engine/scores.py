"""Scores of evaluation.md. An undefined score is None with its reason, never 0; every score carries its n."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

SCORE_NAMES = ("wape", "bias", "rmsse", "wrmsse", "mase", "coverage80", "coverage95", "winkler80", "scrps", "fva")
NO_ROWS = "no rows with a known actual"


@dataclass(frozen=True)
class Score:
    """A value with the number of rows (or series) it rests on; `reason` says why a value is None."""

    value: float | None
    n: int
    reason: str | None = None

    def __post_init__(self) -> None:
        if (self.value is None) == (self.reason is None):
            raise ValueError("a score has either a value or the reason why it has none")
        if self.value is not None and not np.isfinite(self.value):
            raise ValueError(f"a score is finite or None, not {self.value}")

    def to_json(self) -> dict[str, Any]:
        """Plain JSON values."""
        return {"value": self.value, "n": self.n, "reason": self.reason}

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Score:
        """Inverse of `to_json`."""
        return cls(data["value"], data["n"], data["reason"])


def ratio(numerator: float, denominator: float, n: int, what: str = "the sum of actuals is zero") -> Score:
    """numerator / denominator, or None with the reason."""
    if n == 0:
        return Score(None, 0, NO_ROWS)
    if not denominator > 0:
        return Score(None, n, what)
    with np.errstate(over="ignore"):
        value = float(np.float64(numerator) / denominator)
    return Score(value, n) if np.isfinite(value) else Score(None, n, "the denominator is too small to divide by")


@dataclass(frozen=True)
class ScoreSet:
    """Scores overall and by horizon week ("1", "2", ...), demand class and store."""

    overall: Mapping[str, Score]
    by_week: Mapping[str, Mapping[str, Score]]
    by_class: Mapping[str, Mapping[str, Score]]
    by_store: Mapping[str, Mapping[str, Score]]
    origins: int = 0
    series: int = 0
    rows: int = 0

    def get(self, name: str) -> Score:
        """An overall score; one that was not computed is None with that reason."""
        return self.overall.get(name, Score(None, 0, "not computed"))

    def to_json(self) -> dict[str, Any]:
        """Plain JSON values."""

        def table(scores: Mapping[str, Score]) -> dict[str, Any]:
            return {k: v.to_json() for k, v in scores.items()}

        groups = {k: {g: table(s) for g, s in getattr(self, k).items()} for k in ("by_week", "by_class", "by_store")}
        counts = {"origins": self.origins, "series": self.series, "rows": self.rows}
        return {"overall": table(self.overall), **groups, **counts}

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> ScoreSet:
        """Inverse of `to_json`."""

        def table(scores: Mapping[str, Any]) -> dict[str, Score]:
            return {k: Score.from_json(v) for k, v in scores.items()}

        week, kind, store = ({g: table(s) for g, s in data[k].items()} for k in ("by_week", "by_class", "by_store"))
        return cls(table(data["overall"]), week, kind, store, data["origins"], data["series"], data["rows"])


def score_frame(
    frame: pd.DataFrame,
    scales: pd.DataFrame,
    *,
    quantiles: pd.DataFrame | None = None,
    classes: pd.Series | None = None,
    stores: pd.Series | None = None,
    week_steps: int = 7,
) -> ScoreSet:
    """All scores of forecasts beside actuals.

    frame: unique_id, origin, ds, h, y, censored, yhat; optional naive (seasonal-naive forecast of the same rows),
        lo80, hi80, lo95, hi95. scales: as in `Backtest.scales`. quantiles: one row per row of `frame`, one column per
        probability (float), for the sCRPS. classes, stores: index unique_id. week_steps: steps in a horizon week.
    """
    table = frame.merge(scales, on=["unique_id", "origin"], how="left", sort=False)
    known = (~table["censored"] & table["y"].notna() & table["yhat"].notna()).to_numpy()
    grid = None if quantiles is None else quantiles.to_numpy(dtype="float64")[known]
    levels = None if quantiles is None else np.asarray(quantiles.columns, dtype="float64")
    table = table.loc[known].reset_index(drop=True)

    def scored(mask: np.ndarray) -> dict[str, Score]:
        return _scores(table.loc[mask], None if grid is None else grid[mask], levels)

    def grouped(key: pd.Series) -> dict[str, dict[str, Score]]:
        names = key.astype(str).to_numpy()
        return {name: scored(names == name) for name in sorted(set(names))}

    weeks = ((table["h"] - 1) // week_steps + 1).astype("int64")
    return ScoreSet(
        overall=scored(np.ones(len(table), dtype=bool)),
        by_week=grouped(weeks),
        by_class={} if classes is None else grouped(table["unique_id"].map(classes)),
        by_store={} if stores is None else grouped(table["unique_id"].map(stores)),
        origins=int(table["origin"].nunique()),
        series=int(table["unique_id"].nunique()),
        rows=len(table),
    )


def _scores(rows: pd.DataFrame, grid: np.ndarray | None, levels: np.ndarray | None) -> dict[str, Score]:
    y, yhat = rows["y"].to_numpy(), rows["yhat"].to_numpy()
    total, n = float(np.abs(y).sum()), len(rows)
    out = {
        "wape": ratio(float(np.abs(y - yhat).sum()), total, n),
        "bias": ratio(float((yhat - y).sum()), total, n),
        **_scaled(rows, y, yhat),
        **_intervals(rows, y),
        "scrps": _scrps(y, grid, levels),
        "fva": Score(None, n, "no seasonal-naive forecast of the same rows"),
    }
    if "naive" in rows.columns:
        out["fva"] = _fva(y, yhat, rows["naive"].to_numpy())
    return {name: out[name] for name in SCORE_NAMES}


def _scaled(rows: pd.DataFrame, y: np.ndarray, yhat: np.ndarray) -> dict[str, Score]:
    """RMSSE, wRMSSE and MASE: per series and origin, over those whose training scale is above zero."""
    errors = rows[["unique_id", "origin", "rmsse_scale", "mase_scale", "weight"]].assign(
        square=(y - yhat) ** 2, absolute=np.abs(y - yhat)
    )
    paths = errors.groupby(["unique_id", "origin"], sort=True).mean()
    no_scale = "no series has a training scale above zero"
    root = paths.loc[paths["rmsse_scale"] > 0]
    rmsse = (root["square"] / root["rmsse_scale"]) ** 0.5
    mean = paths.loc[paths["mase_scale"] > 0]
    mase = mean["absolute"] / mean["mase_scale"]
    weight = float(root["weight"].sum())

    def average(values: pd.Series) -> Score:
        return ratio(float(values.sum()), len(values), len(values) or len(paths), no_scale)

    return {
        "rmsse": average(rmsse),
        "wrmsse": ratio(
            float((rmsse * root["weight"]).sum()), weight, len(paths), no_scale if not len(root) else "weights are zero"
        ),
        "mase": average(mase),
    }


def _intervals(rows: pd.DataFrame, y: np.ndarray) -> dict[str, Score]:
    out = {}
    for level in (80, 95):
        if f"lo{level}" not in rows.columns:
            out[f"coverage{level}"] = Score(None, len(rows), "the forecasts have no interval")
            continue
        inside = (y >= rows[f"lo{level}"].to_numpy()) & (y <= rows[f"hi{level}"].to_numpy())
        out[f"coverage{level}"] = ratio(float(inside.sum()), len(rows), len(rows))
    if "lo80" not in rows.columns:
        return {**out, "winkler80": Score(None, len(rows), "the forecasts have no interval")}
    low, high = rows["lo80"].to_numpy(), rows["hi80"].to_numpy()
    interval = (high - low) + 10.0 * np.maximum(low - y, 0) + 10.0 * np.maximum(y - high, 0)
    scale = rows["mase_scale"].to_numpy()
    usable = scale > 0
    scaled = interval[usable] / scale[usable]
    reason = "no series has a seasonal-naive error above zero in training"
    return {**out, "winkler80": ratio(float(scaled.sum()), int(usable.sum()), len(rows), reason)}


def _scrps(y: np.ndarray, grid: np.ndarray | None, levels: np.ndarray | None) -> Score:
    """Mean pinball loss over the stored quantiles (times 2, so that it tends to the CRPS), by the mean of |y|."""
    if grid is None or levels is None:
        return Score(None, len(y), "the forecasts have no stored quantiles")
    error = y[:, None] - grid
    pinball = np.maximum(levels * error, (levels - 1.0) * error)
    return ratio(float(pinball.mean(axis=1).sum()), float(np.abs(y).sum()), len(y))


def _fva(y: np.ndarray, yhat: np.ndarray, naive: np.ndarray) -> Score:
    both = np.isfinite(naive)
    error = float(np.abs(y - naive)[both].sum())
    floor = ratio(float(np.abs(y - yhat)[both].sum()), error, int(both.sum()), "seasonal naive makes no error")
    return floor if floor.value is None else Score(1.0 - floor.value, floor.n)


def compare_families(
    frame: pd.DataFrame, scales: pd.DataFrame, families: tuple[str, ...], **groups: Any
) -> dict[str, ScoreSet]:
    """A `ScoreSet` per family column of a backtest frame, with FVA against its seasonal_naive column."""
    out = {}
    named: Callable[[str], pd.DataFrame] = lambda f: frame.assign(yhat=frame[f])  # noqa: E731
    for family in families:
        table = named(family)
        if "seasonal_naive" in frame.columns:
            table = table.assign(naive=frame["seasonal_naive"])
        out[family] = score_frame(table, scales, **groups)
    return out
