"""Schedules and fan-out: each slot once in each tenant's own time, and a tenant's failure is its own."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from datetime import datetime, time, timedelta
from io import StringIO
from zoneinfo import ZoneInfo

import pytest
from django.core.management import CommandError, call_command
from django.test import Client
from django.urls import reverse
from django_q.models import OrmQ
from django_tenants.utils import schema_context
from hypothesis import given, settings
from hypothesis import strategies as st

from ledger.jobs import _KINDS, job
from ledger.models import AuditEvent, Run, RunState
from ledger.queues import Queue, put
from ledger.schema import connection
from ledger.services.runs import enqueue
from ledger.services.verify import verify_chain
from tenants import schedules
from tenants.errors import PlatformOperatorRequired, QueueFull
from tenants.models import Dispatch, DispatchEntry, EntryOutcome, Tenant, TenantStatus
from tenants.schedules import EPOCH, Every, Schedule, register_schedule
from tenants.services import dispatching
from tenants.services.dispatching import dispatch, dispatch_due

UTC = ZoneInfo("UTC")
BERLIN = ZoneInfo("Europe/Berlin")


@pytest.fixture(autouse=True)
def _only_ours() -> Iterator[None]:
    before = dict(schedules._SCHEDULES)
    schedules._SCHEDULES.clear()
    job("tests.ping", title="Ping")(lambda context: {})
    yield
    schedules._SCHEDULES.clear()
    schedules._SCHEDULES.update(before)
    _KINDS.pop("tests.ping")


def daily(**more: object) -> Schedule:
    return Schedule("ping", "tests.ping", "Ping", **{"every": Every.DAY, "at": time(2, 30), **more})  # type: ignore[arg-type]  # a test's shorthand


def outcomes() -> list[tuple[str, str]]:
    return list(DispatchEntry.objects.order_by("dispatch", "schema_name").values_list("schema_name", "outcome"))


@given(
    zone=st.sampled_from(
        ["Europe/Berlin", "America/New_York", "Australia/Lord_Howe", "Asia/Kathmandu", "Pacific/Apia"]
    ),
    at=st.times(),
    step=st.integers(7, 59),
    days=st.integers(0, 2),
)
@settings(max_examples=60, deadline=None)
def test_slot__days_of_daylight_saving__each_local_day_fires_exactly_once(zone, at, step, days):
    schedule = daily(at=at.replace(tzinfo=None, microsecond=0))
    for start in (
        datetime(2026, 3, 27, tzinfo=UTC),
        datetime(2026, 10, 23, tzinfo=UTC),
        datetime(2026, 4, 3, tzinfo=UTC),
    ):
        begin = start + timedelta(days=days)
        fired: list[str] = []
        now = begin
        while now < begin + timedelta(days=5):
            slot = schedule.slot(now, zone, "alpha")
            if slot is not None and slot not in fired:
                fired.append(slot)
            now += timedelta(minutes=step)
        local = [(begin + timedelta(hours=h)).astimezone(ZoneInfo(zone)).date().isoformat() for h in range(0, 120)]
        whole = list(dict.fromkeys(local))[1:-1]  # the first and the last day are only seen in part
        assert [day for day in fired if day in whole] == whole


def test_slot__time_that_is_skipped_or_comes_twice__once():
    schedule = daily()
    before = datetime(2026, 3, 29, 1, 59, tzinfo=BERLIN).astimezone(UTC)
    assert schedule.slot(before, "Europe/Berlin", "a") == "2026-03-28"  # 02:30 does not exist on this day
    assert schedule.slot(before + timedelta(minutes=2), "Europe/Berlin", "a") == "2026-03-29"
    first = datetime(2026, 10, 25, 2, 35, tzinfo=BERLIN).astimezone(UTC)
    again = first + timedelta(hours=1)  # 02:35 once more
    assert again.astimezone(BERLIN).strftime("%H:%M") == "02:35"
    assert schedule.slot(first, "Europe/Berlin", "a") == schedule.slot(again, "Europe/Berlin", "a") == "2026-10-25"


def test_slot__weeks_months_hours_minutes__as_declared():
    weekly = Schedule("w", "k", "W", Every.WEEK, at=time(4), day=1)
    monthly = Schedule("m", "k", "M", Every.MONTH, at=time(4), day=15)
    wednesday = datetime(2026, 11, 25, 12, tzinfo=UTC)
    assert weekly.slot(wednesday, "UTC", "a") == "2026-11-23"
    assert weekly.slot(datetime(2026, 11, 23, 3, 59, tzinfo=UTC), "UTC", "a") == "2026-11-16"  # it lasts until then
    assert monthly.slot(wednesday, "UTC", "a") == "2026-11-15"
    assert monthly.slot(datetime(2026, 12, 3, tzinfo=UTC), "UTC", "a") == "2026-11-15"
    assert monthly.slot(wednesday, "UTC", "a", since=datetime(2026, 11, 20, tzinfo=UTC)) is None  # began after it
    hourly = Schedule("h", "k", "H", Every.HOUR, at=time(0, 30))
    assert hourly.slot(datetime(2026, 11, 25, 12, 29, tzinfo=UTC), "UTC", "a") is None
    assert hourly.slot(datetime(2026, 11, 25, 12, 31, tzinfo=UTC), "UTC", "a") == "2026-11-25T12+0000"
    minutes = Schedule("n", "k", "N", Every.MINUTES, minutes=15)
    slots = {minutes.slot(EPOCH + timedelta(minutes=n), "UTC", "a") for n in range(60)}
    assert len(slots) == 4


@pytest.mark.parametrize("wrong", [{"every": Every.WEEK, "day": 8}, {"every": Every.MONTH, "day": 31},
                                   {"every": Every.MINUTES, "minutes": 0}])  # fmt: skip
def test_schedule__a_day_that_not_every_period_has__is_refused(wrong):
    with pytest.raises(ValueError, match="ping"):
        daily(**wrong)


def test_dispatch_due__called_again__queues_each_slot_once_in_each_tenants_time(alpha):
    connection.set_schema_to_public()
    Tenant.objects.filter(schema_name="alpha").update(created_at=EPOCH, time_zone="Europe/Berlin")
    Tenant.objects.filter(schema_name="beta").update(created_at=EPOCH, time_zone="America/New_York")
    register_schedule(daily())
    at = datetime(2026, 11, 25, 2, 0, tzinfo=UTC)  # 03:00 in Berlin, 21:00 of the day before in New York
    assert (dispatch_due(now=at), dispatch_due(now=at)) == (2, 0)
    slots = set(DispatchEntry.objects.values_list("schema_name", "dispatch__slot"))
    assert slots == {("alpha", "2026-11-25"), ("beta", "2026-11-24")}
    with schema_context("alpha"):
        run = Run.objects.get(kind="tests.ping")
        assert run.requested_by_name == "system" and run.state == RunState.QUEUED
    assert connection.schema_name == "public"


def test_dispatch_due__nothing_to_do_there__says_so_and_asks_in_the_tenant(alpha):
    connection.set_schema_to_public()
    Tenant.objects.update(created_at=EPOCH)
    register_schedule(daily(applies=lambda: connection.schema_name == "beta"))
    dispatch_due(now=datetime(2026, 11, 25, 12, tzinfo=UTC))
    assert outcomes() == [("alpha", "nothing"), ("beta", "queued")]


def test_dispatch_due__both_changes_of_the_clock__one_run_for_each_local_day(alpha):
    connection.set_schema_to_public()
    Tenant.objects.update(created_at=EPOCH, status=TenantStatus.SUSPENDED)
    Tenant.objects.filter(schema_name="alpha").update(time_zone="Europe/Berlin", status=TenantStatus.TRIAL)
    register_schedule(daily(jitter=20))
    for begin, days in (
        (datetime(2026, 3, 28, 12, tzinfo=UTC), ["2026-03-29", "2026-03-30"]),  # 02:30 of the first does not exist
        (datetime(2026, 10, 24, 12, tzinfo=UTC), ["2026-10-25", "2026-10-26"]),  # 02:30 of the first comes twice
    ):
        dispatch_due(now=begin)
        with schema_context("alpha"):
            Run.objects.all().update(state=RunState.SUCCEEDED)
        queued: list[str] = []
        for quarter in range(4 * 40):
            at = begin + timedelta(minutes=15 * quarter)
            if dispatch_due(now=at):
                queued.append(at.astimezone(BERLIN).date().isoformat())
                with schema_context("alpha"):
                    Run.objects.all().update(state=RunState.SUCCEEDED)
        assert queued == days


def test_dispatch_due__queue_is_full__holds_off_and_catches_up_later(alpha, settings):
    connection.set_schema_to_public()
    Tenant.objects.update(created_at=EPOCH)
    register_schedule(daily())
    settings.QUEUE_LIMIT = 3
    at = datetime(2026, 11, 25, 12, tzinfo=UTC)
    for number in range(3):
        put(Queue.LONG, "beta", str(number), name="t")
    assert dispatch_due(now=at) == 0 and not DispatchEntry.objects.exists()
    with pytest.raises(QueueFull, match="3 jobs wait already"):
        dispatch(kind="tests.ping")
    OrmQ.objects.all().delete()
    for number in range(3):
        put(Queue.SHORT, "beta", str(number), name="t")  # the other queue is nobody's hindrance
    assert dispatch_due(now=at + timedelta(hours=1)) == 2


def test_dispatch__same_kind_at_once__second_is_told_so(throwaway):
    inside = threading.Event()
    out = threading.Event()

    def hold() -> None:
        connection.set_schema_to_public()
        with dispatching._alone("tests.ping"):
            inside.set()
            out.wait(30)
        connection.close()

    other = threading.Thread(target=hold)
    other.start()
    try:
        assert inside.wait(30)
        with pytest.raises(CommandError, match="under way"):
            call_command("dispatch", "tests.ping", "--tenants", throwaway.schema_name)
    finally:
        out.set()
        other.join()


def test_dispatch__suspended_live_and_broken_tenants__do_not_stop_the_others(alpha, make_user):
    connection.set_schema_to_public()
    Tenant.objects.create(schema_name="gone_one", name="Gone", status=TenantStatus.ACTIVE)  # its schema is missing
    Tenant.objects.create(schema_name="asleep", name="Asleep", status=TenantStatus.SUSPENDED)
    with schema_context("alpha"):
        Run.objects.create(kind="tests.ping", idempotency_key="before")
    made = dispatch(kind="tests.ping")
    assert outcomes() == [("alpha", "live"), ("beta", "queued"), ("gone_one", "failed")]
    assert made.entries.get(schema_name="gone_one").reason
    out = StringIO()
    with pytest.raises(CommandError, match="1 tenant"):
        call_command("dispatch", "tests.ping", stdout=out)
    assert "2 was under way already, 1 could not be queued" in out.getvalue()
    with pytest.raises(CommandError, match="asleep"):
        call_command("dispatch", "tests.ping", "--tenants", "asleep", stdout=out)
    with pytest.raises(CommandError, match="No job of kind"):
        call_command("dispatch", "tests.nothing")
    with pytest.raises(PlatformOperatorRequired):
        dispatch(kind="tests.ping", actor=make_user("eve"))
    assert Dispatch.objects.exclude(schedule="").count() == 0
    client = Client(headers={"host": "localhost"})
    client.force_login(make_user("op", is_superuser=True))
    page = client.get(reverse("admin:tenants_dispatch_change", args=[made.pk], urlconf="config.urls_platform"))
    text = page.content.decode()
    assert (
        page.status_code == 200
        and "Could not be queued" in text
        and "Still at it" in text
        and "run manage.py migrate_fleet" in text
    )
    assert client.get(reverse("admin:tenants_dispatch_changelist", urlconf="config.urls_platform")).status_code == 200
    assert EntryOutcome.FAILED in set(DispatchEntry.objects.values_list("outcome", flat=True))


def test_dispatch__queued_together__is_what_one_by_one_would_have_been(alpha: Tenant) -> None:
    connection.set_schema_to_public()
    made = dispatch(kind="tests.ping", inputs={"text": "50% \u00fc"}, scope="one")
    assert outcomes() == [("alpha", "queued"), ("beta", "queued")]
    assert OrmQ.objects.filter(key__endswith="/alpha").count() == 1
    with schema_context("alpha"):
        together = Run.objects.get(idempotency_key=f"dispatch:{made.pk}")
        alone = enqueue(kind="tests.ping", inputs={"text": "50% \u00fc"}, scope="two")
        differ = {"id", "scope", "idempotency_key", "correlation_id", "queued_at", "sent_at"}
        for field in Run._meta.concrete_fields:
            if field.name not in differ:
                assert getattr(together, field.attname) == getattr(alone, field.attname), field.name
        last, first = AuditEvent.objects.filter(event="run.queued")[:2]
        assert (first.subject_id, first.data["scope"], first.actor_name) == (str(together.pk), "one", last.actor_name)
        assert first.data.keys() == last.data.keys() and first.correlation_id == together.correlation_id
        assert verify_chain().intact
    assert made.entries.get(schema_name="alpha").run_id == together.pk
