"""Who of the platform's staff may decide."""

from __future__ import annotations

from django.contrib.auth.models import AbstractBaseUser, PermissionsMixin

from ledger.services.audit import actor_name
from tenants.errors import PlatformOperatorRequired


def require_operator(actor: AbstractBaseUser | None, permission: str) -> None:
    """Raise ``PlatformOperatorRequired`` unless ``actor`` holds that permission; inactive people hold none."""
    if actor is None or not (isinstance(actor, PermissionsMixin) and actor.has_perm(permission)):
        raise PlatformOperatorRequired(actor_name(actor))
