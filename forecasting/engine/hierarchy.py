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
_STEP = ("origin", "ds", "h")
_READ = ("unique_id", *_STEP, "y", "yhat", "censored", "closed")
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
        found = {level: pd.factorize(keys) for level in LEVELS if (keys := _keys(static, level)) is not None}
        nodes_of = {level: [Node(level, key) for key in keys.tolist()] for level, (_, keys) in found.items()}
        fresh = {node for nodes in nodes_of.values() for node in nodes}.difference(known)
        nodes = (*known, *sorted(fresh, key=lambda node: (LEVELS.index(node.level), node.key)))
        number = {node: k + 1 for k, node in enumerate(nodes)}
        numbers = [
            np.array([number[node] for node in nodes_of[level]], dtype="int64")[code]
            for level, (code, _) in found.items()
        ]
        ids = np.tile(static["unique_id"].to_numpy(dtype="int64"), len(numbers))
        members = pd.DataFrame({"unique_id": ids, "node": np.concatenate(numbers)})
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


def _keys(static: pd.DataFrame, level: str) -> np.ndarray | None:
    """The key of each series on a level, or None where no series has one."""
    if level == TOTAL:
        return np.full(len(static), "", dtype=object)
    name = ATTRIBUTES[level]
    if name not in static.columns:
        return None
    keys = ["" if value is None or value != value else str(value) for value in static[name].tolist()]
    return np.array(keys, dtype=object) if any(keys) else None


def node_forecasts(frame: pd.DataFrame, tree: Tree) -> pd.DataFrame:
    """Sums of the series' forecasts: unique_id (the node's number), [origin], ds, h, yhat, members.

    frame: unique_id, [origin], ds, h, yhat (finite); what comes out does not depend on the order of its rows.
    """
    made = _summed(frame, tree, {"yhat": frame["yhat"].to_numpy(dtype="float64")})
    return made[["unique_id", *_keys_of(frame), "yhat", "members"]]


def node_errors(frame: pd.DataFrame, tree: Tree) -> pd.DataFrame:
    """Nodes beside what happened: unique_id (the node's number), origin, ds, h, y, yhat, censored.

    frame: rolling-origin rows of series (unique_id, origin, ds, h, y, yhat, censored, optional closed). A closed member
    is known to have sold nothing. A member whose demand is unknown that day (stocked out, or no row where the contract
    says that this means unknown) is left out of both sums; where the others carry less than KNOWN_SHARE of the node's
    forecast, or every other member is closed, the node's day is censored: nobody knows what it would have sold.
    """
    if "origin" not in frame.columns or not len(frame):
        return _node_errors(frame, tree)
    of_origin, columns = frame["origin"].to_numpy(), [name for name in _READ if name in frame.columns]
    # An origin at a time: the sums' workings are as large as what they add up.
    parts = [_node_errors(frame.loc[of_origin == origin, columns], tree) for origin in np.unique(of_origin)]
    return pd.concat(parts, ignore_index=True).sort_values(
        ["unique_id", *_keys_of(frame)], kind="stable", ignore_index=True
    )


def _node_errors(frame: pd.DataFrame, tree: Tree) -> pd.DataFrame:
    """As `node_errors`."""
    closed = frame["closed"].to_numpy(dtype=bool) if "closed" in frame.columns else np.zeros(len(frame), dtype=bool)
    y, whole = frame["y"].to_numpy(dtype="float64"), frame["yhat"].to_numpy(dtype="float64")
    known = ~np.isnan(y) & ~np.isnan(whole) & (closed | ~frame["censored"].to_numpy(dtype=bool))
    whole = np.nan_to_num(whole, nan=0.0, posinf=np.inf, neginf=-np.inf)
    sums = {
        "y": np.where(known, y, 0.0),
        "yhat": np.where(known, whole, 0.0),
        "whole": whole,
        "known": known,
        "open": known & ~closed,
    }
    out = _summed(frame, tree, sums)
    # Where nothing was forecast, members are counted instead.
    forecast = out["whole"] > 0
    share = np.where(forecast, out["yhat"] / out["whole"].where(forecast, 1.0), out["known"] / out["members"])
    out["censored"] = (share < KNOWN_SHARE) | (out["open"] == 0)
    out["y"] = out["y"].where(~out["censored"])
    return out[["unique_id", *_keys_of(frame), "y", "yhat", "censored"]]


def _keys_of(frame: pd.DataFrame) -> list[str]:
    return [name for name in _STEP if name in frame.columns]


def _summed(frame: pd.DataFrame, tree: Tree, values: Mapping[str, np.ndarray]) -> pd.DataFrame:
    """unique_id (the node's number), the keys of the step, the sums of the values over the node's rows there, and how
    many those are (members); by node and step.

    The rows of a node are added up in the order of their series, whatever that of the frame: sums of floats depend on
    it. Rows of a series that the tree does not know are left out.
    """
    frame, values = _by_series(frame, tree, values)
    given, (step, steps) = frame["unique_id"].to_numpy(), _steps(frame)
    begins = first_rows(given)
    times, parts = np.diff(begins, append=len(given)), []
    for ids, nodes in _levels(tree):
        numbers, of_series = np.unique(nodes[np.searchsorted(ids, given[begins])], return_inverse=True)
        group, groups = of_series.repeat(times) * len(steps) + step, len(numbers) * len(steps)
        members = np.bincount(group, minlength=groups)
        there = np.flatnonzero(members)
        node, at = np.divmod(there, max(len(steps), 1))
        sums = {name: np.bincount(group, value, minlength=groups)[there] for name, value in values.items()}
        keys = steps.take(at).reset_index(drop=True)
        parts.append(keys.assign(unique_id=numbers[node], **sums, members=members[there]))
    out = pd.concat(parts, ignore_index=True)
    return out.sort_values(["unique_id", *steps.columns], kind="stable", ignore_index=True)


def _by_series(
    frame: pd.DataFrame, tree: Tree, values: Mapping[str, np.ndarray]
) -> tuple[pd.DataFrame, Mapping[str, np.ndarray]]:
    """The rows of the tree's series, series by series, and their values."""
    given = frame["unique_id"].to_numpy()
    known = np.isin(given, tree.members["unique_id"].to_numpy())
    if known.all() and not (given[1:] < given[:-1]).any():
        return frame, values
    rows = np.flatnonzero(known)
    rows = rows[np.argsort(given[rows], kind="stable")]
    return frame.iloc[rows], {name: of[rows] for name, of in values.items()}


def _levels(tree: Tree) -> list[tuple[np.ndarray, np.ndarray]]:
    """For each level the ids of the series (ascending) and the node of each: every series of the tree has one there."""
    node, ids = tree.members["node"].to_numpy(), tree.members["unique_id"].to_numpy()
    level = np.array([LEVELS.index(one.level) for one in tree.nodes], dtype="int64")[node - 1]
    rows = np.lexsort((ids, level))
    parts = np.split(rows, np.flatnonzero(np.diff(level[rows])) + 1)
    return [(ids[part], node[part]) for part in parts]


def _steps(frame: pd.DataFrame) -> tuple[np.ndarray, pd.DataFrame]:
    """The number of each row's step, and the keys of the steps in their order."""
    keys, code = _keys_of(frame), np.zeros(len(frame), dtype="int64")
    for name in keys:
        part, found = pd.factorize(frame[name].to_numpy(), sort=True)
        code = code * len(found) + part
    number, found = pd.factorize(code, sort=True)
    row = np.zeros(len(found), dtype="int64")
    row[number] = np.arange(len(frame))
    return number, frame[keys].take(row).reset_index(drop=True)


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
