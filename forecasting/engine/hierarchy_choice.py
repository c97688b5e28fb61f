"""Bottom-up or MinT: both on the same rolling origins, the second cross-fitted; the simpler unless the other wins."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from concurrent.futures import Executor
from dataclasses import dataclass
from datetime import date
from typing import Any

import numpy as np
import pandas as pd

from forecasting.engine.backtest import backtest
from forecasting.engine.bootstrap import paired_bootstrap
from forecasting.engine.hierarchy import LEVELS, Tree, node_errors, node_panel
from forecasting.engine.hierarchy_mint import Variances, reconcile
from forecasting.engine.hierarchy_model import node_family, node_spec
from forecasting.engine.panel import Panel
from forecasting.engine.scores import score_frame
from forecasting.engine.types import BOTTOM_UP, MINT, ModelSpec

MOST_SERIES = 1000
"""MinT needs all series at once: beyond one segment the levels are sums of the series' forecasts."""
MIN_SURE = 0.90
SERIES = "series"
SCORES = ("wape", "bias", "rmsse")


@dataclass(frozen=True)
class NodeBacktest:
    """Forecasts of the nodes' own models at the origins of a backtest.

    frame: unique_id (the node's number), origin, ds, h, yhat. scales: as `Backtest.scales`, of the nodes.
    """

    tree: Tree
    family: str
    frame: pd.DataFrame
    scales: pd.DataFrame


def why_no_mint(panel: Panel, families: Sequence[str], origins: Sequence[date]) -> str | None:
    """Why MinT cannot be tried; None where it can."""
    if len(panel.ids) > MOST_SERIES:
        return f"MinT is tried up to {MOST_SERIES:,} series; there are {len(panel.ids):,}"
    if node_family(tuple(families)) is None:
        return "no family of the spec can forecast the levels above the series"
    if len(origins) < 2:
        return "one origin leaves nothing to weigh errors by"
    if "store_id" not in panel.static.columns:
        return "the series have no stores"
    return None


def node_backtest(
    panel: Panel, spec: ModelSpec, origins: Sequence[date], *, gap: int = 0, executor: Executor | None = None
) -> NodeBacktest:
    """Fit the nodes' own family at each origin, on what was known then, and forecast. See `why_no_mint` first."""
    family = node_family(spec.families)
    if family is None:
        raise ValueError("the spec has no family for the levels above the series")
    tree = Tree.of(panel.static)
    made = backtest(node_panel(panel, tree), node_spec(spec, family), origins, gap=gap, executor=executor)
    frame = made.frame[["unique_id", "origin", "ds", "h"]].assign(yhat=made.frame[family])
    return NodeBacktest(tree, family, frame, made.scales)


CrossFitted = tuple[pd.Series, Variances]
"""What `cross_fitted` gives."""


def cross_fitted(frame: pd.DataFrame, nodes: NodeBacktest) -> CrossFitted:
    """yhat of each row after MinT, each origin weighed by the errors of the others; and the variances of all origins.

    frame: unique_id, origin, ds, h, y, censored, closed, yhat, of two origins or more.
    """
    series = frame.assign(y=frame["y"].where(~frame["censored"]), yhat=frame["yhat"].astype("float64"))
    truth = node_errors(frame, nodes.tree)[["unique_id", "origin", "ds", "y"]]
    own = nodes.frame.merge(truth, on=["unique_id", "origin", "ds"], how="left", sort=False)
    parts = []
    for origin in np.sort(frame["origin"].unique()):
        here, there = (series["origin"] == origin).to_numpy(), (own["origin"] == origin).to_numpy()
        variances = Variances.of(series.loc[~here], own.loc[~there], nodes.tree)
        rows = series.loc[here]
        made = reconcile(rows.assign(yhat=rows["yhat"].fillna(0.0)), own.loc[there], nodes.tree, variances)
        parts.append(made.where(rows["yhat"].notna()))
    return pd.concat(parts).reindex(frame.index), Variances.of(series, own, nodes.tree)


@dataclass(frozen=True)
class Reconciliation:
    """What was chosen, why, and the scores of both ways: levels[level][way][score]; "series" stands below the nodes.

    p_lower: the probability that MinT's error is lower, the levels above the series counting alike (paired bootstrap
    over the weeks of the origins).
    """

    chosen: str
    reason: str
    p_lower: float | None = None
    levels: Mapping[str, Mapping[str, Mapping[str, float | None]]] | None = None

    def to_json(self) -> dict[str, Any]:
        """Plain JSON values."""
        return dict(self.__dict__)


def compare(
    bottom_up: pd.DataFrame, mint: pd.Series, nodes: NodeBacktest, scales: pd.DataFrame, *, seed: int, week_steps: int
) -> Reconciliation:
    """MinT where it is better beyond noise above the series and worse nowhere; else bottom-up.

    bottom_up: as `cross_fitted`'s frame; mint: its result. scales: of the series, as `Backtest.scales`.
    """
    ways = {BOTTOM_UP: bottom_up, MINT: bottom_up.assign(yhat=mint)}
    levels: dict[str, dict[str, dict[str, float | None]]] = {}
    losses = {}
    for way, frame in ways.items():
        above = node_errors(frame, nodes.tree)
        level = nodes.tree.levels
        scored = score_frame(above, nodes.scales, classes=level, week_steps=week_steps).by_class
        tables = {name: scored[name] for name in LEVELS if name in scored}
        tables[SERIES] = score_frame(frame, scales, week_steps=week_steps).overall
        for name, table in tables.items():
            levels.setdefault(name, {})[way] = {score: table[score].value for score in SCORES}
        losses[way] = _week_losses(above, level, week_steps)
    worse = [name for name, both in levels.items() if not _at_most(both[MINT]["wape"], both[BOTTOM_UP]["wape"])]
    sure = paired_bootstrap(losses[BOTTOM_UP], losses[MINT], seed=seed).p_lower
    if worse:
        return Reconciliation(BOTTOM_UP, f"MinT is no better for: {', '.join(worse)}", sure, levels)
    if sure is None or sure < MIN_SURE:
        known = "unknown" if sure is None else f"{sure:.2f}"
        return Reconciliation(BOTTOM_UP, f"MinT is not better beyond noise (probability {known})", sure, levels)
    return Reconciliation(MINT, f"MinT is better with probability {sure:.2f} and worse on no level", sure, levels)


def _at_most(one: float | None, other: float | None) -> bool:
    return one is not None and other is not None and one <= other


def _week_losses(above: pd.DataFrame, level: pd.Series, week_steps: int) -> pd.Series:
    """Error of each week of each origin: a level's absolute errors by its demand over all weeks, levels alike."""
    known = above.loc[~above["censored"]]
    of_row = known["unique_id"].map(level)
    demand = known["y"].groupby(of_row).transform("sum")
    loss = (known["y"] - known["yhat"]).abs() / demand.where(demand > 0)
    return loss.groupby([known["origin"], (known["h"] - 1) // week_steps]).sum()
