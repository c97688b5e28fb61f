"""Evidence of a gate report in the shape that the gate stores (a test holds the two to the same keys)."""

from __future__ import annotations

import math
from datetime import date, timedelta
from typing import Any

from forecasting.models import ModelVersion, Series

HOLDOUT_START, HOLDOUT_END = date(2026, 3, 4), date(2026, 3, 31)


OPERATIONS: dict[str, Any] = {
    "slo_critical": 0,
    "open_sev1": 0,
    "readiness": {
        "state": "production_tier_candidate",
        "facts": {
            "history_days": 120,
            "stores": 2,
            "products": 2,
            "candidate_samples": 224,
            "champion": None,
            "champion_samples": 0,
        },
        "missing": ["0 accuracy samples of a serving champion, needs 30"],
    },
}


def sample_evidence(
    candidate: ModelVersion, champion: ModelVersion | None, *, factor: float, confidence: str, accesses: int
) -> dict[str, Any]:
    """See ``forecasting.engine.evidence`` for what each part means."""
    from forecasting.tests.factories import business_set, score_set

    ours, theirs = score_set(factor).to_json(), score_set(1.0).to_json()
    stores = ("store-1", "store-2")
    return {
        "kind": "gate",
        "champion_kind": "champion" if champion is not None else "seasonal_naive",
        "labels": {
            "candidate": candidate.label,
            "candidate_spec": candidate.spec.label,
            "champion": champion.label if champion is not None else "seasonal naive",
            "champion_spec": champion.spec.label if champion is not None else "single_seasonal_naive",
        },
        "currency": "EUR",
        "holdout": _holdout(accesses),
        "scores": {"candidate": {**ours, "by_store": {}}, "champion": {**theirs, "by_store": {}}},
        "weeks": [
            {
                "week": k + 1,
                "start": (HOLDOUT_START + timedelta(days=7 * k)).isoformat(),
                "end": (HOLDOUT_START + timedelta(days=7 * k + 6)).isoformat(),
                "candidate": {"wape": _score(0.34 * factor), "bias": _score(0.01)},
                "champion": {"wape": _score(0.34), "bias": _score(0.01)},
            }
            for k in range(4)
        ],
        "stores": [
            {
                "store": store,
                "candidate": {"wape": _score(0.34 * factor), "cost_per_week": _money(250 * factor, confidence)},
                "champion": {"wape": _score(0.34), "cost_per_week": _money(250, confidence)},
            }
            for store in stores
        ],
        "stores_left_out": 0,
        "calibration": [
            {"nominal": 0.80, "candidate": _score(0.80), "champion": _score(0.79)},
            {"nominal": 0.95, "candidate": _score(0.95), "champion": _score(0.94)},
        ],
        "business": {
            "weeks": 4.0,
            "protection_days": 7,
            "confidence": confidence,
            "policy": {
                "lead_time_days": 2,
                "review_period_days": 5,
                "default_margin_rate": 0.3,
                "default_holding_rate": 0.05,
            },
            "candidate": _weekly(business_set(factor, confidence).to_json()),
            "champion": _weekly(business_set(1.0, confidence).to_json()),
        },
        "bootstrap": {
            "p_lower": 0.97,
            "change": factor - 1,
            "low": factor - 1.02,
            "high": factor - 0.99,
            "upper95": factor - 0.995,
            "n_series": 8,
            "resamples": 2000,
            "reason": None,
        },
        "differences": [_difference(k, factor) for k in range(min(10, Series.objects.count()))],
        "rolling_origin": {"candidate": ours["overall"], "champion": theirs["overall"]},
        "realised": [],
        "operations": OPERATIONS,
        "sentence": "",
    }


def _score(value: float | None) -> dict[str, Any]:
    return {"value": value, "n": 56, "reason": None if value is not None else "no rows with a known actual"}


def _money(value: float, confidence: str) -> dict[str, Any]:
    if confidence == "unavailable":
        return {"value": None, "n": 16, "reason": "a series has neither price nor cost"}
    return {"value": value, "n": 16, "reason": None}


def _weekly(scores: dict[str, Any]) -> dict[str, Any]:
    sums = ("lost_sales_qty", "overstock_qty", "cost_stockout", "cost_overstock", "total_cost")
    for name, score in scores.items():
        known = score["value"] is not None and name in sums
        score["per_week"] = score["value"] / 4.0 if known else None
    return scores


def _difference(k: int, factor: float) -> dict[str, Any]:
    series = Series.objects.order_by("pk")[k]
    days = [HOLDOUT_START + timedelta(days=d) for d in range(28)]
    actual = [round(20 + 5 * k + 6 * math.sin(2 * math.pi * day.weekday() / 7), 2) for day in days]
    return {
        "series": series.pk,
        "store": series.store_id,
        "product": series.product_id,
        "difference": round(28 * 2.0 * factor, 3),
        "dates": [day.isoformat() for day in days],
        "actual": actual,
        "candidate": [round(y * 0.97, 3) for y in actual],
        "champion": [round(y * 1.08, 3) for y in actual],
    }


def _holdout(accesses: int) -> dict[str, Any]:
    from forecasting.tests.factories import ORIGINS

    return {
        "start": HOLDOUT_START.isoformat(),
        "end": HOLDOUT_END.isoformat(),
        "days": 28,
        "origins": [day.isoformat() for day in ORIGINS],
        "horizon": 14,
        "series": 8,
        "rows": 224,
        "candidates": [{"label": "v1", "at": "2026-04-01T00:00:00+00:00", "by": "system"}],
        "accesses": accesses,
        "budget": 1,
        "fingerprint": "f" * 64,
        "openings": [{"by": "system", "at": "2026-04-01T06:00:00+00:00", "reason": ""}] * accesses,
    }
