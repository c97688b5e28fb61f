"""A background job and its life."""

from __future__ import annotations

import uuid
from datetime import datetime
from pathlib import PurePath
from typing import Any

from django.conf import settings
from django.db import models
from django.db.models import Q
from django.utils import timezone

from ledger.jobs import job_title


class RunState(models.TextChoices):
    QUEUED = "queued", "Queued"
    RUNNING = "running", "Running"
    SUCCEEDED = "succeeded", "Succeeded"
    FAILED = "failed", "Failed"
    CANCELLED = "cancelled", "Cancelled"
    LOST = "lost", "Lost"


RUN_TRANSITIONS: dict[str, frozenset[str]] = {
    RunState.QUEUED: frozenset({RunState.RUNNING, RunState.CANCELLED, RunState.FAILED}),
    RunState.RUNNING: frozenset(
        {RunState.SUCCEEDED, RunState.FAILED, RunState.CANCELLED, RunState.LOST, RunState.QUEUED}  # or handed back
    ),
    RunState.LOST: frozenset({RunState.QUEUED, RunState.FAILED, RunState.CANCELLED}),
    RunState.FAILED: frozenset({RunState.QUEUED}),  # resumed by a person
    RunState.SUCCEEDED: frozenset(),
    RunState.CANCELLED: frozenset(),
}
# A lost run that will be retried still blocks another of its kind and scope.
LIVE_STATES = (RunState.QUEUED, RunState.RUNNING, RunState.LOST)


class Run(models.Model):
    """One job. Its row is the truth; the broker's message only says that there is something to do."""

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    kind = models.CharField(max_length=80, help_text="Registered kind of job, such as forecasting.retrain.")
    scope = models.CharField(max_length=120, blank=True, help_text="What it works on: one live run per kind and scope.")
    idempotency_key = models.CharField(max_length=160, unique=True, help_text="The same key never makes a second run.")
    parent = models.ForeignKey("self", null=True, blank=True, on_delete=models.PROTECT, related_name="children")
    correlation_id = models.UUIDField(default=uuid.uuid4, editable=False, db_index=True)
    state = models.CharField(max_length=12, choices=RunState, default=RunState.QUEUED)
    attempt = models.PositiveSmallIntegerField(default=0, help_text="Number of the attempt that owns the run now.")
    max_attempts = models.PositiveSmallIntegerField(default=3)
    attempts_log = models.JSONField(default=list, blank=True, help_text="One entry per ended attempt.")
    progress_done = models.PositiveIntegerField(default=0)
    progress_total = models.PositiveIntegerField(default=0)
    progress_message = models.CharField(max_length=240, blank=True)
    cancel_requested_at = models.DateTimeField(null=True, blank=True)
    heartbeat_at = models.DateTimeField(null=True, blank=True)
    worker = models.CharField(max_length=120, blank=True, help_text="Host and process of the owning attempt.")
    inputs = models.JSONField(default=dict, blank=True)
    outputs = models.JSONField(default=dict, blank=True)
    artifacts = models.JSONField(default=list, blank=True, help_text="Files: name, path, sha256, bytes.")
    error_code = models.CharField(max_length=80, blank=True)
    error = models.TextField(blank=True)
    requested_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, null=True, blank=True, on_delete=models.SET_NULL, related_name="+"
    )
    requested_by_name = models.CharField(max_length=150, default="system")
    queued_at = models.DateTimeField(default=timezone.now)
    sent_at = models.DateTimeField(default=timezone.now, help_text="When the broker was last told of it.")
    started_at = models.DateTimeField(null=True, blank=True, help_text="Start of the first attempt.")
    attempt_started_at = models.DateTimeField(null=True, blank=True, help_text="Start of the attempt that owns it.")
    finished_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        ordering = ["-queued_at"]
        constraints = [
            models.UniqueConstraint(
                fields=["kind", "scope"],
                condition=Q(state__in=["queued", "running", "lost"]),
                name="ledger_one_live_run",
            ),
            models.CheckConstraint(
                condition=Q(state__in=["queued", "running", "succeeded", "failed", "cancelled", "lost"]),
                name="ledger_run_state_known",
            ),
        ]
        indexes = [models.Index(fields=["state", "heartbeat_at"], name="ledger_run_state_idx")]

    def __str__(self) -> str:
        return f"{job_title(self.kind)} {str(self.id)[:8]}"

    @property
    def is_live(self) -> bool:
        return self.state in LIVE_STATES

    @property
    def shown_inputs(self) -> dict[str, Any]:
        """The inputs as people and clients may see them: where files lie on the server is nobody's business."""
        shown: dict[str, Any] = _without_folders(self.inputs)
        return shown

    @property
    def progress_percent(self) -> int | None:
        """Share done in percent, ``None`` where the total is not known."""
        if self.state == RunState.SUCCEEDED:
            return 100
        if not self.progress_total:
            return None
        return min(100, int(100 * self.progress_done / self.progress_total))

    @property
    def duration_seconds(self) -> float | None:
        """Seconds from start to end (or to now), ``None`` where it has not started."""
        if self.started_at is None:
            return None
        return ((self.finished_at or timezone.now()) - self.started_at).total_seconds()

    @property
    def first_queued_at(self) -> datetime:
        """When it was asked for; a retried run lies in the queue again, which is no beginning."""
        first = self.attempts_log[0].get("queued_at") if self.attempts_log else None
        return datetime.fromisoformat(first) if first else self.queued_at

    @property
    def waited_seconds(self) -> float:
        """Seconds that it lay in the queue, over all attempts; a failure that waited for a person is no waiting."""
        waited = sum(_between(one.get("queued_at"), one.get("started_at")) for one in self.attempts_log)
        if self.state == RunState.QUEUED:
            waited += (timezone.now() - self.queued_at).total_seconds()
        elif self.state == RunState.RUNNING and self.attempt_started_at is not None:
            waited += (self.attempt_started_at - self.queued_at).total_seconds()
        return max(0.0, waited)

    @property
    def worked_seconds(self) -> float | None:
        """Seconds of work over all attempts, also those that came to nothing; ``None`` where none has begun."""
        if self.started_at is None:
            return None
        worked = sum(_between(one.get("started_at"), one.get("ended_at")) for one in self.attempts_log)
        if self.state == RunState.RUNNING and self.attempt_started_at is not None:
            worked += (timezone.now() - self.attempt_started_at).total_seconds()
        return worked or self.duration_seconds


def _between(start: str | None, end: str | None) -> float:
    """Seconds between two moments in ISO form; 0 where one is not known."""
    if not start or not end:
        return 0.0
    return max(0.0, (datetime.fromisoformat(end) - datetime.fromisoformat(start)).total_seconds())


def _without_folders(value: Any) -> Any:
    """``value`` with each absolute path in it cut to the file's name."""
    if isinstance(value, dict):
        return {key: _without_folders(one) for key, one in value.items()}
    if isinstance(value, list):
        return [_without_folders(one) for one in value]
    return PurePath(value).name if isinstance(value, str) and PurePath(value).is_absolute() else value
