"""``manage.py delete_tenant``: takes the place of the command that only drops a schema."""

from __future__ import annotations

from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser
from django_tenants.utils import get_public_schema_name, schema_context

from ledger.errors import DomainError
from ledger.execution import execute
from ledger.models import Run, RunState
from tenants.services.deletion import ask


class Command(BaseCommand):
    help = "Delete a tenant for good: end its jobs, export it, erase it, and keep a certificate."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("schema")
        parser.add_argument("--confirm", required=True, metavar="SCHEMA", help="the schema's name once more")
        parser.add_argument("--reason", required=True)

    def handle(self, *args: Any, **options: Any) -> None:
        try:
            run = ask(schema_name=options["schema"], confirmation=options["confirm"], reason=options["reason"])
        except DomainError as error:
            raise CommandError(str(error), returncode=2) from error
        execute(get_public_schema_name(), str(run.pk))
        with schema_context(get_public_schema_name()):
            run = Run.objects.get(pk=run.pk)
        if run.state == RunState.RUNNING:
            self.stdout.write(f"A worker took {run}; the certificate will stand in the platform's admin.")
            return
        if run.state != RunState.SUCCEEDED:
            raise CommandError(f"{run} {run.get_state_display().lower()}: {run.error}", returncode=1)
        out = run.outputs
        held = f"{out['rows']} rows and {out['files']} files"
        self.stdout.write(
            f"Erased {options['schema']}: {held}; certificate {out['certificate']}, export {out['export']}."
        )
