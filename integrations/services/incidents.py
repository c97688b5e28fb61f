"""Every change of an incident: open (once), acknowledge, walk the runbook, look again, resolve."""

from __future__ import annotations

from typing import Any

from django.contrib.auth.models import AbstractBaseUser
from django.db import IntegrityError, transaction
from django.utils import timezone

from integrations.incident_errors import IncidentClosed, IncidentNotFound, StepUnknown, StillFailing, TextMissing
from integrations.incidents import Check, Trigger, get_trigger
from integrations.models import Incident, IncidentEvent
from integrations.models.incident import INCIDENT_TRANSITIONS, LIVE_INCIDENTS, IncidentState, Severity
from ledger.services.audit import actor_name, record
from tenants.roles import Role, require_role
from tenants.services import heartbeat

_Kind = IncidentEvent.Kind
_ON_DUTY = (Role.TENANT_ADMIN, Role.ANALYST)


def open_incident(
    *,
    trigger: str,
    subject: str = "",
    summary: str,
    facts: dict[str, Any] | None = None,
    severity: str | None = None,
) -> Incident:
    """Open an incident, or note on the live one of the same trigger and subject that it was seen again.

    severity: over the trigger's own; a live incident is raised by it, never lowered. The incident is part of the
    caller's transaction: call it outside of one that the failure itself rolls back. Raises ``UnknownTrigger``.
    """
    kind = get_trigger(trigger)
    asked = severity or kind.severity
    subject, summary = subject[:120], summary[:400]
    live = _live(trigger, subject)
    if live is None:
        try:
            with transaction.atomic():
                return _open(kind, subject, summary, facts or {}, asked)
        except IntegrityError:  # another process was faster
            live = _live(trigger, subject)
            if live is None:
                raise
    return _seen_again(live.pk, summary, facts or {}, asked)


@transaction.atomic
def acknowledge_incident(*, incident_id: int, actor: AbstractBaseUser | None, text: str = "") -> Incident:
    """Say that somebody looks after it. Needs tenant_admin or analyst. Raises ``IncidentClosed``, ``RoleRequired``."""
    incident = _locked(incident_id, actor)
    if IncidentState.ACKNOWLEDGED not in INCIDENT_TRANSITIONS[incident.state]:
        raise _closed(incident)
    incident.state = IncidentState.ACKNOWLEDGED
    incident.acknowledged_at = timezone.now()
    incident.acknowledged_by_id = actor.pk if actor is not None else None
    incident.acknowledged_by_name = actor_name(actor)
    incident.save()
    _note(incident, _Kind.ACKNOWLEDGED, text.strip(), actor)
    _audit("incident.acknowledged", incident, actor)
    return incident


@transaction.atomic
def comment_incident(*, incident_id: int, actor: AbstractBaseUser | None, text: str) -> IncidentEvent:
    """Add a line to the timeline, also of a resolved one. Raises ``TextMissing``, ``RoleRequired``."""
    incident = _locked(incident_id, actor)
    if not text.strip():
        raise TextMissing("what you saw or did")
    _audit("incident.commented", incident, actor, text=text.strip())
    return _note(incident, _Kind.COMMENT, text.strip(), actor)


@transaction.atomic
def do_step(*, incident_id: int, key: str, actor: AbstractBaseUser | None, text: str = "") -> IncidentEvent:
    """Tick a step of the runbook; ticking it again adds what was found this time. Raises ``StepUnknown``,
    ``IncidentClosed``, ``RoleRequired``."""
    incident = _locked(incident_id, actor)
    if not incident.is_live:
        raise _closed(incident)
    step = next((step for step in get_trigger(incident.trigger).steps if step.key == key), None)
    if step is None:
        raise StepUnknown(str(incident), key)
    _audit("incident.step", incident, actor, step=key)
    return _note(incident, _Kind.STEP, text.strip(), actor, {"step": key, "title": step.text})


def check_incident(*, incident_id: int, actor: AbstractBaseUser | None = None) -> Check:
    """Let the trigger look whether the cause is gone, and keep what it saw. A check that breaks counts as failed."""
    with transaction.atomic():
        incident = _locked(incident_id, actor)
        found = _look(incident)
        _note(incident, _Kind.CHECK, found.text, actor, {"passed": found.passed})
    return found


def resolve_incident(*, incident_id: int, actor: AbstractBaseUser | None, text: str) -> Incident:
    """Close it, if the trigger's own check passes now; what the check saw is kept either way.

    Needs tenant_admin or analyst, or None for the system. Raises ``StillFailing``, ``IncidentClosed``,
    ``TextMissing``, ``RoleRequired``.
    """
    said = text.strip()
    if not said:
        raise TextMissing("what the cause was and what ended it")
    with transaction.atomic():
        incident = _locked(incident_id, actor)
        if IncidentState.RESOLVED not in INCIDENT_TRANSITIONS[incident.state]:
            raise _closed(incident)
        found = _look(incident)
        _note(incident, _Kind.CHECK, found.text, actor, {"passed": found.passed})
        if found.passed:
            incident.state = IncidentState.RESOLVED
            incident.resolved_at = timezone.now()
            incident.resolved_by_id = actor.pk if actor is not None else None
            incident.resolved_by_name = actor_name(actor)
            incident.resolution = said
            incident.save()
            _note(incident, _Kind.RESOLVED, said, actor)
            _audit("incident.resolved", incident, actor, resolution=said, check=found.text)
            touch_incidents()
            return incident
    raise StillFailing(str(incident), found.text)  # outside of the transaction, so that what was seen is kept


def touch_incidents() -> None:
    """Bring the tenant's heartbeat up to date: live incidents, and those of severity 1."""
    live = Incident.objects.filter(state__in=LIVE_INCIDENTS)
    heartbeat.touch(open_incidents=live.count(), open_sev1=live.filter(severity=Severity.SEV1).count())


def _open(kind: Trigger, subject: str, summary: str, facts: dict[str, Any], severity: str) -> Incident:
    now = timezone.now()
    incident = Incident.objects.create(
        trigger=kind.name, subject=subject, severity=severity, summary=summary, facts=facts, last_seen_at=now
    )
    _note(incident, _Kind.OPENED, summary, None, facts)
    _audit("incident.opened", incident, None, summary=summary)
    touch_incidents()
    return incident


@transaction.atomic
def _seen_again(pk: int, summary: str, facts: dict[str, Any], severity: str) -> Incident:
    incident = Incident.objects.select_for_update(of=("self",)).get(pk=pk)
    incident.occurrences += 1
    incident.last_seen_at = timezone.now()
    incident.summary, incident.facts = summary, facts
    raised = severity < incident.severity  # sev1 sorts before sev2
    if raised:
        incident.severity = severity
        _audit("incident.raised", incident, None, severity=severity)
        _note(incident, _Kind.RAISED, summary, None, {**facts, "severity": severity})
    elif incident.events.order_by("-pk").values_list("text", flat=True).first() != summary:
        _note(incident, _Kind.SEEN, summary, None, facts)  # the same words again are only counted
    incident.save()
    if raised:
        touch_incidents()
    return incident


def _look(incident: Incident) -> Check:
    try:
        with transaction.atomic():
            return get_trigger(incident.trigger).check(incident)
    except Exception as error:  # noqa: BLE001  # whatever breaks a check, the incident is not known to be over
        return Check(False, f"the check itself failed ({type(error).__name__}: {error}).")


def _live(trigger: str, subject: str) -> Incident | None:
    return Incident.objects.filter(trigger=trigger, subject=subject, state__in=LIVE_INCIDENTS).first()


def _locked(incident_id: int, actor: AbstractBaseUser | None) -> Incident:
    if actor is not None:
        require_role(actor, *_ON_DUTY)
    incident = Incident.objects.select_for_update(of=("self",)).filter(pk=incident_id).first()
    if incident is None:
        raise IncidentNotFound(incident_id)
    return incident


def _closed(incident: Incident) -> IncidentClosed:
    by = incident.resolved_by_name or incident.acknowledged_by_name
    return IncidentClosed(str(incident), incident.get_state_display().lower(), by)


def _note(
    incident: Incident, kind: str, text: str, actor: AbstractBaseUser | None, data: dict[str, Any] | None = None
) -> IncidentEvent:
    return IncidentEvent.objects.create(
        incident=incident, kind=kind, text=text, actor_name=actor_name(actor), data=data or {}
    )


def _audit(event: str, incident: Incident, actor: AbstractBaseUser | None, **data: Any) -> None:
    facts = {"trigger": incident.trigger, "subject": incident.subject, "severity": incident.severity}
    record(event=event, actor=actor, subject=incident, data={**facts, **data})
