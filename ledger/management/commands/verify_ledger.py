"""``manage.py verify_ledger``."""

from __future__ import annotations

from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser
from django_tenants.utils import get_public_schema_name, get_tenant_model, schema_context

from ledger.services.verify import verify_chain


class Command(BaseCommand):
    help = "Check the audit chain of every schema (or of those named) and name each altered or missing row."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("schemas", nargs="*", help="schemas to check; default: public and every tenant")

    def handle(self, *args: Any, **options: Any) -> None:
        with schema_context(get_public_schema_name()):
            known = {get_public_schema_name(), *get_tenant_model().objects.values_list("schema_name", flat=True)}
        unknown = sorted(set(options["schemas"]) - known)
        if unknown:
            raise CommandError(
                f"No such schema: {', '.join(unknown)}. Known: {', '.join(sorted(known))}.", returncode=2
            )
        broken = 0
        for schema_name in options["schemas"] or sorted(known):
            with schema_context(schema_name):
                report = verify_chain()
            state = "intact" if report.intact else "BROKEN"
            self.stdout.write(f"{schema_name}: {report.events} events, {state}, head {report.head}")
            for link in report.broken:
                broken += 1
                row = f"row {link.row_id} (event #{link.sequence} {link.event})" if link.row_id else "the chain's end"
                self.stderr.write(f"{schema_name}: {row}: {link.problem}")
        if broken:
            raise CommandError(
                f"{broken} broken links. The rows named above were altered outside the application.", returncode=1
            )
