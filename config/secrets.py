"""Secrets that a fresh machine makes up once and keeps in its data folder."""

from __future__ import annotations

import os
import secrets
from pathlib import Path


def kept_secret(folder: Path, name: str, length: int = 50) -> str:
    """Return the secret in ``folder/name``: ``length`` random bytes, made on first use, readable by its owner only."""
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / name
    try:
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    except FileExistsError:
        return path.read_text(encoding="ascii").strip()
    with os.fdopen(descriptor, "w", encoding="ascii") as handle:
        value = secrets.token_urlsafe(length)
        handle.write(value)
    return value
