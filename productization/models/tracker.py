"""The tracker's rows and their evidence, in the public schema: what is declared, and what the last look found."""

from __future__ import annotations

from typing import ClassVar

from django.db import models

from productization.proof.evidence import Kind, State, Status

STATUSES = [(one.value, one.value.replace("_", " ").capitalize()) for one in Status]
STATES = [(one.value, one.value.capitalize()) for one in State]
KINDS = [(one.value, one.value.capitalize()) for one in Kind]


class TrackerItem(models.Model):
    """One row. Its status is written by verification alone; a person may block it with a reason, or name its owner."""

    code = models.CharField(max_length=12, unique=True)
    position = models.PositiveSmallIntegerField(default=0)
    workstream = models.CharField(max_length=60)
    task = models.CharField(max_length=300)
    owner = models.CharField(max_length=150, default="owner")
    status = models.CharField(max_length=12, choices=STATUSES, default=Status.OPEN.value)
    reason = models.TextField(blank=True, help_text="Why it has this status.")
    checked_at = models.DateTimeField(null=True, blank=True)
    blocked_reason = models.TextField(blank=True, help_text="Why a person blocked it; empty where nobody did.")
    blocked_by_id = models.BigIntegerField(null=True, blank=True)
    blocked_by_name = models.CharField(max_length=150, blank=True)
    blocked_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        ordering: ClassVar = ["position", "code"]
        constraints: ClassVar = [
            models.CheckConstraint(
                condition=models.Q(blocked_reason="") | models.Q(status=Status.BLOCKED.value),
                name="productization_item_blocked_is_blocked",
            ),
        ]
        verbose_name = "tracker item"

    def __str__(self) -> str:
        return f"{self.code} {self.task}"[:200]


class EvidencePiece(models.Model):
    """One piece of an item's evidence and its last result."""

    item = models.ForeignKey(TrackerItem, on_delete=models.CASCADE, related_name="evidence")
    position = models.PositiveSmallIntegerField()
    kind = models.CharField(max_length=10, choices=KINDS)
    ref = models.CharField(max_length=300)
    declared = models.JSONField(default=dict)
    state = models.CharField(max_length=10, choices=STATES, default=State.UNKNOWN.value)
    reason = models.TextField(blank=True)
    facts = models.JSONField(default=dict)
    checked_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        ordering: ClassVar = ["item", "position"]
        constraints: ClassVar = [models.UniqueConstraint(fields=["item", "position"], name="productization_piece_once")]

    def __str__(self) -> str:
        return f"{self.kind} {self.ref}"


class TestRun(models.Model):
    """What one recorded run of the tests came to, on which code."""

    __test__ = False  # its name would make pytest collect it

    fingerprint = models.CharField(max_length=64, db_index=True)
    revision = models.CharField(max_length=60)
    ended_at = models.DateTimeField()
    recorded_at = models.DateTimeField(auto_now_add=True)
    outcomes = models.JSONField(default=dict)

    class Meta:
        ordering: ClassVar = ["-recorded_at", "-pk"]

    def __str__(self) -> str:
        return f"tests of {self.revision}, {self.ended_at:%Y-%m-%d %H:%M}"


class CollectedStep(models.Model):
    """The last run of one step of collect_evidence in this database, so that a second collection goes on after it."""

    name = models.CharField(max_length=60, unique=True)
    command = models.CharField(max_length=500)
    succeeded = models.BooleanField()
    seconds = models.FloatField()
    revision = models.CharField(max_length=60)
    code = models.JSONField(default=dict)
    words = models.TextField(blank=True, help_text="The end of what it said.")
    ended_at = models.DateTimeField()

    class Meta:
        ordering: ClassVar = ["ended_at"]

    def __str__(self) -> str:
        return f"step {self.name}"
