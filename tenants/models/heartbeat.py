"""What the fleet pages know of a tenant without opening its schema."""

from __future__ import annotations

from django.db import models


class Heartbeat(models.Model):
    """One row a tenant, written by the tenant's services. Keyed by schema name: no foreign key leaves a schema."""

    schema_name = models.CharField(max_length=63, primary_key=True)
    readiness = models.CharField(max_length=32, default="cold_start")
    champion = models.CharField(max_length=80, blank=True)
    champion_since = models.DateTimeField(null=True, blank=True)
    last_sync_at = models.DateTimeField(null=True, blank=True)
    last_forecast_at = models.DateTimeField(null=True, blank=True)
    last_accuracy_at = models.DateTimeField(null=True, blank=True)
    data_until = models.DateField(null=True, blank=True)
    pending_approvals = models.PositiveIntegerField(default=0)
    open_incidents = models.PositiveIntegerField(default=0)
    open_sev1 = models.PositiveIntegerField(default=0, help_text="Of them, those of severity 1.")
    slo_critical = models.PositiveIntegerField(default=0, help_text="SLOs that are critical now.")
    webhooks_due_at = models.DateTimeField(
        null=True, blank=True, db_index=True, help_text="When the next attempt of a webhook is due."
    )
    updated_at = models.DateTimeField(auto_now=True)

    class Meta:
        ordering = ["schema_name"]

    def __str__(self) -> str:
        return self.schema_name
