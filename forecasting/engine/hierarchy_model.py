"""Forecasts of the levels above the series: what a version keeps for them, and how they are made.

A node's forecast is the sum of its members', so what is published adds up by construction, on every level. Its interval
is its own: conformal, from the errors that the node itself made on the rolling origins. The sum of the members' bounds
would be no interval of the sum. Where the backtest chose MinT, the nodes' own models change the series' forecasts
first; the sums come after.
"""

from __future__ import annotations

import json
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pandas as pd

from forecasting.engine.conformal import Calibration, NoResiduals
from forecasting.engine.families import Fitted, get_family
from forecasting.engine.hierarchy import LEVELS, Node, Tree, node_errors, node_forecasts, node_panel
from forecasting.engine.hierarchy_mint import Variances, reconcile
from forecasting.engine.panel import Panel
from forecasting.engine.scores import Score, ratio
from forecasting.engine.types import ModelSpec

FILE, PREFIX = "hierarchy.json", "nodes_"
NODE_COLUMNS = ("level", "key", "members", "ds", "h", "yhat", "lo80", "hi80", "lo95", "hi95")
NODE_FAMILIES = ("lightgbm", "lightgbm_direct")
"""Families that may forecast the nodes for MinT; the first of them that the spec has does."""


def node_family(families: tuple[str, ...]) -> str | None:
    """The family of the nodes' own models; None where none of a spec's is fit for it."""
    return next((name for name in NODE_FAMILIES if name in families), None)


def node_spec(spec: ModelSpec, family: str) -> ModelSpec:
    """The spec of the nodes' own models: one family, with the series' horizon, season and parameters."""
    return ModelSpec(
        families=(family,),
        horizon=spec.horizon,
        season_length=spec.season_length,
        grain=spec.grain,
        params=spec.params,
        seed=spec.seed,
    )


def level_scores(frame: pd.DataFrame, stored: pd.DataFrame, static: pd.DataFrame) -> dict[str, dict[str, Score]]:
    """WAPE, bias and coverage80 of each level above the series, of forecasts that met their actuals.

    frame: series' rows beside actuals (as `node_errors`, of one origin). stored: level, key, ds, yhat, lo80, hi80 as
    published. Where a small member's demand is unknown, the error of the others is held against the band.
    """
    tree = Tree.of(static.loc[static["unique_id"].isin(frame["unique_id"].unique())])
    rows = node_errors(frame, tree)
    rows = rows.assign(level=rows["unique_id"].map(tree.levels), key=rows["unique_id"].map(tree.keys))
    rows = rows.loc[~rows["censored"]].merge(stored, on=["level", "key", "ds"], how="left", suffixes=("", "_whole"))
    error = rows["y"] - rows["yhat"]
    band = rows["hi80"].notna()
    inside = (error >= rows["lo80"] - rows["yhat_whole"]) & (error <= rows["hi80"] - rows["yhat_whole"])
    out = {}
    for level in (name for name in LEVELS if (rows["level"] == name).any()):
        here = rows["level"] == level
        total, n = float(rows.loc[here, "y"].sum()), int(here.sum())
        out[level] = {
            "wape": ratio(float(error[here].abs().sum()), total, n),
            "bias": ratio(float(-error[here].sum()), total, n),
            "coverage80": ratio(
                float(inside[here & band].sum()), float((here & band).sum()), n, "no band was stored for these days"
            ),
        }
    return out


@dataclass(frozen=True)
class Hierarchy:
    """What a version keeps of the levels above its series: the nodes it knew, and the calibration of their intervals.

    The calibration's "series" are the nodes' numbers, its classes their levels. A node that is not in it (a store that
    opened since) gets the wider interval of a node of its size. variances and own (the nodes' models) are there where
    MinT was chosen.
    """

    nodes: tuple[Node, ...]
    calibration: Calibration
    variances: Variances | None = None
    own: Fitted | None = None

    @classmethod
    def fit(
        cls, frame: pd.DataFrame, static: pd.DataFrame, *, week_steps: int = 7, variances: Variances | None = None
    ) -> Hierarchy | None:
        """From rolling-origin rows of series (see `node_errors`); None where no day of any node is known."""
        tree = Tree.of(static.loc[static["unique_id"].isin(frame["unique_id"].unique())])
        try:
            calibration = Calibration.fit(node_errors(frame, tree), tree.levels, week_steps=week_steps)
        except NoResiduals:
            return None
        return cls(tree.nodes, calibration, variances)

    def with_models(self, panel: Panel, spec: ModelSpec) -> Hierarchy:
        """The same with the nodes' own models fitted on all of `panel`, where the spec reconciles by MinT."""
        family = node_family(spec.families)
        if self.variances is None or family is None:
            return replace(self, own=None)
        nodes = node_panel(panel, Tree.of(panel.static, self.nodes))
        return replace(self, own=get_family(family).fit(nodes, node_spec(spec, family)))

    def agree(self, frame: pd.DataFrame, panel: Panel) -> pd.Series:
        """yhat of each row (unique_id, ds, h, yhat) after MinT; unchanged where the version is bottom-up.

        panel: the known history of all the series, up to the origin.
        """
        if self.variances is None or self.own is None:
            return frame["yhat"]
        tree = Tree.of(panel.static, self.nodes)
        made = self.own.predict(node_panel(panel, tree), int(frame["h"].max()))
        return reconcile(frame, made, tree, self.variances)

    def forecast(self, frame: pd.DataFrame, static: pd.DataFrame) -> pd.DataFrame:
        """Forecasts of all nodes from those of the series (unique_id, ds, h, yhat): NODE_COLUMNS, by level, key, ds.

        yhat is the sum of the members'; 0 <= lo95 <= lo80 <= yhat <= hi80 <= hi95, all finite.
        """
        tree = Tree.of(static.loc[static["unique_id"].isin(frame["unique_id"].unique())], self.nodes)
        out = self.calibration.apply(node_forecasts(frame, tree))
        out["level"], out["key"] = out["unique_id"].map(tree.levels), out["unique_id"].map(tree.keys)
        rank = out["level"].map({level: k for k, level in enumerate(LEVELS)})
        out = out.assign(rank=rank).sort_values(["rank", "key", "h"], kind="stable", ignore_index=True)
        return out[list(NODE_COLUMNS)]

    def to_json(self) -> dict[str, Any]:
        """Plain JSON values; the nodes' own models have files of their own."""
        return {
            "nodes": [list(node) for node in self.nodes],
            "calibration": self.calibration.to_json(),
            "variances": self.variances.to_json() if self.variances is not None else None,
            "family": self.own.family if self.own is not None else None,
        }

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Hierarchy:
        """Inverse of `to_json`, without the nodes' own models."""
        variances = data["variances"]
        return cls(
            tuple(Node(*row) for row in data["nodes"]),
            Calibration.from_json(data["calibration"]),
            Variances.from_json(variances) if variances is not None else None,
        )

    def save(self, directory: Path) -> list[str]:
        """Write the files into `directory`; return their names. Those of the nodes' own models begin with PREFIX."""
        text = json.dumps(self.to_json(), sort_keys=True, allow_nan=False)
        (directory / FILE).write_text(text, encoding="utf-8")
        names = [FILE]
        if self.own is not None:
            with tempfile.TemporaryDirectory(dir=directory) as apart:
                for name in self.own.save(Path(apart)):
                    (Path(apart) / name).rename(directory / f"{PREFIX}{name}")
                    names.append(f"{PREFIX}{name}")
        return names

    @classmethod
    def load(cls, directory: Path) -> Hierarchy:
        """Read what `save` wrote; the files' hashes were verified before."""
        data = json.loads((directory / FILE).read_text(encoding="utf-8"))
        found = cls.from_json(data)
        if data["family"] is None:
            return found
        with tempfile.TemporaryDirectory(dir=directory) as apart:
            for path in directory.glob(f"{PREFIX}*"):
                (Path(apart) / path.name.removeprefix(PREFIX)).write_bytes(path.read_bytes())
            return replace(found, own=get_family(data["family"]).load(Path(apart)))
