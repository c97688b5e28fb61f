"""``manage.py incident_runbook``: write docs/INTEGRATION_INCIDENT_RUNBOOK.md from the registered triggers."""

from __future__ import annotations

from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError, CommandParser

from integrations.services.runbook import runbook_text
from ledger.provenance import body_of

_WHERE = "docs/INTEGRATION_INCIDENT_RUNBOOK.md"


class Command(BaseCommand):
    help = "Write the runbook of incidents from the code, or check that it is up to date."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--check", action="store_true", help="only say whether the document is up to date")

    def handle(self, *args: Any, **options: Any) -> None:
        path, text = settings.BASE_DIR / _WHERE, runbook_text()
        if options["check"]:
            if not path.exists() or body_of(path.read_text(encoding="utf-8")) != text:
                raise CommandError(f"{_WHERE} is not what the code says: run manage.py incident_runbook", returncode=1)
            return
        path.write_text(text, encoding="utf-8")
        self.stdout.write(f"Wrote {_WHERE}")
