"""The floor: the value of one season ago."""

from __future__ import annotations

import json
from concurrent.futures import Executor
from dataclasses import dataclass, field
from datetime import date
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from forecasting.engine.families.base import Fitted, horizon_frame, no_declines
from forecasting.engine.panel import Panel
from forecasting.engine.types import ModelSpec

FILE = "seasonal_naive.json"


@dataclass(frozen=True)
class FittedSeasonalNaive:
    """It has learned nothing but the length of the season."""

    season_length: int
    trained_until: date
    family: str = "seasonal_naive"
    declined: pd.DataFrame = field(default_factory=no_declines, compare=False)

    def predict(self, panel: Panel, horizon: int) -> pd.DataFrame:
        """The last observed value at the same phase of the season; the series' mean where that phase is unseen."""
        season = self.season_length
        tail = panel.history[["unique_id", "ds", "y"]].copy()
        back = (tail["ds"].max() - tail["ds"]) // panel.step
        tail = tail.assign(phase=(-back.to_numpy() - 1) % season)
        # Only a few seasons back: an older value is no "same day last week".
        seen = tail.loc[(back < 4 * season) & tail["y"].notna()]
        last_seen = seen.groupby(["unique_id", "phase"])["y"].last()
        mean = tail.groupby("unique_id")["y"].mean().fillna(0.0)
        out = horizon_frame(panel, horizon)
        phase = np.tile(np.arange(horizon) % season, len(panel.ids))
        found = last_seen.reindex(pd.MultiIndex.from_arrays([out["unique_id"], phase])).to_numpy()
        fallback = mean.reindex(out["unique_id"]).to_numpy()
        return out.assign(yhat=np.where(np.isnan(found), fallback, found))

    def describe(self) -> dict[str, Any]:
        """The season."""
        return {"family": self.family, "season_length": self.season_length, "trained_until": str(self.trained_until)}

    def save(self, directory: Path) -> list[str]:
        """One JSON file."""
        (directory / FILE).write_text(json.dumps(self.describe(), sort_keys=True), encoding="utf-8")
        return [FILE]


class SeasonalNaive:
    """Family `seasonal_naive`."""

    name = "seasonal_naive"
    can_roll = True

    def fit(
        self, panel: Panel, spec: ModelSpec, *, executor: Executor | None = None, start: Fitted | None = None
    ) -> FittedSeasonalNaive:
        """Nothing to fit."""
        return FittedSeasonalNaive(spec.season_length, panel.last_day)

    def load(self, directory: Path) -> FittedSeasonalNaive:
        """Read what `save` wrote."""
        data = json.loads((directory / FILE).read_text(encoding="utf-8"))
        return FittedSeasonalNaive(data["season_length"], date.fromisoformat(data["trained_until"]))


FAMILY = SeasonalNaive()
