"""A delivery whose columns are not the known ones, and what a person decided about it."""

from __future__ import annotations

from django.conf import settings
from django.db import models
from django.db.models import Q

from integrations.models.delivery import Delivery
from integrations.models.source import Contract, Source


class DriftState(models.TextChoices):
    OPEN = "open", "Open"
    APPROVED = "approved", "Approved"
    DISCARDED = "discarded", "Discarded"


DRIFT_TRANSITIONS: dict[str, frozenset[str]] = {
    DriftState.OPEN: frozenset({DriftState.APPROVED, DriftState.DISCARDED}),
    DriftState.APPROVED: frozenset(),
    DriftState.DISCARDED: frozenset(),
}


class DriftItem(models.Model):
    """One held delivery in the inbox. ``changes`` and ``columns`` are what was seen; they never change."""

    source = models.ForeignKey(Source, on_delete=models.PROTECT, related_name="drift_items")
    delivery = models.ForeignKey(Delivery, on_delete=models.PROTECT, related_name="drift_items")
    contract = models.ForeignKey(
        Contract, on_delete=models.PROTECT, related_name="drift_items", help_text="The version it was held under."
    )
    changes = models.JSONField(help_text="Each difference: role, kind, column, before, after, field.")
    columns = models.JSONField(default=dict, help_text="The delivery's columns by role, with what they hold.")
    state = models.CharField(max_length=12, choices=DriftState, default=DriftState.OPEN)
    opened_at = models.DateTimeField(auto_now_add=True)
    new_contract = models.ForeignKey(
        Contract, null=True, blank=True, on_delete=models.PROTECT, related_name="approved_drift"
    )
    decided_at = models.DateTimeField(null=True, blank=True)
    decided_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, null=True, blank=True, on_delete=models.SET_NULL, related_name="+"
    )
    decided_by_name = models.CharField(max_length=150, blank=True)
    reason = models.TextField(blank=True)

    class Meta:
        ordering = ["-pk"]
        verbose_name = "changed columns"
        verbose_name_plural = "changed columns"
        constraints = [
            models.UniqueConstraint(fields=["delivery"], condition=Q(state="open"), name="integrations_drift_one_open"),
            models.CheckConstraint(
                condition=Q(state="open", decided_at__isnull=True, new_contract__isnull=True)
                | Q(state="approved", decided_at__isnull=False, new_contract__isnull=False)
                | Q(state="discarded", decided_at__isnull=False, new_contract__isnull=True),
                name="integrations_drift_decided_wholly",
            ),
            models.CheckConstraint(condition=Q(state="open") | ~Q(reason=""), name="integrations_drift_says_why"),
        ]

    def __str__(self) -> str:
        return f"Changed columns in delivery {self.delivery_id}"
