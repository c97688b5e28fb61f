"""Who is champion, and who was."""

from __future__ import annotations

from django.db import models
from django.db.models import Q

from forecasting.models.registry import ModelVersion


class Channel(models.TextChoices):
    LIVE = "live", "Live"
    DRILL = "drill", "Drill"


class AssignmentKind(models.TextChoices):
    PROMOTION = "promotion", "Promotion"
    REFRESH = "refresh", "Refresh"
    ROLLBACK = "rollback", "Rollback"


class ChampionAssignment(models.Model):
    """A version's time as champion of a channel. A row is only ever closed, so any day's champion is known."""

    channel = models.CharField(max_length=12, choices=Channel, default=Channel.LIVE)
    version = models.ForeignKey(ModelVersion, on_delete=models.PROTECT, related_name="assignments")
    kind = models.CharField(max_length=12, choices=AssignmentKind)
    request = models.ForeignKey(
        "forecasting.PromotionRequest", null=True, blank=True, on_delete=models.PROTECT, related_name="assignments"
    )
    guard = models.JSONField(default=dict, blank=True, help_text="Non-regression guard of a refresh.")
    details = models.JSONField(
        default=dict, blank=True, help_text="Of a rollback: what was verified, what serves, and the seconds it took."
    )
    reason = models.TextField(blank=True)
    assigned_by_name = models.CharField(max_length=150, default="system")
    effective_on = models.DateField(help_text="Business day from which it counts (its data's as-of date).")
    from_at = models.DateTimeField()
    to_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        ordering = ["-from_at"]
        constraints = [
            models.UniqueConstraint(
                fields=["channel"], condition=Q(to_at__isnull=True), name="forecasting_one_champion"
            ),
            models.CheckConstraint(
                condition=Q(to_at__isnull=True) | Q(to_at__gte=models.F("from_at")), name="forecasting_assignment_order"
            ),
        ]

    def __str__(self) -> str:
        return f"{self.channel}: v{self.version.number}"
