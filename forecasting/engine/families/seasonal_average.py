"""The usual practice: the mean of the last few same days of the week (or of the season, at other grains)."""

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

FILE = "seasonal_average.json"
SEASONS = 4
"""How many seasons are averaged; `params["seasonal_average"]["seasons"]` changes it."""


@dataclass(frozen=True)
class FittedSeasonalAverage:
    """It has learned nothing but which days to average."""

    season_length: int
    seasons: int
    trained_until: date
    family: str = "seasonal_average"
    declined: pd.DataFrame = field(default_factory=no_declines, compare=False)

    def predict(self, panel: Panel, horizon: int) -> pd.DataFrame:
        """Mean of the values observed at the same phase in the last `seasons` seasons; else the series' mean."""
        history = panel.history[["unique_id", "ds", "y"]]
        back = ((history["ds"].max() - history["ds"]) // panel.step).to_numpy()
        recent = history.assign(phase=(-back - 1) % self.season_length)
        recent = recent.loc[(back < self.seasons * self.season_length) & recent["y"].notna()]
        average = recent.groupby(["unique_id", "phase"])["y"].mean()
        overall = history.groupby("unique_id")["y"].mean().fillna(0.0)
        out = horizon_frame(panel, horizon)
        phase = np.tile(np.arange(horizon) % self.season_length, len(panel.ids))
        found = average.reindex(pd.MultiIndex.from_arrays([out["unique_id"], phase])).to_numpy()
        return out.assign(yhat=np.where(np.isnan(found), overall.reindex(out["unique_id"]).to_numpy(), found))

    def describe(self) -> dict[str, Any]:
        """The season and how many of them."""
        return {
            "family": self.family,
            "season_length": self.season_length,
            "seasons": self.seasons,
            "trained_until": str(self.trained_until),
        }

    def save(self, directory: Path) -> list[str]:
        """One JSON file."""
        (directory / FILE).write_text(json.dumps(self.describe(), sort_keys=True), encoding="utf-8")
        return [FILE]


class SeasonalAverage:
    """Family `seasonal_average`."""

    name = "seasonal_average"
    can_roll = True

    def fit(
        self, panel: Panel, spec: ModelSpec, *, executor: Executor | None = None, start: Fitted | None = None
    ) -> FittedSeasonalAverage:
        """Nothing to fit."""
        seasons = int(spec.params.get(self.name, {}).get("seasons", SEASONS))
        return FittedSeasonalAverage(spec.season_length, seasons, panel.last_day)

    def load(self, directory: Path) -> FittedSeasonalAverage:
        """Read what `save` wrote."""
        data = json.loads((directory / FILE).read_text(encoding="utf-8"))
        return FittedSeasonalAverage(data["season_length"], data["seasons"], date.fromisoformat(data["trained_until"]))


FAMILY = SeasonalAverage()
