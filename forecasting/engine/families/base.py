"""What every model family offers."""

from __future__ import annotations

from collections.abc import Iterable
from concurrent.futures import Executor
from datetime import date
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import pandas as pd

from forecasting.engine.panel import Panel
from forecasting.engine.types import ModelSpec


class Fitted(Protocol):
    """A fitted family."""

    @property
    def family(self) -> str:
        """Its name."""
        ...

    @property
    def trained_until(self) -> date:
        """Last day it has learned from."""
        ...

    @property
    def declined(self) -> pd.DataFrame:
        """The series it makes no forecast of: columns unique_id, reason."""
        ...

    def predict(self, panel: Panel, horizon: int) -> pd.DataFrame:
        """Forecast `horizon` steps after the panel's last day: columns unique_id, ds, yhat (>= 0, finite).

        The panel is the known history up to the origin; nothing is refitted. Declined series have no rows.
        """
        ...

    def describe(self) -> dict[str, Any]:
        """What the manifest says of it (features, lags, parameters), as JSON values."""
        ...

    def save(self, directory: Path) -> list[str]:
        """Write native files (no pickle) into `directory`; return their names."""
        ...


class Family(Protocol):
    """A family: it fits, and it loads what it saved. `can_roll`: new days enter its forecasts without a refit."""

    name: str
    can_roll: bool

    def fit(
        self, panel: Panel, spec: ModelSpec, *, executor: Executor | None = None, start: Fitted | None = None
    ) -> Fitted:
        """Fit on the whole panel. Deterministic for the same panel, spec and start, whatever the executor.

        executor: the processes that fits of one series go to; None inside such a process, so that pools never nest.
        start: an earlier fit of the same family to begin from (a warm start). Every family takes it; only one that
        can use it does (prophet), and then its description says what it was started from.
        """
        ...

    def load(self, directory: Path) -> Fitted:
        """Inverse of `Fitted.save`; predicts bit-identically."""
        ...


def horizon_frame(panel: Panel, horizon: int, ids: Any = None) -> pd.DataFrame:
    """unique_id × the `horizon` steps after the panel's last day, in the order of `ids` (default all of the panel)."""
    own = np.asarray(panel.ids if ids is None else ids, dtype="int64")
    last = panel.history["ds"].max().to_datetime64()
    ahead = (last + panel.step.to_timedelta64() * np.arange(1, horizon + 1)).astype("datetime64[ns]")
    return pd.DataFrame({"unique_id": np.repeat(own, horizon), "ds": np.tile(ahead, len(own))})


def no_declines() -> pd.DataFrame:
    """An empty table of declined series."""
    return pd.DataFrame({"unique_id": pd.Series(dtype="int64"), "reason": pd.Series(dtype="object")})


NOTHING_KNOWN = "no series learned together with it has a known day after its first"
NOTHING_SOLD = "no series learned together with it has sold anything after its first day"


def all_declined(ids: Iterable[int], reason: str) -> pd.DataFrame:
    """Every one of these series, declined for the same reason."""
    return pd.DataFrame({"unique_id": pd.Series(list(ids), dtype="int64"), "reason": reason}).astype(
        {"reason": "object"}
    )
