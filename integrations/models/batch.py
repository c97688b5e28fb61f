"""What was read, loaded, merged and rejected: every row is accounted for."""

from __future__ import annotations

from django.db import models
from django.db.models import F, Q

from integrations.models.source import Contract, Source


class BatchState(models.TextChoices):
    LOADED = "loaded", "Loaded"
    FAILED = "failed", "Failed"
    REQUIRES_ADAPTER = "requires_custom_adapter", "Requires a custom adapter"


def _conserved(name: str) -> models.CheckConstraint:
    return models.CheckConstraint(
        condition=Q(rows_read=F("rows_loaded") + F("rows_merged") + F("rows_rejected")), name=name
    )


class IngestBatch(models.Model):
    """One delivery of files under one contract. It loaded wholly, or nothing of it did."""

    source = models.ForeignKey(Source, on_delete=models.PROTECT, related_name="batches")
    contract = models.ForeignKey(Contract, on_delete=models.PROTECT, related_name="batches")
    run_id = models.UUIDField(null=True, blank=True, help_text="The run that read it.")
    fingerprint = models.CharField(max_length=64, help_text="SHA-256 over the files' hashes and the contract's.")
    state = models.CharField(max_length=24, choices=BatchState)
    rows_read = models.BigIntegerField(default=0)
    rows_loaded = models.BigIntegerField(default=0)
    rows_merged = models.BigIntegerField(default=0)
    rows_rejected = models.BigIntegerField(default=0)
    days_written = models.BigIntegerField(default=0, help_text="Series-days inserted or changed.")
    units = models.DecimalField(max_digits=20, decimal_places=4, default=0)
    returned_units = models.DecimalField(max_digits=20, decimal_places=4, default=0)
    first_day = models.DateField(null=True, blank=True)
    last_day = models.DateField(null=True, blank=True)
    report = models.JSONField(default=dict, help_text="Verdict, findings, metrics and thresholds.")
    received_at = models.DateTimeField(auto_now_add=True)
    received_by_name = models.CharField(max_length=150, default="system")

    class Meta:
        ordering = ["-received_at"]
        verbose_name_plural = "ingest batches"
        constraints = [
            _conserved("integrations_batch_conserved"),
            models.UniqueConstraint(
                fields=["source", "fingerprint"], condition=Q(state="loaded"), name="integrations_batch_loaded_once"
            ),
        ]

    def __str__(self) -> str:
        return f"{self.source.name} #{self.pk}"


class BatchFile(models.Model):
    """One file of a batch and where its rows went."""

    batch = models.ForeignKey(IngestBatch, on_delete=models.PROTECT, related_name="files")
    role = models.CharField(max_length=20)
    name = models.CharField(max_length=255)
    sha256 = models.CharField(max_length=64)
    bytes = models.BigIntegerField()
    kept_path = models.CharField(
        max_length=500, blank=True, help_text="Where the tenant's storage has its bytes; empty: they are not kept."
    )
    columns = models.JSONField(
        default=dict, blank=True, help_text="The columns that are known since this file, with what they hold."
    )
    rows_read = models.BigIntegerField(default=0)
    rows_loaded = models.BigIntegerField(default=0)
    rows_merged = models.BigIntegerField(default=0)
    rows_rejected = models.BigIntegerField(default=0)

    class Meta:
        ordering = ["batch", "role", "name"]
        constraints = [_conserved("integrations_file_conserved")]

    def __str__(self) -> str:
        return self.name


class RowState(models.TextChoices):
    OPEN = "open", "Open"
    MENDED = "mended", "Mended"
    LEFT_OUT = "left_out", "Left out"


ROW_TRANSITIONS: dict[str, frozenset[str]] = {
    RowState.OPEN: frozenset({RowState.MENDED, RowState.LEFT_OUT}),
    RowState.LEFT_OUT: frozenset({RowState.OPEN}),
    RowState.MENDED: frozenset({RowState.OPEN}),  # the mended text was rejected in its turn
}


class RejectedRow(models.Model):
    """A row that was not loaded, as it stood in its file, and why.

    ``mended_text`` is the row as somebody mended it; the row stays open until a replay has loaded it.
    """

    batch_file = models.ForeignKey(BatchFile, on_delete=models.PROTECT, related_name="rejected")
    line = models.BigIntegerField()
    column = models.CharField(max_length=120, blank=True)
    reason = models.CharField(max_length=240)
    raw = models.TextField()
    state = models.CharField(max_length=12, choices=RowState, default=RowState.OPEN, db_default=RowState.OPEN)
    mended_text = models.TextField(blank=True, db_default="", help_text="The row as it was mended, without line end.")
    note = models.CharField(max_length=2000, blank=True, db_default="", help_text="Why it was left out.")
    changed_by_name = models.CharField(max_length=150, blank=True, db_default="", help_text="Who mended it.")
    changed_at = models.DateTimeField(null=True, blank=True)
    mended_in = models.ForeignKey(
        IngestBatch,
        null=True,
        blank=True,
        on_delete=models.PROTECT,
        related_name="mended_rows",
        help_text="The replay that loaded it.",
    )
    found_in = models.ForeignKey(
        IngestBatch,
        null=True,
        blank=True,
        on_delete=models.PROTECT,
        related_name="found_rows",
        help_text="The replay that rejected it first; empty: its own batch.",
    )

    class Meta:
        ordering = ["batch_file", "line"]
        constraints = [
            models.CheckConstraint(
                condition=Q(state__in=["open", "mended", "left_out"]), name="integrations_row_state_known"
            ),
            models.CheckConstraint(
                condition=Q(state="mended", mended_in__isnull=False) | (~Q(state="mended") & Q(mended_in__isnull=True)),
                name="integrations_row_mended_in_batch",
            ),
            models.CheckConstraint(
                condition=~Q(state="left_out") | ~Q(note=""), name="integrations_row_left_out_says_why"
            ),
        ]

    def __str__(self) -> str:
        return f"line {self.line}: {self.reason}"
