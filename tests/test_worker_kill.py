"""A worker that dies in the middle of a training: its run is lost, retried, and ends with exactly one version."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from datetime import date
from pathlib import Path
from urllib.parse import urlsplit, urlunsplit

import psutil
import pytest
from django.conf import settings
from django.db import connection

from config.conf import BASE_DIR
from forecasting.models import ModelArtifact, ModelVersion
from forecasting.services import chain
from forecasting.tests.factories import make_demand, make_series
from ledger.models import AuditEvent, Run, RunState
from ledger.services.verify import verify_chain
from tenants.models import Tenant


def environment() -> dict[str, str]:
    """What makes another process use this test's database."""
    name = str(connection.settings_dict["NAME"])
    variables = {
        **os.environ,
        "FORECOURT_DATA_DIR": str(settings.DATA_DIR),
        "FORECOURT_DATABASE_NAME": name,
        "FORECOURT_RUN_HEARTBEAT_SECONDS": "0.3",
        "FORECOURT_RUN_LOST_AFTER_SECONDS": "2",
        "FORECOURT_WORKERS": "1",
        "FORECOURT_STOP_SECONDS": "3",
        "FORECOURT_SCHEDULES": "off",  # the tenants of other tests are left alone, whatever is due at this hour
    }
    if settings.ENV.database_url:
        variables["DATABASE_URL"] = urlunsplit(urlsplit(settings.ENV.database_url)._replace(path=f"/{name}"))
    return variables


@pytest.fixture
def start_worker(tmp_path: Path) -> Iterator[Callable[[], subprocess.Popen[bytes]]]:
    started: list[subprocess.Popen[bytes]] = []

    def start() -> subprocess.Popen[bytes]:
        log = (tmp_path / f"worker-{len(started)}.log").open("wb")
        process = subprocess.Popen(
            [sys.executable, "manage.py", "worker"], cwd=BASE_DIR, env=environment(), stdout=log, stderr=log
        )
        started.append(process)
        return process

    yield start
    for process in started:
        if process.poll() is None:
            process.terminate()
            try:
                process.wait(timeout=30)
            except subprocess.TimeoutExpired:
                process.kill()


def _wait(condition: Callable[[], bool], seconds: float = 90) -> bool:
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        if condition():
            return True
        time.sleep(0.05)
    return False


def test_worker__killed_in_the_middle_of_a_training__run_is_lost_retried_and_leaves_one_version(
    throwaway: Tenant, start_worker: Callable[[], subprocess.Popen[bytes]]
) -> None:
    make_demand(series=make_series(6), until=date(2026, 6, 30), days=160)
    run = chain.start_chain(actor=None, mode="search", families=["lightgbm"])
    worker = start_worker()

    def fresh() -> Run:
        return Run.objects.get(pk=run.pk)

    assert _wait(lambda: fresh().state == RunState.RUNNING and fresh().progress_done > 0), fresh().state
    host, _, pid = fresh().worker.rpartition(":")
    assert host
    os.kill(int(pid), signal.SIGKILL)

    assert _wait(lambda: fresh().state == RunState.SUCCEEDED), (fresh().state, fresh().error)
    ended = fresh()
    assert [entry["outcome"] for entry in ended.attempts_log] == ["lost", "succeeded"]
    assert ended.attempt == 2
    events = AuditEvent.objects.filter(subject_id=str(run.pk)).order_by("sequence").values_list("event", flat=True)
    assert list(events) == ["run.queued", "run.lost", "run.retried", "run.succeeded"]
    assert ModelVersion.objects.count() == 1
    assert {artifact.version_id for artifact in ModelArtifact.objects.all()} == {ModelVersion.objects.get().pk}

    # The rest of the chain goes on from the retried run, each step once.
    assert _wait(lambda: Run.objects.filter(kind=chain.GATE, state__in=[RunState.SUCCEEDED, RunState.FAILED]).exists())
    assert Run.objects.filter(kind=chain.FORECAST).count() == 1
    assert verify_chain().intact
    children = psutil.Process(worker.pid).children(recursive=True)
    worker.kill()
    _, alive = psutil.wait_procs(children, timeout=10)
    assert alive == [], "a killed worker leaves no process behind"
    shutil.rmtree(Path(settings.MEDIA_ROOT) / throwaway.schema_name, ignore_errors=True)
