"""Our intervals beside those that Prophet makes itself: the same series, origins and days, judged by the same score.

Prophet's own come from its simulation of trend changes and noise (uncertainty_samples; Taylor and Letham 2018), of the
very fits whose forecasts the backtest holds. Ours are conformal, calibrated on the other origins: around Prophet's
forecast, and around what a search would have chosen.
"""

from __future__ import annotations

import logging
import warnings
from concurrent.futures import Executor
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from forecasting.engine.backtest import Backtest
from forecasting.engine.coverage import interval_scores
from forecasting.engine.evaluate import CHOSEN, RollingTable
from forecasting.engine.families import get_family
from forecasting.engine.families.base import horizon_frame
from forecasting.engine.features import future_values
from forecasting.engine.panel import Panel
from forecasting.engine.types import ModelSpec

PROPHET = "prophet"
SAMPLES = 1000
WIDTH = 0.8
KEYS = ["unique_id", "origin", "ds"]


@dataclass(frozen=True)
class ProphetBands:
    """Winkler80 and coverage80 of three intervals on the same rows; None where there is nothing to compare.

    ours: of the chosen forecast. same: conformal around Prophet's own forecast. prophet: what Prophet says itself.
    """

    ours: float | None
    same: float | None
    prophet: float | None
    coverage: dict[str, float | None]
    rows: int
    series: int
    samples: int

    def to_json(self) -> dict[str, Any]:
        """Plain JSON values."""
        return dict(self.__dict__)


def winkler_against_prophet(
    panel: Panel,
    base: ModelSpec,
    result: Backtest,
    table: RollingTable,
    *,
    samples: int = SAMPLES,
    gap: int = 0,
    executor: Executor | None = None,
) -> ProphetBands:
    """Compare on every row that Prophet forecast in the backtest `result` of `panel` and `base`, scored as `table`.

    gap: as in the backtest, in steps. Prophet is fitted again at each origin, as the family does it.
    """
    lines = {"ours": table.get(CHOSEN).frame, "same": table.get(PROPHET).frame}
    if any("lo80" not in frame.columns for frame in lines.values()):
        return ProphetBands(None, None, None, {}, 0, 0, samples)
    own = prophet_bands(panel, base, result, samples=samples, gap=gap, executor=executor)
    rows = own.rename(columns={"lo80": "lo_prophet", "hi80": "hi_prophet"})
    for name, frame in lines.items():
        frame = frame.loc[~frame["censored"] & frame["y"].notna(), [*KEYS, "y", "lo80", "hi80"]]
        frame = frame.rename(columns={"lo80": f"lo_{name}", "hi80": f"hi_{name}", "y": f"y_{name}"})
        rows = rows.merge(frame, on=KEYS, how="inner")
    found = {}
    for name in ("ours", "same", PROPHET):
        named = rows.rename(columns={f"lo_{name}": "lo80", f"hi_{name}": "hi80", "y_ours": "y"})
        found[name] = interval_scores(named[["unique_id", "origin", "y", "lo80", "hi80"]], result.scales)
    return ProphetBands(
        ours=found["ours"]["winkler80"],
        same=found["same"]["winkler80"],
        prophet=found[PROPHET]["winkler80"],
        coverage={name: scores["coverage80"] for name, scores in found.items()},
        rows=len(rows),
        series=int(rows["unique_id"].nunique()),
        samples=samples,
    )


def prophet_bands(
    panel: Panel,
    base: ModelSpec,
    result: Backtest,
    *,
    samples: int = SAMPLES,
    gap: int = 0,
    executor: Executor | None = None,
) -> pd.DataFrame:
    """Prophet's own 80% interval of each step after each origin: unique_id, origin, ds, lo80, hi80 (never below 0)."""
    parts = []
    for day in result.origins:
        origin = pd.Timestamp(day)
        train = panel.upto(origin - gap * panel.step)
        fitted: Any = get_family(PROPHET).fit(train, base, executor=executor)
        ids = [i for i in train.ids if int(i) in fitted.models]
        if not ids:
            continue
        steps, names = result.horizon + gap, list(panel.regressors.known_future)
        subset = train.subset(ids)
        ahead = future_values(subset, steps) if names else horizon_frame(subset, steps)
        for series in ids:
            frame = ahead.loc[ahead["unique_id"] == series, ["ds", *names]].reset_index(drop=True)
            low, high = _band(fitted.models[int(series)], frame, samples, base.seed)
            part = pd.DataFrame({"unique_id": series, "origin": origin, "ds": frame["ds"], "lo80": low, "hi80": high})
            parts.append(part.loc[part["ds"] > origin])
    return pd.concat(parts, ignore_index=True) if parts else pd.DataFrame(columns=[*KEYS, "lo80", "hi80"])


def _band(text: str, frame: pd.DataFrame, samples: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Lower and upper bound of a stored model. Prophet draws from numpy's global state: it is set, and given back."""
    from prophet.serialize import model_from_json

    for name in ("cmdstanpy", "prophet", "prophet.plot"):
        logging.getLogger(name).disabled = True
    state = np.random.get_state()
    try:
        np.random.seed(seed)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            model = model_from_json(text)
            model.uncertainty_samples, model.interval_width = samples, WIDTH
            made = model.predict(frame)
    finally:
        np.random.set_state(state)
    low, high = (np.maximum(made[name].to_numpy(dtype="float64"), 0.0) for name in ("yhat_lower", "yhat_upper"))
    return low, high
