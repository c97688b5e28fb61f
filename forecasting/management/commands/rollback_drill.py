"""``manage.py rollback_drill``: a drill through the real queue and worker; starts a worker where none works."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError, CommandParser
from django_tenants.utils import tenant_context

from forecasting.management.commands._shared import check_target, domain_errors, write_json, written_whole
from forecasting.models import DrillOutcome, RollbackDrill
from forecasting.services import drill, drill_report
from ledger.jobs import job_title
from ledger.models import Run, RunState
from tenants.selectors import get_tenant

_PATIENCE = 5.0
"""Seconds that a queued drill waits for a worker before this command starts one."""
_EVERY = 0.2


class Command(BaseCommand):
    help = (
        "Promote a model damaged on purpose on the drill channel, notice it on actuals, roll back, and prove that what "
        "served forecasts the same bits; the live channel is left alone. Exit 1: the drill failed."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("schema")
        parser.add_argument("--reason", default="Started from the command line")
        parser.add_argument("--json", type=Path, metavar="OUT", help="write the record to this file")
        parser.add_argument("--report", type=Path, metavar="DIR", help="write ROLLBACK_DRILL_REPORT_<date>.md there")

    def handle(self, *args: Any, **options: Any) -> None:
        target = check_target(options["json"]) if options["json"] else None
        folder = options["report"]
        if folder is not None and not folder.is_dir():
            raise CommandError(f"{folder} is no folder; make it or name another.", returncode=2)
        with domain_errors(), tenant_context(get_tenant(options["schema"])):
            run = drill.start_drill(actor=None, reason=options["reason"])
            with _worker_if_none(run):
                made = self._wait(run)
        self.stdout.write(made.sentence)
        if folder is not None:
            path = folder / drill_report.file_name(made)
            with written_whole(path) as temporary:
                temporary.write_text(drill_report.markdown(made, options["schema"]), encoding="utf-8")
            self.stdout.write(f"{path} written")
        if target is not None:
            write_json(target, {"tenant": options["schema"], "outcome": made.outcome, "sentence": made.sentence,
                                **made.report})  # fmt: skip
        if made.outcome != DrillOutcome.PASSED:
            raise CommandError("The drill did not pass; see the sentence above.", returncode=1)

    def _wait(self, root: Run) -> RollbackDrill:
        """Say each step once as it begins, until the drill has its record."""
        said: set[str] = set()
        while True:
            made = RollbackDrill.objects.filter(run_id=root.pk).first()
            for one in Run.objects.filter(correlation_id=root.correlation_id, kind__in=drill.STEPS).order_by(
                "queued_at"
            ):
                if one.state != RunState.QUEUED and one.kind not in said:
                    said.add(one.kind)
                    self.stdout.write(job_title(one.kind))
            if made is not None and not self._proving(root):
                return made
            root.refresh_from_db()
            if made is None and root.state in (RunState.FAILED, RunState.CANCELLED):
                raise CommandError(root.error or "The drill was cancelled.", returncode=1)
            time.sleep(_EVERY)

    def _proving(self, root: Run) -> bool:
        """Whether the last step is still about to end, so that its worker may be stopped only afterwards."""
        rows = Run.objects.filter(parent=root, kind=drill.PROVE)
        return rows.filter(state__in=[RunState.QUEUED, RunState.RUNNING]).exists()


@contextmanager
def _worker_if_none(run: Run) -> Iterator[None]:
    """A worker of our own where nobody takes the run; it is stopped at the end, and lets its job finish."""
    until = time.monotonic() + _PATIENCE
    while time.monotonic() < until:
        run.refresh_from_db()
        if run.state != RunState.QUEUED:
            yield
            return
        time.sleep(_EVERY)
    worker = subprocess.Popen([sys.executable, "manage.py", "worker"], cwd=settings.BASE_DIR)
    try:
        yield
    finally:
        worker.terminate()
        try:
            worker.wait(timeout=60)
        except subprocess.TimeoutExpired:
            worker.kill()
