"""What was measured of the service levels, in the public schema."""

from __future__ import annotations

from django.db import models


class SloSample(models.Model):
    """One measurement of one SLO over the fleet; once for each slot of a few minutes, whichever worker takes it."""

    slo = models.CharField(max_length=40)
    slot = models.DateTimeField(help_text="Beginning of the few minutes that it is for.")
    good = models.PositiveIntegerField()
    total = models.PositiveIntegerField()
    bad_tenants = models.JSONField(default=list, blank=True, help_text="Schemas that missed it, at most 100.")

    class Meta:
        ordering = ["-slot", "slo"]
        verbose_name = "measurement of a service level"
        verbose_name_plural = "service levels"
        constraints = [
            models.UniqueConstraint(fields=["slo", "slot"], name="tenants_slo_sample_once"),
            models.CheckConstraint(condition=models.Q(good__lte=models.F("total")), name="tenants_slo_sample_share"),
        ]

    def __str__(self) -> str:
        return f"{self.slo} {self.slot:%Y-%m-%d %H:%M}"


class RequestCount(models.Model):
    """Requests to the API in one minute, over all web processes."""

    minute = models.DateTimeField(primary_key=True)
    requests = models.PositiveIntegerField(default=0)
    errors = models.PositiveIntegerField(default=0, help_text="Answered with a server error.")
    slow = models.PositiveIntegerField(default=0, help_text="Took longer than the service level allows.")

    class Meta:
        ordering = ["-minute"]

    def __str__(self) -> str:
        return f"{self.minute:%Y-%m-%d %H:%M}"
