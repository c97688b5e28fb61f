"""What serves, as fingerprints: taken before and after a drill, to prove that the live channel was left alone."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from typing import Any
from uuid import UUID

from forecasting import selectors
from forecasting.engine.forecast_hash import forecast_sha256
from forecasting.engine.types import canonical_json, sha256_text
from forecasting.models import ChampionAssignment, Channel, ForecastSet, PromotionRequest
from forecasting.services.accuracy import stored_rows
from ledger.models import AuditEvent
from ledger.schema import connection
from tenants.models import Heartbeat

Served = Callable[[], str]
"""SHA-256 of what the API answers now; given by the door, because services know no API."""
_LIVE_EVENTS = ("champion.assigned", "forecast.published", "forecast.stored", "forecast.repaired")


def live_state(served: Served) -> dict[str, Any]:
    """Fingerprints of the live assignments and sets, of the serving paths, of the requests and of the API's answer."""
    serving = selectors.serving_set()
    beat = Heartbeat.objects.filter(schema_name=connection.schema_name).first()
    return {
        "champion": _champion(),
        "assignments": _of(ChampionAssignment.objects.filter(channel=Channel.LIVE).order_by("pk").values()),
        "sets": _of(ForecastSet.objects.filter(channel=Channel.LIVE).order_by("pk").values()),
        "requests": _of(PromotionRequest.objects.order_by("pk").values("pk", "state", "candidate_id", "champion_id")),
        "heartbeat": _of([{"champion": beat.champion, "since": beat.champion_since}] if beat is not None else []),
        "paths": stored_sha256(serving) if serving is not None else "",
        "api": served(),
    }


def stored_sha256(forecast_set: ForecastSet) -> str:
    """What a set holds, bit for bit, as read from the database."""
    from datetime import date

    return forecast_sha256(stored_rows(forecast_set, date.max))


def compare(before: dict[str, Any], after: dict[str, Any], *, since: datetime, correlation: UUID) -> tuple[bool, str]:
    """Whether the drill left the live channel alone, and why that is known.

    Others may work meanwhile: then every difference must stand beside an audit event that is not of the drill.
    """
    changed = sorted(name for name in before if before[name] != after.get(name))
    if not changed:
        return True, "assignments, sets, stored figures and the API’s bytes are the same as before"
    events = AuditEvent.objects.filter(event__in=_LIVE_EVENTS, at__gte=since, data__channel=Channel.LIVE)
    others = [
        f"{one.event} ({one.subject_label}, {one.actor_name})" for one in events.exclude(correlation_id=correlation)
    ]
    ours = [one.event for one in events.filter(correlation_id=correlation)]
    if others and not ours:
        return True, f"{', '.join(changed)} changed by the work of others meanwhile: {'; '.join(others[:5])}"
    return False, f"{', '.join(changed)} changed, and nothing but the drill explains it"


def _champion() -> str:
    current = selectors.current_champion()
    return str(current.version) if current is not None else ""


def _of(rows: Any) -> str:
    return sha256_text(canonical_json([{key: str(value) for key, value in row.items()} for row in rows]))
