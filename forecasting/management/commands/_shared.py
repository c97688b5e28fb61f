"""What this app's commands have in common."""

from __future__ import annotations

import json
import os
import tempfile
from argparse import ArgumentTypeError
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import date
from pathlib import Path
from typing import Any

from django.core.management.base import CommandError

from ledger.errors import DomainError
from tenants.errors import UnknownTenant


def day(text: str) -> date:
    """An ISO date of the command line."""
    try:
        return date.fromisoformat(text)
    except ValueError:
        raise ArgumentTypeError(f"{text!r} is no date; write it as 2017-11-23") from None


@contextmanager
def domain_errors() -> Iterator[None]:
    """Turn an expected failure into one line and its exit status."""
    try:
        yield
    except DomainError as error:
        status = 2 if isinstance(error, UnknownTenant) else int(getattr(error, "exit_status", 1))
        raise CommandError(str(error), returncode=status) from error


def check_target(path: Path) -> Path:
    """A file that can be written; CommandError (2) where its folder is missing or it is one."""
    if path.is_dir():
        raise CommandError(f"{path} is a folder; name a file.", returncode=2)
    if not path.parent.is_dir():
        raise CommandError(f"The folder {path.parent} does not exist; make it first.", returncode=2)
    if not os.access(path.parent, os.W_OK):
        raise CommandError(f"The folder {path.parent} cannot be written to.", returncode=2)
    return path


@contextmanager
def whole_file(path: Path) -> Iterator[Path]:
    """A temporary file beside `path` that takes its place when the block ends well, so that nothing is half-written."""
    handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    os.close(handle)
    temporary = Path(name)
    try:
        yield temporary
        temporary.chmod(0o644)
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)


def write_json(path: Path, value: Any) -> None:
    """Write a JSON file wholly or not at all."""
    with whole_file(path) as temporary:
        temporary.write_text(json.dumps(value, indent=2, allow_nan=False, default=str) + "\n", encoding="utf-8")
