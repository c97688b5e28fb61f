"""Where data comes from, and the versioned contract it comes under."""

from __future__ import annotations

from django.db import models
from django.db.models import Q


class SourceType(models.TextChoices):
    SMB_CSV = "smb_csv", "Small business, file upload"
    SMB_SFTP = "smb_sftp", "Small business, SFTP"
    ENTERPRISE_SFTP = "enterprise_sftp", "Enterprise, SFTP"
    ENTERPRISE_EDI = "enterprise_edi", "Enterprise, EDI"
    ENTERPRISE_EVENT = "enterprise_event", "Enterprise, events"


class SourceState(models.TextChoices):
    DRAFT = "draft", "Draft"
    ACTIVE = "active", "Active"
    PAUSED = "paused", "Paused"


SOURCE_TRANSITIONS: dict[str, frozenset[str]] = {
    SourceState.DRAFT: frozenset({SourceState.ACTIVE}),
    SourceState.ACTIVE: frozenset({SourceState.PAUSED}),
    SourceState.PAUSED: frozenset({SourceState.ACTIVE}),
}


class Source(models.Model):
    """One stream of files of a tenant."""

    name = models.SlugField(max_length=80, unique=True)
    source_type = models.CharField(max_length=20, choices=SourceType)
    state = models.CharField(max_length=10, choices=SourceState, default=SourceState.DRAFT)
    created_at = models.DateTimeField(auto_now_add=True)
    last_sync_at = models.DateTimeField(null=True, blank=True)
    data_until = models.DateField(null=True, blank=True, help_text="Newest day of sales that was loaded.")

    class Meta:
        ordering = ["name"]

    def __str__(self) -> str:
        return self.name

    @property
    def active_contract(self) -> Contract | None:
        return self.contracts.filter(state=ContractState.ACTIVE).first()


class ContractState(models.TextChoices):
    DRAFT = "draft", "Draft"
    ACTIVE = "active", "Active"
    SUPERSEDED = "superseded", "Superseded"


CONTRACT_TRANSITIONS: dict[str, frozenset[str]] = {
    ContractState.DRAFT: frozenset({ContractState.ACTIVE}),
    ContractState.ACTIVE: frozenset({ContractState.SUPERSEDED}),
    ContractState.SUPERSEDED: frozenset({ContractState.ACTIVE}),
}


class Contract(models.Model):
    """One version of a source's data contract. Once active, its body never changes (a database trigger holds that)."""

    source = models.ForeignKey(Source, on_delete=models.PROTECT, related_name="contracts")
    version = models.PositiveIntegerField()
    body = models.JSONField()
    sha256 = models.CharField(max_length=64)
    state = models.CharField(max_length=12, choices=ContractState, default=ContractState.DRAFT)
    created_at = models.DateTimeField(auto_now_add=True)
    created_by_name = models.CharField(max_length=150, default="system")
    activated_at = models.DateTimeField(null=True, blank=True)
    activated_by_name = models.CharField(max_length=150, blank=True)

    class Meta:
        ordering = ["source", "-version"]
        constraints = [
            models.UniqueConstraint(fields=["source", "version"], name="integrations_contract_version"),
            models.UniqueConstraint(fields=["source", "sha256"], name="integrations_contract_content"),
            models.UniqueConstraint(
                fields=["source"], condition=Q(state="active"), name="integrations_one_active_contract"
            ),
        ]

    def __str__(self) -> str:
        return f"{self.source.name} v{self.version}"
