"""Decisions, as the audit chain holds them."""

from __future__ import annotations

from typing import ClassVar

from django.db import models
from django.db.models import Q

from ledger.models import AuditEvent

DECISION_EVENTS = (
    "promotion.approved", "promotion.rejected", "promotion.withdrawn", "promotion.lapsed", "strategy.decided",
    "policy.changed",
)  # fmt: skip
# What a person approved stands in their decision; a refresh by its guard and a rollback are decisions of their own.
BY_ITSELF = Q(event="champion.assigned", data__channel="live", data__request=None) & Q(
    data__kind__in=["refresh", "rollback"]
)


class DecisionManager(models.Manager["Decision"]):
    """Only the events that are decisions."""

    def get_queryset(self) -> models.QuerySet[Decision]:
        return super().get_queryset().filter(Q(event__in=DECISION_EVENTS) | BY_ITSELF)


class Decision(AuditEvent):
    """An event of the audit chain that is a decision on what serves, or on how that is decided."""

    objects: ClassVar[DecisionManager] = DecisionManager()

    class Meta:
        proxy = True
        ordering = ["-sequence"]
        verbose_name = "decision"

    def __str__(self) -> str:
        return f"Decision {self.sequence}"
