"""Keys of REST clients: made, checked, revoked. A key is shown once; the database holds its hash only."""

from __future__ import annotations

import hashlib
import hmac
import secrets
import string
from datetime import datetime, timedelta

from django.contrib.auth.models import AbstractBaseUser, AnonymousUser, User
from django.db import transaction
from django.db.models import Q
from django.utils import timezone

from integrations.models import ApiToken
from ledger.errors import DomainError
from ledger.services.audit import actor_name, record
from tenants.roles import Role, require_role, roles_of

KEY_START = "fc_"
_PREFIX_LENGTH = 12  # what is stored in the clear: the start and nine random characters (53 bits), enough to be unique
_KEY_LENGTH = _PREFIX_LENGTH + 43  # the secret part: 43 characters of 62, 256 bits
_ALPHABET = string.ascii_letters + string.digits  # no punctuation, so that a double click selects the whole key
LONGEST_LIFE = timedelta(days=366)
_USE_WRITTEN_EVERY = timedelta(minutes=1)


class TokenRefused(DomainError):
    """A token cannot be made as asked; the message says what to change."""

    code = "token_refused"


class TokenInvalid(DomainError):
    """A key opens nothing; ``reason`` is unknown, revoked, expired or inactive_user, the message what to do."""

    code = "token_invalid"

    def __init__(self, reason: str, message: str) -> None:
        self.reason = reason
        super().__init__(message)


@transaction.atomic
def issue_token(
    *, name: str, user: User, expires_at: datetime, actor: AbstractBaseUser | AnonymousUser
) -> tuple[ApiToken, str]:
    """Make a key that acts with ``user``'s roles until ``expires_at``; return its row and the key, kept nowhere else.

    ``actor`` must be a tenant admin. Raises ``RoleRequired``, and ``TokenRefused`` where the name is empty or too long,
    the user is inactive or holds no role, or the end is not within the next 366 days.
    """
    require_role(actor, Role.TENANT_ADMIN)
    name = name.strip()
    if not 1 <= len(name) <= 80:
        raise TokenRefused("Name the token after what uses it, in 1 to 80 characters.")
    if not user.is_active:
        raise TokenRefused(f"{user.get_username()} is inactive. Activate the user first or choose another one.")
    if not roles_of(user):
        raise TokenRefused(f"{user.get_username()} holds no role, so a token could read nothing. Grant a role first.")
    now = timezone.now()
    if timezone.is_naive(expires_at):
        raise TokenRefused("The end of the token's life needs a time zone.")
    if not now < expires_at <= now + LONGEST_LIFE:
        raise TokenRefused(f"A token lives at most {LONGEST_LIFE.days} days; choose an end between now and then.")
    key = _new_key()
    token = ApiToken.objects.create(
        name=name,
        prefix=key[:_PREFIX_LENGTH],
        digest=_digest(key),
        user=user,
        expires_at=expires_at,
        created_by_name=actor_name(actor),
    )
    record(
        event="token.issued",
        actor=actor,
        subject=token,
        data={"name": name, "prefix": token.prefix, "user": user.get_username(), "expires_at": expires_at},
    )
    return token, key


@transaction.atomic
def revoke_token(*, token: ApiToken, actor: AbstractBaseUser | AnonymousUser) -> ApiToken:
    """End a token's life now; one that is revoked already stays as it is. Needs a tenant admin (``RoleRequired``)."""
    require_role(actor, Role.TENANT_ADMIN)
    locked = ApiToken.objects.select_for_update().get(pk=token.pk)
    if locked.revoked_at is not None:
        return locked
    locked.revoked_at = timezone.now()
    locked.save(update_fields=["revoked_at"])
    record(event="token.revoked", actor=actor, subject=locked, data={"name": locked.name, "prefix": locked.prefix})
    return locked


def check_key(*, key: str) -> ApiToken:
    """Return the valid token (with its user) that ``key`` opens in the current schema; raise ``TokenInvalid``.

    Why a key fails is told only to who holds the whole key. Reads one row; writes ``last_used_at`` at most once a
    minute.
    """
    token = None
    if len(key) == _KEY_LENGTH and key.isascii() and "\x00" not in key:
        token = ApiToken.objects.select_related("user").filter(prefix=key[:_PREFIX_LENGTH]).first()
    if not hmac.compare_digest(_digest(key), token.digest if token is not None else "0" * 64) or token is None:
        raise TokenInvalid(
            "unknown",
            "This key is not known here. Each tenant has keys of its own: check the host name and the whole key, "
            "or ask a tenant admin for a new token.",
        )
    now = timezone.now()
    if token.revoked_at is not None:
        raise TokenInvalid("revoked", f"Token {token.name!r} was revoked. Ask a tenant admin for a new one.")
    if token.expires_at <= now:
        raise TokenInvalid(
            "expired", f"Token {token.name!r} expired on {token.expires_at:%Y-%m-%d}. Ask a tenant admin for a new one."
        )
    if not token.user.is_active:
        raise TokenInvalid(
            "inactive_user",
            f"Token {token.name!r} acts for a user who is inactive. A tenant admin can activate the user "
            "or issue a token for another one.",
        )
    if token.last_used_at is None or token.last_used_at <= now - _USE_WRITTEN_EVERY:
        stale = Q(last_used_at=None) | Q(last_used_at__lte=now - _USE_WRITTEN_EVERY)
        ApiToken.objects.filter(stale, pk=token.pk).update(last_used_at=now)
    return token


def _new_key() -> str:
    random = "".join(secrets.choice(_ALPHABET) for _ in range(_KEY_LENGTH - len(KEY_START)))
    return KEY_START + random


def _digest(key: str) -> str:
    # Plain SHA-256 is enough: the key is 256 random bits, so there is nothing to guess that slow hashing would protect.
    return hashlib.sha256(key.encode()).hexdigest()
