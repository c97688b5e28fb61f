"""Training gives the same bytes in one process, in a pool and on a cluster that loses a worker."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager

import distributed
import psutil
import pytest
from django.test import override_settings

from forecasting.engine.train import SearchConfig, compared
from forecasting.errors import TrainingRefused
from forecasting.errors_training import SchedulerUnreachable
from forecasting.models import Demand, ForecastPath, ModelVersion
from forecasting.services import pool
from forecasting.services.loading import load_panel
from forecasting.services.pool import training_pool
from forecasting.services.publishing import forecast_version
from forecasting.services.snapshots import demand_snapshot
from forecasting.services.windows import plan_window
from forecasting.tests.synthetic import activate, load, make_contract, make_demand, train
from ledger.context import Listener
from tenants.models import Tenant

FAMILIES = ("seasonal_naive", "lightgbm")
HORIZON = 7


def bytes_of(version: ModelVersion) -> dict[str, object]:
    """Everything that a training made, and the forecasts of it."""
    made = forecast_version(ctx=None, version=version)
    paths = ForecastPath.objects.filter(forecast_set=made).order_by("series_id")
    return {
        "files": sorted(version.artifacts.values_list("role", "name", "sha256")),
        "backtest": version.backtest,
        "spec": version.spec.sha256,
        "paths": list(paths.values_list("series_id", "family", "yhat", "lo80", "hi95")),
    }


def trained(listener: Listener | None = None) -> dict[str, object]:
    return bytes_of(train(families=FAMILIES, horizon=HORIZON, listener=listener))


@pytest.fixture
def shop(throwaway: Tenant) -> Tenant:
    """Four series whose rows are committed."""
    load(make_demand(stores=1, products=4))
    return throwaway


def test_training__two_processes__same_bytes_as_in_one(shop: Tenant) -> None:
    with override_settings(SEGMENT_SERIES=2, TRAIN_PROCESSES=1):
        alone = trained()
    with override_settings(SEGMENT_SERIES=2, TRAIN_PROCESSES=2):
        together = trained()
    assert alone == together
    assert any(name.startswith("segment00001_") for _, name, _ in alone["files"])  # type: ignore[attr-defined]  # results of many kinds


def test_snapshot__writer_commits_while_it_is_open__nothing_that_is_read_changes(shop: Tenant) -> None:
    window = plan_window(mode="serving")
    with override_settings(SEGMENT_SERIES=2, TRAIN_PROCESSES=1), demand_snapshot() as demand:
        before = demand.source(window)
        Demand.objects.all().update(quantity=1000.0)
        Demand.objects.filter(series_id=before.segments[1].ids[0]).delete()
        after = demand.source(window)
        assert (before.window.fingerprint, before.shape) == (after.window.fingerprint, after.shape)
        assert after.panel(after.segments[1]).history["y"].max() < 1000
    assert load_panel(window).history["y"].min() == 1000


def test_segments__of_the_database__hold_what_the_whole_panel_holds(shop: Tenant) -> None:
    window = plan_window(mode="evaluation")
    whole = load_panel(window)
    with override_settings(SEGMENT_SERIES=3, TRAIN_PROCESSES=1), demand_snapshot() as demand:
        source = demand.source(window)
        assert [len(one.ids) for one in source.segments] == [2, 2]
        assert (source.first_day, source.last_day) == (whole.first_day, whole.last_day)
        for one in source.segments:
            own, expected = source.panel(one), whole.subset(one.ids)
            assert own.history.equals(expected.history) and own.static.equals(expected.static)


def test_pool__scheduler_does_not_answer__says_which_setting(settings) -> None:
    settings.DASK_SCHEDULER_ADDRESS = "tcp://127.0.0.1:1"
    with override_settings(), pytest.MonkeyPatch.context() as patch:
        patch.setattr("forecasting.services.pool._CONNECT_SECONDS", 1)
        with pytest.raises(SchedulerUnreachable, match="DASK_SCHEDULER_ADDRESS"), training_pool():
            pass


# --- a cluster --------------------------------------------------------------------------------------------------------


def free_port() -> int:
    with socket.socket() as own:
        own.bind(("127.0.0.1", 0))
        return int(own.getsockname()[1])


@contextmanager
def cluster(workers: int, folder: str) -> Iterator[tuple[str, list[subprocess.Popen[bytes]]]]:
    """A scheduler and workers on the loopback address, each a process; all are gone afterwards."""
    address = f"tcp://127.0.0.1:{free_port()}"
    plain = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL, "cwd": folder}
    environment = {**os.environ, "PYTHONPATH": os.getcwd()}
    common = [sys.executable, "-m", "distributed.cli"]
    started: list[subprocess.Popen[bytes]] = []

    def start(module: str, *options: str) -> subprocess.Popen[bytes]:
        command = [*common[:2], f"{common[2]}.{module}", *options]
        started.append(subprocess.Popen(command, env=environment, **plain))  # type: ignore[call-overload]  # options in one dict
        return started[-1]

    try:
        port = address.rsplit(":", 1)[1]
        start("dask_scheduler", "--host", "127.0.0.1", "--port", port, "--no-dashboard", "--no-show")
        options = (address, "--nthreads", "1", "--no-nanny", "--no-dashboard", "--host", "127.0.0.1")
        yield address, [start("dask_worker", *options) for _ in range(workers)]
    finally:
        for process in started:
            process.kill()
        for process in started:
            process.wait(10)


def test_cluster__a_worker_is_killed_in_the_middle__same_files_scores_and_forecasts_as_in_one_process(
    shop: Tenant, tmp_path
) -> None:
    """Search, both fits and the forecasts of a training; its files hold what became of every row of the backtest."""
    with override_settings(SEGMENT_SERIES=2, TRAIN_PROCESSES=1):
        alone = trained()
    killed: list[tuple[int, int]] = []
    with cluster(2, str(tmp_path)) as (address, workers):

        def kill(done: int, total: int, message: str) -> None:
            """The first worker is gone as soon as a task has come back and others are still to be done."""
            if not killed and 0 < done < total:
                os.kill(workers[0].pid, signal.SIGKILL)
                killed.append((done, total))

        wait_for_workers(address, 2)
        with override_settings(SEGMENT_SERIES=2, DASK_SCHEDULER_ADDRESS=address):
            there = trained(kill)
            activate(make_contract(grain="weekly"))  # from here on the data are damaged: days where weeks should be
            told_there = refusal()
        assert killed and workers[0].wait(10) == -signal.SIGKILL and workers[1].poll() is None
    assert there == alone
    with override_settings(SEGMENT_SERIES=2, TRAIN_PROCESSES=1):
        assert told_there == refusal() and "same weekday" in told_there
    files = [name for _, name, _ in alone["files"]]  # type: ignore[attr-defined]  # results of many kinds
    assert {"calibration.json", "hierarchy.json", "segment00001_lightgbm.txt"} <= set(files)


def refusal() -> str:
    """What a backtest says of data that cannot be used; the segments are read where they are computed."""
    config = SearchConfig(families=FAMILIES, horizon=1, origins=2)
    with demand_snapshot() as demand, pytest.raises(TrainingRefused) as caught:
        compared(demand.source(plan_window(mode="evaluation")), config, executor=demand.executor)
    return str(caught.value)


def wait_for_workers(address: str, count: int) -> None:
    with distributed.Client(address, timeout=60, set_as_default=False) as client:
        client.wait_for_workers(count, timeout=60)


_LEADER = """
import os, time
import django
django.setup()
from forecasting.services.pool import training_pool
with training_pool() as pool:
    print(*{pool.submit(os.getpid).result() for _ in range(4)}, flush=True)
    time.sleep(300)
"""


def test_pool__its_leader_is_killed__no_process_of_it_stays() -> None:
    given = {**os.environ, "DJANGO_SETTINGS_MODULE": "config.settings", "FORECOURT_TRAIN_PROCESSES": "2"}
    leader = subprocess.Popen([sys.executable, "-c", _LEADER], stdout=subprocess.PIPE, text=True, env=given)
    try:
        assert leader.stdout is not None
        pids = [int(one) for one in leader.stdout.readline().split()]
        started = [*pids, *(child.pid for child in psutil.Process(leader.pid).children(recursive=True))]
        assert pids and all(psutil.pid_exists(pid) for pid in started)
    finally:
        leader.kill()
        leader.wait()
    deadline = time.monotonic() + 60
    while any(map(psutil.pid_exists, started)) and time.monotonic() < deadline:
        time.sleep(0.1)
    assert not [pid for pid in started if psutil.pid_exists(pid)]


def test_pool__process_that_was_forked_beside_a_server__starts_its_processes_anew() -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(pool._served, "by", os.getpid())
        assert pool._context().get_start_method() == "forkserver"
        patch.setitem(pool._served, "by", os.getppid())
        assert pool._context().get_start_method() == "spawn"
