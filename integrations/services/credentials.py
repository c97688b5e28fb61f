"""Credentials of connections, encrypted at rest and bound to their tenant and their purpose.

Each of the settings' keys is only a root: what encrypts is derived from it (HKDF-SHA256) with the tenant's schema and
the purpose, so a ciphertext that is copied to another tenant, row or field does not open there. The ciphertext begins
with the root's short name, by which a lost key is told from an altered text.
"""

from __future__ import annotations

import base64
import hashlib
from dataclasses import dataclass

from cryptography.fernet import Fernet, InvalidToken
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.kdf.hkdf import HKDF
from django.conf import settings

from integrations.errors import IntegrationError
from ledger.schema import connection

_FORM = "v1"


class CredentialsKeyMissing(IntegrationError):
    """No key is configured, so nothing can be encrypted or opened."""

    code = "credentials_key_missing"

    def __init__(self) -> None:
        super().__init__(
            "Credentials cannot be stored or read: FORECOURT_CREDENTIALS_KEYS is not set. "
            "The platform's operator sets it (docs/settings.md) and starts the application again."
        )


class CredentialsKeyInvalid(IntegrationError):
    """A configured key is not 32 bytes in URL-safe Base64; which one is told by its place, never by its text."""

    code = "credentials_key_invalid"

    def __init__(self, place: int) -> None:
        self.place = place
        super().__init__(
            f"Key {place} of FORECOURT_CREDENTIALS_KEYS cannot be used: a key is 32 random bytes in URL-safe Base64. "
            "Make one with: python -c 'import secrets; print(secrets.token_urlsafe(32))'"
        )


class CredentialKeyLost(IntegrationError):
    """A credential was encrypted with a key that is not configured any more."""

    code = "credential_key_lost"

    def __init__(self, key_name: str) -> None:
        self.key_name = key_name
        super().__init__(
            f"This credential was encrypted with key {key_name}, which FORECOURT_CREDENTIALS_KEYS no longer holds. "
            "Put that key back behind the newest one, or enter the credential again."
        )


class CredentialUnreadable(IntegrationError):
    """A stored credential is not what was stored for this tenant and purpose."""

    code = "credential_unreadable"

    def __init__(self) -> None:
        super().__init__(
            "The stored credential does not belong here or was altered outside the application. Enter it again."
        )


@dataclass(frozen=True, slots=True, repr=False)
class Secret:
    """An opened credential. Only ``reveal`` gives its text: printing, formatting or logging it shows nothing."""

    _text: str

    def reveal(self) -> str:
        """The text itself, for the call that needs it."""
        return self._text

    def __repr__(self) -> str:
        return "<hidden>"

    def __bool__(self) -> bool:
        return bool(self._text)


NO_SECRET = Secret("")


def seal(text: str, *, purpose: str) -> str:
    """Encrypt ``text`` with the newest key, for the current tenant and ``purpose``; empty stays empty.

    Raises ``CredentialsKeyMissing``, ``CredentialsKeyInvalid``.
    """
    if not text:
        return ""
    newest = _roots()[0]
    return f"{_FORM}:{_name(newest)}:{_fernet(newest, purpose).encrypt(text.encode()).decode('ascii')}"


def unseal(sealed: str, *, purpose: str) -> Secret:
    """Open what ``seal`` made for the current tenant and ``purpose``; empty stays empty.

    Raises ``CredentialKeyLost``, ``CredentialUnreadable``, ``CredentialsKeyMissing``, ``CredentialsKeyInvalid``.
    """
    if not sealed:
        return NO_SECRET
    form, _, rest = sealed.partition(":")
    key_name, _, token = rest.partition(":")
    if form != _FORM or not token:
        raise CredentialUnreadable()
    root = next((root for root in _roots() if _name(root) == key_name), None)
    if root is None:
        raise CredentialKeyLost(key_name[:16])
    try:
        return Secret(_fernet(root, purpose).decrypt(token.encode()).decode())
    except InvalidToken:
        raise CredentialUnreadable() from None


def reseal(sealed: str, *, purpose: str) -> str:
    """The same credential under the newest key; raises what ``unseal`` raises."""
    if not sealed or sealed.split(":")[1:2] == [_name(_roots()[0])]:
        unseal(sealed, purpose=purpose)  # says so where it does not open
        return sealed
    return seal(unseal(sealed, purpose=purpose).reveal(), purpose=purpose)


def check_keys() -> None:
    """Raise ``CredentialsKeyMissing`` or ``CredentialsKeyInvalid`` unless credentials can be stored."""
    _roots()


def _roots() -> list[bytes]:
    keys: list[str] = settings.CREDENTIALS_KEYS
    if not keys:
        raise CredentialsKeyMissing()
    roots = []
    for place, key in enumerate(keys, 1):
        try:
            root = base64.urlsafe_b64decode(key + "=" * (-len(key) % 4))
        except ValueError:
            raise CredentialsKeyInvalid(place) from None
        if len(root) != 32:
            raise CredentialsKeyInvalid(place)
        roots.append(root)
    return roots


def _name(root: bytes) -> str:
    """A root's short name: says which key it was, and nothing of it."""
    return hashlib.sha256(b"forecourt credentials key name\0" + root).hexdigest()[:8]


def _fernet(root: bytes, purpose: str) -> Fernet:
    info = f"forecourt credentials\0{connection.schema_name}\0{purpose}".encode()
    derived = HKDF(algorithm=hashes.SHA256(), length=32, salt=None, info=info).derive(root)
    return Fernet(base64.urlsafe_b64encode(derived))
