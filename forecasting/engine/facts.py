"""What forecasts of a whole tenant are judged with, and what only all series together say: made segment by segment."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date

import pandas as pd

from forecasting.engine.business import unit_values
from forecasting.engine.panel import Panel, classify

RECENT_STEPS = 28


@dataclass(frozen=True)
class Facts:
    """Of every series: its demand class (index unique_id), attributes and unit values.

    classes: by all its days. early: by the days up to the first origin of a backtest; for a series that began later, by
    all its days. static: as `Panel.static`. values: as `business.unit_values`.
    """

    classes: pd.Series
    early: pd.Series
    static: pd.DataFrame
    values: pd.DataFrame

    @property
    def stores(self) -> pd.Series | None:
        """Store of each series (index unique_id); None where the tenant has none."""
        return self.static.set_index("unique_id")["store_id"] if "store_id" in self.static.columns else None

    @classmethod
    def of(cls, panel: Panel, first_origin: date | None = None) -> Facts:
        """Of a panel's series."""
        classes = classify(panel)
        early = classes
        if first_origin is not None:
            early = classify(panel.upto(first_origin)).reindex(panel.ids).fillna(classes)
        return cls(classes, early, panel.static, unit_values(panel))

    @classmethod
    def joined(cls, parts: Sequence[Facts]) -> Facts:
        """Of all segments, in their order."""
        if len(parts) == 1:
            return parts[0]
        return cls(
            pd.concat([part.classes for part in parts]),
            pd.concat([part.early for part in parts]),
            pd.concat([part.static for part in parts], ignore_index=True),
            pd.concat([part.values for part in parts], ignore_index=True),
        )


def recent_sales(panel: Panel, steps: int = RECENT_STEPS) -> pd.DataFrame:
    """unique_id, units and revenue over the panel's last `steps` steps; revenue is NaN where no price is known at all.

    `weights_of` makes of these, for all segments together, what `panel.revenue_weights` makes of one panel.
    """
    history = panel.history
    recent = history.loc[history["ds"] > history["ds"].max() - steps * panel.step]
    units = recent["y"].fillna(0.0)
    columns = {"units": units}
    if "unit_price" in recent.columns and bool(recent["unit_price"].notna().any()):
        columns["revenue"] = units * recent["unit_price"].fillna(0.0)
    sums = pd.DataFrame(columns).groupby(recent["unique_id"]).sum().reindex(panel.ids).fillna(0.0)
    return sums.reindex(columns=["units", "revenue"]).rename_axis("unique_id").reset_index()


def weights_of(sales: pd.DataFrame) -> pd.Series:
    """Share of the revenue (of the units, where no series of the tenant has a price); all 0 where nothing sold.

    sales: `recent_sales` of all series together, up to the same day.
    """
    priced = bool(sales["revenue"].notna().any())
    value: pd.Series = sales["revenue"].fillna(0.0) if priced else sales["units"]
    whole = float(value.sum())
    return value.div(whole) if whole > 0 else value
