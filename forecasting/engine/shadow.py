"""Champion and challenger on the same days: rows that both forecast from the same origins, scored window by window.

A window is a run of days of demand (a week; four weeks where demand is weekly), not of origins, so that it is whole as
soon as its last day has come. Daily errors count by the day that was forecast, orders by the day on which their
protection interval ended. Only what both forecast counts: same series, same origin, same day.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, timedelta
from typing import Any

import numpy as np
import pandas as pd

from forecasting.engine.bootstrap import Evidence, no_evidence, paired_bootstrap
from forecasting.engine.business import BusinessPolicy, business_scores, protection_steps
from forecasting.engine.conformal import Calibration
from forecasting.engine.panel import STEP_DAYS
from forecasting.engine.scores import Score, ratio, score_frame

CHAMPION, CHALLENGER, TIE, UNDECIDED = "champion", "challenger", "tie", "undecided"
COST, WAPE = "total_cost", "wape"
SAME = 0.001
"""Relative differences below this are a tie."""
WINDOW_DAYS = {"D": 7, "W": 28}
SCORES = ("wape", "bias", "wrmsse", "coverage80", "coverage95")
BUSINESS = ("total_cost", "cost_stockout", "cost_overstock", "stockout_miss_rate", "overstock_rate")
_MONDAY = date(1970, 1, 5)
_KEY = ["unique_id", "origin", "ds"]


def window_of(day: date, grain: str = "D") -> tuple[date, date]:
    """First and last day of the window that a day lies in; windows begin on Mondays and never move."""
    length = WINDOW_DAYS[grain]
    start = day - timedelta(days=(day - _MONDAY).days % length)
    return start, start + timedelta(days=length - 1)


@dataclass(frozen=True)
class SideForecasts:
    """One side's stored forecasts (unique_id, origin, ds, h, yhat, lo80, hi80, lo95, hi95); what orders come from."""

    frame: pd.DataFrame
    calibration: Calibration


@dataclass(frozen=True)
class Days:
    """What came. rows: unique_id, origin, ds, h, y, censored, closed. scales: as `Backtest.scales`. values: as
    `business.unit_values`, of the days up to the first origin."""

    rows: pd.DataFrame
    scales: pd.DataFrame
    values: pd.DataFrame


@dataclass(frozen=True)
class WindowResult:
    """One window of one pair. scores: side -> name -> Score, those of business among them. series: one row a series,
    from which windows are pooled: unique_id, actual, and of each side error (sum of absolute errors) and cost (NaN:
    not known)."""

    start: date
    end: date
    complete: bool
    days: int
    origins: int
    n_series: int
    rows: int
    paths: int
    scores: Mapping[str, Mapping[str, Score]]
    confidence: str
    differences: Mapping[str, Evidence]
    winner: str
    basis: str
    reason: str
    series: pd.DataFrame = field(repr=False)

    @property
    def judged(self) -> bool:
        """Whether it counts among the weeks won or lost."""
        return self.winner != UNDECIDED

    def scores_json(self) -> dict[str, Any]:
        """Plain JSON values."""
        return {side: {name: one.to_json() for name, one in table.items()} for side, table in self.scores.items()}


def compare_window(
    champion: SideForecasts,
    challenger: SideForecasts,
    days: Days,
    *,
    start: date,
    end: date,
    until: date,
    policy: BusinessPolicy,
    grain: str = "D",
    seed: int = 2017,
    resamples: int = 2000,
) -> WindowResult | None:
    """Both sides on the days from `start` to `end` that had come by `until`; None where they share no known row."""
    steps, step = protection_steps(policy, grain), STEP_DAYS[grain]
    first, last = pd.Timestamp(start), pd.Timestamp(min(end, until))
    rows = _shared(champion.frame, challenger.frame, days.rows)
    inside = rows.loc[(rows["ds"] >= first) & (rows["ds"] <= last)]
    known = inside.loc[~inside["censored"] & inside["y"].notna()]
    if not len(known):
        return None
    ends = rows["origin"] + pd.Timedelta(days=steps * step)
    ordered = rows.loc[(ends >= first) & (ends <= last) & (rows["h"] <= steps)]
    sides = {CHAMPION: champion, CHALLENGER: challenger}
    business = {
        side: business_scores(_of(ordered, side), one.calibration, days.values, policy, grain=grain)
        for side, one in sides.items()
    }
    scores = {
        side: {
            **{n: s for n, s in score_frame(_of(inside, side), days.scales).overall.items() if n in SCORES},
            **{name: business[side].get(name).score for name in BUSINESS},
        }
        for side in sides
    }
    costs = {side: business[side].series_cost for side in sides}
    series = _by_series(known, costs)
    differences = {
        WAPE: paired_bootstrap(*_pair(series, "error"), seed=seed, resamples=resamples),
        COST: _cost_difference(series, scores, seed, resamples),
    }
    paths = scores[CHALLENGER][COST].n
    complete = until >= end
    winner, basis, reason = _winner(scores, complete, paths)
    return WindowResult(
        start, end, complete, int(known["ds"].nunique()), int(known["origin"].nunique()), len(series), len(known),
        paths, scores, business[CHAMPION].total_cost.confidence, differences, winner, basis, reason, series,
    )  # fmt: skip


def _shared(champion: pd.DataFrame, challenger: pd.DataFrame, rows: pd.DataFrame) -> pd.DataFrame:
    """Rows that both forecast and whose day came: the columns of both sides with their names before them."""
    figures = [name for name in ("yhat", "lo80", "hi80", "lo95", "hi95") if name in champion.columns]
    both = rows
    for side, frame in ((CHAMPION, champion), (CHALLENGER, challenger)):
        renamed = frame[[*_KEY, *figures]].rename(columns={name: f"{side}_{name}" for name in figures})
        both = both.merge(renamed, on=_KEY, how="inner", sort=False)
    fine = both[f"{CHAMPION}_yhat"].notna() & both[f"{CHALLENGER}_yhat"].notna()
    return both.loc[fine].sort_values(["origin", "unique_id", "h"], kind="stable", ignore_index=True)


def _of(rows: pd.DataFrame, side: str) -> pd.DataFrame:
    """The shared rows with one side's figures."""
    other = CHALLENGER if side == CHAMPION else CHAMPION
    left = rows.drop(columns=[name for name in rows.columns if name.startswith(f"{other}_")])
    return left.rename(columns={name: name.removeprefix(f"{side}_") for name in left.columns})


def _by_series(known: pd.DataFrame, costs: Mapping[str, pd.Series | None]) -> pd.DataFrame:
    table = pd.DataFrame({"unique_id": known["unique_id"], "actual": known["y"].abs()})
    for side in (CHAMPION, CHALLENGER):
        table[f"{side}_error"] = (known[f"{side}_yhat"] - known["y"]).abs()
    out = table.groupby("unique_id").sum().sort_index()
    for side in (CHAMPION, CHALLENGER):
        cost = costs[side]
        out[f"{side}_cost"] = np.nan if cost is None else cost.reindex(out.index)
    return out.reset_index()


def _pair(series: pd.DataFrame, what: str) -> tuple[pd.Series, pd.Series]:
    table = series.set_index("unique_id")
    return table[f"{CHAMPION}_{what}"], table[f"{CHALLENGER}_{what}"]


def _cost_difference(series: pd.DataFrame, scores: Mapping[str, Mapping[str, Score]], seed: int, n: int) -> Evidence:
    for side in (CHAMPION, CHALLENGER):
        score = scores[side][COST]
        if score.value is None:
            return no_evidence(score.reason or "the cost is not known", len(series))
    ordered = series.dropna(subset=[f"{CHAMPION}_cost", f"{CHALLENGER}_cost"])
    return paired_bootstrap(*_pair(ordered, "cost"), seed=seed, resamples=n)


def _winner(scores: Mapping[str, Mapping[str, Score]], complete: bool, paths: int) -> tuple[str, str, str]:
    """Who did better, by what, or why that is not said. Cost decides where it is known, else the error."""
    costs = [scores[side][COST].value for side in (CHAMPION, CHALLENGER)]
    basis = COST if None not in costs else WAPE
    if not complete:
        return UNDECIDED, basis, "its last day has not come yet"
    if not paths:
        return UNDECIDED, basis, "no order's protection interval ended in it"
    before, after = (scores[side][basis].value for side in (CHAMPION, CHALLENGER))
    if before is None or after is None:
        return UNDECIDED, basis, scores[CHAMPION][basis].reason or scores[CHALLENGER][basis].reason or "not known"
    if abs(after - before) <= SAME * before:
        return TIE, basis, ""
    return (CHALLENGER if after < before else CHAMPION), basis, ""


@dataclass(frozen=True)
class Standing:
    """What the judged windows of one pair come to together."""

    weeks: int
    won: int
    lost: int
    tied: int
    scores: Mapping[str, Mapping[str, Score]]
    differences: Mapping[str, Evidence]
    first_day: date | None = None
    last_day: date | None = None

    def sentence(self, unit: str = "week") -> str:
        """Such as: won 5 of 6 weeks in shadow; cost −3.1% [−5.0%, −1.2%]."""
        if not self.weeks:
            return f"no whole {unit} in shadow yet"
        text = f"won {self.won} of {self.weeks} {unit}{'s' if self.weeks != 1 else ''} in shadow"
        cost, error = self.differences[COST], self.differences[WAPE]
        shown = ("cost", cost) if cost.change is not None else ("error", error)
        return f"{text}; {shown[0]} {change_text(shown[1])}"


def change_text(evidence: Evidence) -> str:
    """A relative change with its 95% interval: −3.1% [−5.0%, −1.2%]; the reason where it is not known."""
    if evidence.change is None or evidence.low is None or evidence.high is None:
        return f"not known ({evidence.reason})"
    return f"{_signed(evidence.change)} [{_signed(evidence.low)}, {_signed(evidence.high)}]"


def _signed(value: float) -> str:
    return f"{value:+.1%}".replace("-", "−")


def pool(windows: Sequence[WindowResult], *, seed: int = 2017, resamples: int = 2000) -> Standing:
    """All judged windows together: how many each side won, and the difference of the sums by a paired bootstrap over
    series. A window that is not judged yet is left out of everything."""
    judged = [one for one in windows if one.judged]
    won, lost, tied = (sum(one.winner == side for one in judged) for side in (CHALLENGER, CHAMPION, TIE))
    if not judged:
        none = no_evidence("no whole window has been judged yet")
        return Standing(0, 0, 0, 0, {}, {WAPE: none, COST: none})
    series = pd.concat([one.series for one in judged], ignore_index=True)
    total = series.groupby("unique_id").sum(min_count=1).sort_index().reset_index()
    rows = sum(one.rows for one in judged)
    scores = {
        side: {WAPE: ratio(float(total[f"{side}_error"].sum()), float(total["actual"].sum()), rows)}
        for side in (CHAMPION, CHALLENGER)
    }
    by_cost = [one for one in judged if one.basis == COST]
    if by_cost and len(by_cost) == len(judged):
        for side in (CHAMPION, CHALLENGER):
            paths = sum(one.paths for one in by_cost)
            scores[side][COST] = Score(float(total[f"{side}_cost"].sum()), paths)
        ordered = total.dropna(subset=[f"{CHAMPION}_cost", f"{CHALLENGER}_cost"])
        cost = paired_bootstrap(*_pair(ordered, "cost"), seed=seed, resamples=resamples)
    else:
        cost = no_evidence("the cost is not known in every window", len(total))
    error = paired_bootstrap(*_pair(total, "error"), seed=seed, resamples=resamples)
    first, last = min(one.start for one in judged), max(one.end for one in judged)
    return Standing(len(judged), won, lost, tied, scores, {WAPE: error, COST: cost}, first, last)
