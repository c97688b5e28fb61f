"""``manage.py collect_evidence``: from an empty database to a tracker whose rows are what their evidence proves."""

from __future__ import annotations

import time
from typing import Any

from django.core.management import call_command
from django.core.management.base import BaseCommand, CommandError, CommandParser

from forecasting.management.commands._shared import domain_errors
from productization.selectors import status_counts
from productization.services.collecting import Done, collect
from productization.services.rendering import render
from tenants.services.provisioning import ensure_platform

_WORDS = {"made": "done", "kept": "done before", "absent": "no such command yet", "waits": "waits", "failed": "FAILED"}


class Command(BaseCommand):
    help = (
        "Run what the evidence needs (demo, dry runs, chain, dispatch, incidents, drill, strategy, replay, migrations, "
        "the cited tests), record what each step made, and render the documents. What is done stays done: a second "
        "call goes on where the first ended. Exit 1: a step failed."
    )
    requires_system_checks: list[str] = []

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--only", action="append", default=[], metavar="STEP", help="this step alone; may repeat")
        parser.add_argument("--again", action="store_true", help="also the steps that were done before")

    def handle(self, *args: Any, **options: Any) -> None:
        started = time.monotonic()
        call_command("migrate_schemas", verbosity=0, interactive=False)
        ensure_platform()
        with domain_errors():
            done = collect(say=self._say, only=options["only"], again=options["again"])
            written = render(say=self._say)
        self._table(done)
        counts = ", ".join(f"{count} {status.replace('_', ' ')}" for status, count in status_counts().items())
        self._say(f"{len(written)} document(s) written; rows: {counts}. {time.monotonic() - started:.0f} s in all.")
        failed = [one.step.name for one in done if one.outcome == "failed"]
        if failed:
            raise CommandError(f"Failed: {', '.join(failed)}. Mend it and call this again; the rest stays done.")

    def _say(self, text: str) -> None:
        self.stdout.write(text)
        self.stdout.flush()

    def _table(self, done: list[Done]) -> None:
        self._say("")
        for one in done:
            self._say(f"{one.step.name:<12} {_WORDS[one.outcome]:<20} {one.seconds:7.1f} s  {one.step.title}")
