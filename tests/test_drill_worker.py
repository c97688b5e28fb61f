"""A drill through the real queue and worker, whose process is killed in the middle: it goes on and passes."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
from collections.abc import Callable
from pathlib import Path

from django.conf import settings
from django.core.management import call_command

from forecasting.models import RollbackDrill
from forecasting.services import drill
from forecasting.tests.drill_world import make_ground
from ledger.models import LIVE_STATES, Run, RunState
from ledger.services.verify import verify_chain
from tenants.models import Tenant
from tests.test_worker_kill import _wait, start_worker  # noqa: F401  # a fixture


def test_drill__worker_killed_in_a_step__is_retried_from_there_and_passes(
    throwaway: Tenant,
    start_worker: Callable[[], subprocess.Popen[bytes]],  # noqa: F811
    tmp_path: Path,
) -> None:
    make_ground()
    root = drill.start_drill(actor=None, reason="With a kill")
    start_worker()

    def step(kind: str) -> Run | None:
        return Run.objects.filter(parent=root, kind=kind).first()

    def at_work() -> bool:
        found = step(drill.DAMAGE)
        return found is not None and found.state == RunState.RUNNING

    assert _wait(at_work)
    struck = step(drill.DAMAGE)
    assert struck is not None
    os.kill(int(struck.worker.rpartition(":")[2]), signal.SIGKILL)
    assert _wait(lambda: RollbackDrill.objects.exists(), 150), [(r.kind, r.state, r.error) for r in Run.objects.all()]
    made = RollbackDrill.objects.get()
    assert made.outcome == "passed", made.sentence
    tried = {one["kind"]: one["attempts"] for one in made.report["steps"]}
    assert list(tried) == list(drill.STEPS) and sum(tried.values()) == len(drill.STEPS) + 1

    # The drill's row is written by a step that is still at work. The command finds the worker and waits for the
    # next one.
    assert _wait(lambda: not Run.objects.filter(state__in=LIVE_STATES).exists())
    call_command("rollback_drill", throwaway.schema_name, "--report", str(tmp_path), "--json", str(tmp_path / "d.json"))
    (report,) = tmp_path.glob("ROLLBACK_DRILL_REPORT_*.md")
    assert "| Bit-identical | yes |" in report.read_text(encoding="utf-8")
    assert RollbackDrill.objects.count() == 2 and verify_chain().intact
    shutil.rmtree(Path(settings.MEDIA_ROOT) / throwaway.schema_name, ignore_errors=True)
