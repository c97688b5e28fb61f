"""``manage.py wait_ready``: what an entry point asks before it starts a process."""

from __future__ import annotations

import time
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.db import DatabaseError, connections

from ledger.database_loss import server_started_at
from tenants.selectors import readiness_problems

NOT_THERE, WRONG_SCHEMA = 3, 4


class Command(BaseCommand):
    help = "Wait for the database, and refuse (status 4) where its schema is not that of this release."
    requires_system_checks: list[str] = []

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--seconds", type=float, default=60.0, help="how long to wait for the database (status 3)")
        parser.add_argument("--database-only", action="store_true", help="do not look at the schema")

    def handle(self, *args: Any, **options: Any) -> None:
        until = time.monotonic() + options["seconds"]
        while not _answers():
            if time.monotonic() >= until:
                raise CommandError(
                    f"The database did not answer within {options['seconds']:g} s. Check DATABASE_URL and the server.",
                    returncode=NOT_THERE,
                )
            time.sleep(0.5)
        if options["database_only"]:
            return
        problems = readiness_problems()
        if problems:
            raise CommandError(
                f"Not started: {'; '.join(problems)}. Run deploy/release.sh of this release first.",
                returncode=WRONG_SCHEMA,
            )


def _answers() -> bool:
    try:
        return server_started_at() is not None
    except DatabaseError:
        return False
    finally:
        connections.close_all()
