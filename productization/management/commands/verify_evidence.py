"""``manage.py verify_evidence``: look at all evidence of the tracker today and write what each row is."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from django.core.management.base import BaseCommand, CommandParser

from forecasting.management.commands._shared import check_target, domain_errors, write_json
from productization.selectors import evidence_report
from productization.services.tracking import verify


class Command(BaseCommand):
    help = (
        "Verify every piece of the tracker's evidence (or one item's) and print each status with its reason. "
        "Nothing is typed by hand: a row is done only while all its evidence holds."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--only", metavar="ID", help="one item, such as PZ-003")
        parser.add_argument("--json", type=Path, metavar="OUT", help="write the report to this file")

    def handle(self, *args: Any, **options: Any) -> None:
        target = check_target(options["json"]) if options["json"] else None
        with domain_errors():
            verdicts = verify(only=options["only"])
        for verdict in verdicts:
            self.stdout.write(f"{verdict.code}  {verdict.status:<11}  {verdict.reason}")
        done = sum(verdict.status == "done" for verdict in verdicts)
        self.stdout.write(f"{done} of {len(verdicts)} done.")
        if target is not None:
            write_json(target, evidence_report([verdict.code for verdict in verdicts]))
