"""``manage.py render_docs``: every document on the product's state, from live data and declarations."""

from __future__ import annotations

from typing import Any

from django.conf import settings
from django.core.management import call_command, get_commands
from django.core.management.base import BaseCommand, CommandError, CommandParser

from forecasting.management.commands._shared import domain_errors
from productization.documents.rendering import drift
from productization.services.rendering import render, render_recorded

OTHERS = ("settings_table", "webhook_catalogue")
"""Commands that make further documents from the code; they know --check, too."""


class Command(BaseCommand):
    help = (
        "Write the tracker, evidence index, readiness board, release page, service levels, runbook, effectiveness "
        "report, decision log, architecture brief, drill report and strategy decision. With --check, write nothing, "
        "ask no database, and end with 1 where a file is not what its sources say."
    )
    requires_system_checks: list[str] = []

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--check", action="store_true", help="only say whether every document is up to date")
        parser.add_argument("--recorded", action="store_true", help="only from what was recorded: no database is asked")

    def handle(self, *args: Any, **options: Any) -> None:
        if options["check"]:
            self._check()
            return
        with domain_errors():
            written = render_recorded() if options["recorded"] else render(say=self.stdout.write)
        for name in OTHERS:
            if name in get_commands():
                call_command(name, stdout=self.stdout)
        self.stdout.write(f"Wrote {', '.join(written)}" if written else "Every document is up to date.")

    def _check(self) -> None:
        problems = drift(settings.BASE_DIR)
        for name in OTHERS:
            try:
                call_command(name, "--check", stdout=self.stdout)
            except CommandError as error:
                problems.append(str(error))
        if problems:
            lines = "\n".join(f"  {problem}" for problem in problems)
            how = "Write them again with manage.py render_docs --recorded; what is missing, with collect_evidence."
            raise CommandError(f"Not up to date:\n{lines}\n{how}", returncode=1)
        self.stdout.write("Every document is what its sources say.")
