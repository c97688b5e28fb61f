"""Waking through a real Redis, started with the compose file's command: who is woken, and what an outage costs.

Every wait for a token is ten minutes here, so that nothing but a token explains that a job was done.
"""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
import redis
import yaml
from django.db import transaction
from pytest_django.fixtures import Settings

from config.conf import BASE_DIR
from config.redis_url import read_redis_url
from ledger import wakeups
from ledger.jobs import _KINDS
from ledger.models import Run, RunState
from ledger.queues import Queue, put, put_many
from ledger.schema import connection
from ledger.services.verify import verify_chain
from tenants.models import Tenant
from tests import worker_jobs
from tests.test_worker import fresh, lines, queue
from tests.test_worker_kill import _wait, environment

pytestmark = pytest.mark.redis

PASSWORD = "s3cret-of-redis"
SHORT_PROCESSES = 2
IDLE = SHORT_PROCESSES + 1  # and one for long jobs


class Server:
    """A Redis of the test's own; a kill forgets all, as with the compose file's."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.port = int(probe.getsockname()[1])
        self.url = f"redis://:{PASSWORD}@127.0.0.1:{self.port}/0"
        self.client = redis.Redis(port=self.port, password=PASSWORD, decode_responses=True)
        self.process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Start it and wait until it answers."""
        compose = yaml.safe_load((BASE_DIR / "compose.yaml").read_text(encoding="utf-8"))
        command = [*compose["services"]["redis"]["command"], "--port", str(self.port), "--bind", "127.0.0.1"]
        command += ["--requirepass", PASSWORD, "--dir", str(self.folder)]
        with (self.folder / "redis.log").open("ab") as log:
            self.process = subprocess.Popen(command, stdout=log, stderr=log)
        assert _wait(self._answers, 20), (self.folder / "redis.log").read_text()

    def send(self, signum: int) -> None:
        """Send the process a signal."""
        assert self.process is not None
        self.process.send_signal(signum)

    def kill(self) -> None:
        """End it at once."""
        if self.process is not None:
            self.process.kill()
            self.process.wait()

    def blocked(self) -> int:
        """How many wait for a token."""
        return int(self.client.info("clients")["blocked_clients"])

    def tokens(self, queue: Queue = Queue.SHORT) -> int:
        """How many tokens lie there."""
        return int(self.client.llen(wakeups.list_of(queue)))

    def _answers(self) -> bool:
        with suppress(redis.RedisError):
            return bool(self.client.ping())
        return False


@pytest.fixture
def server(tmp_path: Path, settings: Settings) -> Iterator[Server]:
    """A Redis that runs and is set, with a wait of ten minutes."""
    if shutil.which("redis-server") is None:
        pytest.fail("These tests start a Redis: install Debian's redis-server (apt-get install redis-server).")
    made = Server(tmp_path)
    settings.REDIS, settings.REDIS_WAIT_SECONDS = read_redis_url(made.url), 600
    made.start()
    try:
        yield made
    finally:
        wakeups.close()
        made.client.close()
        made.kill()


@pytest.fixture
def worker(server: Server, throwaway: Tenant, tmp_path: Path) -> Iterator[subprocess.Popen[bytes]]:
    """A worker that knows the tests' jobs; its log is ``worker.log``."""
    worker_jobs.register()
    own = {"REDIS_URL": server.url, "REDIS_WAIT_SECONDS": "600", "SHORT_WORKERS": str(SHORT_PROCESSES)}
    variables = {**environment(), **{f"FORECOURT_{name}": value for name, value in own.items()}}
    with (tmp_path / "worker.log").open("wb") as log:
        command = [sys.executable, "-m", "tests.worker_jobs", "worker"]
        process = subprocess.Popen(command, cwd=BASE_DIR, env=variables, stdout=log, stderr=log)
    yield process
    if process.poll() is None:
        process.kill()
        process.wait()
    for kind in ("tests.short", "tests.long"):
        _KINDS.pop(kind)


def is_done(run: Run) -> bool:
    return fresh(run).state == RunState.SUCCEEDED


def test_worker__woken_then_redis_killed_and_back__every_job_is_done_once(
    server: Server, worker: subprocess.Popen[bytes], tmp_path: Path
) -> None:
    assert _wait(lambda: server.blocked() == IDLE)

    # One job wakes one process; one of the other queue wakes another.
    held = queue("tests.short", tmp_path, "held")
    assert _wait(lambda: lines(tmp_path, "held") == ["begun"])
    assert server.blocked() == IDLE - 1
    long = queue("tests.long", tmp_path, "long", quick=True)
    assert _wait(lambda: is_done(long) and server.blocked() == IDLE - 1)

    # Two at once for the process that is left: it does both without another token.
    with transaction.atomic():
        both = [queue("tests.short", tmp_path, name, quick=True) for name in ("one", "two")]
    assert _wait(lambda: all(is_done(run) for run in both))

    # Without its Redis the worker looks by itself, and whoever queues jobs notices nothing.
    server.kill()
    late = [queue(kind, tmp_path, f"late-{kind}", quick=True) for kind in ("tests.short", "tests.long")]
    assert _wait(lambda: all(is_done(run) for run in late))

    # It comes back with nothing in it, and they are woken again.
    server.start()
    assert _wait(lambda: server.blocked() == IDLE - 1)
    assert wakeups.answers(), "this process, too, would have found it within seconds"
    again = queue("tests.short", tmp_path, "again", quick=True)
    assert _wait(lambda: is_done(again))

    # A stop does not wait for a token.
    (tmp_path / "held.go").touch()
    assert _wait(lambda: is_done(held) and server.blocked() == IDLE)
    os.kill(worker.pid, signal.SIGTERM)
    assert worker.wait(60) == 0
    done = [held, long, *both, *late, again]
    assert {tuple(lines(tmp_path, run.scope)) for run in done} == {("begun", "done")}
    assert {fresh(run).attempt for run in done} == {1} and verify_chain().intact
    log = (tmp_path / "worker.log").read_text()
    assert PASSWORD not in log
    assert log.count("Redis does not wake job processes") == log.count("Redis answers again") == IDLE - 1, log


def test_put__committed_or_rolled_back__leaves_tokens_or_none(server: Server, throwaway: Tenant) -> None:
    name = throwaway.schema_name
    with transaction.atomic():
        put(Queue.SHORT, name, "1", name="t")
        assert server.tokens() == 0, "nobody is woken for what is not there yet"
    assert server.tokens() == 1
    with pytest.raises(ZeroDivisionError), transaction.atomic():
        put(Queue.SHORT, name, "2", name="t")
        put_many(Queue.SHORT, [(name, "3", "t")])
        raise ZeroDivisionError
    assert server.tokens() == 1
    put_many(Queue.SHORT, [(name, str(number), "t") for number in range(3)])
    assert server.tokens() == 4 and server.tokens(Queue.LONG) == 0
    assert set(server.client.lrange(wakeups.list_of(Queue.SHORT), 0, -1)) == {"1"}, "a token tells nothing"


def test_tokens__more_than_anybody_takes__are_bounded_and_go_by_themselves(server: Server, db: None) -> None:
    for _ in range(3):
        wakeups.wake(Queue.LONG, 100_000)
    assert server.tokens(Queue.LONG) == wakeups.MOST_TOKENS
    assert 0 < server.client.ttl(wakeups.list_of(Queue.LONG)) <= wakeups.TOKEN_SECONDS
    kept = {name: server.client.config_get(name)[name] for name in ("save", "appendonly", "maxmemory")}
    assert kept == {"save": "", "appendonly": "no", "maxmemory": str(32 * 1024 * 1024)}


def test_tokens__of_another_database_or_key__are_others(
    db: None, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    lists = {wakeups.list_of(Queue.LONG), wakeups.list_of(Queue.SHORT)}
    monkeypatch.setitem(connection.settings_dict, "NAME", "another")
    lists |= {wakeups.list_of(Queue.LONG), wakeups.list_of(Queue.SHORT)}
    settings.SECRET_KEY = "of another installation"
    lists |= {wakeups.list_of(Queue.LONG), wakeups.list_of(Queue.SHORT)}
    assert len(lists) == 6


def test_wait__token_there_time_over_or_asked_to_stop__ends(server: Server, db: None, settings: Settings) -> None:
    wakeups.wake(Queue.LONG)
    assert wakeups.wait(Queue.LONG, lambda: False) and server.tokens(Queue.LONG) == 0
    assert wakeups.wait(Queue.LONG, lambda: True)
    assert _wait(lambda: server.blocked() == 0), "who was asked to stop takes no token any more"
    settings.REDIS_WAIT_SECONDS = 0.5
    assert wakeups.wait(Queue.LONG, lambda: False)
    assert wakeups.answers(), "the connection can be used again"


def _of_another_kind(server: Server) -> None:
    server.client.set(wakeups.list_of(Queue.SHORT), "no list")


def _stopped(server: Server) -> None:
    server.send(signal.SIGSTOP)


def _full(server: Server) -> None:
    server.client.config_set("maxmemory-policy", "noeviction")
    server.client.config_set("maxmemory", 1)


def _with_another_password(server: Server) -> None:
    server.client.config_set("requirepass", "another")


@pytest.mark.parametrize("harm", [_of_another_kind, _stopped, _full, _with_another_password])
def test_put__redis_that_hangs_or_refuses__message_is_there_and_one_warning(
    server: Server,
    throwaway: Tenant,
    harm: Callable[[Server], Any],
    caplog: pytest.LogCaptureFixture,
) -> None:
    harm(server)
    for number in range(3):
        put(Queue.SHORT, throwaway.schema_name, str(number), name="t")
    told = [one.getMessage() for one in caplog.records if one.name == "ledger.wakeups"]
    assert len(told) == 1 and "Redis does not wake" in told[0] and PASSWORD not in caplog.text
    with connection.cursor() as cursor:
        cursor.execute("SELECT count(*) FROM public.django_q_ormq WHERE key = %s", [f"short/{throwaway.schema_name}"])
        assert cursor.fetchone() == (3,)
    if harm is _stopped:
        server.send(signal.SIGCONT)
