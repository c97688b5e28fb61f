"""Secrets that a fresh machine makes up once and keeps in its data folder."""

from __future__ import annotations

import os
import secrets
import tempfile
from contextlib import suppress
from pathlib import Path


def kept_secret(folder: Path, name: str, length: int = 50) -> str:
    """Return the secret in ``folder/name``: ``length`` random bytes, made on first use, readable by its owner only."""
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / name
    if not path.exists():
        handle, fresh = tempfile.mkstemp(dir=folder, prefix=f".{name}.")  # 0600 from the start
        try:
            with os.fdopen(handle, "w", encoding="ascii") as stream:
                stream.write(secrets.token_urlsafe(length))
            with suppress(FileExistsError):  # another process was faster: its secret holds
                os.link(fresh, path)  # whole or not there, so nobody reads a half of it
        finally:
            os.unlink(fresh)
    return path.read_text(encoding="ascii").strip()
