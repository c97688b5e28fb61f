"""Which revision of the code runs, for documents that say what they were made from."""

from __future__ import annotations

import subprocess

from django.conf import settings


def revision() -> str:
    """Short hash of the commit; "unknown" outside of a repository."""
    git = ["git", "rev-parse", "--short=12", "HEAD"]
    try:
        done = subprocess.run(git, cwd=settings.BASE_DIR, check=True, capture_output=True, text=True)  # noqa: S603
    except (OSError, subprocess.CalledProcessError):
        return "unknown"
    return done.stdout.strip()
