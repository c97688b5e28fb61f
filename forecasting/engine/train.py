"""The orchestration, pure: search, evaluate, fit, forecast the holdout, assess it."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from concurrent.futures import Executor
from dataclasses import dataclass, field, replace
from datetime import date
from typing import Any

import numpy as np
import pandas as pd

from forecasting.engine.backtest import Backtest, Progress, backtest_and_facts, require_history, rolling_origins
from forecasting.engine.bootstrap import Evidence, no_evidence, paired_bootstrap
from forecasting.engine.business import BusinessPolicy, BusinessScores, business_scores
from forecasting.engine.combine import SweepPoint, choose_spec, combined
from forecasting.engine.conformal import Calibration
from forecasting.engine.facts import Facts
from forecasting.engine.fitted import FittedModel
from forecasting.engine.fitting import fit
from forecasting.engine.hierarchy_choice import (
    CrossFitted,
    Reconciliation,
    compare,
    cross_fitted,
    node_backtest,
    why_no_mint,
)
from forecasting.engine.hierarchy_model import Hierarchy
from forecasting.engine.holdout import Holdout, holdout_forecasts, holdout_origins, naive_forecasts
from forecasting.engine.panel import STEP_DAYS, Panel
from forecasting.engine.scores import ScoreSet, compare_families, score_frame
from forecasting.engine.source import PanelSource, as_source
from forecasting.engine.tasks import Task
from forecasting.engine.types import BOTTOM_UP, MINT, ModelSpec

WEEK_STEPS = {"D": 7, "W": 1}
SEVERAL_SEGMENTS = "MinT needs all series at once, and they are fitted in several segments"


@dataclass(frozen=True)
class SearchConfig:
    """What a search compares, and how. horizon, step and gap are in steps of the grain."""

    families: tuple[str, ...] = ("seasonal_naive", "lightgbm", "prophet")
    horizon: int = 14
    origins: int = 4
    step: int | None = None
    gap: int = 0
    params: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    prophet_top_n: int = 12
    seed: int = 2017

    def base_spec(self, panel: Panel | PanelSource) -> ModelSpec:
        """The spec that fits all the families compared."""
        return ModelSpec(
            families=self.families,
            horizon=self.horizon,
            season_length=panel.season_length,
            grain=panel.grain,
            params=self.params,
            prophet_top_n=self.prophet_top_n,
            seed=self.seed,
        )


@dataclass(frozen=True)
class Evaluation:
    """A spec on the rolling origins: the calibration of its intervals, its scores, and the levels above the series.

    The intervals scored come from the same residuals, so their coverage here is a check of the fit, not evidence; the
    holdout is. declined: as `Backtest.declined`. The rows are not kept: they are most of a large tenant's memory.
    """

    calibration: Calibration
    scores: ScoreSet
    declined: pd.DataFrame
    families: tuple[str, ...]
    horizon: int
    origins: tuple[date, ...]
    hierarchy: Hierarchy | None = None


@dataclass(frozen=True)
class SearchOutcome:
    """The spec proposed, why, and everything compared on the way. `evaluation` is of the chosen spec."""

    spec: ModelSpec
    reason: str
    backtest: Backtest
    scores_by_family: Mapping[str, ScoreSet]
    sweep: tuple[SweepPoint, ...]
    declined: pd.DataFrame
    evaluation: Evaluation
    reconciliation: Reconciliation | None = None


@dataclass(frozen=True)
class Assessment:
    """One side of the gate: scores on the sealed holdout.

    rows_sha256 identifies the rows judged (series, origin, day, actual), so that two sides can be held to the same.
    """

    scores: ScoreSet
    business: BusinessScores
    rows_sha256: str
    origins: tuple[date, ...]
    series_origins: int
    holdout_days: int


def config_backtest(
    data: Panel | PanelSource,
    config: SearchConfig,
    *,
    progress: Progress | None = None,
    executor: Executor | None = None,
) -> tuple[ModelSpec, Backtest, pd.Series]:
    """The spec that holds all families of `config`, its backtest on the rolling origins, and the demand class of each
    series (of the days before the first origin; for a series that began later, of all its days). Raises as `search`.
    """
    base, result, facts = compared(data, config, progress=progress, executor=executor)
    return base, result, facts.early


def compared(
    data: Panel | PanelSource,
    config: SearchConfig,
    *,
    progress: Progress | None = None,
    executor: Executor | None = None,
) -> tuple[ModelSpec, Backtest, Facts]:
    """As `config_backtest`, with the facts of all series."""
    source = as_source(data)
    base = config.base_spec(source)
    require_history(source, base, config.origins, config.step, config.gap)
    origins = rolling_origins(source.last_day, config.horizon, config.origins, config.step, config.gap, source.grain)
    result, facts, _ = backtest_and_facts(source, base, origins, gap=config.gap, executor=executor, progress=progress)
    return base, result, facts


def search(
    data: Panel | PanelSource,
    config: SearchConfig,
    *,
    progress: Progress | None = None,
    executor: Executor | None = None,
) -> SearchOutcome:
    """Compare families and their ensembles on rolling origins inside `data` (the training side only); choose a spec.

    Raises HistoryTooShort, NoUsableSeries, MissingRegressor.
    """
    source = as_source(data)
    base, result, facts = compared(source, config, progress=progress, executor=executor)
    spec, sweep, reason = choose_spec(result, base, facts.early)
    reconciliation, levels = _reconciled(source, spec, result, facts, gap=config.gap, executor=executor)
    spec = replace(spec, reconciliation=reconciliation.chosen)
    evaluation = evaluate_backtest(facts, spec, result, above=levels)
    return SearchOutcome(
        spec=spec,
        reason=reason,
        backtest=result,
        scores_by_family=compare_families(result.frame, result.scales, result.families, classes=facts.early),
        sweep=tuple(sweep),
        declined=result.declined,
        evaluation=evaluation,
        reconciliation=reconciliation,
    )


def _reconciled(
    source: PanelSource,
    spec: ModelSpec,
    result: Backtest,
    facts: Facts,
    *,
    gap: int = 0,
    executor: Executor | None = None,
) -> tuple[Reconciliation, CrossFitted | None]:
    """Bottom-up or MinT for the levels above the series, by the same rolling origins; and what MinT makes of the
    forecasts, where it is chosen."""
    if len(source.segments) > 1:
        return Reconciliation(BOTTOM_UP, SEVERAL_SEGMENTS), None
    panel = source.panel(source.segments[0])
    why_not = why_no_mint(panel, spec.families, result.origins)
    if why_not is not None:
        return Reconciliation(BOTTOM_UP, why_not), None
    nodes = node_backtest(panel, spec, result.origins, gap=gap, executor=executor)
    frame = _of_series(result, spec, facts)
    mint = cross_fitted(frame, nodes)
    found = compare(frame, mint[0], nodes, result.scales, seed=spec.seed, week_steps=WEEK_STEPS[spec.grain])
    return found, mint if found.chosen == MINT else None


def _of_series(result: Backtest, spec: ModelSpec, facts: Facts) -> pd.DataFrame:
    """The rows of a backtest (unique_id, origin, ds, h, y, censored, closed; naive where seasonal_naive is in it) with
    what the spec's weights make of the families' forecasts: yhat."""
    names = {name: name for name in ("unique_id", "origin", "ds", "h", "y", "censored", "closed")}
    if "seasonal_naive" in result.frame.columns:
        names["naive"] = "seasonal_naive"
    rows = {name: result.frame[of].to_numpy() for name, of in names.items()}
    rows["yhat"] = combined(result.frame, spec.weights, facts.classes)
    return pd.DataFrame(rows, copy=False)


def evaluate(
    data: Panel | PanelSource,
    spec: ModelSpec,
    *,
    origins: int = 4,
    step: int | None = None,
    gap: int = 0,
    progress: Progress | None = None,
    executor: Executor | None = None,
) -> Evaluation:
    """Backtest one spec on rolling origins inside `data`, calibrate its intervals, score it. Raises as `search`."""
    return evaluate_beside(
        data, spec, origins=origins, step=step, gap=gap, progress=progress, executor=executor, beside=()
    )[0]


def evaluate_beside(
    data: Panel | PanelSource,
    spec: ModelSpec,
    *,
    origins: int = 4,
    step: int | None = None,
    gap: int = 0,
    progress: Progress | None = None,
    executor: Executor | None = None,
    beside: Sequence[Task],
    levels: bool = True,
) -> tuple[Evaluation, list[Any]]:
    """As `evaluate`, while the same processes do other tasks, too; with their results. levels: see
    `evaluate_backtest`."""
    source = as_source(data)
    require_history(source, spec, origins, step, gap)
    days = rolling_origins(source.last_day, spec.horizon, origins, step, gap, source.grain)
    result, facts, made = backtest_and_facts(
        source, spec, days, gap=gap, executor=executor, progress=progress, beside=beside
    )
    above = None
    if spec.reconciliation == MINT and len(source.segments) == 1:
        panel = source.panel(source.segments[0])
        if why_no_mint(panel, spec.families, days) is None:
            nodes = node_backtest(panel, spec, days, gap=gap, executor=executor)
            above = cross_fitted(_of_series(result, spec, facts), nodes)
    return evaluate_backtest(facts, spec, result, above=above, levels=levels), made


def evaluate_backtest(
    facts: Facts, spec: ModelSpec, result: Backtest, *, above: CrossFitted | None = None, levels: bool = True
) -> Evaluation:
    """The evaluation of a spec whose families are all in the backtest; fits nothing.

    above: for a spec that reconciles by MinT, what that makes of the same origins; without it the levels
    above the series are sums of the series' forecasts, here and in what is fitted with this evaluation. levels: whether
    their intervals are calibrated, too.
    """
    frame, variances, week = _of_series(result, spec, facts), None, WEEK_STEPS[spec.grain]
    if above is not None:
        frame["yhat"], variances = above
    calibration = Calibration.fit(frame, facts.classes, week_steps=week)
    scores = score_frame(
        frame,
        result.scales,
        quantiles=calibration.quantiles,
        intervals=calibration.apply,
        classes=facts.classes,
        stores=facts.stores,
        week_steps=week,
    )
    hierarchy = Hierarchy.fit(frame, facts.static, week_steps=week, variances=variances) if levels else None
    return Evaluation(calibration, scores, result.declined, result.families, result.horizon, result.origins, hierarchy)


def assess(
    panel_full: Panel, fitted: FittedModel, holdout: pd.DataFrame, policy: BusinessPolicy | None = None
) -> Assessment:
    """Scores and business scores of a holdout frame; denominators and prices come from the training side only."""
    return assess_holdout(Holdout.of(panel_full, fitted.spec, holdout), fitted, policy)


def assess_holdout(holdout: Holdout, fitted: FittedModel, policy: BusinessPolicy | None = None) -> Assessment:
    """As `assess`, of the holdout of all segments."""
    policy, frame = policy or BusinessPolicy(), holdout.frame
    origins = tuple(sorted(day.date() for day in pd.to_datetime(frame["origin"].unique())))
    every = pd.DataFrame({"origin": pd.to_datetime(list(origins))}).astype({"origin": frame["origin"].dtype})
    static = holdout.static
    scores = score_frame(
        frame,
        holdout.scales.drop(columns="origin").merge(every, how="cross"),
        quantiles=fitted.calibration.quantiles,
        classes=pd.Series(dict(fitted.classes), dtype=object),
        stores=static.set_index("unique_id")["store_id"] if "store_id" in static.columns else None,
        week_steps=WEEK_STEPS[fitted.spec.grain],
    )
    known = frame[["unique_id", "origin", "ds"]].loc[~frame["censored"]]
    return Assessment(
        scores=scores,
        business=business_scores(frame, fitted.calibration, holdout.values, policy, grain=fitted.spec.grain),
        rows_sha256=rows_sha256(frame),
        origins=origins,
        series_origins=len(known[["unique_id", "origin"]].drop_duplicates()),
        holdout_days=int(known["ds"].nunique()) * STEP_DAYS[fitted.spec.grain],
    )


def rows_sha256(holdout: pd.DataFrame) -> str:
    """Identity of the rows judged: series, origin, day, actual, censored - whatever their order."""
    order, digest = np.lexsort([holdout[name].to_numpy() for name in ("ds", "origin", "unique_id")]), hashlib.sha256()
    for column in ("unique_id", "origin", "ds", "y", "censored"):
        kind = {"y": "float64", "censored": "bool"}.get(column, "int64")
        digest.update(holdout[column].to_numpy().astype(kind, copy=False)[order].tobytes())
    return digest.hexdigest()


def cost_evidence(champion: Assessment, candidate: Assessment, *, seed: int = 2017, resamples: int = 2000) -> Evidence:
    """Paired bootstrap over series of the total cost; without costs there is no evidence, and it says so."""
    ours, theirs = candidate.business.series_cost, champion.business.series_cost
    if ours is None or theirs is None:
        return no_evidence("total cost is unavailable for the champion or the candidate")
    return paired_bootstrap(theirs, ours, seed=seed, resamples=resamples)


def part_evidence(
    champion: Assessment, candidate: Assessment, *, seed: int = 2017, resamples: int = 2000
) -> dict[str, Evidence]:
    """How far chance alone moves each part of the cost (lost_sales_qty, cost_stockout, cost_overstock): the same
    resamples as `cost_evidence`. Shown beside the gates of those parts, which go by the figures themselves."""
    ours, theirs = candidate.business.series_parts, champion.business.series_parts
    if ours is None or theirs is None:
        return {}
    return {name: paired_bootstrap(theirs[name], ours[name], seed=seed, resamples=resamples) for name in ours.columns}


__all__ = [
    "Assessment", "Evaluation", "SearchConfig", "SearchOutcome", "assess", "config_backtest", "cost_evidence",
    "evaluate", "evaluate_backtest", "fit", "holdout_forecasts", "holdout_origins", "naive_forecasts",
    "part_evidence", "search",
]  # fmt: skip
