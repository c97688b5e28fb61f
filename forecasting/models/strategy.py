"""Ensemble or single: what a strategy cycle found, what it proposed, and what people decided."""

from __future__ import annotations

from django.conf import settings
from django.db import models
from django.db.models import Q


class StrategyMeasure(models.TextChoices):
    COST = "total_cost", "Total cost"
    WAPE = "wape", "Error (WAPE)"


class StrategyCycle(models.Model):
    """One sweep of families and weights on the rolling origins, with the figures of every point. Append-only."""

    run_id = models.UUIDField(unique=True, help_text="The run that made it: one run makes one cycle.")
    as_of = models.DateField(help_text="Last day of data, the sealed holdout included.")
    horizon = models.PositiveSmallIntegerField(help_text="Steps ahead.")
    window = models.JSONField(help_text="TrainingWindow of the data that was read.")
    fingerprint = models.CharField(max_length=64, help_text="SHA-256 of the content of that window.")
    measure = models.CharField(max_length=12, choices=StrategyMeasure, help_text="What the recommendation goes by.")
    sentence = models.TextField(help_text="The recommendation in words.")
    report = models.JSONField(help_text="The whole sweep, as in model_strategy_cycle.json.")
    report_sha256 = models.CharField(max_length=64)
    files = models.JSONField(default=list, help_text="Name, path, sha256 and bytes of each file kept.")
    created_at = models.DateTimeField(auto_now_add=True)
    created_by_name = models.CharField(max_length=150, default="system")

    class Meta:
        ordering = ["-created_at", "-pk"]
        verbose_name = "strategy cycle"

    def __str__(self) -> str:
        return f"Strategy cycle {self.pk} as of {self.as_of}"


class DecisionKind(models.TextChoices):
    PROPOSED = "proposed", "Proposed"
    ACCEPTED = "accepted", "Accepted"
    CHOSEN = "chosen", "Chosen instead"


class StrategyDecision(models.Model):
    """One decision on a cycle: the system's proposal, or a person's acceptance or other choice. Append-only.

    It changes nothing of what serves: a decided spec is trained, judged and approved like any other.
    """

    cycle = models.ForeignKey(StrategyCycle, on_delete=models.PROTECT, related_name="decisions")
    kind = models.CharField(max_length=10, choices=DecisionKind)
    point = models.CharField(max_length=160, help_text="Key of the point of the sweep.")
    mode = models.CharField(max_length=60, help_text="single_<family> or ensemble.")
    spec_label = models.TextField()
    spec = models.JSONField(help_text="The spec with its weights, as a training takes it.")
    spec_sha256 = models.CharField(max_length=64)
    reason = models.TextField()
    decided_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, null=True, blank=True, on_delete=models.SET_NULL, related_name="+"
    )
    decided_by_name = models.CharField(max_length=150, default="system")
    created_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        ordering = ["-created_at", "-pk"]
        verbose_name = "strategy decision"
        constraints = [
            models.UniqueConstraint(
                fields=["cycle"], condition=Q(kind="proposed"), name="forecasting_one_strategy_proposal"
            ),
            models.CheckConstraint(
                condition=~Q(reason="") & ~Q(decided_by_name=""), name="forecasting_strategy_reason"
            ),
        ]

    def __str__(self) -> str:
        return f"{self.get_kind_display()}: {self.spec_label}"
