"""Scores of evaluation.md. An undefined score is None with its reason, never 0; every score carries its n."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from forecasting.engine.paths import path_begins, path_order, pieces
from forecasting.engine.score_sums import PARTS, Rows, Tally

SCORE_NAMES = ("wape", "bias", "rmsse", "wrmsse", "mase", "coverage80", "coverage95", "winkler80", "scrps", "fva")
NO_ROWS = "no rows with a known actual"
_ALL = ""  # the only group of the overall scores
_READ = ("unique_id", "origin", "h", "y", "yhat", "naive", "lo80", "hi80", "lo95", "hi95")
Made = Callable[[pd.DataFrame], pd.DataFrame]
"""What is made of some rows, row for row."""


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
    quantiles: Made | pd.DataFrame | None = None,
    intervals: Made | None = None,
    classes: pd.Series | None = None,
    stores: pd.Series | None = None,
    week_steps: int = 7,
) -> ScoreSet:
    """All scores of forecasts beside actuals, a piece of the rows at a time.

    frame: unique_id, origin, h, y, censored, yhat; optional naive (seasonal-naive forecast of the same rows), lo80,
        hi80, lo95, hi95. scales: as in `Backtest.scales`. quantiles: one row per row of `frame`, one column per
        probability (float), for the sCRPS; or what makes them of some of its rows. intervals: what adds lo80, hi80,
        lo95 and hi95 to some of its rows, where they are not there yet. classes, stores: index unique_id. week_steps:
        steps in a horizon week.
    """
    order = path_order(frame)
    if order is not None:
        frame = frame.iloc[order]
        quantiles = quantiles.iloc[order] if isinstance(quantiles, pd.DataFrame) else quantiles
    starts = pd.to_datetime(scales["origin"])
    of_origin = {origin: part.set_index("unique_id") for origin, part in scales.groupby(starts)}
    classes, stores = _named(classes), _named(stores)
    whole, weeks, kinds, shops = Tally({_ALL: np.zeros(len(PARTS))}), Tally(), Tally(), Tally()
    ids: list[np.ndarray] = []
    days: list[np.ndarray] = []
    for piece in pieces(frame):
        given = frame.iloc[piece]
        known = (~given["censored"] & given["y"].notna() & given["yhat"].notna()).to_numpy()
        table = pd.DataFrame({name: given[name].to_numpy() for name in _READ if name in given.columns}, copy=False)
        table = intervals(table) if intervals is not None else table  # of whole paths, as what serves
        grid = _grid(quantiles, table, piece)
        table = table.loc[known]
        rows = Rows.of(table, _scales_of(table, of_origin), None if grid is None else grid.loc[known])
        ids.append(table["unique_id"].unique())
        days.append(table["origin"].unique())
        whole.add(rows, np.zeros(len(table), dtype="int64"), [_ALL])
        weeks.add(rows, *_grouped(((table["h"] - 1) // week_steps + 1).astype("int64")))
        if classes is not None:
            kinds.add(rows, *_grouped(table["unique_id"].map(classes)))
        if stores is not None:
            shops.add(rows, *_grouped(table["unique_id"].map(stores)))
    has = _Has(
        levels=tuple(level for level in (80, 95) if intervals is not None or f"lo{level}" in frame.columns),
        quantiles=quantiles is not None,
        naive="naive" in frame.columns,
    )
    return ScoreSet(
        overall=_scores(whole, has)[_ALL],
        by_week=_scores(weeks, has),
        by_class=_scores(kinds, has),
        by_store=_scores(shops, has),
        origins=_distinct(days),
        series=_distinct(ids),
        rows=int(whole.table()[1]["n"][0]),
    )


def _grid(quantiles: Made | pd.DataFrame | None, table: pd.DataFrame, piece: slice) -> pd.DataFrame | None:
    """The quantiles of a piece's rows, given or made."""
    if quantiles is None:
        return None
    return quantiles.iloc[piece] if isinstance(quantiles, pd.DataFrame) else quantiles(table)


def _named(groups: pd.Series | None) -> pd.Series | None:
    """The groups as texts: a missing one has the same name in every piece."""
    if groups is None:
        return None
    return pd.Series([str(name) for name in groups], index=groups.index, dtype=object)


def _grouped(key: pd.Series) -> tuple[np.ndarray, list[str]]:
    """The group of each row as a number, and the groups' names."""
    code, found = pd.factorize(key, use_na_sentinel=False)
    return code, [str(name) for name in found]


def _distinct(parts: Sequence[np.ndarray]) -> int:
    return len(pd.unique(np.concatenate(parts))) if parts else 0


def _scales_of(table: pd.DataFrame, of_origin: Mapping[Any, pd.DataFrame]) -> dict[str, np.ndarray]:
    """The scales of each row's series at its origin; NaN where there are none."""
    out = {name: np.full(len(table), np.nan) for name in ("rmsse_scale", "mase_scale", "weight")}
    begins = path_begins(table)
    times = np.diff(begins, append=len(table))
    series, origins = table["unique_id"].to_numpy()[begins], table["origin"].to_numpy()[begins]
    for origin in pd.unique(origins):
        part = of_origin.get(pd.Timestamp(origin))
        if part is None or not len(part):
            continue
        here = origins == origin
        at = part.index.get_indexer(pd.Index(series[here]))
        rows, times_here = here.repeat(times), times[here]
        for name, values in out.items():
            values[rows] = np.where(at >= 0, part[name].to_numpy(dtype="float64")[at], np.nan).repeat(times_here)
    return out


@dataclass(frozen=True)
class _Has:
    """What the forecasts have: levels of intervals, stored quantiles, a seasonal-naive forecast beside them."""

    levels: tuple[int, ...]
    quantiles: bool
    naive: bool


def _scores(tally: Tally, has: _Has) -> dict[str, dict[str, Score]]:
    """Group -> all scores."""
    names, of = tally.table()
    n, no_scale = of["n"], "no series has a training scale above zero"
    table = {
        "wape": _ratios(of["absolute"], of["actual"], n),
        "bias": _ratios(of["error"], of["actual"], n),
        "rmsse": _ratios(of["rmsse"], of["rmsses"], np.where(of["rmsses"] > 0, of["rmsses"], of["paths"]), no_scale),
        "wrmsse": [
            ratio(float(a), float(b), int(k), "weights are zero" if some else no_scale)
            for a, b, k, some in zip(of["wrmsse"], of["weight"], of["paths"], of["rmsses"], strict=True)
        ],
        "mase": _ratios(of["mase"], of["mases"], np.where(of["mases"] > 0, of["mases"], of["paths"]), no_scale),
    }
    no_interval, no_grid = "the forecasts have no interval", "the forecasts have no stored quantiles"
    for level in (80, 95):
        there = level in has.levels
        table[f"coverage{level}"] = _ratios(of[f"in{level}"], n, n) if there else _absent(n, no_interval)
    reason = "no series has a seasonal-naive error above zero in training"
    winkler = _ratios(of["interval"], of["intervals"], n, reason)
    table["winkler80"] = winkler if 80 in has.levels else _absent(n, no_interval)
    table["scrps"] = _ratios(of["pinball"], of["actual"], n) if has.quantiles else _absent(n, no_grid)
    left = _ratios(of["beside_naive"], of["naive"], of["both"], "seasonal naive makes no error")
    gained = [one if one.value is None else Score(1.0 - one.value, one.n) for one in left]
    table["fva"] = gained if has.naive else _absent(n, "no seasonal-naive forecast of the same rows")
    return {group: {name: table[name][place] for name in SCORE_NAMES} for place, group in enumerate(names)}


def _ratios(over: np.ndarray, under: np.ndarray, n: np.ndarray, what: str = ZERO) -> list[Score]:
    """`ratio` of each group."""
    return [ratio(float(a), float(b), int(k), what) for a, b, k in zip(over, under, n, strict=True)]


def _absent(n: np.ndarray, reason: str) -> list[Score]:
    return [Score(None, int(k), reason) for k in n]


def compare_families(
    frame: pd.DataFrame, scales: pd.DataFrame, families: tuple[str, ...], **groups: Any
) -> dict[str, ScoreSet]:
    """A `ScoreSet` per family column of a backtest frame, with FVA against its seasonal_naive column."""
    shared = {name: frame[name].to_numpy() for name in ("unique_id", "origin", "h", "y", "censored")}
    if "seasonal_naive" in frame.columns:
        shared["naive"] = frame["seasonal_naive"].to_numpy()
    return {
        family: score_frame(pd.DataFrame(shared | {"yhat": frame[family].to_numpy()}, copy=False), scales, **groups)
        for family in families
    }
