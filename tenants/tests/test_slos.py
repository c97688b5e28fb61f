"""Service levels: judged by windows, measured once a slot, told to each tenant; no request is counted twice."""

from __future__ import annotations

import threading
from datetime import UTC, datetime, timedelta

import pytest
from django.test import Client
from django.urls import reverse
from django.utils import timezone

from ledger.schema import connection
from tenants import metering
from tenants.metering import Meter, write_counts
from tenants.models import Heartbeat, RequestCount, SloSample, Tenant, TenantStatus
from tenants.services.slo_measuring import compliance_now, measure_slos, slot_of
from tenants.slos import SLOS, Sample, SloState, age_state, get_slo, judge

NOW = datetime(2026, 11, 25, 12, tzinfo=UTC)


def row(*shares: float | None) -> list[Sample]:
    """One sample a day of 1,000, the newest last; None: nothing was counted."""
    first = NOW - timedelta(days=len(shares) - 1)
    days = [(first + timedelta(days=n), share) for n, share in enumerate(shares)]
    return [Sample(day, round(1000 * share), 1000) for day, share in days if share is not None]


@pytest.mark.parametrize(
    ("samples", "state"),
    [
        (row(1, 1, 1), SloState.OK),
        (row(1, 1, 0.98), SloState.WARNING),
        (row(1, 0.98, 0.98), SloState.CRITICAL),
        (row(0.98, 1, 0.98), SloState.WARNING),
        (row(0.98, 0.98, 1), SloState.OK),
        (row(0.98, None, 0.98), SloState.WARNING),
        (row(0.98, 0.98, None), SloState.OK),
        (row(None, None), SloState.UNKNOWN),
        (row(0, 1, 1, 1, 1, 1, 1, 1), SloState.OK),
    ],
)
def test_judge__rows_of_days__one_bad_is_a_warning_two_in_a_row_critical(samples, state):
    assert judge(samples, 0.99, NOW).state is state


def test_judge__budget_and_burn__as_by_hand():
    found = judge(row(1, 1, 1, 0.98), 0.99, NOW)
    assert found.share == pytest.approx(3980 / 4000)
    assert found.budget_left == pytest.approx(1 - 0.005 / 0.01)
    assert found.burn == pytest.approx(2.0)
    assert judge(row(0.5, *[1.0] * 7), 0.99, NOW).share == 1.0  # the eighth day before is out of the window
    empty = judge([], 0.99, NOW)
    assert (empty.share, empty.budget_left, empty.burn) == (None, None, None)


@pytest.mark.parametrize(
    ("hours", "state"),
    [(None, SloState.UNKNOWN), (0, SloState.OK), (36, SloState.OK), (37, SloState.WARNING), (73, SloState.CRITICAL)],
)
def test_age_state__hours__by_windows(hours, state):
    assert age_state(hours, get_slo("forecast_freshness")) is state


def beat(schema_name: str, **fields: object) -> None:
    Heartbeat.objects.update_or_create(schema_name=schema_name, defaults=fields)


def test_measure_slos__fleet__counts_active_tenants_with_a_champion_once_a_slot(alpha):
    connection.set_schema_to_public()
    hours = timedelta(hours=1)
    beat("alpha", champion="v1", last_forecast_at=NOW - hours, last_accuracy_at=NOW - 100 * hours, last_sync_at=NOW)
    beat("beta", champion="", last_forecast_at=None, last_sync_at=None)  # nothing is promised to it yet
    Tenant.objects.create(schema_name="asleep", name="Asleep", status=TenantStatus.SUSPENDED)
    beat("asleep", champion="v1", last_forecast_at=NOW - 500 * hours)
    RequestCount.objects.create(minute=slot_of(NOW) - timedelta(minutes=3), requests=200, errors=1, slow=20)
    assert (measure_slos(now=NOW), measure_slos(now=NOW + timedelta(minutes=4))) == (len(SLOS), 0)
    found = {one.slo: (one.good, one.total, one.bad_tenants) for one in SloSample.objects.all()}
    assert found == {
        "forecast_freshness": (1, 1, []),
        "accuracy_freshness": (0, 1, ["alpha"]),
        "sync_freshness": (1, 1, []),
        "api_availability": (199, 200, []),
        "api_latency": (180, 200, []),
    }
    assert Heartbeat.objects.get(schema_name="alpha").slo_critical == 1  # 100 hours are more than twice 48
    beat("alpha", last_accuracy_at=NOW)
    measure_slos(now=NOW + timedelta(minutes=5))
    assert Heartbeat.objects.get(schema_name="alpha").slo_critical == 0
    states = {slo.name: found.state for slo, found in compliance_now(now=NOW + timedelta(minutes=6))}
    assert states["forecast_freshness"] is SloState.OK and states["accuracy_freshness"] is SloState.WARNING


def test_meter__many_threads__no_request_is_lost_and_open_minutes_stay():
    meter = Meter()

    def work() -> None:
        for n in range(500):
            meter.count(at=NOW, error=False, slow=n % 2 == 0)

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert meter.take(before=NOW + timedelta(seconds=59)) == {}
    assert meter.take(before=NOW + timedelta(seconds=61)) == {NOW: (2000, 0, 1000)}
    assert meter.take() == {}


def test_write_counts__twice_for_a_minute__adds_up_and_keeps_what_cannot_be_written(alpha):
    meter = Meter()
    for _ in range(2):
        meter.count(at=NOW, error=True, slow=False)
        assert write_counts(meter) == 1
    row = RequestCount.objects.get(minute=NOW)
    assert (row.requests, row.errors, row.slow) == (2, 2, 0)
    meter.count(at=NOW, error=False, slow=False)
    meter.give_back(meter.take())
    assert meter.take() == {NOW: (1, 0, 0)}


def test_middleware__requests_to_the_api__are_counted_and_pages_are_not(alpha, client_of):
    metering.METER.take()
    client = client_of("alpha")
    client.get("/api/v1/models/")
    client.get("/admin/login/")
    client.get("/api/v1/nothing-at-all/")
    assert sum(counts[0] for counts in metering.METER.take().values()) == 2


def test_pages__operator__sees_levels_and_dispatches_and_others_do_not(alpha, make_user):
    connection.set_schema_to_public()
    measure_slos(now=timezone.now())
    operator = make_user("op", is_superuser=True)
    client = Client(headers={"host": "localhost"})
    client.force_login(operator)
    page = client.get(reverse("admin:tenants_slosample_changelist", urlconf="config.urls_platform"))
    text = page.content.decode()
    assert page.status_code == 200 and "Forecasts are fresh" in text and "Error budget left" in text
    plain = Client(headers={"host": "localhost"})
    plain.force_login(make_user("plain"))
    assert plain.get(reverse("admin:tenants_slosample_changelist", urlconf="config.urls_platform")).status_code == 403
