"""``manage.py backup_tenant``."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from ledger.errors import DomainError
from tenants.services.backup import backup_tenant


class Command(BaseCommand):
    help = "Write a tenant into a folder: its schema as it is at one moment, its files, and what each has to be."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("schema")
        parser.add_argument("--out", type=Path, required=True, help="an empty folder, or one that is not there yet")

    def handle(self, *args: Any, **options: Any) -> None:
        try:
            made = backup_tenant(schema_name=options["schema"], folder=options["out"])
        except DomainError as error:
            raise CommandError(str(error), returncode=2) from error
        manifest = made.manifest
        held = f"{manifest.rows} rows of {len(manifest.tables)} tables, {len(manifest.files)} files"
        self.stdout.write(f"{made.folder}: {held}, chain head {manifest.chain_head[:12]}. SHA-256 {made.sha256}")
