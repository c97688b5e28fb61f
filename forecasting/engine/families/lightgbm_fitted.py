"""What a fit of either LightGBM family keeps: its boosters, or why there are none, and the state of its features."""

from __future__ import annotations

import json
from abc import ABC, abstractmethod
from dataclasses import dataclass, field
from datetime import date
from pathlib import Path
from typing import Any, ClassVar, Self

import pandas as pd

from forecasting.engine.families.base import NOTHING_KNOWN, NOTHING_SOLD, all_declined, horizon_frame, no_declines
from forecasting.engine.families.lightgbm_boosters import Boosters, Lesson, fit_boosters
from forecasting.engine.panel import Panel
from forecasting.engine.types import ModelSpec


@dataclass(frozen=True)
class FittedBoosters(ABC):
    """Boosters (None where nothing could be learned) and what is needed to make their features again."""

    name: ClassVar[str]
    boosters: Boosters | None
    state: dict[str, Any]
    declined: pd.DataFrame = field(default_factory=no_declines, compare=False)

    @property
    def family(self) -> str:
        """Name of the family."""
        return self.name

    @property
    def trained_until(self) -> date:
        """Last day it has learned from."""
        return date.fromisoformat(self.state["trained_until"])

    @classmethod
    def learn(cls, lesson: Lesson, state: dict[str, Any], panel: Panel, spec: ModelSpec, *, observed: bool) -> Self:
        """Fit the boosters of a lesson. observed: whether the panel has a day to learn from; without any sale, every
        series is declined with its reason, and the other families go on."""
        if not lesson.target.any():
            reason = NOTHING_SOLD if observed else NOTHING_KNOWN
            return cls._nothing({**state, "declined": panel.ids.tolist(), "reason": reason})
        boosters = fit_boosters(
            lesson, state["params"], seed=spec.seed, categorical=list(state["codes"]), trial_steps=2 * spec.horizon
        )
        return cls(boosters, {**state, "boosters": boosters.to_json()})

    @classmethod
    def _nothing(cls, state: dict[str, Any]) -> Self:
        return cls(None, state, all_declined(state["declined"], state["reason"]))

    @abstractmethod
    def predict(self, panel: Panel, horizon: int) -> pd.DataFrame:
        """As `Fitted.predict`."""

    @staticmethod
    def no_rows(panel: Panel) -> pd.DataFrame:
        """The forecast of a fit that declined every series."""
        return horizon_frame(panel, 0, []).assign(yhat=pd.Series(dtype="float64"))

    def describe(self) -> dict[str, Any]:
        """Features, parameters, vocabulary, transforms."""
        return {"family": self.family, **self.state}

    def save(self, directory: Path) -> list[str]:
        """LightGBM's text format and a JSON of the feature state."""
        file = f"{self.name}.json"
        (directory / file).write_text(json.dumps(self.state, sort_keys=True), encoding="utf-8")
        return [*(self.boosters.save(directory, self.name) if self.boosters is not None else ()), file]

    @classmethod
    def load(cls, directory: Path) -> Self:
        """Read what `save` wrote."""
        state = json.loads((directory / f"{cls.name}.json").read_text(encoding="utf-8"))
        if "declined" in state:
            return cls._nothing(state)
        return cls(Boosters.load(directory, cls.name, state["boosters"]), state)
