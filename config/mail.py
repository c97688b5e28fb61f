"""Where mail goes: one URL in the environment becomes Django's settings."""

from __future__ import annotations

from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

from config.conf import ConfigurationError

_BACKENDS = "django.core.mail.backends"
_TIMEOUT_SECONDS = 20
_HELP = (
    "FORECOURT_EMAIL_URL cannot be read: write it as smtp://user:password@host:587/?tls=true, smtps://…, "
    "file: or console:, with special signs of the password as %XX (see docs/settings.md)"
)


def read_email_url(url: str | None, *, data_dir: Path, production: bool) -> dict[str, Any]:
    """Django's mail settings of ``url``; without one, files below the data folder in development and nothing at all in
    production. Raises ``ConfigurationError`` without repeating the URL, which may hold a password."""
    if not url:
        if production:
            return {"EMAIL_CONFIGURED": False}
        url = "file:"
    try:
        parts = urlsplit(url)
        port, query = parts.port, parse_qs(parts.query)
    except ValueError:
        raise ConfigurationError(_HELP) from None
    if parts.scheme == "console":
        return {"EMAIL_CONFIGURED": True, "EMAIL_BACKEND": f"{_BACKENDS}.console.EmailBackend"}
    if parts.scheme == "file":
        folder = Path(unquote(parts.path)) if parts.path.strip("/") else data_dir / "mail"
        return {
            "EMAIL_CONFIGURED": True,
            "EMAIL_BACKEND": f"{_BACKENDS}.filebased.EmailBackend",
            "EMAIL_FILE_PATH": str(folder),
        }
    if parts.scheme not in ("smtp", "smtps") or not parts.hostname:
        raise ConfigurationError(_HELP)
    tls = query.get("tls", ["false"])[-1].lower()
    if tls not in ("true", "false") or (tls == "true" and parts.scheme == "smtps"):
        raise ConfigurationError(_HELP)
    implicit = parts.scheme == "smtps"
    return {
        "EMAIL_CONFIGURED": True,
        "EMAIL_BACKEND": f"{_BACKENDS}.smtp.EmailBackend",
        "EMAIL_HOST": parts.hostname,
        "EMAIL_PORT": port or (465 if implicit else 587 if tls == "true" else 25),
        "EMAIL_HOST_USER": unquote(parts.username or ""),
        "EMAIL_HOST_PASSWORD": unquote(parts.password or ""),
        "EMAIL_USE_TLS": tls == "true",
        "EMAIL_USE_SSL": implicit,
        "EMAIL_TIMEOUT": _TIMEOUT_SECONDS,
    }
