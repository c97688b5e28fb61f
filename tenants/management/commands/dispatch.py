"""``manage.py dispatch``."""

from __future__ import annotations

import json
from collections import Counter
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from ledger.errors import DomainError, UnknownJobKind
from ledger.jobs import all_kinds
from tenants.models import EntryOutcome
from tenants.services.dispatching import dispatch


class Command(BaseCommand):
    help = "Queue one job in every tenant that is on trial or active; a tenant's failure is its own."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("kind", help="registered kind of job, such as forecasting.accuracy")
        parser.add_argument("--inputs", default="{}", help="the runs' inputs, as JSON")
        parser.add_argument("--scope", default="")
        parser.add_argument("--tenants", help="comma-separated schema names; without it all")

    def handle(self, *args: Any, **options: Any) -> None:
        try:
            inputs = json.loads(options["inputs"])
        except json.JSONDecodeError as error:
            raise CommandError(f"--inputs is no JSON: {error}", returncode=2) from error
        if not isinstance(inputs, dict):
            raise CommandError('--inputs must be a JSON object, such as {"mode": "refresh"}', returncode=2)
        schemas = options["tenants"].split(",") if options["tenants"] else None
        try:
            made = dispatch(kind=options["kind"], inputs=inputs, scope=options["scope"], schemas=schemas)
        except UnknownJobKind as error:
            kinds = ", ".join(kind.kind for kind in all_kinds())
            raise CommandError(f"{error} Kinds: {kinds}.", returncode=2) from error
        except DomainError as error:
            raise CommandError(str(error), returncode=2) from error
        entries = list(made.entries.all())
        counts = Counter(entry.outcome for entry in entries)
        words = ", ".join(f"{counts[value]} {label.lower()}" for value, label in EntryOutcome.choices if counts[value])
        self.stdout.write(f"Dispatch {made.pk} of {made.kind}: {words or 'no tenant is on trial or active'}.")
        for entry in entries:
            if entry.reason:
                self.stdout.write(f"  {entry.schema_name}: {entry.reason}")
        if schemas and (missing := set(schemas) - {entry.schema_name for entry in entries}):
            raise CommandError(f"Not on trial or active, or unknown: {', '.join(sorted(missing))}.", returncode=1)
        if counts[EntryOutcome.FAILED]:
            raise CommandError(f"{counts[EntryOutcome.FAILED]} tenant(s) could not be reached.", returncode=1)
