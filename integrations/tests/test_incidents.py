"""Incidents: one a cause, a timeline that stays, an end only when the trigger's own check passes."""

from __future__ import annotations

import threading
from collections.abc import Iterator

import pytest
from django.db import DatabaseError, connection, transaction
from django_tenants.utils import schema_context

from integrations import incidents as registry
from integrations.incident_errors import IncidentClosed, StepUnknown, StillFailing, TextMissing, UnknownTrigger
from integrations.incidents import Check, Step, Trigger, register_trigger
from integrations.models import Incident, IncidentEvent
from integrations.models.incident import IncidentState
from integrations.services.incidents import (
    acknowledge_incident,
    check_incident,
    comment_incident,
    do_step,
    open_incident,
    resolve_incident,
)
from ledger.models import AuditEvent
from tenants.errors import RoleRequired
from tenants.models import Heartbeat
from tenants.roles import Role

GONE: dict[str, bool] = {}


@pytest.fixture(autouse=True)
def _trigger() -> Iterator[None]:
    GONE.clear()

    def check(incident: Incident) -> Check:
        if "broken" in incident.subject:
            raise ValueError("no such thing")
        gone = GONE.get(incident.subject, False)
        return Check(gone, "the lamp is green." if gone else "the lamp is red.")

    register_trigger(Trigger("lamp", "The lamp is red", "sev2", "A lamp.", (Step("look", "Look at the lamp"),), check))
    yield
    registry._TRIGGERS.pop("lamp")


def beat() -> tuple[int, int]:
    row = Heartbeat.objects.get(schema_name="alpha")
    return row.open_incidents, row.open_sev1


def test_open_incident__same_cause_again__is_one_with_a_count(alpha):
    first = open_incident(trigger="lamp", subject="a", summary="red", facts={"n": 1})
    again = open_incident(trigger="lamp", subject="a", summary="red", facts={"n": 2})
    other = open_incident(trigger="lamp", subject="b", summary="red")
    assert again.pk == first.pk and again.occurrences == 2 and again.facts == {"n": 2}
    assert other.pk != first.pk and beat() == (2, 0)
    assert [event.kind for event in first.events.all()] == ["opened"]  # the same words are only counted
    open_incident(trigger="lamp", subject="a", summary="dark red")
    assert [event.kind for event in first.events.all()] == ["opened", "seen"]


def test_open_incident__worse_than_before__raises_and_never_lowers(alpha):
    first = open_incident(trigger="lamp", subject="a", summary="red")
    open_incident(trigger="lamp", subject="a", summary="burning", severity="sev1")
    open_incident(trigger="lamp", subject="a", summary="red", severity="sev3")
    first.refresh_from_db()
    assert first.severity == "sev1" and beat() == (1, 1)
    assert AuditEvent.objects.filter(event="incident.raised", subject_id=str(first.pk)).count() == 1


def test_open_incident__facts_named_as_its_own_words__are_kept(alpha):
    facts = {"severity": "low", "text": "red", "kind": "lamp", "actor": "nobody", "incident": 7}
    incident = open_incident(trigger="lamp", subject="a", summary="red", facts=facts)
    open_incident(trigger="lamp", subject="a", summary="burning", facts=facts, severity="sev1")
    open_incident(trigger="lamp", subject="a", summary="still burning", facts=facts)
    assert [(event.kind, event.data) for event in incident.events.all()] == [
        ("opened", facts), ("raised", {**facts, "severity": "sev1"}), ("seen", facts),
    ]  # fmt: skip


def test_open_incident__unknown_trigger__is_refused(alpha):
    with pytest.raises(UnknownTrigger):
        open_incident(trigger="no_such", summary="?")


def test_resolve_incident__check_fails__stays_open_and_keeps_what_was_seen(alpha, make_user):
    person = make_user("ann", Role.ANALYST)
    incident = open_incident(trigger="lamp", subject="a", summary="red", severity="sev1")
    with pytest.raises(StillFailing, match="the lamp is red"):
        resolve_incident(incident_id=incident.pk, actor=person, text="I think it is fine")
    assert Incident.objects.get().state == IncidentState.OPEN
    assert incident.events.order_by("-pk").values_list("data", flat=True)[0] == {"passed": False}
    GONE["a"] = True
    resolve_incident(incident_id=incident.pk, actor=person, text="A new bulb")
    closed = Incident.objects.get()
    assert (closed.state, closed.resolved_by_name, closed.resolution) == ("resolved", "ann", "A new bulb")
    assert beat() == (0, 0)
    with pytest.raises(IncidentClosed, match="resolved already, by ann"):
        resolve_incident(incident_id=incident.pk, actor=person, text="again")
    assert open_incident(trigger="lamp", subject="a", summary="red").pk != incident.pk


def test_check_incident__the_check_itself_breaks__counts_as_not_over(alpha):
    incident = open_incident(trigger="lamp", subject="broken", summary="red")
    found = check_incident(incident_id=incident.pk)
    assert not found.passed and "ValueError: no such thing" in found.text
    with pytest.raises(StillFailing):
        resolve_incident(incident_id=incident.pk, actor=None, text="over")


def test_incident__walking_the_runbook__is_a_timeline_with_names(alpha, make_user):
    person = make_user("tom", Role.TENANT_ADMIN)
    incident = open_incident(trigger="lamp", subject="a", summary="red")
    acknowledge_incident(incident_id=incident.pk, actor=person, text="on it")
    do_step(incident_id=incident.pk, key="look", actor=person, text="it is red indeed")
    comment_incident(incident_id=incident.pk, actor=person, text="bulb ordered")
    assert [(event.kind, event.actor_name) for event in incident.events.all()] == [
        ("opened", "system"), ("acknowledged", "tom"), ("step", "tom"), ("comment", "tom"),
    ]  # fmt: skip
    assert AuditEvent.objects.filter(event__startswith="incident.", subject_id=str(incident.pk)).count() == 4
    with pytest.raises(IncidentClosed):
        acknowledge_incident(incident_id=incident.pk, actor=person)
    with pytest.raises(StepUnknown):
        do_step(incident_id=incident.pk, key="dance", actor=person)
    with pytest.raises(TextMissing):
        comment_incident(incident_id=incident.pk, actor=person, text="  ")
    with pytest.raises(TextMissing):
        resolve_incident(incident_id=incident.pk, actor=person, text="")


@pytest.mark.parametrize("role", [Role.VIEWER, Role.REVIEWER])
def test_incident__of_a_person_not_on_duty__is_refused(alpha, make_user, role: Role):
    incident = open_incident(trigger="lamp", subject="a", summary="red")
    person = make_user("eve", role, is_superuser=True)
    for act in (acknowledge_incident, comment_incident, resolve_incident):
        with pytest.raises(RoleRequired):
            act(incident_id=incident.pk, actor=person, text="mine")
    with pytest.raises(RoleRequired):
        do_step(incident_id=incident.pk, key="look", actor=person)


def test_incident__history_by_sql__cannot_be_changed(alpha):
    incident = open_incident(trigger="lamp", subject="a", summary="red")
    GONE["a"] = True
    resolve_incident(incident_id=incident.pk, actor=None, text="over")
    for statement in (
        "UPDATE integrations_incidentevent SET text = 'nothing happened'",
        "DELETE FROM integrations_incidentevent",
        "DELETE FROM integrations_incident",
        "UPDATE integrations_incident SET state = 'open', resolved_at = NULL",
    ):
        with pytest.raises(DatabaseError, match="append-only"), transaction.atomic(), connection.cursor() as cursor:
            cursor.execute(statement)


def test_incident__of_another_tenant__is_not_there(alpha):
    open_incident(trigger="lamp", subject="a", summary="red")
    with schema_context("beta"):
        assert not Incident.objects.exists() and not IncidentEvent.objects.exists()


def test_open_incident__twice_at_once__is_one(throwaway):
    barrier = threading.Barrier(4)

    def act() -> None:
        with schema_context(throwaway.schema_name):
            barrier.wait()
            open_incident(trigger="lamp", subject="a", summary="red")
        connection.close()

    threads = [threading.Thread(target=act) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [(one.occurrences, one.state) for one in Incident.objects.all()] == [(4, "open")]
