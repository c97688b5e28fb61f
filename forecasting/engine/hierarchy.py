"""The hierarchy: total, stores and categories above the series, and the sums that make them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple

import numpy as np
import pandas as pd

from forecasting.engine.panel import Panel
from forecasting.engine.panel_grid import first_rows
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
    if "origin" not in frame.columns or not len(frame):
        return _node_errors(frame, tree)
    # A level and an origin at a time: together each row would stand once for each node of its series.
    of_origin, levels = frame["origin"], tree.levels.reindex(tree.members["node"]).to_numpy()
    of_level = [replace(tree, members=tree.members.loc[levels == level]) for level in dict.fromkeys(levels)]
    parts: list[pd.DataFrame] = []
    for origin in np.sort(of_origin.unique()):
        here = frame.loc[of_origin == origin]
        parts += [_node_errors(here, one) for one in of_level]
    out = pd.concat(parts, ignore_index=True) if len(parts) > 1 else parts[0]
    return out.sort_values(["unique_id", *_keys_of(frame)], kind="stable", ignore_index=True)


def _node_errors(frame: pd.DataFrame, tree: Tree) -> pd.DataFrame:
    """As `node_errors`."""
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
    members = tree.members.sort_values(["unique_id", "node"], kind="stable")
    known, node = members["unique_id"].to_numpy(), members["node"].to_numpy()
    given = rows["unique_id"].to_numpy()
    begin, end = np.searchsorted(known, given, side="left"), np.searchsorted(known, given, side="right")
    times = end - begin
    row = np.repeat(np.arange(len(rows)), times)
    node = node[np.repeat(begin, times) + np.arange(len(row)) - np.repeat(np.cumsum(times) - times, times)]
    steps = [rows[name].to_numpy() for name in ("h", "origin") if name in rows.columns]
    order = np.lexsort((given[row], node, *(values[row] for values in steps)))
    out = {"unique_id": node[order]}
    out |= {name: rows[name].to_numpy()[row[order]] for name in rows.columns if name != "unique_id"}
    return pd.DataFrame(out, copy=False)


def node_panel(panel: Panel, tree: Tree) -> Panel:
    """The panel of the nodes: what its members sold together, as if each node were a series.

    A member's unknown day counts as its last known same day of the season. Known-future regressors are the mean over
    the members. A node's day is closed where all its members are. What comes out for a day depends on no later day.
    """
    rows = panel.history
    grid = _Grid.of(rows, tree, panel)
    season = panel.season_length
    sold = grid.spread(rows["y"].to_numpy(dtype="float64"), np.nan)
    for phase in range(season):
        sold[:, phase::season] = _filled_forward(sold[:, phase::season])
    sold = np.where(grid.there, np.nan_to_num(sold, copy=False, nan=0.0), 0.0)
    still_open = grid.spread(~rows["closed"].to_numpy(dtype=bool), False)
    values = {
        "y": grid.summed(sold),
        "closed": grid.summed(still_open.astype("int64")) == 0,
    }
    history = grid.table(values).assign(censored=False)
    names = list(panel.regressors.known_future)
    future = None
    if panel.future is not None and names:
        future = _means(panel.future, names, tree, panel)
        history = history.merge(future, on=["unique_id", "ds"], how="left", sort=False)
    static = pd.DataFrame({"unique_id": np.sort(history["unique_id"].unique())})
    regressors = RegressorSet(known_future=tuple(names) if future is not None else ())
    return replace(panel, history=history, static=static, future=future, regressors=regressors)


def _means(rows: pd.DataFrame, names: Sequence[str], tree: Tree, panel: Panel) -> pd.DataFrame:
    """unique_id (the node's number), ds and the mean of each column over the members that have a value."""
    grid, values = _Grid.of(rows, tree, panel), {}
    for name in names:
        given = grid.spread(rows[name].to_numpy(dtype="float64"), np.nan)
        known = ~np.isnan(given)
        count = grid.summed(known.astype("int64"))
        total = grid.summed(np.where(known, given, 0.0))
        values[name] = np.where(count > 0, total / np.maximum(count, 1), np.nan)
    return grid.table(values)


def _filled_forward(values: np.ndarray) -> np.ndarray:
    """Each row's NaN filled with the last value before it."""
    place = np.where(np.isnan(values), 0, np.arange(values.shape[1]))
    np.maximum.accumulate(place, axis=1, out=place)
    filled: np.ndarray = np.take_along_axis(values, place, axis=1)
    return filled


@dataclass(frozen=True)
class _Grid:
    """Rows of series as matrices of series × steps, and the sums of their nodes.

    row, column: where each given row stands. there: where a row was given. groups: for each node its number and its
    members' rows. A sum adds member after member, so that a step's value does not depend on the other steps.
    """

    row: np.ndarray
    column: np.ndarray
    first: pd.Timestamp
    step: pd.Timedelta
    there: np.ndarray
    groups: tuple[tuple[int, np.ndarray], ...]

    @classmethod
    def of(cls, rows: pd.DataFrame, tree: Tree, panel: Panel) -> _Grid:
        given, days = rows["unique_id"].to_numpy(), rows["ds"].to_numpy().astype("datetime64[ns]")
        begins = first_rows(given)  # the rows of a series stand together, series by series
        ids, row = given[begins], np.repeat(np.arange(len(begins)), np.diff(begins, append=len(given)))
        first = pd.Timestamp(days.min() if len(days) else 0)
        column = (days.view("int64") - first.value) // panel.step.value
        there = np.zeros((len(ids), int(column.max(initial=-1)) + 1), dtype=bool)
        there[row, column] = True
        members = tree.members.loc[tree.members["unique_id"].isin(ids)]
        nodes, starts = np.unique(members["node"].to_numpy(), return_index=True)
        parts = np.split(np.searchsorted(ids, members["unique_id"].to_numpy()), starts[1:])
        return cls(row, column, first, panel.step, there, tuple(zip(nodes.tolist(), parts, strict=True)))

    def spread(self, values: np.ndarray, absent: float | bool) -> np.ndarray:
        """The values as a matrix of series × steps."""
        out = np.full(self.there.shape, absent, dtype=values.dtype)
        out[self.row, self.column] = values
        return out

    def summed(self, values: np.ndarray) -> np.ndarray:
        """nodes × steps: sums over the members of each node."""
        return np.stack([values[rows].sum(axis=0) for _, rows in self.groups])

    def table(self, values: Mapping[str, np.ndarray]) -> pd.DataFrame:
        """unique_id (the node's number), ds and the columns, where a member has a row; by node and day."""
        node, column = np.nonzero(self.summed(self.there.astype("int64")))
        numbers = np.array([number for number, _ in self.groups], dtype="int64")
        days = (self.first + column * self.step).astype("datetime64[ns]") if len(column) else pd.DatetimeIndex([])
        keys = {"unique_id": numbers[node], "ds": days}
        return pd.DataFrame(keys | {name: matrix[node, column] for name, matrix in values.items()})
