"""The queues: turns between tenants, leases, limits; and what becomes of an attempt whose process is no more."""

from __future__ import annotations

from datetime import timedelta

import psycopg
import pytest
from django.db import OperationalError
from django.utils import timezone
from django_q.models import OrmQ
from hypothesis import given
from hypothesis import settings as profile
from hypothesis import strategies as st
from pytest_django.fixtures import Settings

from ledger.database_loss import connection_was_lost
from ledger.jobs import all_kinds
from ledger.models import AuditEvent, Run, RunState
from ledger.queues import Queue, Taker, finish, put, renew, waiting
from ledger.schema import connection
from ledger.services import attempts, runs
from tenants.models import Tenant

WORKER = "host:1"


@pytest.fixture
def public(db: None) -> None:
    connection.set_schema_to_public()
    OrmQ.objects.all().delete()


def fill(schema_name: str, number: int, queue: Queue = Queue.LONG) -> None:
    for one in range(number):
        put(queue, schema_name, f"{schema_name}-{one}", name="t")


def taken(taker: Taker, number: int, *, done: bool = True) -> list[str]:
    """What the next takes give; each is done before the next one, or all are at work at once."""
    got = []
    for _ in range(number):
        message = taker.take()
        got.append(message.run_id if message else "")
        if message and done:
            finish(message)
    return got


def test_take__one_tenant_with_a_hundred_jobs__others_take_turns_with_it(public: None) -> None:
    fill("big", 100)
    fill("small", 2)
    fill("tiny", 1)
    assert taken(Taker(Queue.LONG), 6) == ["big-0", "small-0", "tiny-0", "big-1", "small-1", "big-2"]


def test_take__as_many_at_work_as_a_tenant_may__passes_it_over_and_not_the_platform(
    public: None, settings: Settings
) -> None:
    settings.TENANT_JOBS = 2
    fill("big", 5)
    fill("public", 4)
    one, other = Taker(Queue.LONG), Taker(Queue.LONG)
    got = [name for taker in (one, other, one, other, one, other) for name in taken(taker, 1, done=False)]
    assert sorted(got) == ["big-0", "big-1", "public-0", "public-1", "public-2", "public-3"]
    assert taken(one, 2, done=False) == ["", ""]
    OrmQ.objects.filter(key="long/big").order_by("pk")[0].delete()  # one of them is done
    assert taken(other, 2, done=False) == ["big-2", ""]


def test_take__another_queue_or_a_name_that_begins_alike__is_not_touched(public: None) -> None:
    fill("alpha", 1, Queue.SHORT)
    fill("alpha_two", 1, Queue.LONG)
    assert taken(Taker(Queue.LONG), 2) == ["alpha_two-0", ""]
    assert waiting() == {"alpha": {Queue.SHORT: 1}} and waiting(["beta"]) == {}


def test_take__lease_is_renewed__stays_and_without_it_comes_back(public: None, settings: Settings) -> None:
    settings.RUN_LOST_AFTER_SECONDS = 60
    fill("alpha", 1)
    taker = Taker(Queue.LONG)
    message = taker.take()
    assert message is not None and taker.take() is None
    OrmQ.objects.update(lock=timezone.now() + timedelta(seconds=1))
    renew([message.id])
    assert OrmQ.objects.get().lock > timezone.now() + timedelta(seconds=50)
    OrmQ.objects.update(lock=timezone.now() - timedelta(seconds=1))
    assert taker.take() == message
    finish(message)
    finish(message)  # as after a lease that ran out
    assert not OrmQ.objects.exists()


def test_take__message_that_nobody_of_us_wrote__is_dropped_and_the_next_one_comes(public: None) -> None:
    OrmQ.objects.create(key="long/alpha", payload="forged", lock=timezone.now() - timedelta(seconds=1))
    fill("beta", 1)
    assert taken(Taker(Queue.LONG), 2) == ["beta-0", ""]
    assert not OrmQ.objects.exists()


@given(sizes=st.dictionaries(st.sampled_from("abcdefgh"), st.integers(1, 12), min_size=1))
@profile(max_examples=25, deadline=None)
def test_take__any_backlog__no_tenant_waits_for_more_than_one_turn_of_each_other(
    django_db_blocker: object, sizes: dict[str, int]
) -> None:
    with django_db_blocker.unblock():  # type: ignore[attr-defined]  # the library's own fixture
        from django.db import transaction

        with transaction.atomic():
            connection.set_schema_to_public()
            OrmQ.objects.all().delete()
            for name, size in sizes.items():
                fill(name, size)
            order = [one.split("-")[0] for one in taken(Taker(Queue.LONG), sum(sizes.values()))]
            transaction.set_rollback(True)
    left = dict(sizes)
    since = dict.fromkeys(sizes, 0)
    for name in order:
        left[name] -= 1
        for other in sizes:
            since[other] = 0 if other == name or not left[other] else since[other] + 1
        assert max(since.values()) < len(sizes)
    assert not any(left.values())


def test_kinds__what_people_wait_for__is_short_and_training_is_not() -> None:
    queues = {kind.kind: kind.queue for kind in all_kinds()}
    assert queues["tenants.send_mail"] is Queue.SHORT and queues["integrations.check"] is Queue.SHORT
    assert queues["forecasting.retrain"] is Queue.LONG and queues["integrations.ingest"] is Queue.LONG


def running(kind: str = "integrations.watch", **fields: object) -> Run:
    now = timezone.now()
    return Run.objects.create(
        kind=kind, idempotency_key=f"k{Run.objects.count()}", scope=f"s{Run.objects.count()}", state=RunState.RUNNING,
        attempt=1, heartbeat_at=now, attempt_started_at=now, worker=WORKER, max_attempts=1, **fields,
    )  # fmt: skip


def test_hand_back__attempt_that_was_its_last__does_not_count(alpha: Tenant) -> None:
    run = running()
    handed = attempts.hand_back(run_id=run.pk, worker=WORKER)
    assert handed is not None and (handed.state, handed.max_attempts) == (RunState.QUEUED, 2)
    assert handed.attempts_log[0]["outcome"] == attempts.HANDED_BACK
    assert attempts.hand_back(run_id=run.pk, worker=WORKER) is None  # it owns it no longer
    assert AuditEvent.objects.filter(event="run.handed_back", subject_id=str(run.pk)).count() == 1


def test_attempt__of_another_process_or_attempt__is_left_alone(alpha: Tenant) -> None:
    run = running()
    assert attempts.lose(run_id=run.pk, worker="host:2") is None
    assert attempts.lose(run_id=run.pk, worker=WORKER, attempt=2) is None
    assert attempts.end_cancelled(run_id=run.pk, worker=WORKER) is None  # nobody cancelled it
    run.refresh_from_db()
    assert run.state == RunState.RUNNING


def test_attempt__lost_cancelled_or_overdue__ends_as_such(alpha: Tenant) -> None:
    lost, cancelled, overdue, stopped = (running() for _ in range(4))
    for one in (cancelled, stopped):
        runs.cancel(run_id=one.pk, actor=None)
    assert not attempts.cancel_is_overdue(run_id=cancelled.pk, seconds=60)
    assert attempts.cancel_is_overdue(run_id=cancelled.pk, seconds=-1)
    made = [
        attempts.lose(run_id=lost.pk, worker=WORKER),
        attempts.end_cancelled(run_id=cancelled.pk, worker=WORKER),
        attempts.end_overdue(run_id=overdue.pk, worker=WORKER),
        attempts.hand_back(run_id=stopped.pk, worker=WORKER),
    ]
    assert [(one.state, one.error_code) for one in made if one is not None] == [
        ("failed", "lost"), ("cancelled", ""), ("failed", "timeout"), ("cancelled", ""),
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("state", "lost"), [(None, True), ("57P01", True), ("08006", True), ("40P01", False), ("55P03", False)]
)
def test_connection_was_lost__by_the_server_s_word__or_not(state: str | None, lost: bool) -> None:
    cause = psycopg.OperationalError("gone")
    cause.sqlstate = state
    try:
        try:
            raise OperationalError("gone") from cause
        except OperationalError as inner:
            raise ValueError("a family failed") from inner
    except ValueError as error:
        assert connection_was_lost(error) is lost
    assert not connection_was_lost(ValueError("of its own"))
