"""What this app's commands have in common."""

from __future__ import annotations

import json
from argparse import ArgumentTypeError
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import date
from pathlib import Path
from typing import Any

from django.core.management.base import CommandError, CommandParser

from ledger.errors import DomainError
from ledger.files import whole_file, why_unwritable
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


def add_backtest_arguments(parser: CommandParser, origins: str) -> None:
    """The options of a command that looks at a backtest; `backtest_request` reads them. origins: what they are."""
    parser.add_argument("schema")
    parser.add_argument("--origins", type=int, metavar="K", help=f"{origins} (default: 4)")
    parser.add_argument("--horizon", type=int, metavar="H", help="steps ahead (default: 14 days, or 4 weeks)")
    parser.add_argument("--families", help="comma-separated; seasonal_naive is always compared (default: all)")
    parser.add_argument("--as-of", type=day, help="last day of data to use (default: the newest)")


def backtest_request(options: dict[str, Any]) -> dict[str, Any]:
    """What those options ask for, as the services take it."""
    families = options["families"].split(",") if options["families"] is not None else None
    return {**{name: options[name] for name in ("as_of", "horizon", "origins")}, "families": families}


def check_target(path: Path) -> Path:
    """A file that can be written; CommandError (2) where it cannot."""
    problem = why_unwritable(path)
    if problem is not None:
        raise CommandError(problem, returncode=2)
    return path


@contextmanager
def written_whole(path: Path) -> Iterator[Path]:
    """As `whole_file`; a full disk or a lost permission is one line and CommandError (2), and ``path`` is as it was."""
    try:
        with whole_file(path) as temporary:
            yield temporary
    except OSError as error:
        why = error.strerror or " ".join(str(error).split())
        raise CommandError(
            f"{path} could not be written ({why}); make room or name another place.", returncode=2
        ) from error


def write_json(path: Path, value: Any) -> None:
    """Write a JSON file wholly or not at all; CommandError (2) where it cannot be written."""
    with written_whole(path) as temporary:
        temporary.write_text(json.dumps(value, indent=2, allow_nan=False, default=str) + "\n", encoding="utf-8")
