"""The database is stopped under the worker: no job is lost and none is done twice."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from pytest_django import DjangoDbBlocker

from config.conf import BASE_DIR
from tests.own_site import own_site
from tests.test_worker_kill import _wait


@pytest.mark.usefixtures("django_db_setup")
def test_worker__database_stopped_while_jobs_run__nothing_is_lost_or_done_twice(
    tmp_path: Path, django_db_blocker: DjangoDbBlocker
) -> None:
    with django_db_blocker.unblock(), own_site() as site:
        env = {
            **site.env,
            "FORECOURT_RUN_HEARTBEAT_SECONDS": "0.5",
            "FORECOURT_RUN_LOST_AFTER_SECONDS": "3",
            "FORECOURT_WORKERS": "1",
        }
        jobs = [sys.executable, "-m", "tests.worker_jobs"]

        def queue(kind: str, *names: str) -> None:
            logs = [str(tmp_path / name) for name in names]
            subprocess.run([*jobs, "queue", "alpha", kind, *logs], cwd=BASE_DIR, env=env, check=True)

        def lines(name: str) -> list[str]:
            return (tmp_path / name).read_text().split() if (tmp_path / name).exists() else []

        def states() -> dict[str, str]:
            return dict(site.ask("SELECT scope, state FROM alpha.ledger_run WHERE kind LIKE 'tests.%'"))

        queue("tests.long", "one", "two")
        with (tmp_path / "worker.log").open("wb") as log:
            worker = subprocess.Popen([*jobs, "worker"], cwd=BASE_DIR, env=env, stdout=log, stderr=log)
        try:
            assert _wait(lambda: lines("one") == ["begun"]), (tmp_path / "worker.log").read_text()
            before = site.postmaster()
            site.crash()
            queue("tests.short", "three")
            for name in ("one", "two", "three"):
                (tmp_path / name).with_suffix(".go").touch()
            assert _wait(lambda: set(states().values()) == {"succeeded"}, 60), (
                states(), (tmp_path / "worker.log").read_text(),
            )  # fmt: skip
            assert site.postmaster() != before and worker.poll() is None
            assert [lines(name).count("done") for name in ("one", "two", "three")] == [1, 1, 1]
            log_of = dict(site.ask("SELECT scope, attempts_log FROM alpha.ledger_run WHERE kind = 'tests.long'"))
            outcomes = [[e["outcome"] for e in log_of[str(tmp_path / name)]] for name in ("one", "two")]
            assert outcomes == [["lost", "succeeded"], ["succeeded"]]
            worker.terminate()
            assert worker.wait(30) == 0
        finally:
            worker.kill()
