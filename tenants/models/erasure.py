"""What was erased when a tenant was deleted."""

from __future__ import annotations

from django.db import models


class ErasureCertificate(models.Model):
    """One deleted tenant, by its names alone: no key, for what it names is gone. The database refuses any change."""

    schema_name = models.CharField(max_length=63, db_index=True)
    tenant_name = models.CharField(max_length=120)
    hosts = models.JSONField(default=list)
    tables = models.JSONField(default=dict, help_text="Rows of each table that was dropped.")
    rows = models.BigIntegerField()
    files = models.PositiveIntegerField()
    bytes = models.BigIntegerField(help_text="Of the files.")
    events = models.BigIntegerField(help_text="Length of the audit chain that was erased.")
    chain_head = models.CharField(max_length=64, blank=True)
    public_rows = models.JSONField(default=dict, help_text="Rows about the tenant that were deleted in public.")
    export = models.CharField(max_length=400, blank=True, help_text="Folder of the export; empty: there was no schema.")
    export_sha256 = models.CharField(max_length=64, blank=True)
    reason = models.TextField()
    requested_by_name = models.CharField(max_length=150)
    requested_at = models.DateTimeField()
    erased_at = models.DateTimeField(auto_now_add=True)
    run_id = models.UUIDField(null=True, blank=True)

    class Meta:
        ordering = ["-erased_at"]

    def __str__(self) -> str:
        return f"Erasure of {self.schema_name}"
