"""``manage.py release``: bring a database to this release, before any process of it starts."""

from __future__ import annotations

from typing import Any

from django.core.management import call_command
from django.core.management.base import BaseCommand, CommandParser

from tenants.services.provisioning import ensure_platform


class Command(BaseCommand):
    help = "Migrate the public schema, make the platform's row, then migrate the template and every tenant."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--processes", type=int, default=2, help="tenants that are migrated at once")

    def handle(self, *args: Any, **options: Any) -> None:
        call_command("migrate_schemas", schema_name="public", interactive=False, verbosity=0)
        ensure_platform()
        call_command("migrate_fleet", processes=options["processes"])
