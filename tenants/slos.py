"""Service levels: what is promised, and what a row of samples says of it. Pure: no database, no clock.

A sample counts what was good of what was asked at one moment: tenants whose last forecast is young enough, requests
that were answered. Compliance is the good share of all samples of the rolling window; the error budget is what the
objective leaves to be missed. An SLO is judged by windows of a day: one below the objective is a warning, the
one before as well is critical.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum

ROLLING = timedelta(days=7)
WINDOW = timedelta(hours=24)
SAMPLE_MINUTES = 5


class Kind(StrEnum):
    FRESHNESS = "freshness"
    REQUESTS = "requests"


class SloState(StrEnum):
    OK = "ok"
    WARNING = "warning"
    CRITICAL = "critical"
    UNKNOWN = "unknown"


@dataclass(frozen=True, slots=True)
class Slo:
    """One promise. objective: the share that has to be good. field and max_age_hours: of a freshness, the heartbeat's
    time and how old it may be. what: who is counted. escalation: who is told, in order."""

    name: str
    title: str
    kind: Kind
    objective: float
    what: str
    field: str = ""
    max_age_hours: float = 0.0
    escalation: str = "The tenant's admins, then the platform operator on duty."


@dataclass(frozen=True, slots=True)
class Sample:
    """What was good of a total at one moment."""

    at: datetime
    good: int
    total: int


@dataclass(frozen=True, slots=True)
class Compliance:
    """What the samples of a rolling window say. Shares are None where nothing was counted.

    budget_left: 1 is untouched, 0 is used up, below 0 is overdrawn. burn: how many times faster than the objective
    allows the last day used its budget.
    """

    state: SloState
    share: float | None
    budget_left: float | None
    burn: float | None
    samples: int


REQUEST_SLOW_MS = 500
SLOS: tuple[Slo, ...] = (
    Slo(
        "forecast_freshness", "Forecasts are fresh", Kind.FRESHNESS, 0.99,
        "Active tenants with a champion: its newest forecasts were made within 36 hours.", "last_forecast_at", 36,
    ),
    Slo(
        "accuracy_freshness", "Accuracy is measured", Kind.FRESHNESS, 0.99,
        "Active tenants with a champion: accuracy was measured within 48 hours.", "last_accuracy_at", 48,
    ),
    Slo(
        "sync_freshness", "Sales come in", Kind.FRESHNESS, 0.99,
        "Active tenants with a loaded source: sales were loaded within 36 hours.", "last_sync_at", 36,
    ),
    Slo(
        "api_availability", "The API answers", Kind.REQUESTS, 0.999,
        "Requests to /api/ that were not answered with a server error (5xx).",
        escalation="The platform operator on duty.",
    ),
    Slo(
        "api_latency", "The API is quick", Kind.REQUESTS, 0.95,
        f"Requests to /api/ that were answered within {REQUEST_SLOW_MS} ms.",
        escalation="The platform operator on duty.",
    ),
)  # fmt: skip
TENANT_SLOS = tuple(slo for slo in SLOS if slo.kind is Kind.FRESHNESS)


def get_slo(name: str) -> Slo:
    """The declared SLO of that name; KeyError where there is none."""
    return {slo.name: slo for slo in SLOS}[name]


def share_of(samples: Iterable[Sample]) -> float | None:
    """Good over total, pooled; None where nothing was counted."""
    good = total = 0
    for sample in samples:
        good, total = good + sample.good, total + sample.total
    return good / total if total else None


def judge(samples: Sequence[Sample], objective: float, now: datetime) -> Compliance:
    """Judge the samples of the rolling window that ends at ``now``.

    Google's Site Reliability Workbook, chapter 5, for budget and burn rate. An empty day is neither good nor bad: it
    breaks a row of bad ones.
    """
    rolling = [sample for sample in samples if now - ROLLING < sample.at <= now]
    share = share_of(rolling)
    if share is None:
        return Compliance(SloState.UNKNOWN, None, None, None, 0)
    allowed = 1.0 - objective
    last, before = (
        share_of(sample for sample in rolling if now - (n + 1) * WINDOW < sample.at <= now - n * WINDOW) for n in (0, 1)
    )
    bad_last = last is not None and last < objective
    bad_before = before is not None and before < objective
    state = SloState.CRITICAL if bad_last and bad_before else SloState.WARNING if bad_last else SloState.OK
    return Compliance(
        state=state,
        share=share,
        budget_left=1.0 - (1.0 - share) / allowed,
        burn=None if last is None else (1.0 - last) / allowed,
        samples=len(rolling),
    )


def age_state(age_hours: float | None, slo: Slo) -> SloState:
    """One tenant's own state: fresh, one window late (warning), or two (critical). Never yet is not known."""
    if age_hours is None:
        return SloState.UNKNOWN
    if age_hours <= slo.max_age_hours:
        return SloState.OK
    return SloState.WARNING if age_hours <= 2 * slo.max_age_hours else SloState.CRITICAL
