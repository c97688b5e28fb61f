"""The rolling-origin table: every family, the ensemble and the choice itself, each origin as if it had been sealed.

Nothing is scored on what it was fitted to. Families train before their origin; the ensemble's weights, the choice of a
spec and the calibration of every interval come from the other origins. So each origin is a small holdout of its own,
and the table says what to expect of a search, not how well a search remembers.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Executor
from dataclasses import dataclass, field, replace
from datetime import date
from typing import Any

import pandas as pd

from forecasting.engine.backtest import Backtest, Progress
from forecasting.engine.choice import Study
from forecasting.engine.combine import Weights, combine, spec_of, study
from forecasting.engine.conformal import Calibration, NoResiduals
from forecasting.engine.coverage import Coverage, coverage_table
from forecasting.engine.panel import Panel
from forecasting.engine.scores import Score, ScoreSet, ratio, score_frame
from forecasting.engine.train import WEEK_STEPS, SearchConfig, config_backtest
from forecasting.engine.types import ModelSpec

ENSEMBLE, CHOSEN = "ensemble", "chosen"
KEYS = ["unique_id", "origin", "ds", "h", "y", "censored"]
Rule = Callable[[pd.DataFrame], pd.DataFrame]
"""From backtest rows (one column per family) to `KEYS`, yhat and flags of the rows that it forecasts."""


@dataclass(frozen=True)
class Contender:
    """One line of the table. `scores` are of the rows that it forecast; who declined has fewer.

    declined: reason -> series that the family declined at some origin for that reason; declined_series: how many series
    that are in all. stood_in: rows for which a family stepped in that has no weight there. weights: origin (ISO) ->
    weights that the other origins gave; empty for a family. coverage: how often its intervals hold, by class and week;
    empty where it has none. frame: the rows behind the scores.
    """

    name: str
    scores: ScoreSet
    declined: Mapping[str, int] = field(default_factory=dict)
    declined_series: int = 0
    stood_in: int = 0
    weights: Mapping[str, Weights] = field(default_factory=dict)
    coverage: tuple[Coverage, ...] = ()
    frame: pd.DataFrame = field(default_factory=pd.DataFrame, compare=False, repr=False)

    def to_json(self) -> dict[str, Any]:
        """Plain JSON values, without the frame."""
        reasons = [{"reason": reason, "series": n} for reason, n in self.declined.items()]
        return {
            "name": self.name,
            "scores": self.scores.to_json(),
            "declined": {"series": self.declined_series, "reasons": reasons},
            "stood_in_rows": self.stood_in,
            "weights": {day: {k: dict(v) for k, v in rows.items()} for day, rows in self.weights.items()},
            "coverage": [cell.to_json() for cell in self.coverage],
        }


@dataclass(frozen=True)
class RollingTable:
    """The whole table, and the spec that a search on all of these origins proposes.

    horizon and gap in steps of the grain; classes: demand class -> series. A demand class is that of the days before
    the first origin (for a series that began later, of all its days).
    """

    contenders: tuple[Contender, ...]
    origins: tuple[date, ...]
    horizon: int
    gap: int
    grain: str
    series: int
    classes: Mapping[str, int]
    proposed: str
    reason: str

    def get(self, name: str) -> Contender:
        """The line of that name; raises KeyError."""
        for contender in self.contenders:
            if contender.name == name:
                return contender
        raise KeyError(name)

    @property
    def best_single(self) -> Contender | None:
        """The family with the least WAPE of those that forecast every row that the choice did: known in hindsight."""
        rows = self.get(CHOSEN).scores.rows
        lines = [one for one in self.contenders if one.name not in (ENSEMBLE, CHOSEN) and one.scores.rows == rows]
        scored = [(one.scores.get("wape").value, one) for one in lines]
        return min(((wape, one) for wape, one in scored if wape is not None), key=lambda p: p[0], default=(0, None))[1]

    def against_best(self, name: str) -> Score:
        """WAPE of a line (the ensemble, the choice) divided by that of the best single family: at most 1 where it pays.

        None with its reason where either is undefined.
        """
        best, own = self.best_single, self.get(name).scores.get("wape")
        if own.value is None:
            return own
        if best is None:
            return Score(None, own.n, "no single family forecast every row")
        return ratio(own.value, best.scores.get("wape").value or 0.0, own.n, "the best single family makes no error")

    def to_json(self) -> dict[str, Any]:
        """Plain JSON values; an undefined score is null with its reason."""
        best = self.best_single
        return {
            "origins": [day.isoformat() for day in self.origins],
            "horizon": self.horizon,
            "gap": self.gap,
            "grain": self.grain,
            "series": self.series,
            "classes": dict(self.classes),
            "proposed": {"spec": self.proposed, "reason": self.reason},
            "against_best_single": {
                "family": None if best is None else best.name,
                **{name: self.against_best(name).to_json() for name in (ENSEMBLE, CHOSEN)},
            },
            "contenders": [one.to_json() for one in self.contenders],
        }


def rolling_table(
    panel: Panel, config: SearchConfig, *, progress: Progress | None = None, executor: Executor | None = None
) -> RollingTable:
    """Backtest the families of `config` on rolling origins inside `panel` (the training side only) and score them.

    Raises HistoryTooShort, NoUsableSeries, MissingRegressor.
    """
    fits, scoring = config.origins * len(config.families), table_steps(config.families)

    def fitted(done: int, total: int, message: str) -> None:
        if progress is not None:
            progress(done, fits + scoring, message)

    def scored(done: int, total: int, message: str) -> None:
        fitted(fits + done, total, message)

    base, result, classes = config_backtest(panel, config, progress=fitted, executor=executor)
    return table_of(base, result, classes, gap=config.gap, progress=scored)


def table_steps(families: Sequence[str]) -> int:
    """How many steps `table_of` tells of."""
    return len(families) + 2


def table_of(
    base: ModelSpec, result: Backtest, classes: pd.Series, *, gap: int = 0, progress: Progress | None = None
) -> RollingTable:
    """The table of a finished backtest, whose families are those of `base`. classes: of every series, as in
    `config_backtest`; gap in steps of the grain."""
    steps = table_steps(result.families)

    def tell(done: int, message: str) -> None:
        if progress is not None:
            progress(done, steps, message)

    lines = []
    for number, name in enumerate(result.families):
        lines.append(_family_line(result, name, base, classes))
        tell(number + 1, f"scores of {name}")
    ready = study(result, classes, base.seed)
    lines.append(_combined_line(ENSEMBLE, result, base, classes, lambda rest: ready.fitted(rest.origins)))
    tell(steps - 1, "scores of the ensemble")
    lines.append(_chosen_line(result, base, classes, ready))
    proposed, reason = spec_of(ready, result, base)
    tell(steps, "scores of the choice")
    return RollingTable(
        contenders=tuple(lines),
        origins=result.origins,
        horizon=result.horizon,
        gap=gap,
        grain=base.grain,
        series=len(classes),
        classes={str(k): int(v) for k, v in classes.value_counts().sort_index().items()},
        proposed=proposed.label,
        reason=reason,
    )


# --- lines ------------------------------------------------------------------------------------------------------------


def _family_line(result: Backtest, name: str, base: ModelSpec, classes: pd.Series) -> Contender:
    def rule(rows: pd.DataFrame) -> pd.DataFrame:
        return rows[KEYS].assign(yhat=rows[name], flags="").loc[rows[name].notna()]

    line = _line(name, result, base, classes, {day: rule for day in result.origins})
    own = result.declined.loc[result.declined["family"] == name, ["unique_id", "reason"]].drop_duplicates()
    counts = own.groupby("reason").size().sort_values(ascending=False, kind="stable")
    declined = {str(reason): int(n) for reason, n in counts.items()}
    return replace(line, declined=declined, declined_series=int(own["unique_id"].nunique()))


def _combined_line(
    name: str, result: Backtest, base: ModelSpec, classes: pd.Series, fit: Callable[[Backtest], Weights]
) -> Contender:
    weights = {day: fit(rest) for day, rest in _rests(result)}
    rules = {day: _mix(row, result.families, classes) for day, row in weights.items()}
    line = _line(name, result, base, classes, rules)
    return replace(line, weights={day.isoformat(): row for day, row in weights.items()})


def _chosen_line(result: Backtest, base: ModelSpec, classes: pd.Series, ready: Study) -> Contender:
    specs = {day: spec_of(ready, rest, base)[0] for day, rest in _rests(result)}
    rules = {day: _mix(spec.weights, spec.families, classes) for day, spec in specs.items()}
    line = _line(CHOSEN, result, base, classes, rules)
    return replace(line, weights={day.isoformat(): spec.weights for day, spec in specs.items()})


def _mix(weights: Weights, families: tuple[str, ...], classes: pd.Series) -> Rule:
    def rule(rows: pd.DataFrame) -> pd.DataFrame:
        known = [*KEYS, *(f for f in families if f in rows.columns)]
        made = combine(rows[known], weights, classes)
        return rows[KEYS].assign(yhat=made["yhat"], flags=made["flags"]).loc[made["yhat"].notna()]

    return rule


def _rests(result: Backtest) -> list[tuple[date, Backtest]]:
    """Each origin with the backtest of the others; none where there is but one."""
    if len(result.origins) < 2:
        return []
    out = []
    for day in result.origins:
        others = result.frame["origin"] != pd.Timestamp(day)
        left = tuple(one for one in result.origins if one != day)
        out.append((day, replace(result, frame=result.frame.loc[others].reset_index(drop=True), origins=left)))
    return out


# --- scores -----------------------------------------------------------------------------------------------------------


def _line(name: str, result: Backtest, base: ModelSpec, classes: pd.Series, rules: Mapping[date, Rule]) -> Contender:
    """Apply each origin's rule to it, with intervals calibrated by the same rule on the other origins."""
    week, parts, grids = WEEK_STEPS[base.grain], [], []
    for day, rule in rules.items():
        here = result.frame["origin"] == pd.Timestamp(day)
        made, calibration = rule(result.frame.loc[here]), None
        if len(made) and not here.all():
            try:
                calibration = Calibration.fit(rule(result.frame.loc[~here]), classes, week_steps=week)
            except NoResiduals:
                calibration = None
        parts.append(made if calibration is None else calibration.apply(made))
        grids.append(None if calibration is None else calibration.quantiles(made))
    frame = pd.concat(parts) if parts else result.frame.loc[[], KEYS].assign(yhat=0.0, flags="")
    whole = bool(len(frame)) and all(grid is not None or not len(part) for grid, part in zip(grids, parts, strict=True))
    if not whole:  # an origin without intervals cannot be counted as one that they missed
        frame = frame[[*KEYS, "yhat", "flags"]]
    quantiles = pd.concat([grid for grid in grids if grid is not None]) if whole else None
    if "seasonal_naive" in result.frame.columns:
        frame = frame.assign(naive=result.frame["seasonal_naive"].reindex(frame.index))
    scores = score_frame(frame, result.scales, quantiles=quantiles, classes=classes, week_steps=week)
    stood_in = int(frame["flags"].str.contains("fallback", regex=False).sum()) if len(frame) else 0
    coverage = coverage_table(frame, classes, week_steps=week, seed=base.seed)
    return Contender(name, scores, stood_in=stood_in, coverage=coverage, frame=frame.reset_index(drop=True))
