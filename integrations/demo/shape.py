"""How the real stores become the demo's districts, and which lines of goods are worth a daily forecast.

A single store sells about two pieces of a category a day, four days in ten none: too thin. So a demo "store" is a
district, a pool of real stores; where the stores stand is not in the source, so districts are dealt out by volume.
"""

from __future__ import annotations

import numpy as np
import pandas as pd
from numpy.typing import NDArray


def stores_by_volume(sales: pd.DataFrame, at_least: float) -> NDArray[np.int64]:
    """The real stores that sold at least this many pieces in the year, the largest first."""
    volume = sales.groupby("store").quantity.sum()
    volume = volume[volume >= at_least].sort_index().sort_values(ascending=False, kind="stable")
    return volume.index.to_numpy(np.int64)


def deal(stores: NDArray[np.int64], districts: int) -> dict[int, int]:
    """Real store to district 0..n-1, dealt there and back again so that the districts are of about equal volume."""
    turn = [*range(districts), *reversed(range(districts))]
    return {int(store): turn[rank % len(turn)] for rank, store in enumerate(stores)}


def top_lines(sales: pd.DataFrame, lines: pd.Series, count: int) -> list[str]:
    """The lines of goods that sold most pieces. `lines` names each product's line, by its position."""
    volume = sales.groupby(lines.to_numpy()[sales["product"].to_numpy()]).quantity.sum()
    volume = volume.sort_index().sort_values(ascending=False, kind="stable")
    return [str(line) for line in volume.index[:count]]


def till_days(
    sales: pd.DataFrame, lines: pd.Series, wanted: list[str], districts: dict[int, int], names: list[str]
) -> pd.DataFrame:
    """One row per day, real store and line of goods, under the name of the store's district.

    Columns day, till (the real store), store (the district's name), line, quantity, price (USD a piece, two decimals).
    Several rows therefore share district, line and day: they are summed when they are loaded.
    """
    line = pd.Categorical(lines.to_numpy()[sales["product"].to_numpy()], categories=wanted)
    keep = (line.codes >= 0) & sales.store.isin(districts.keys()).to_numpy()
    chosen = sales.loc[keep, ["day", "store", "quantity", "value"]].assign(line=line.codes[keep])
    rows = chosen.groupby(["day", "store", "line"], sort=True, as_index=False)[["quantity", "value"]].sum()
    rows = rows[rows.quantity > 0].reset_index(drop=True)
    return pd.DataFrame(
        {
            "day": rows.day,
            "till": rows.store,
            "store": rows.store.map({store: names[district] for store, district in districts.items()}),
            "line": np.asarray(wanted, dtype=object)[rows.line.to_numpy()],
            "quantity": rows.quantity,
            "price": (rows.value / rows.quantity).round(2),
        }
    )
