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
from forecasting.engine.panel_grid import first_rows
from forecasting.engine.types import ModelSpec

FILE = "seasonal_naive.json"
SEASONS = 4


@dataclass(frozen=True)
class FittedSeasonalNaive:
    """It has learned nothing but the length of the season."""

    season_length: int
    trained_until: date
    family: str = "seasonal_naive"
    declined: pd.DataFrame = field(default_factory=no_declines, compare=False)

    def predict(self, panel: Panel, horizon: int) -> pd.DataFrame:
        """The last observed value at the same phase of the season; the series' mean where that phase is unseen."""
        season, history = self.season_length, panel.history
        ids, y = history["unique_id"].to_numpy(), history["y"].to_numpy(dtype="float64")
        first = first_rows(ids)
        steps = np.diff(first, append=len(ids))
        # Only a few seasons back: an older value is no "same day last week".
        reach = SEASONS * season
        back = np.arange(reach, 0, -1)
        there = back <= steps[:, None]
        recent = np.where(there, y[np.where(there, (first + steps)[:, None] - back, 0)], np.nan)
        # Each row's phases, season after season: the last one that is known stays.
        found = np.full((len(first), season), np.nan)
        for begin in range(0, reach, season):
            values = recent[:, begin : begin + season]
            found = np.where(np.isnan(values), found, values)
        unseen = np.isnan(found).any(axis=1)
        if unseen.any():
            of_them = history.loc[np.repeat(unseen, steps), ["unique_id", "y"]]
            mean = of_them.groupby("unique_id")["y"].mean().fillna(0.0).reindex(ids[first[unseen]]).to_numpy()
            found[unseen] = np.where(np.isnan(found[unseen]), mean[:, None], found[unseen])
        return horizon_frame(panel, horizon).assign(yhat=found[:, np.arange(horizon) % season].ravel())

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
