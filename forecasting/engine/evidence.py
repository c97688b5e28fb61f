"""What a reviewer is shown beside the gate table, reckoned once when the candidate is judged; plain JSON values.

The approval page only draws it. Every figure is a score with its n and, where undefined, the reason.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

import numpy as np
import pandas as pd

from forecasting.engine.business import BUSINESS_NAMES, BusinessPolicy, BusinessScores
from forecasting.engine.panel import STEP_DAYS
from forecasting.engine.scores import Score, ratio
from forecasting.engine.train import Assessment
from forecasting.engine.types import TrainingWindow

SUMS = ("lost_sales_qty", "overstock_qty", "cost_stockout", "cost_overstock", "total_cost")
MOST_STORES, MOST_SERIES = 60, 10


@dataclass(frozen=True)
class Judged:
    """One side: its forecasts of the holdout (`holdout.Holdout.frame`) and their assessment."""

    frame: pd.DataFrame
    assessment: Assessment


def holdout_evidence(
    candidate: Judged,
    champion: Judged,
    *,
    static: pd.DataFrame,
    window: TrainingWindow,
    policy: BusinessPolicy,
    grain: str = "D",
) -> dict[str, Any]:
    """Scores of both sides overall, by holdout week and store; calibration, business sums a week, largest differences.

    static: unique_id, store_id, product_id. Both frames hold the same rows.
    """
    sides = {"candidate": candidate, "champion": champion}
    weeks = judged_weeks(candidate.frame, policy, grain)
    stores = static.set_index("unique_id")["store_id"].astype(str)
    by_store, left_out = _stores(sides, stores, weeks)
    return {
        "scores": {name: {**side.assessment.scores.to_json(), "by_store": {}} for name, side in sides.items()},
        "weeks": _weeks(sides, window),
        "stores": by_store,
        "stores_left_out": left_out,
        "calibration": [
            {
                "nominal": level / 100,
                **{n: s.assessment.scores.get(f"coverage{level}").to_json() for n, s in sides.items()},
            }
            for level in (80, 95)
        ],
        "business": {
            "weeks": weeks,
            "protection_days": policy.protection_days,
            "confidence": champion.assessment.business.total_cost.confidence,
            "policy": policy.to_json(),
            **{name: weekly(side.assessment.business, weeks) for name, side in sides.items()},
        },
        "differences": _differences(candidate.frame, champion.frame, static),
    }


def judged_weeks(frame: pd.DataFrame, policy: BusinessPolicy, grain: str = "D") -> float:
    """Weeks of demand behind the business sums: origins whose protection interval ends in it, by its length."""
    steps = -(-policy.protection_days // STEP_DAYS[grain])
    reach = frame.groupby("origin")["h"].max()
    return float((reach >= steps).sum() * steps * STEP_DAYS[grain] / 7.0)


def weekly(business: BusinessScores, weeks: float) -> dict[str, Any]:
    """The business scores with `per_week` for those that are sums; None for a rate and where it is not known."""
    out = {}
    for name in BUSINESS_NAMES:
        score = business.get(name)
        known = name in SUMS and score.value is not None and weeks > 0
        out[name] = {**score.to_json(), "per_week": (score.value or 0.0) / weeks if known else None}
    return out


def _known(frame: pd.DataFrame) -> np.ndarray:
    """Which rows have a forecast and a known actual (boolean)."""
    return (~frame["censored"] & frame["y"].notna() & frame["yhat"].notna()).to_numpy(dtype=bool)


def _errors(y: np.ndarray, yhat: np.ndarray) -> dict[str, Any]:
    """WAPE and bias of rows with a known actual."""
    error, total = yhat - y, float(np.abs(y).sum())
    absolute = ratio(float(np.abs(error).sum()), total, len(y))
    bias = ratio(float(error.sum()), total, len(y))
    return {"wape": absolute.to_json(), "bias": bias.to_json()}


def _weeks(sides: Mapping[str, Judged], window: TrainingWindow) -> list[dict[str, Any]]:
    if window.holdout_start is None or window.holdout_end is None:
        return []
    known = {name: _known(side.frame) for name, side in sides.items()}
    out = []
    for k in range(-(-window.holdout_days // 7)):
        start = window.holdout_start + timedelta(days=7 * k)
        end = min(start + timedelta(days=6), window.holdout_end)
        row: dict[str, Any] = {"week": k + 1, "start": start.isoformat(), "end": end.isoformat()}
        for name, side in sides.items():
            here = known[name] & side.frame["ds"].between(pd.Timestamp(start), pd.Timestamp(end)).to_numpy()
            row[name] = _errors(*(side.frame[column].to_numpy(dtype="float64")[here] for column in ("y", "yhat")))
        out.append(row)
    return out


def _stores(sides: Mapping[str, Judged], stores: pd.Series, weeks: float) -> tuple[list[dict[str, Any]], int]:
    """The stores that sell most, with error and cost a week of both sides; and how many were left out."""
    frame = sides["champion"].frame
    sold = frame["y"].where(_known(frame)).groupby(frame["unique_id"]).sum(min_count=1).dropna()
    volume = sold.groupby(stores.reindex(sold.index)).sum().sort_values(ascending=False, kind="stable")
    shown = [str(name) for name in volume.index[:MOST_STORES]]
    costs = {name: _store_costs(side.assessment.business, stores, weeks) for name, side in sides.items()}
    out = []
    for store in shown:
        row: dict[str, Any] = {"store": store}
        for name, side in sides.items():
            scores = side.assessment.scores.by_store.get(store, {})
            wape = scores.get("wape", Score(None, 0, "not computed"))
            row[name] = {"wape": wape.to_json(), "cost_per_week": costs[name](store).to_json()}
        out.append(row)
    return out, len(volume) - len(shown)


def _store_costs(business: BusinessScores, stores: pd.Series, weeks: float) -> Any:
    if business.series_cost is None or not weeks > 0:
        reason = business.total_cost.score.reason or "no week was judged"
        return lambda store: Score(None, 0, reason)
    by = business.series_cost.groupby(stores.reindex(business.series_cost.index))
    sums, sizes = by.sum(), by.size()

    def of(store: str) -> Score:
        if store not in sums.index:
            return Score(None, 0, "no order of this store was judged")
        return Score(float(sums[store]) / weeks, int(sizes[store]))

    return of


def _freshest(frame: pd.DataFrame, columns: list[str]) -> pd.DataFrame:
    """One forecast a series and day, that of the latest origin: unique_id, ds and the columns, by both."""
    series, ids = pd.factorize(frame["unique_id"].to_numpy())
    day, days = pd.factorize(frame["ds"].to_numpy())
    key, h = series * len(days) + day, frame["h"].to_numpy()
    nearest = np.full(len(ids) * len(days), np.iinfo("int64").max)
    np.minimum.at(nearest, key, h)
    rows: pd.DataFrame = frame.loc[h == nearest[key], ["unique_id", "ds", *columns]]
    return rows.sort_values(["unique_id", "ds"], kind="stable", ignore_index=True)


def _differences(candidate: pd.DataFrame, champion: pd.DataFrame, static: pd.DataFrame) -> list[dict[str, Any]]:
    """The series whose two forecasts differ most in units, day by day."""
    ours = _freshest(candidate, ["y", "censored", "yhat"])
    theirs = _freshest(champion, ["yhat"]).rename(columns={"yhat": "champion"})
    both = ours.merge(theirs, on=["unique_id", "ds"], how="inner")
    apart = (both["yhat"] - both["champion"]).abs().groupby(both["unique_id"]).sum()
    largest = apart.sort_values(ascending=False, kind="stable").index[:MOST_SERIES]
    names = static.set_index("unique_id")
    out = []
    for series in largest:
        rows = both.loc[both["unique_id"] == series]
        actual = rows["y"].where(~rows["censored"])
        out.append(
            {
                "series": int(series),
                "store": str(names.at[series, "store_id"]),
                "product": str(names.at[series, "product_id"]),
                "difference": round(float(apart[series]), 3),
                "dates": [day.date().isoformat() for day in rows["ds"]],
                "actual": _numbers(actual),
                "candidate": _numbers(rows["yhat"]),
                "champion": _numbers(rows["champion"]),
            }
        )
    return out


def _numbers(values: pd.Series) -> list[float | None]:
    return [round(float(v), 3) if np.isfinite(v) else None for v in values.to_numpy(dtype="float64")]
