"""What proves that a webhook came from here: an HMAC-SHA256 over the time of sending and the body."""

from __future__ import annotations

import hashlib
import hmac
import secrets
from collections.abc import Sequence

HEADER = "Forecourt-Signature"
_PREFIX = "whsec_"


def new_secret() -> str:
    """A fresh secret of 256 random bits, recognisable by its beginning."""
    return _PREFIX + secrets.token_urlsafe(32)


def signature(body: bytes, *, at: int, keys: Sequence[str]) -> str:
    """The header's value: ``t=<seconds since 1970>,v1=<hex>`` with one ``v1`` for each secret that is good now.

    What is signed is ``<t>.<body>``, so that neither can be exchanged without the other.
    """
    signed = f"{at}.".encode() + body
    found = [hmac.new(key.encode(), signed, hashlib.sha256).hexdigest() for key in keys]
    return ",".join([f"t={at}", *(f"v1={one}" for one in found)])
