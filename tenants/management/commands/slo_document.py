"""``manage.py slo_document``: write docs/OPERATIONS_SLO.md from the declared service levels and schedules."""

from __future__ import annotations

from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError, CommandParser

from ledger.provenance import body_of
from tenants.services.slo_text import slo_document

_WHERE = "docs/OPERATIONS_SLO.md"


class Command(BaseCommand):
    help = "Write the service levels from the code, or check that the document is up to date."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--check", action="store_true", help="only say whether the document is up to date")

    def handle(self, *args: Any, **options: Any) -> None:
        path, text = settings.BASE_DIR / _WHERE, slo_document()
        if not options["check"]:
            path.write_text(text, encoding="utf-8")
            self.stdout.write(f"Wrote {_WHERE}")
        elif not path.exists() or body_of(path.read_text(encoding="utf-8")) != text:
            raise CommandError(f"{_WHERE} is not what the code says: run manage.py slo_document", returncode=1)
