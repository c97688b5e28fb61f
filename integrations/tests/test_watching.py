"""What is watched: sources against their service level, columns, the audit chain; and what closes by itself."""

from __future__ import annotations

from datetime import timedelta

import pytest
from django.core.management import call_command
from django.db import connection
from django.urls import reverse
from django.utils import timezone
from django_tenants.utils import schema_context

from integrations import incidents as registry
from integrations.incidents import all_triggers, register_watch
from integrations.models import Contract, Delivery, DriftItem, Incident, Source
from integrations.services.incidents import open_incident
from integrations.services.watching import verify_ledger, watch
from integrations.sync_health import Health, sync_health
from ledger.services.audit import record
from tenants.models import Heartbeat
from tenants.roles import Role


def make(name: str = "pos", *, hours: float | None = 1, state: str = "active") -> Source:
    now = timezone.now()
    source = Source.objects.create(
        name=name, source_type="smb_csv", state=state,
        last_sync_at=None if hours is None else now - timedelta(hours=hours),
    )  # fmt: skip
    Contract.objects.create(
        source=source, version=1, body={"sla": {"max_age_hours": 30}}, sha256="0" * 64, state="active",
        activated_at=now - timedelta(hours=hours or 0),
    )  # fmt: skip
    return source


def refuse(source: Source, times: int) -> None:
    for n in range(times):
        Delivery.objects.create(
            source=source, via="api", state="refused", content_sha256=f"{n}", problem=f"no column qty ({n})"
        )


@pytest.mark.parametrize(
    ("hours", "health"),
    [(1, Health.FRESH), (29, Health.FRESH), (31, Health.LATE), (59, Health.LATE), (61, Health.STALE)],
)
def test_sync_health__age_against_the_contract__is_fresh_late_or_stale(alpha, hours, health):
    make(hours=hours)
    (found,) = sync_health()
    assert found.health is health and found.age_hours == pytest.approx(hours, abs=0.01)


def test_sync_health__paused_waiting_or_failing__is_said_as_such(alpha):
    make("asleep", hours=500, state="paused")
    Source.objects.create(name="new", source_type="smb_csv")
    refuse(make("bad"), 3)
    refuse(make("twice"), 2)
    found = {one.source.name: one for one in sync_health()}
    healths = {name: one.health.value for name, one in found.items()}
    assert healths == {"asleep": "paused", "new": "waiting", "bad": "failing", "twice": "fresh"}
    assert "no column qty (2)" in found["bad"].words and found["twice"].failures == 2
    assert found["new"].to_json()["last_sync_at"] is None


def test_sync_health__many_sources__three_queries(alpha, django_assert_num_queries):
    for n in range(6):
        refuse(make(f"s{n}"), 2)
    with django_assert_num_queries(3):
        assert len(sync_health()) == 6


def test_watch__stale_source__opens_one_incident_and_closes_it_when_sales_came(alpha):
    source = make(hours=100)
    assert watch(ctx=None)["live"] == 1
    watch(ctx=None)
    incident = Incident.objects.get()
    assert (incident.trigger, incident.subject, incident.occurrences) == ("stale_source", "pos", 2)
    Source.objects.filter(pk=source.pk).update(last_sync_at=timezone.now())
    ended = watch(ctx=None)
    assert (ended["live"], ended["resolved"]) == (0, 1)
    assert Incident.objects.get().resolved_by_name == "system"


def test_watch__refused_again_and_again__is_another_incident_than_staleness(alpha):
    source = make()
    refuse(source, 3)
    watch(ctx=None)
    assert Incident.objects.get().trigger == "ingest_failing"
    refuse(source, 1)
    watch(ctx=None)
    assert Incident.objects.get().summary.startswith("The last 4 deliveries")


def test_watch__columns_that_wait_for_a_day__is_an_incident_until_decided(alpha):
    source = make()
    delivery = Delivery.objects.create(source=source, via="api", state="held", content_sha256="x")
    item = DriftItem.objects.create(source=source, delivery=delivery, contract=source.contracts.get(), changes=[])
    watch(ctx=None)
    assert not Incident.objects.exists()
    DriftItem.objects.filter(pk=item.pk).update(opened_at=timezone.now() - timedelta(hours=25))
    watch(ctx=None)
    assert Incident.objects.get().trigger == "drift_held"
    DriftItem.objects.filter(pk=item.pk).update(state="discarded", decided_at=timezone.now(), reason="no")
    assert watch(ctx=None)["resolved"] == 1


@pytest.mark.parametrize(
    ("readiness", "trigger", "severity"),
    [("production_tier_active", "forecasts_missing", "sev1"), ("warming", "slo_critical", "sev2")],
)
def test_watch__no_fresh_forecasts__is_worse_for_a_tenant_in_production(alpha, readiness, trigger, severity):
    old, now = timezone.now() - timedelta(hours=80), timezone.now()
    fields = {"champion": "v1", "last_forecast_at": old, "last_accuracy_at": now, "readiness": readiness}
    Heartbeat.objects.update_or_create(schema_name="alpha", defaults=fields)
    watch(ctx=None)
    incident = Incident.objects.get()
    assert (incident.trigger, incident.severity, incident.subject) == (trigger, severity, "forecast_freshness")
    Heartbeat.objects.filter(schema_name="alpha").update(last_forecast_at=now)
    assert watch(ctx=None)["resolved"] == 1


def test_verify_ledger__a_row_was_changed__is_severity_one_and_stays_until_it_adds_up(alpha):
    record(event="test.event", data={"n": 1})
    assert verify_ledger()["broken"] == 0 and not Incident.objects.exists()
    with connection.cursor() as cursor:
        cursor.execute("ALTER TABLE ledger_auditevent DISABLE TRIGGER USER")
        cursor.execute("UPDATE ledger_auditevent SET data = '{\"n\": 2}' WHERE event = 'test.event'")
        cursor.execute("ALTER TABLE ledger_auditevent ENABLE TRIGGER USER")
    verify_ledger()
    incident = Incident.objects.get()
    assert incident.severity == "sev1" and "not what was recorded" in incident.summary
    assert watch(ctx=None)["resolved"] == 0


def test_watch__one_watch_breaks__the_others_are_heard_and_it_is_told(alpha):
    make(hours=100)

    def broken() -> None:
        raise ValueError("a broken watch")

    register_watch("a broken one", broken)
    try:
        with pytest.raises(ValueError, match="a broken watch"):
            watch(ctx=None)
    finally:
        registry._WATCHES.pop("a broken one")
    assert Incident.objects.get().trigger == "stale_source"


def test_incident_page__on_duty__walks_the_runbook_by_post_only(alpha, make_user, client_of):
    source = make(hours=100)
    watch(ctx=None)
    incident = Incident.objects.get()
    page, act = (reverse(f"admin:integrations_incident_{name}", args=[incident.pk]) for name in ("change", "act"))
    client = client_of("alpha", make_user("ann", Role.ANALYST))
    text = client.get(page).content.decode()
    assert "A source is stale" in text and "Runbook" in text and "I look after it" in text
    assert client.get(act).status_code == 302 and Incident.objects.get().state == "open"
    client.post(act, {"act": "acknowledge"})
    client.post(act, {"act": "step:see", "text": "nothing came"})
    refused = client.post(act, {"act": "resolve", "text": "I believe it is fine"}, follow=True).content.decode()
    assert "cannot be resolved yet" in refused and "I believe it is fine" in refused  # what was typed is still there
    with schema_context("alpha"):
        Source.objects.filter(pk=source.pk).update(last_sync_at=timezone.now())
    done = client.post(act, {"act": "resolve", "text": "the till was off"}, follow=True).content.decode()
    assert "Resolved" in done and "the till was off" in done
    viewer = client_of("alpha", make_user("eve", Role.VIEWER))
    assert "Add the comment" not in viewer.get(page).content.decode()
    told = viewer.post(act, {"act": "comment", "text": "me too"}, follow=True).content.decode()
    assert "needs the role" in told
    assert client.get(reverse("admin:integrations_incident_changelist")).status_code == 200


def test_incident_page__of_another_tenant__is_not_found(alpha, make_user, client_of):
    with schema_context("beta"):
        incident = open_incident(trigger="stale_source", subject="x", summary="x")
    client = client_of("alpha", make_user("ann", Role.TENANT_ADMIN))
    for name in ("change", "act"):
        assert client.post(reverse(f"admin:integrations_incident_{name}", args=[incident.pk])).status_code == 404


def test_runbook__committed_document__is_what_the_triggers_say(alpha):
    call_command("incident_runbook", "--check")
    assert all(trigger.steps and trigger.meaning for trigger in all_triggers())
