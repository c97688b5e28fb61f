"""The append-only, hash-chained record of who did what."""

from __future__ import annotations

from django.db import models


class AuditEvent(models.Model):
    """One fact. The database fills ``sequence``, ``prev_hash`` and ``hash`` and refuses UPDATE, DELETE and TRUNCATE.

    The actor is a plain number and a frozen name, not a foreign key: deleting a user must not change history.
    """

    id = models.BigAutoField(primary_key=True)
    sequence = models.BigIntegerField(unique=True, editable=False)
    at = models.DateTimeField(editable=False)
    event = models.CharField(max_length=80, db_index=True)
    actor_id = models.BigIntegerField(null=True, blank=True)
    actor_name = models.CharField(max_length=150)
    subject_type = models.CharField(max_length=80, blank=True)
    subject_id = models.CharField(max_length=64, blank=True)
    subject_label = models.CharField(max_length=200, blank=True)
    correlation_id = models.UUIDField(null=True, blank=True)
    data = models.JSONField(default=dict)
    prev_hash = models.CharField(max_length=64, editable=False)
    hash = models.CharField(max_length=64, editable=False)

    class Meta:
        ordering = ["-sequence"]
        indexes = [models.Index(fields=["subject_type", "subject_id"], name="ledger_audit_subject_idx")]

    def __str__(self) -> str:
        return f"#{self.sequence} {self.event}"


class AuditHead(models.Model):
    """The last link of this schema's chain. Its row lock puts concurrent events in order."""

    id = models.PositiveSmallIntegerField(primary_key=True, default=1)
    sequence = models.BigIntegerField(default=0)
    hash = models.CharField(max_length=64, default="0" * 64)

    class Meta:
        constraints = [models.CheckConstraint(condition=models.Q(id=1), name="ledger_audit_one_head")]

    def __str__(self) -> str:
        return f"#{self.sequence} {self.hash[:12]}"
