"""Where a source's files are pulled from, and which of them were taken already."""

from __future__ import annotations

from django.core.validators import MaxValueValidator, MinValueValidator
from django.db import models
from django.db.models import Q

from integrations.models.delivery import Delivery
from integrations.models.source import Source


class SftpAuth(models.TextChoices):
    """How the platform proves to the server who it is."""

    PASSWORD = "password", "Password"
    KEY = "key", "Private key"


class AfterTaking(models.TextChoices):
    """What becomes of a file on the server once it was taken."""

    MOVE = "move", "Move it to a folder"
    REMEMBER = "remember", "Leave it there and remember it"


class SftpConnection(models.Model):
    """The SFTP server of one source. The sealed fields hold ciphertext only (``services.credentials``)."""

    source = models.OneToOneField(Source, on_delete=models.PROTECT, related_name="sftp")
    host = models.CharField(max_length=253)
    port = models.PositiveIntegerField(default=22, validators=[MinValueValidator(1), MaxValueValidator(65535)])
    username = models.CharField(max_length=120)
    folder = models.CharField(max_length=500, default=".", help_text="Where the files arrive, as the server names it.")
    auth = models.CharField(max_length=10, choices=SftpAuth, default=SftpAuth.PASSWORD)
    sealed_password = models.TextField(blank=True, editable=False)
    sealed_key = models.TextField(blank=True, editable=False)
    sealed_passphrase = models.TextField(blank=True, editable=False)
    public_key = models.TextField(
        blank=True, editable=False, help_text="Public half of the private key, for the server."
    )
    host_key = models.TextField(blank=True, editable=False, help_text="The server's pinned key, whole.")
    host_key_pinned_at = models.DateTimeField(null=True, blank=True, editable=False)
    host_key_pinned_by_name = models.CharField(max_length=150, blank=True, editable=False)
    after_taking = models.CharField(max_length=10, choices=AfterTaking, default=AfterTaking.MOVE)
    move_to = models.CharField(max_length=200, default="taken", help_text="A folder inside the folder.")
    stable_seconds = models.PositiveIntegerField(
        default=10,
        validators=[MinValueValidator(1), MaxValueValidator(300)],
        help_text="A file is taken when its size and time stayed the same for this long.",
    )
    enabled = models.BooleanField(default=True)
    last_pull_at = models.DateTimeField(null=True, blank=True, editable=False)
    last_error = models.TextField(blank=True, editable=False)
    last_result = models.JSONField(
        default=dict, blank=True, editable=False, help_text="What the last pull took and left."
    )
    changed_at = models.DateTimeField(auto_now=True)
    changed_by_name = models.CharField(max_length=150, default="system", editable=False)

    class Meta:
        ordering = ["source"]
        verbose_name = "SFTP connection"
        constraints = [
            models.CheckConstraint(condition=Q(auth__in=["password", "key"]), name="integrations_sftp_auth_known"),
            models.CheckConstraint(
                condition=Q(after_taking__in=["move", "remember"]), name="integrations_sftp_after_known"
            ),
            models.CheckConstraint(condition=Q(port__gte=1, port__lte=65535), name="integrations_sftp_port"),
        ]

    def __str__(self) -> str:
        return f"SFTP of {self.source.name}"


class PulledFile(models.Model):
    """A file of the server that is not taken again while it stays as it was: delivered, or refused for a reason."""

    connection = models.ForeignKey(SftpConnection, on_delete=models.PROTECT, related_name="pulled")
    name = models.CharField(max_length=255)
    bytes = models.BigIntegerField()
    modified = models.BigIntegerField(help_text="The server's time of its last change, in seconds since 1970.")
    sha256 = models.CharField(max_length=64)
    delivery = models.ForeignKey(Delivery, null=True, blank=True, on_delete=models.PROTECT, related_name="pulled")
    problem = models.CharField(max_length=500, blank=True, help_text="Why it was not delivered.")
    moved_to = models.CharField(max_length=500, blank=True)
    at = models.DateTimeField(auto_now_add=True)

    class Meta:
        ordering = ["-pk"]
        constraints = [
            models.UniqueConstraint(
                fields=["connection", "name", "bytes", "modified"], name="integrations_pulled_file_once"
            ),
            models.CheckConstraint(
                condition=Q(delivery__isnull=False, problem="") | (Q(delivery__isnull=True) & ~Q(problem="")),
                name="integrations_pulled_or_refused",
            ),
        ]

    def __str__(self) -> str:
        return self.name
