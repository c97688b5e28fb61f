"""The hierarchy: total, stores and categories above the series, and the sums that make them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple

import numpy as np
import pandas as pd

from forecasting.engine.panel import Panel
from forecasting.engine.types import RegressorSet

TOTAL, STORE, CATEGORY = "total", "store", "category"
LEVELS = (TOTAL, STORE, CATEGORY)
ATTRIBUTES = {STORE: "store_id", CATEGORY: "category"}
KNOWN_SHARE = 0.9
"""A node's day is known where the members with known demand carry this share of its forecast."""


class Node(NamedTuple):
    """One node above the series. The key of the total is "", and so is that of the series without a category."""

    level: str
    key: str


@dataclass(frozen=True)
class Tree:
    """Which series belong to which nodes. Node k + 1 is `nodes[k]`; members: unique_id, node, sorted by both."""

    nodes: tuple[Node, ...]
    members: pd.DataFrame

    @classmethod
    def of(cls, static: pd.DataFrame, known: Sequence[Node] = ()) -> Tree:
        """The tree of the series in `static` (unique_id, and store_id and category where there are).

        Nodes in `known` keep their numbers, also without a member; new ones follow, by level and key. A level of which
        no series has a key is left out; where some have, the others form the node with the key "", so that each level
        adds up to the total. Raises ValueError where a series stands twice.
        """
        if static["unique_id"].duplicated().any():
            raise ValueError("a series stands twice in the static attributes")
        parts = []
        for level in LEVELS:
            keys = _keys(static, level)
            if keys is not None:
                parts.append(pd.DataFrame({"unique_id": static["unique_id"].to_numpy(), "level": level, "key": keys}))
        table = pd.concat(parts, ignore_index=True)
        found = {Node(level, key) for level, key in zip(table["level"], table["key"], strict=True)}
        fresh = sorted(found - set(known), key=lambda node: (LEVELS.index(node.level), node.key))
        nodes = (*known, *fresh)
        number = {node: k + 1 for k, node in enumerate(nodes)}
        table["node"] = [number[Node(level, key)] for level, key in zip(table["level"], table["key"], strict=True)]
        members = table[["unique_id", "node"]].astype("int64")
        return cls(nodes, members.sort_values(["node", "unique_id"], kind="stable", ignore_index=True))

    @property
    def levels(self) -> pd.Series:
        """Level of each node (index: its number)."""
        return pd.Series([node.level for node in self.nodes], index=range(1, len(self.nodes) + 1), dtype=object)

    @property
    def keys(self) -> pd.Series:
        """Key of each node (index: its number)."""
        return pd.Series([node.key for node in self.nodes], index=range(1, len(self.nodes) + 1), dtype=object)

    def matrix(self, ids: np.ndarray, nodes: np.ndarray) -> np.ndarray:
        """The summing matrix (nodes × ids): 1 where the series is a member."""
        row = pd.Series(range(len(nodes)), index=nodes).reindex(self.members["node"]).to_numpy()
        column = pd.Series(range(len(ids)), index=ids).reindex(self.members["unique_id"]).to_numpy()
        here = ~(np.isnan(row) | np.isnan(column))
        out = np.zeros((len(nodes), len(ids)))
        out[row[here].astype(int), column[here].astype(int)] = 1.0
        return out


def _keys(static: pd.DataFrame, level: str) -> list[str] | None:
    """The key of each series on a level, or None where no series has one."""
    if level == TOTAL:
        return [""] * len(static)
    name = ATTRIBUTES[level]
    if name not in static.columns:
        return None
    keys = ["" if value is None or value != value else str(value) for value in static[name].tolist()]
    return keys if any(keys) else None


def node_forecasts(frame: pd.DataFrame, tree: Tree) -> pd.DataFrame:
    """Sums of the series' forecasts: unique_id (the node's number), [origin], ds, h, yhat, members.

    frame: unique_id, [origin], ds, h, yhat; what comes out does not depend on the order of its rows.
    """
    keys = ["unique_id", *_keys_of(frame)]
    rows = _joined(frame[["unique_id", *_keys_of(frame), "yhat"]], tree)
    return rows.groupby(keys, sort=True, as_index=False).agg(yhat=("yhat", "sum"), members=("yhat", "size"))


def node_errors(frame: pd.DataFrame, tree: Tree) -> pd.DataFrame:
    """Nodes beside what happened: unique_id (the node's number), origin, ds, h, y, yhat, censored.

    frame: rolling-origin rows of series (unique_id, origin, ds, h, y, yhat, censored, optional closed). A closed member
    is known to have sold nothing. A member whose demand is unknown that day (stocked out, or no row where the contract
    says that this means unknown) is left out of both sums; where the others carry less than KNOWN_SHARE of the node's
    forecast, or every other member is closed, the node's day is censored: nobody knows what it would have sold.
    """
    closed = frame["closed"].to_numpy(dtype=bool) if "closed" in frame.columns else np.zeros(len(frame), dtype=bool)
    censored = frame["censored"].to_numpy(dtype=bool) & ~closed
    known = frame["y"].notna().to_numpy() & ~censored & frame["yhat"].notna().to_numpy()
    yhat = frame["yhat"].fillna(0.0).to_numpy(dtype="float64")
    rows = frame[["unique_id", *_keys_of(frame)]].assign(
        y=np.where(known, frame["y"].to_numpy(dtype="float64"), 0.0),
        yhat=np.where(known, yhat, 0.0),
        whole=yhat,
        n=1,
        known=known.astype("int64"),
        open=(known & ~closed).astype("int64"),
    )
    sums = ["y", "yhat", "whole", "n", "known", "open"]
    out = _joined(rows, tree).groupby(["unique_id", *_keys_of(frame)], sort=True, as_index=False)[sums].sum()
    # Where nothing was forecast, members are counted instead.
    share = np.where(out["whole"] > 0, out["yhat"] / out["whole"].where(out["whole"] > 0, 1.0), out["known"] / out["n"])
    out["censored"] = (share < KNOWN_SHARE) | (out["open"] == 0)
    out["y"] = out["y"].where(~out["censored"])
    return out[["unique_id", *_keys_of(frame), "y", "yhat", "censored"]]


def _keys_of(frame: pd.DataFrame) -> list[str]:
    return [name for name in ("origin", "ds", "h") if name in frame.columns]


def _joined(rows: pd.DataFrame, tree: Tree) -> pd.DataFrame:
    """Each row once for each node of its series, in one order: sums of floats depend on it."""
    rows = rows.merge(tree.members, on="unique_id", how="inner", sort=False)
    order = [*(name for name in ("origin", "h") if name in rows.columns), "node", "unique_id"]
    rows = rows.sort_values(order, kind="stable", ignore_index=True)
    return rows.drop(columns="unique_id").rename(columns={"node": "unique_id"})


def node_panel(panel: Panel, tree: Tree) -> Panel:
    """The panel of the nodes: what its members sold together, as if each node were a series.

    A member's unknown day counts as its last known same day of the season. Known-future regressors are the mean over
    the members. A node's day is closed where all its members are. What comes out for a day depends on no later day.
    """
    history = panel.history[["unique_id", "ds", "y", "closed"]].copy()
    phase = ((history["ds"] - history["ds"].min()) // panel.step) % panel.season_length
    history["y"] = history.groupby([history["unique_id"], phase], sort=False)["y"].ffill().fillna(0.0)
    rows = _by_day(history, tree, {"y": "sum", "closed": "min"}).assign(censored=False)
    rows["closed"] = rows["closed"].astype(bool)
    names = list(panel.regressors.known_future)
    future = None
    if panel.future is not None and names:
        future = _by_day(panel.future[["unique_id", "ds", *names]], tree, dict.fromkeys(names, "mean"))
        rows = rows.merge(future, on=["unique_id", "ds"], how="left", sort=False)
    static = pd.DataFrame({"unique_id": np.sort(rows["unique_id"].unique())})
    regressors = RegressorSet(known_future=tuple(names) if future is not None else ())
    return replace(panel, history=rows, static=static, future=future, regressors=regressors)


def _by_day(rows: pd.DataFrame, tree: Tree, how: Mapping[str, str]) -> pd.DataFrame:
    rows = rows.merge(tree.members, on="unique_id", how="inner", sort=False)
    rows = rows.sort_values(["node", "ds", "unique_id"], kind="stable", ignore_index=True)
    out = rows.drop(columns="unique_id").groupby(["node", "ds"], sort=True, as_index=False).agg(dict(how))
    return out.rename(columns={"node": "unique_id"})
