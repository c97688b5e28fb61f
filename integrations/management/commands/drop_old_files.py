"""``manage.py drop_old_files``: delete kept originals of deliveries that are older than allowed, in every tenant."""

from __future__ import annotations

from typing import Any

from django.core.management.base import BaseCommand, CommandParser
from django_tenants.utils import get_public_schema_name, schema_context

from integrations.services.kept_files import drop_old_files, sweep_incoming, sweep_orphans
from tenants.models import Tenant


class Command(BaseCommand):
    help = "Delete kept files of deliveries that are older than FORECOURT_KEPT_FILES_DAYS; rows and hashes stay."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("schema", nargs="*", help="Tenants; without one, all of them.")
        parser.add_argument("--days", type=int, help="Instead of FORECOURT_KEPT_FILES_DAYS.")

    def handle(self, *args: Any, **options: Any) -> None:
        names = options["schema"] or list(
            Tenant.objects.exclude(schema_name=get_public_schema_name()).values_list("schema_name", flat=True)
        )
        for name in names:
            with schema_context(name):
                dropped, swept = drop_old_files(days=options["days"]), sweep_orphans()
            self.stdout.write(f"{name}: {dropped} files dropped, {swept} left behind by killed processes deleted")
        self.stdout.write(f"{sweep_incoming()} broken-off uploads deleted")
