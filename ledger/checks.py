"""System checks of the background work."""

from __future__ import annotations

from typing import Any

from django.conf import settings
from django.core.checks import CheckMessage, Error, Warning, register

from ledger import wakeups


@register()
def queue_settings_are_safe(**kwargs: Any) -> list[CheckMessage]:
    """A job must end before the broker delivers it again; attempts are finite; missed schedules do not pile up."""
    cluster = settings.Q_CLUSTER
    problems: list[CheckMessage] = []
    if cluster["retry"] <= cluster["timeout"]:
        problems.append(
            Error(
                f"A job is delivered again after {cluster['retry']} s, but it may run for {cluster['timeout']} s.",
                hint="Set FORECOURT_JOB_RETRY above FORECOURT_JOB_TIMEOUT.",
                id="ledger.E001",
            )
        )
    if not cluster.get("max_attempts"):
        problems.append(Error("Deliveries without end: set Q_CLUSTER['max_attempts'].", id="ledger.E002"))
    if cluster.get("catch_up", True):
        problems.append(Error("Missed schedules would pile up: set Q_CLUSTER['catch_up'] to False.", id="ledger.E003"))
    if settings.RUN_LOST_AFTER_SECONDS < 3 * settings.RUN_HEARTBEAT_SECONDS:
        problems.append(
            Error(
                "A run would be called lost after fewer than three missed heartbeats.",
                hint="Set FORECOURT_RUN_LOST_AFTER_SECONDS to at least 3 × FORECOURT_RUN_HEARTBEAT_SECONDS.",
                id="ledger.E004",
            )
        )
    return problems


@register(deploy=True)
def redis_answers(**kwargs: Any) -> list[CheckMessage]:
    """A Redis that is set should be there; everything works without it, only later and with more looks."""
    if settings.REDIS is None or wakeups.answers():
        return []
    return [
        Warning(
            f"The Redis at {settings.REDIS['host']}:{settings.REDIS['port']} does not answer: idle job processes look "
            f"into the database every {settings.Q_CLUSTER['poll']:g} s instead of being woken.",
            hint="Start it, mend FORECOURT_REDIS_URL (host, port, password, rediss:// for TLS), or unset it.",
            id="ledger.W001",
        )
    ]
