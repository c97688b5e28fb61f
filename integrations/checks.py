"""System checks of the integrations."""

from __future__ import annotations

from typing import Any

from django.conf import settings
from django.core.checks import CheckMessage, Error, Tags, register

from integrations.services.credentials import CredentialsKeyInvalid, CredentialsKeyMissing, check_keys


@register(Tags.security, deploy=True)
def credentials_can_be_stored(**kwargs: Any) -> list[CheckMessage]:
    """Production needs keys of its own for the credentials of connections."""
    try:
        check_keys()
    except CredentialsKeyMissing:
        return [
            Error(
                "FORECOURT_CREDENTIALS_KEYS is not set, so no credential of a connection can be stored.",
                hint="Set it to 32 random bytes in URL-safe Base64 and keep a copy: without it, stored credentials are "
                "lost.",
                id="integrations.E001",
            )
        ]
    except CredentialsKeyInvalid:
        pass  # told by the check below, in development as well
    return []


@register(Tags.security)
def credentials_keys_are_usable(**kwargs: Any) -> list[CheckMessage]:
    """Every configured key can be used."""
    if not settings.CREDENTIALS_KEYS:
        return []
    try:
        check_keys()
    except CredentialsKeyInvalid as problem:
        return [Error(str(problem), id="integrations.E002")]
    return []
