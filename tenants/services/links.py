"""Links in mails: signed, for one purpose and one row, and good for one use.

The link holds the row's number and its nonce; the row holds the nonce, the state and the expiry. So neither the
database alone nor the signing key alone is enough to make one, and a use (which changes the nonce) ends every copy.
"""

from __future__ import annotations

import uuid

from django.conf import settings
from django.core import signing

from tenants.errors import LinkRefused

_MAX_LENGTH = 400  # what is longer was not made here; it is not even looked at


def make_token(purpose: str, schema_name: str, pk: int, nonce: uuid.UUID) -> str:
    """The signed part of a link for one row. The same nonce gives the same token, so a retry repeats the mail."""
    return signing.Signer(salt=_salt(purpose)).sign_object([schema_name, pk, nonce.hex], compress=False)


def read_token(purpose: str, schema_name: str, token: str) -> tuple[int, uuid.UUID]:
    """The row's number and nonce; raises ``LinkRefused`` for a token of another purpose, schema or key."""
    try:
        if len(token) > _MAX_LENGTH:
            raise ValueError
        schema, pk, nonce = signing.Signer(salt=_salt(purpose)).unsign_object(token)
        if schema != schema_name:
            raise ValueError
        return int(pk), uuid.UUID(hex=nonce)
    except (signing.BadSignature, ValueError, TypeError, AttributeError):
        raise LinkRefused("This link does not work. Copy it from the mail as a whole, in one line.") from None


def site_url(host: str, path: str) -> str:
    """Address on one of our hosts, from the settings: never from a request's Host header, which the sender chooses."""
    scheme, port = ("https", "") if settings.PRODUCTION else ("http", f":{settings.PORT}")
    return f"{scheme}://{host}{port}{path}"


def _salt(purpose: str) -> str:
    return f"forecourt.link.{purpose}"
