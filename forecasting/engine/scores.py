"""Scores of evaluation.md. An undefined score is None with its reason, never 0; every score carries its n."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

SCORE_NAMES = ("wape", "bias", "rmsse", "wrmsse", "mase", "coverage80", "coverage95", "winkler80", "scrps", "fva")
NO_ROWS = "no rows with a known actual"
MOST_ROWS = 1 << 16
"""So many rows have their quantiles at once: 23 figures each would be most of the memory of a large tenant."""
_READ = ("unique_id", "origin", "h", "y", "yhat", "naive", "lo80", "hi80", "lo95", "hi95")
Quantiles = Callable[[pd.DataFrame], pd.DataFrame]


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


ZERO = "the sum of actuals is zero"


def ratio(numerator: float, denominator: float, n: int, what: str = ZERO) -> Score:
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
    quantiles: Quantiles | pd.DataFrame | None = None,
    classes: pd.Series | None = None,
    stores: pd.Series | None = None,
    week_steps: int = 7,
) -> ScoreSet:
    """All scores of forecasts beside actuals.

    frame: unique_id, origin, ds, h, y, censored, yhat; optional naive (seasonal-naive forecast of the same rows),
        lo80, hi80, lo95, hi95. scales: as in `Backtest.scales`. quantiles: one row per row of `frame`, one column per
        probability (float), for the sCRPS; or what makes them of some of its rows, so that never all are there at once.
        classes, stores: index unique_id. week_steps: steps in a horizon week.
    """
    known = (~frame["censored"] & frame["y"].notna() & frame["yhat"].notna()).to_numpy()
    if isinstance(quantiles, pd.DataFrame):
        quantiles = _given(quantiles.loc[known].reset_index(drop=True))
    read = {name: frame[name].to_numpy()[known] for name in _READ if name in frame.columns}  # one column at a time
    table = pd.DataFrame(read, copy=False)
    table = pd.DataFrame(read | _scales_of(table, scales), copy=False)
    rows = _Rows.of(table, None if quantiles is None else _pinball(table, quantiles))

    def grouped(key: pd.Series) -> dict[str, dict[str, Score]]:
        code, found = pd.factorize(key, use_na_sentinel=False)
        names = [str(name) for name in found]
        return dict(sorted(zip(names, _scores(rows, code, len(names)), strict=True)))

    weeks = ((table["h"] - 1) // week_steps + 1).astype("int64")
    return ScoreSet(
        overall=_scores(rows, np.zeros(len(table), dtype="int64"), 1)[0],
        by_week=grouped(weeks),
        by_class={} if classes is None else grouped(table["unique_id"].map(classes)),
        by_store={} if stores is None else grouped(table["unique_id"].map(stores)),
        origins=int(table["origin"].nunique()),
        series=int(table["unique_id"].nunique()),
        rows=len(table),
    )


def _scales_of(table: pd.DataFrame, scales: pd.DataFrame) -> dict[str, np.ndarray]:
    """The scales of each row's series at its origin; NaN where there are none."""
    out = {name: np.full(len(table), np.nan) for name in ("rmsse_scale", "mase_scale", "weight")}
    for origin, part in scales.groupby("origin"):
        rows = np.flatnonzero((table["origin"] == origin).to_numpy())
        at = pd.Index(part["unique_id"]).get_indexer(pd.Index(table["unique_id"].to_numpy()[rows]))
        for name, values in out.items():
            values[rows[at >= 0]] = part[name].to_numpy(dtype="float64")[at[at >= 0]]
    return out


@dataclass(frozen=True)
class _Rows:
    """What the scores need of each row, measured once; the groups only add it up. None where the forecasts lack it.

    path: number of the series at its origin. inside: level -> whether the actual lies in the interval. pinball: mean
    over the stored quantiles.
    """

    y: np.ndarray
    error: np.ndarray
    path: np.ndarray
    rmsse_scale: np.ndarray
    mase_scale: np.ndarray
    weight: np.ndarray
    inside: Mapping[int, np.ndarray]
    interval: np.ndarray | None
    pinball: np.ndarray | None
    naive: np.ndarray | None

    @classmethod
    def of(cls, table: pd.DataFrame, pinball: np.ndarray | None) -> _Rows:
        """From known rows with their scales."""
        y, interval = table["y"].to_numpy(dtype="float64"), None
        inside = {}
        for level in (80, 95):
            if f"lo{level}" in table.columns:
                low, high = table[f"lo{level}"].to_numpy(), table[f"hi{level}"].to_numpy()
                inside[level] = (y >= low) & (y <= high)
                if level == 80:
                    interval = (high - low) + 10.0 * np.maximum(low - y, 0) + 10.0 * np.maximum(y - high, 0)
        series, origin = (pd.factorize(table[key])[0].astype("int64") for key in ("unique_id", "origin"))
        return cls(
            y=y,
            error=table["yhat"].to_numpy(dtype="float64") - y,
            path=series * (int(origin.max(initial=0)) + 1) + origin,
            rmsse_scale=table["rmsse_scale"].to_numpy(dtype="float64"),
            mase_scale=table["mase_scale"].to_numpy(dtype="float64"),
            weight=table["weight"].to_numpy(dtype="float64"),
            inside=inside,
            interval=interval,
            pinball=pinball,
            naive=table["naive"].to_numpy(dtype="float64") if "naive" in table.columns else None,
        )


def _pinball(table: pd.DataFrame, quantiles: Quantiles) -> np.ndarray:
    """Mean pinball loss of each row over its quantiles."""
    out = np.zeros(len(table))
    for begin in range(0, len(table), MOST_ROWS):
        rows = table.iloc[begin : begin + MOST_ROWS]
        grid, y, total = quantiles(rows), rows["y"].to_numpy(dtype="float64"), np.zeros(len(rows))
        for level, column in zip(np.asarray(grid.columns, dtype="float64"), grid.to_numpy("float64").T, strict=True):
            off = y - column
            total += np.maximum(level * off, (level - 1.0) * off)
        out[begin : begin + MOST_ROWS] = total / len(grid.columns)
    return out


def _given(grid: pd.DataFrame) -> Quantiles:
    """Quantiles that are there already, row for row."""
    return lambda rows: grid.loc[rows.index]


def _scores(rows: _Rows, code: np.ndarray, groups: int) -> list[dict[str, Score]]:
    """All scores of each group of rows; code: the group of each row, 0 … groups - 1."""

    def total(values: np.ndarray, of: np.ndarray | slice = slice(None)) -> np.ndarray:
        return np.bincount(code[of], values[of], minlength=groups)

    n, actual, absolute = np.bincount(code, minlength=groups), total(np.abs(rows.y)), total(np.abs(rows.error))
    table = {
        "wape": _ratios(absolute, actual, n),
        "bias": _ratios(total(rows.error), actual, n),
        **_scaled(rows, code, groups),
    }
    no_interval, no_grid = "the forecasts have no interval", "the forecasts have no stored quantiles"
    for level in (80, 95):
        found = rows.inside.get(level)
        table[f"coverage{level}"] = _absent(n, no_interval) if found is None else _ratios(total(found * 1.0), n, n)
    table["winkler80"] = _absent(n, no_interval)
    if rows.interval is not None:
        usable = rows.mase_scale > 0
        scaled = rows.interval / np.where(usable, rows.mase_scale, 1.0)
        reason = "no series has a seasonal-naive error above zero in training"
        table["winkler80"] = _ratios(total(scaled, usable), np.bincount(code[usable], minlength=groups), n, reason)
    table["scrps"] = _absent(n, no_grid) if rows.pinball is None else _ratios(total(rows.pinball), actual, n)
    table["fva"] = _absent(n, "no seasonal-naive forecast of the same rows")
    if rows.naive is not None:
        both = np.isfinite(rows.naive)
        floor, own = total(np.abs(rows.y - rows.naive), both), total(np.abs(rows.error), both)
        left = _ratios(own, floor, np.bincount(code[both], minlength=groups), "seasonal naive makes no error")
        table["fva"] = [one if one.value is None else Score(1.0 - one.value, one.n) for one in left]
    return [{name: table[name][group] for name in SCORE_NAMES} for group in range(groups)]


def _scaled(rows: _Rows, code: np.ndarray, groups: int) -> dict[str, list[Score]]:
    """RMSSE, wRMSSE and MASE: per series and origin, over those whose training scale is above zero."""
    key = code * (int(rows.path.max(initial=0)) + 1) + rows.path
    path, begin = pd.factorize(key)[0], np.flatnonzero(~pd.Series(key).duplicated().to_numpy())
    of_path, n = code[begin], np.bincount(path)
    no_scale = "no series has a training scale above zero"

    def mean(values: np.ndarray) -> np.ndarray:
        return np.asarray(np.bincount(path, values, minlength=len(begin)) / n)

    def total(values: np.ndarray, usable: np.ndarray) -> np.ndarray:
        return np.bincount(of_path[usable], values[usable], minlength=groups)

    paths, weight = np.bincount(of_path, minlength=groups), rows.weight[begin]
    roots, means = rows.rmsse_scale[begin], rows.mase_scale[begin]
    has_root, has_mean = roots > 0, means > 0
    rmsse = np.sqrt(mean(rows.error**2) / np.where(has_root, roots, 1.0))
    mase = mean(np.abs(rows.error)) / np.where(has_mean, means, 1.0)
    rooted, meant = (np.bincount(of_path[there], minlength=groups) for there in (has_root, has_mean))
    weighted = zip(total(rmsse * weight, has_root), total(weight, has_root), paths, rooted, strict=True)
    return {
        "rmsse": _ratios(total(rmsse, has_root), rooted, np.where(rooted, rooted, paths), no_scale),
        "wrmsse": [
            ratio(float(a), float(b), int(k), "weights are zero" if some else no_scale) for a, b, k, some in weighted
        ],
        "mase": _ratios(total(mase, has_mean), meant, np.where(meant, meant, paths), no_scale),
    }


def _ratios(over: np.ndarray, under: np.ndarray, n: np.ndarray, what: str = ZERO) -> list[Score]:
    """`ratio` of each group."""
    return [ratio(float(a), float(b), int(k), what) for a, b, k in zip(over, under, n, strict=True)]


def _absent(n: np.ndarray, reason: str) -> list[Score]:
    return [Score(None, int(k), reason) for k in n]


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
