"""``manage.py restore_tenant``."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from ledger.errors import DomainError
from tenants.services.backup import restore_tenant
from tenants.services.provisioning import ensure_platform


class Command(BaseCommand):
    help = "Make a tenant of a backup, compare it with what was backed up, and leave it suspended."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("folder", type=Path)
        parser.add_argument("--as", dest="schema", required=True, help="schema that is not there yet")
        parser.add_argument("--name", help="what it is called; without it as it was")

    def handle(self, *args: Any, **options: Any) -> None:
        ensure_platform()
        try:
            tenant = restore_tenant(folder=options["folder"], schema_name=options["schema"], name=options["name"])
        except DomainError as error:
            raise CommandError(str(error), returncode=2) from error
        words = "every table, file and audit event is what was backed up"
        self.stdout.write(f"Restored {tenant.name} (schema {tenant.schema_name}), suspended: {words}.")
