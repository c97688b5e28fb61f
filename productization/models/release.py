"""A statement that somebody signs off: prepared by one person over a frozen board, decided by another."""

from __future__ import annotations

from typing import ClassVar

from django.db import models


class ReleaseState(models.TextChoices):
    PREPARED = "prepared", "Waits for sign-off"
    SIGNED = "signed", "Signed off"
    DECLINED = "declined", "Declined"


RELEASE_TRANSITIONS: dict[str, frozenset[str]] = {
    ReleaseState.PREPARED: frozenset({ReleaseState.SIGNED, ReleaseState.DECLINED}),
    ReleaseState.SIGNED: frozenset(),
    ReleaseState.DECLINED: frozenset(),
}


class Release(models.Model):
    """A statement over a snapshot of board and tracker. The database refuses to change what was prepared or decided."""

    version = models.CharField(max_length=40, help_text="What is released, such as 1.0.")
    statement = models.TextField(help_text="The canonical statement of the board as it was.")
    snapshot = models.JSONField(help_text="Capabilities, rows and evidence as they were.")
    snapshot_sha256 = models.CharField(max_length=64)
    revision = models.CharField(max_length=60)
    reason = models.TextField(help_text="Why it was prepared.")
    state = models.CharField(max_length=8, choices=ReleaseState, default=ReleaseState.PREPARED)
    prepared_at = models.DateTimeField(auto_now_add=True)
    prepared_by_id = models.BigIntegerField()
    prepared_by_name = models.CharField(max_length=150)
    decided_at = models.DateTimeField(null=True, blank=True)
    decided_by_id = models.BigIntegerField(null=True, blank=True)
    decided_by_name = models.CharField(max_length=150, blank=True)
    decision_reason = models.TextField(blank=True)

    class Meta:
        ordering: ClassVar = ["-pk"]
        constraints: ClassVar = [
            models.CheckConstraint(
                condition=models.Q(decided_by_id__isnull=True) | ~models.Q(decided_by_id=models.F("prepared_by_id")),
                name="productization_release_four_eyes",
            ),
            models.CheckConstraint(
                condition=models.Q(state="prepared", decided_at__isnull=True, decided_by_id__isnull=True)
                | (
                    models.Q(state__in=["signed", "declined"], decided_at__isnull=False, decided_by_id__isnull=False)
                    & ~models.Q(decision_reason="")
                ),
                name="productization_release_decided_by_somebody",
            ),
            models.UniqueConstraint(
                fields=["version"], condition=models.Q(state="prepared"), name="productization_release_one_waits"
            ),
        ]

    def __str__(self) -> str:
        return f"release {self.version}"
