"""Which Redis wakes job processes: one URL in the environment becomes the options of a client."""

from __future__ import annotations

from typing import Any
from urllib.parse import unquote, urlsplit

from config.conf import ConfigurationError

_HELP = (
    "FORECOURT_REDIS_URL cannot be read: write it as redis://user:password@host:6379/0, or rediss://… for TLS, with "
    "special signs of the password as %XX, or leave it empty to do without a Redis (see docs/settings.md)"
)


def read_redis_url(url: str) -> dict[str, Any] | None:
    """A client's options of ``url``; None where it is empty. Raises ``ConfigurationError`` without repeating the URL,
    which may hold a password."""
    url = url.strip()
    if not url:
        return None
    try:
        parts = urlsplit(url)
        port = 6379 if parts.port is None else parts.port
    except ValueError:
        raise ConfigurationError(_HELP) from None
    database = parts.path.strip("/")
    whole = parts.scheme in ("redis", "rediss") and parts.hostname and port and not parts.query and not parts.fragment
    if not whole or not (database == "" or (database.isascii() and database.isdigit())):
        raise ConfigurationError(_HELP)
    return {
        "host": parts.hostname,
        "port": port,
        "db": int(database or 0),
        "username": unquote(parts.username) if parts.username else None,
        "password": unquote(parts.password) if parts.password else None,
        "ssl": parts.scheme == "rediss",
    }
