"""A small model family for tests that need a real, better model in no time: the mean of the last weekdays."""

from __future__ import annotations

import json
from concurrent.futures import Executor
from dataclasses import dataclass, field
from datetime import date
from pathlib import Path
from typing import Any

import pandas as pd

from forecasting.engine.families.base import Fitted, horizon_frame, no_declines
from forecasting.engine.panel import Panel
from forecasting.engine.types import ModelSpec

FILE, WEEKS = "weekday_mean.json", 8


@dataclass(frozen=True)
class FittedWeekdayMean:
    trained_until: date
    family: str = "weekday_mean"
    declined: pd.DataFrame = field(default_factory=no_declines, compare=False)

    def predict(self, panel: Panel, horizon: int) -> pd.DataFrame:
        """The mean of the last eight same weekdays known."""
        history, out = panel.history, horizon_frame(panel, horizon)
        recent = history.loc[history["ds"] > history["ds"].max() - pd.Timedelta(weeks=WEEKS)]
        means = recent.groupby([recent["unique_id"], recent["ds"].dt.weekday])["y"].mean()
        keys = pd.MultiIndex.from_arrays([out["unique_id"], out["ds"].dt.weekday])
        return out.assign(yhat=means.reindex(keys).to_numpy())

    def describe(self) -> dict[str, Any]:
        return {"family": self.family, "trained_until": str(self.trained_until)}

    def save(self, directory: Path) -> list[str]:
        (directory / FILE).write_text(json.dumps(self.describe(), sort_keys=True), encoding="utf-8")
        return [FILE]


class WeekdayMean:
    name = "weekday_mean"
    can_roll = True

    def fit(
        self, panel: Panel, spec: ModelSpec, *, executor: Executor | None = None, start: Fitted | None = None
    ) -> FittedWeekdayMean:
        return FittedWeekdayMean(panel.last_day)

    def load(self, directory: Path) -> FittedWeekdayMean:
        data = json.loads((directory / FILE).read_text(encoding="utf-8"))
        return FittedWeekdayMean(date.fromisoformat(data["trained_until"]))


FAMILY = WeekdayMean()
