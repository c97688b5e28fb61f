"""An onboarding that is still being filled in: kept between visits, until it is handed over or discarded."""

from __future__ import annotations

from typing import Any

from django.conf import settings
from django.db import models
from django.db.models import Q

from integrations.models.source import Contract, Source


class DraftStep(models.TextChoices):
    """The steps of the form, in their order."""

    SOURCE = "source", "Source"
    SAMPLE = "sample", "Sample"
    MAPPING = "mapping", "Columns"
    MEANING = "meaning", "Meaning"
    CHECKS = "checks", "Checks"
    ACTIVATE = "activate", "Activate"
    LOAD = "load", "Load"


class DraftState(models.TextChoices):
    OPEN = "open", "Open"
    DELIVERED = "delivered", "Handed over"
    DISCARDED = "discarded", "Discarded"


DRAFT_TRANSITIONS: dict[str, frozenset[str]] = {
    DraftState.OPEN: frozenset({DraftState.DELIVERED, DraftState.DISCARDED}),
    DraftState.DELIVERED: frozenset(),
    DraftState.DISCARDED: frozenset(),
}


class OnboardingDraft(models.Model):
    """One filling-in of the onboarding form.

    ``body`` is the contract as far as it is known: a plain dict that becomes a ``DataContract`` at the checks.
    ``notes`` holds what the form asks and a contract does not say. ``revision`` counts every saved change, so that a
    page which was opened before somebody else's change is noticed.
    """

    title = models.CharField(max_length=120, help_text="What people call this data.")
    state = models.CharField(max_length=12, choices=DraftState, default=DraftState.OPEN)
    step = models.CharField(max_length=12, choices=DraftStep, default=DraftStep.SAMPLE)
    revision = models.PositiveIntegerField(default=1)
    body = models.JSONField(default=dict)
    notes = models.JSONField(default=dict, blank=True)
    source = models.ForeignKey(Source, null=True, blank=True, on_delete=models.PROTECT, related_name="drafts")
    contract = models.ForeignKey(
        Contract, null=True, blank=True, on_delete=models.PROTECT, related_name="drafts", help_text="Made by it."
    )
    check_run_id = models.UUIDField(null=True, blank=True, help_text="The run that checks the sample, or did.")
    check_report = models.JSONField(default=dict, blank=True, help_text="What the last check found, and of what.")
    delivery_id = models.BigIntegerField(null=True, blank=True, help_text="The delivery that it was handed over as.")
    created_at = models.DateTimeField(auto_now_add=True)
    created_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, null=True, blank=True, on_delete=models.SET_NULL, related_name="+"
    )
    created_by_name = models.CharField(max_length=150, default="system")
    changed_at = models.DateTimeField(auto_now_add=True)
    changed_by_name = models.CharField(max_length=150, default="system")
    ended_reason = models.CharField(max_length=2000, blank=True)

    class Meta:
        ordering = ["-changed_at"]
        verbose_name = "onboarding"
        verbose_name_plural = "onboardings"
        constraints = [
            models.CheckConstraint(
                condition=Q(state__in=["open", "delivered", "discarded"]), name="integrations_draft_state_known"
            ),
            models.CheckConstraint(
                condition=~Q(state="delivered") | Q(delivery_id__isnull=False, contract__isnull=False),
                name="integrations_draft_delivered_whole",
            ),
            models.CheckConstraint(
                condition=~Q(state="discarded") | ~Q(ended_reason=""), name="integrations_draft_discard_says_why"
            ),
        ]

    def __str__(self) -> str:
        return self.title

    @property
    def is_open(self) -> bool:
        return self.state == DraftState.OPEN


class DraftFile(models.Model):
    """A sample file: where the tenant's storage has it, and what it looks like.

    ``found`` is what was detected: headings, first rows, how it is written.
    How it is to be read is in the draft's body.
    """

    draft = models.ForeignKey(OnboardingDraft, on_delete=models.CASCADE, related_name="files")
    role = models.CharField(max_length=20)
    name = models.CharField(max_length=255)
    path = models.CharField(max_length=500)
    sha256 = models.CharField(max_length=64)
    bytes = models.BigIntegerField()
    found = models.JSONField(default=dict)
    added_at = models.DateTimeField(auto_now_add=True)
    added_by_name = models.CharField(max_length=150, default="system")

    class Meta:
        ordering = ["role", "pk"]
        constraints = [models.UniqueConstraint(fields=["draft", "name"], name="integrations_draft_file_once")]

    def __str__(self) -> str:
        return self.name

    @property
    def headings(self) -> list[str]:
        headings: list[Any] = self.found.get("headings", [])
        return [str(heading) for heading in headings]

    @property
    def rows(self) -> list[list[str]]:
        rows: list[list[str]] = self.found.get("rows", [])
        return rows
