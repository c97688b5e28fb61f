"""``manage.py record_tests``: take in what the last run of the tests came to."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandParser

from forecasting.management.commands._shared import domain_errors
from productization.proof.outcomes import WHERE
from productization.services.test_runs import record_tests


class Command(BaseCommand):
    help = "Take the outcomes that pytest left under build/ into the tracker, as evidence of the code that they are of."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--from", type=Path, dest="path", default=settings.BASE_DIR / WHERE)

    def handle(self, *args: Any, **options: Any) -> None:
        with domain_errors():
            run = record_tests(path=options["path"])
        counts = Counter(run.outcomes.values())
        words = ", ".join(f"{count} {outcome}" for outcome, count in sorted(counts.items()))
        self.stdout.write(f"Tests of revision {run.revision}: {words or 'none'}.")
