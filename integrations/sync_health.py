"""How fresh each source is, held against the service level of its contract: fresh, late, stale or failing."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any

from django.utils import timezone

from integrations.models import Contract, Delivery, Source
from integrations.models.delivery import DeliveryState
from integrations.models.source import ContractState, SourceState

STALE_TIMES = 2.0
"""A source is late beyond its age limit, and stale beyond so many times of it."""
FAILING_IN_A_ROW = 3
_LOOKED_AT = 20
DEFAULT_AGE_HOURS = 30.0


class Health(StrEnum):
    FRESH = "fresh"
    LATE = "late"
    STALE = "stale"
    FAILING = "failing"
    PAUSED = "paused"
    WAITING = "waiting"


@dataclass(frozen=True, slots=True)
class SyncHealth:
    """One source. age_hours: since its last load, else since its contract came into force; failures: deliveries that
    were refused in a row, the newest first."""

    source: Source
    health: Health
    age_hours: float | None
    max_age_hours: float
    failures: int
    last_problem: str

    @property
    def words(self) -> str:
        """What it means, in a sentence."""
        name, limit = self.source.name, f"{self.max_age_hours:g} hours"
        if self.health is Health.PAUSED:
            return f"{name} is paused; nothing is expected of it."
        if self.health is Health.WAITING:
            return f"{name} has no contract in force yet; nothing is expected of it."
        age = "never" if self.age_hours is None else f"{self.age_hours:.0f} hours ago"
        if self.health is Health.FAILING:
            return f"The last {self.failures} deliveries of {name} were refused. The newest: {self.last_problem[:160]}"
        if self.health is Health.FRESH:
            return f"{name} was last loaded {age}, within its {limit}."
        return f"{name} was last loaded {age}; its contract promises {limit}."

    def to_json(self) -> dict[str, Any]:
        """Plain JSON values."""
        return {
            "source": self.source.name,
            "health": self.health.value,
            "age_hours": None if self.age_hours is None else round(self.age_hours, 2),
            "max_age_hours": self.max_age_hours,
            "last_sync_at": self.source.last_sync_at.isoformat() if self.source.last_sync_at else None,
            "data_until": self.source.data_until.isoformat() if self.source.data_until else None,
            "failures_in_a_row": self.failures,
            "message": self.words,
        }


def sync_health(*, now: datetime | None = None, name: str | None = None) -> list[SyncHealth]:
    """The health of every source, or of the one called ``name``, by name. Three queries, whatever their number."""
    at = now or timezone.now()
    sources = list(Source.objects.all() if name is None else Source.objects.filter(name=name))
    contracts = {
        contract.source_id: contract
        for contract in Contract.objects.filter(state=ContractState.ACTIVE, source__in=sources)
    }
    ended = Delivery.objects.filter(source__in=sources, state__in=[DeliveryState.LOADED, DeliveryState.REFUSED])
    newest: dict[int, list[Delivery]] = {}
    for delivery in ended.order_by("source_id", "-pk").only("source_id", "state", "problem"):
        rows = newest.setdefault(delivery.source_id, [])
        if len(rows) < _LOOKED_AT:
            rows.append(delivery)
    return [_health(source, contracts.get(source.pk), newest.get(source.pk, []), at) for source in sources]


def _health(source: Source, contract: Contract | None, newest: list[Delivery], at: datetime) -> SyncHealth:
    limit = float(((contract.body if contract else {}).get("sla") or {}).get("max_age_hours", DEFAULT_AGE_HOURS))
    refused = next((n for n, one in enumerate(newest) if one.state != DeliveryState.REFUSED), len(newest))
    problem = newest[0].problem if refused else ""
    since = source.last_sync_at or (contract.activated_at if contract is not None else None)
    age = max(at - since, timedelta()).total_seconds() / 3600 if since is not None else None
    if source.state == SourceState.PAUSED:
        health = Health.PAUSED
    elif contract is None or age is None:
        health = Health.WAITING
    elif refused >= FAILING_IN_A_ROW:
        health = Health.FAILING
    else:
        health = Health.FRESH if age <= limit else Health.LATE if age <= STALE_TIMES * limit else Health.STALE
    return SyncHealth(source, health, age if source.last_sync_at else None, limit, refused, problem)
