"""System checks of what applications and invitations need."""

from __future__ import annotations

from typing import Any

from django.conf import settings
from django.core.checks import CheckMessage, Error, register


@register(deploy=True)
def mail_can_be_sent(**kwargs: Any) -> list[CheckMessage]:
    """A server that people reach must be able to send confirmations and invitations."""
    if settings.EMAIL_CONFIGURED:
        return []
    return [
        Error(
            "No mail can be sent: applications are not confirmed and nobody is invited.",
            hint="Set FORECOURT_EMAIL_URL, such as smtp://user:password@host:587/?tls=true (see docs/settings.md).",
            id="tenants.E001",
        )
    ]
