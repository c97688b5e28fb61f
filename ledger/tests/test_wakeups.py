"""Waking without a Redis, or with one that is away: jobs are queued as ever. A real one: tests/test_wakeups.py."""

from __future__ import annotations

import logging
import os
import socket
import subprocess
import sys
from collections.abc import Iterator

import pytest
from django.core.checks import WARNING
from django.core.checks.registry import registry
from django.test import Client
from django_q.models import OrmQ
from pytest_django import DjangoCaptureOnCommitCallbacks
from pytest_django.fixtures import Settings

from config.redis_url import read_redis_url
from ledger import wakeups
from ledger.checks import redis_answers
from ledger.queues import Message, Queue, Taker, put, put_many
from ledger.schema import connection
from tenants.prometheus import exposition

SECRET = "s3cret-of-redis"  # of a server that is not there


@pytest.fixture
def away(db: None, settings: Settings) -> Iterator[int]:
    """A Redis is set, and nobody listens there; the number of its port, which stays ours."""
    connection.set_schema_to_public()
    OrmQ.objects.all().delete()
    with socket.socket() as held:
        held.bind(("127.0.0.1", 0))
        port = held.getsockname()[1]
        settings.REDIS = read_redis_url(f"redis://:{SECRET}@127.0.0.1:{port}/0")
        yield port


def test_put__redis_away__message_is_there_and_the_outage_told_once_without_the_password(
    away: int,
    caplog: pytest.LogCaptureFixture,
    django_capture_on_commit_callbacks: DjangoCaptureOnCommitCallbacks,
) -> None:
    with django_capture_on_commit_callbacks(execute=True) as called:
        put(Queue.SHORT, "alpha", "1", name="t")
        put(Queue.SHORT, "alpha", "2", name="t")
        put_many(Queue.LONG, [("alpha", "3", "t"), ("beta", "4", "t")])
    assert len(called) == 3 and OrmQ.objects.count() == 4
    told = [one for one in caplog.records if one.name == "ledger.wakeups"]
    assert [one.levelno for one in told] == [logging.WARNING]
    assert f"127.0.0.1:{away}" in told[0].getMessage() and SECRET not in caplog.text
    assert not wakeups.wait(Queue.SHORT, lambda: False), "the caller is told to sleep as without one"


def test_push__server_that_repeats_what_it_was_told__password_is_left_out(
    away: int, caplog: pytest.LogCaptureFixture
) -> None:
    link = wakeups._Link({"host": "127.0.0.1", "port": away, "password": SECRET})
    link._failed(OSError(f"unknown command 'AUTH', with args beginning with: '{SECRET}'"))
    assert "unknown command" in caplog.text and SECRET not in caplog.text


def test_deploy_check__redis_away__warns_with_its_place_and_not_its_password(away: int) -> None:
    assert redis_answers in registry.get_checks(include_deployment_checks=True)
    assert redis_answers not in registry.get_checks(), "not each command asks a server"
    (told,) = redis_answers()
    assert told.id == "ledger.W001" and told.level == WARNING and f"127.0.0.1:{away} does not answer" in told.msg
    assert SECRET not in str(told)


def test_probes__redis_away_or_not_set__stay_ready_and_say_so_or_nothing(away: int, settings: Settings) -> None:
    assert Client(headers={"host": "127.0.0.1"}).get("/readyz?worker=optional").status_code == 200
    assert "\nforecourt_redis_up 0\n" in exposition()
    settings.REDIS = None
    assert "forecourt_redis_up" not in exposition()


def test_put__nothing_to_tell__or_no_redis__leaves_nothing_to_do_at_commit(
    away: int, settings: Settings, django_capture_on_commit_callbacks: DjangoCaptureOnCommitCallbacks
) -> None:
    with django_capture_on_commit_callbacks() as called:
        put_many(Queue.LONG, [])
        settings.REDIS = None
        put(Queue.SHORT, "alpha", "1", name="t")
    assert called == [] and OrmQ.objects.count() == 1
    assert wakeups.answers() is None and not wakeups.wait(Queue.SHORT, lambda: False)


def test_without_a_redis__everything_that_runs__does_not_load_its_library() -> None:
    code = (
        "import sys, django; django.setup(); from django.core.wsgi import get_wsgi_application as get; get();"
        "import config.worker.pool, tenants.prometheus; from ledger import wakeups; wakeups.wake('short');"
        "wakeups.close(); assert not wakeups.wait('short', bool); print('redis' in sys.modules)"
    )
    env = {**os.environ, "DJANGO_SETTINGS_MODULE": "config.settings", "FORECOURT_REDIS_URL": ""}
    ended = subprocess.run([sys.executable, "-c", code], env=env, capture_output=True, text=True, timeout=300)
    assert ended.stdout.split() == ["False"], ended.stderr


def test_take__another_process_takes_the_head_in_between__has_the_next_one(away: int, settings: Settings) -> None:
    """Two processes that are woken together see the same head; the slower one must not go to wait again."""
    settings.REDIS = None
    for number in range(3):
        put(Queue.LONG, "alpha", str(number), name="t")
    settings.TENANT_JOBS = 2
    faster = Taker(Queue.LONG)

    class Slower(Taker):
        def _heads(self) -> list[tuple[str, int]]:
            found = super()._heads()
            if not got:
                got.append(faster.take())
            return found

    got: list[Message | None] = []
    message = Slower(Queue.LONG).take()
    assert message is not None and message.run_id == "1"
    assert [one.run_id for one in got if one is not None] == ["0"]
    assert Taker(Queue.LONG).take() is None, "two of the tenant are at work"
