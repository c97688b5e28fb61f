"""A chain that failed at its second step, and a challenger that stood in shadow, as rows for the pages."""

from __future__ import annotations

from datetime import date, timedelta
from typing import Any

from django.utils import timezone

from forecasting.models import ModelVersion, ShadowStanding, ShadowWindow
from ledger.models import Run

MONDAY = date(2026, 3, 2)


def make_chain() -> tuple[Run, Run]:
    """A retrain that succeeded and the forecast that failed after it."""
    now = timezone.now()
    carried = {"version": 2, "mode": "search", "as_of": "2026-03-31", "reason": "", "chain": True}
    times: dict[str, Any] = {"started_at": now, "finished_at": now, "attempt": 1}
    root = Run.objects.create(
        kind="forecasting.retrain", idempotency_key="chain", state="succeeded", requested_by_name="the-analyst",
        inputs={"mode": "search", "as_of": "2026-03-31", "chain": True}, outputs={**carried, "spec": "lightgbm"},
        **times,
    )  # fmt: skip
    step = Run.objects.create(
        kind="forecasting.forecast", scope="v2", idempotency_key=f"{root.pk}:forecasting.forecast", state="failed",
        parent=root, correlation_id=root.correlation_id, inputs=carried, requested_by_name="the-analyst",
        error="The file of v2 is corrupt. Restore it, then resume.", error_code="artifact_corrupt", **times,
    )  # fmt: skip
    return root, step


def make_standing(challenger: ModelVersion, champion: ModelVersion, *, won: int = 5, lost: int = 1) -> ShadowStanding:
    """A standing of whole weeks, and one that is still going on."""
    difference = _difference(-0.031, -0.05, -0.012)
    standing = ShadowStanding.objects.create(
        challenger=challenger, champion_spec=champion.spec, weeks=won + lost, won=won, lost=lost,
        first_day=MONDAY, last_day=MONDAY + timedelta(days=7 * (won + lost) - 1),
        differences={"total_cost": difference, "wape": difference},
        sentence=f"won {won} of {won + lost} weeks in shadow; cost −3.1% [−5.0%, −1.2%]",
    )  # fmt: skip
    for k in range(won + lost + 1):
        _window(standing, k, "challenger" if k < won else "champion" if k < won + lost else "undecided")
    return standing


def _difference(change: float, low: float, high: float) -> dict[str, Any]:
    return {"p_lower": 0.98, "change": change, "low": low, "high": high, "upper95": high, "n_series": 6,
            "resamples": 2000, "reason": None}  # fmt: skip


def _window(standing: ShadowStanding, k: int, winner: str) -> ShadowWindow:
    start, whole = MONDAY + timedelta(days=7 * k), winner != "undecided"
    scores = {
        side: {name: {"value": value, "n": 42, "reason": None} for name, value in figures.items()}
        for side, figures in (
            ("champion", {"total_cost": 1240.0, "wape": 0.31, "wrmsse": 0.74, "coverage80": 0.81}),
            ("challenger", {"total_cost": 1201.0, "wape": 0.29, "wrmsse": 0.71, "coverage80": 0.79}),
        )
    }
    return ShadowWindow.objects.create(
        standing=standing, start=start, end=start + timedelta(days=6), complete=whole, days=7 if whole else 3,
        origins=7, n_series=6, rows=294, paths=42, scores=scores, confidence="measured", winner=winner,
        basis="total_cost",
        differences={"total_cost": _difference(-0.031, -0.06, 0.002), "wape": _difference(-0.06, -0.09, -0.02)},
        reason="" if whole else "its last day has not come yet", series_ids=[1], actual=[1.0], champion_error=[1.0],
        challenger_error=[1.0], champion_cost=[1.0], challenger_cost=[1.0], input_sha256="0" * 64,
    )  # fmt: skip
