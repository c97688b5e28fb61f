"""The worker: two queues, a kill of any process at any moment, a cancel that is heard, a stop that loses nothing."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest
from django.core.management import CommandError, call_command

from config.conf import BASE_DIR
from ledger.jobs import _KINDS
from ledger.models import AuditEvent, Run, RunState
from ledger.presence import worker_is_present
from ledger.services import runs
from ledger.services.verify import verify_chain
from tenants.models import Tenant
from tests import worker_jobs
from tests.test_worker_kill import _wait, environment

Start = Callable[[], subprocess.Popen[bytes]]


@pytest.fixture(autouse=True)
def _kinds() -> Iterator[None]:
    worker_jobs.register()
    yield
    for kind in ("tests.short", "tests.long"):
        _KINDS.pop(kind)


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Start]:
    """Start a worker of one process for each queue that knows the tests' jobs."""
    started: list[subprocess.Popen[bytes]] = []

    def make() -> subprocess.Popen[bytes]:
        variables = {**environment(), "FORECOURT_CANCEL_SECONDS": "0.5", "FORECOURT_STOP_SECONDS": "4"}
        log = (tmp_path / f"worker-{len(started)}.log").open("wb")
        command = [sys.executable, "-m", "tests.worker_jobs", "worker"]
        started.append(subprocess.Popen(command, cwd=BASE_DIR, env=variables, stdout=log, stderr=log))
        return started[-1]

    yield make
    for process in started:
        if process.poll() is None:
            process.kill()
            process.wait()


def queue(kind: str, folder: Path, name: str, **inputs: Any) -> Run:
    return runs.enqueue(kind=kind, scope=name, inputs={"log": str(folder / name), **inputs})


def fresh(run: Run) -> Run:
    return Run.objects.get(pk=run.pk)


def process_of(run: Run) -> int:
    return int(fresh(run).worker.rpartition(":")[2])


def lines(folder: Path, name: str) -> list[str]:
    path = folder / name
    return path.read_text().split() if path.exists() else []


def test_worker__kills_cancels_and_a_stop__nothing_is_lost_or_done_twice(
    throwaway: Tenant, start: Start, tmp_path: Path
) -> None:
    long = queue("tests.long", tmp_path, "deaf", deaf=True)
    worker = start()
    assert _wait(lambda: lines(tmp_path, "deaf") == ["begun"])

    # Short jobs do not wait behind a long one, also when the process that waits for them is killed where it stands.
    quick = queue("tests.short", tmp_path, "quick", quick=True)
    assert _wait(lambda: fresh(quick).state == RunState.SUCCEEDED)
    os.kill(fresh(quick).outputs["pid"], signal.SIGKILL)
    again = queue("tests.short", tmp_path, "again", quick=True)
    assert _wait(lambda: fresh(again).state == RunState.SUCCEEDED, 20)
    assert fresh(again).outputs["pid"] != fresh(quick).outputs["pid"] and worker.poll() is None

    # One that never looks is ended when somebody cancels it, and its process with it.
    struck = process_of(long)
    runs.cancel(run_id=long.pk, actor=None)
    assert _wait(lambda: fresh(long).state == RunState.CANCELLED, 20)
    assert [one["outcome"] for one in fresh(long).attempts_log] == ["cancelled"] and not psutil.pid_exists(struck)

    # A stop lets the one end that can, and hands back the one that cannot.
    handed, ends = queue("tests.long", tmp_path, "handed", deaf=True), queue("tests.short", tmp_path, "ends")
    assert _wait(lambda: lines(tmp_path, "handed") == lines(tmp_path, "ends") == ["begun"])
    begun = time.monotonic()
    worker.terminate()
    later = queue("tests.short", tmp_path, "later", quick=True)
    time.sleep(0.5)
    os.kill(process_of(ends), signal.SIGTERM)  # told twice: it does not mind
    (tmp_path / "ends.go").touch()
    assert worker.wait(30) == 0 and time.monotonic() - begun < 20
    assert fresh(later).state == RunState.QUEUED, "a stopping worker takes nothing new"
    assert lines(tmp_path, "ends") == ["begun", "done"] and fresh(ends).attempt == 1
    assert lines(tmp_path, "handed") == ["begun"]
    kept = fresh(handed)
    assert (kept.state, kept.max_attempts, kept.attempts_log[0]["outcome"]) == (RunState.QUEUED, 4, "handed_back")
    assert not worker_is_present()

    start()
    (tmp_path / "handed.go").touch()
    assert _wait(lambda: fresh(handed).state == RunState.SUCCEEDED and fresh(later).state == RunState.SUCCEEDED)
    assert lines(tmp_path, "handed") == ["begun", "begun", "done"] and fresh(handed).attempt == 2
    events = AuditEvent.objects.filter(subject_id=str(handed.pk)).order_by("sequence").values_list("event", flat=True)
    assert list(events) == ["run.queued", "run.handed_back", "run.succeeded"] and verify_chain().intact


def test_worker__queue_that_is_none__is_refused() -> None:
    with pytest.raises(CommandError, match="invalid choice"):
        call_command("worker", "--queue", "middle")
