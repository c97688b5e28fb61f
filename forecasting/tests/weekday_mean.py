"""A small model family for tests that need a real, better model in no time: the mean of each weekday."""

from __future__ import annotations

import json
from concurrent.futures import Executor
from dataclasses import dataclass, field
from datetime import date
from pathlib import Path
from typing import Any

import pandas as pd

from forecasting.engine.families.base import horizon_frame, no_declines
from forecasting.engine.panel import Panel
from forecasting.engine.types import ModelSpec

FILE = "weekday_mean.json"


@dataclass(frozen=True)
class FittedWeekdayMean:
    means: dict[str, dict[str, float]]
    trained_until: date
    family: str = "weekday_mean"
    declined: pd.DataFrame = field(default_factory=no_declines, compare=False)

    def predict(self, panel: Panel, horizon: int) -> pd.DataFrame:
        out = horizon_frame(panel, horizon)
        keys = zip(out["unique_id"].astype(str), out["ds"].dt.weekday.astype(str), strict=True)
        return out.assign(yhat=[self.means[series][weekday] for series, weekday in keys])

    def describe(self) -> dict[str, Any]:
        return {"family": self.family, "trained_until": str(self.trained_until), "means": self.means}

    def save(self, directory: Path) -> list[str]:
        (directory / FILE).write_text(json.dumps(self.describe(), sort_keys=True), encoding="utf-8")
        return [FILE]


class WeekdayMean:
    name = "weekday_mean"
    can_roll = True

    def fit(self, panel: Panel, spec: ModelSpec, *, executor: Executor | None = None) -> FittedWeekdayMean:
        history = panel.history
        table = history.groupby([history["unique_id"], history["ds"].dt.weekday])["y"].mean().unstack()
        means = {
            str(series): {str(day): float(value) for day, value in row.items()} for series, row in table.iterrows()
        }
        return FittedWeekdayMean(means, panel.last_day)

    def load(self, directory: Path) -> FittedWeekdayMean:
        data = json.loads((directory / FILE).read_text(encoding="utf-8"))
        return FittedWeekdayMean(data["means"], date.fromisoformat(data["trained_until"]))


FAMILY = WeekdayMean()
