"""One simulation from the damage to the evidence."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from django.conf import settings
from django.utils import timezone
from django_tenants.utils import schema_context

from config.demo.run import PLANS
from config.revision import revision
from config.simulation.errors import SimulationRefused
from config.simulation.scenarios import SCENARIOS, Scenario, sound
from config.simulation.world import Journal, World
from integrations.incidents import Check, get_trigger
from integrations.models import Incident
from integrations.models.incident import IncidentState
from integrations.services.incidents import acknowledge_incident, check_incident, do_step, resolve_incident
from ledger.schema import connection
from ledger.services.audit import record
from tenants.selectors import get_tenant

Say = Callable[[str], None]


def is_demo(schema_name: str) -> bool:
    """Whether this schema is one that the demo makes."""
    return schema_name in {plan.schema_name for plan in PLANS}


def require_allowed(schema_name: str, *, sure: bool = False) -> None:
    """Raise ``SimulationRefused`` unless it is a demo tenant's or somebody is sure, and the tenant is served."""
    tenant = get_tenant(schema_name)
    if not (sure or is_demo(schema_name)):
        raise SimulationRefused(
            f"{schema_name} is no demo tenant ({', '.join(plan.schema_name for plan in PLANS)}). An incident is really "
            "caused: add --yes-really only where nobody relies on its forecasts."
        )
    if not tenant.is_serving:
        raise SimulationRefused(f"{schema_name} is suspended; its jobs wait, so nothing would be found.")


def put_back(schema_name: str) -> list[str]:
    """Put back what an interrupted simulation left damaged; returns what that was."""
    with schema_context(schema_name):
        return Journal(schema_name).put_back()


def simulate(
    *, scenario: str, schema_name: str, files: Path | None = None, patience: float = 180.0, say: Say, sure: bool = False
) -> dict[str, Any]:
    """Cause the incident, wait until the system has found it, walk its runbook, verify; returns the evidence.

    A worker has to run. Whatever happens, what was damaged is put back. Raises ``UnknownTenant``,
    ``SimulationRefused``, ``SimulationFailed``.
    """
    chosen = SCENARIOS[scenario]
    require_allowed(schema_name, sure=sure)
    folder = files or Path(settings.DATA_DIR) / "demo" / schema_name
    world = World(schema_name, folder, say, patience)
    journal = Journal(schema_name)
    with schema_context(schema_name), _alone(schema_name):
        for text in journal.put_back():
            world.note(f"Left by an interrupted simulation: {text}")
        if (open_now := world.incident(chosen.trigger)) is not None:
            raise SimulationRefused(
                f"{open_now} of this kind is open already. Resolve it first; then simulate another."
            )
        record(event="simulation.started", data={"scenario": scenario, "title": chosen.title})
        try:
            incident = _walk(world, chosen, journal)
        finally:
            world.reconnect()
            for text in journal.put_back():
                world.note(f"Put back: {text}")
        facts = {**chosen.verify(world), **sound(world)}
        evidence = _evidence(world, chosen, incident, facts)
        record(event="simulation.ended", data={"scenario": scenario, "passed": evidence["passed"]})
        return evidence


def _walk(world: World, chosen: Scenario, journal: Journal) -> Incident:
    chosen.cause(world, journal)
    world.facts["caused"] = world.note("The cause is there")
    world.start(chosen.look)
    found = world.wait(lambda: world.incident(chosen.trigger), "The incident being opened")
    world.facts["detected"] = world.note(
        f"The system opened {found} ({found.severity.upper()}): {found.summary}", incident=found.pk
    )
    acknowledge_incident(incident_id=found.pk, actor=None, text="Simulated; the runbook is walked.")
    for step in get_trigger(chosen.trigger).steps:
        act = chosen.mend.get(step.key)
        text = act(world) if act is not None else f"Read: {found.summary}"
        if Incident.objects.get(pk=found.pk).is_live:  # a watch may have resolved it as soon as the cause was gone
            do_step(incident_id=found.pk, key=step.key, actor=None, text=text)
        world.note(f"Runbook, {step.key}: {step.text}")
    world.wait(lambda: _over(found.pk), "The trigger's own check passing")
    if Incident.objects.get(pk=found.pk).is_live:
        resolve_incident(incident_id=found.pk, actor=None, text=f"Simulated: {chosen.title}. The runbook was walked.")
    world.facts["recovered"] = world.note("The check passes and the incident is resolved")
    return Incident.objects.get(pk=found.pk)


def _over(pk: int) -> bool:
    if not Incident.objects.get(pk=pk).is_live:
        return True
    found: Check = check_incident(incident_id=pk)
    return found.passed


def _evidence(world: World, chosen: Scenario, incident: Incident, facts: dict[str, tuple[bool, str]]) -> dict[str, Any]:
    checks = [{"check": name, "passed": passed, "found": text} for name, (passed, text) in facts.items()]
    checks.append(
        {
            "check": "The incident is resolved",
            "passed": incident.state == IncidentState.RESOLVED,
            "found": incident.resolution,
        }
    )
    return {
        "scenario": chosen.name,
        "title": chosen.title,
        "tenant": world.schema_name,
        "revision": revision(),
        "began_at": world.began.isoformat(),
        "ended_at": timezone.now().isoformat(),
        "seconds_to_detect": round(world.facts["detected"] - world.facts["caused"], 2),
        "seconds_to_recover": round(world.facts["recovered"] - world.facts["detected"], 2),
        "timeline": world.timeline,
        "incident": {
            "number": incident.pk,
            "trigger": incident.trigger,
            "severity": incident.severity,
            "state": incident.state,
            "summary": incident.summary,
            "opened_at": incident.opened_at.isoformat(),
            "resolved_at": incident.resolved_at.isoformat() if incident.resolved_at else None,
            "events": [
                {"at": event.at.isoformat(), "kind": event.kind, "who": event.actor_name, "text": event.text}
                for event in incident.events.all()
            ],
        },
        "checks": checks,
        "passed": all(check["passed"] for check in checks),
    }


@contextmanager
def _alone(schema_name: str) -> Iterator[None]:
    """One simulation of a tenant at a time. A restart of the database lets the lock go; the journal stays."""
    key = int.from_bytes(hashlib.sha256(f"simulation:{schema_name}".encode()).digest()[:8], signed=True)
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_try_advisory_lock(%s)", [key])
        (free,) = cursor.fetchone()
    if not free:
        raise SimulationRefused(f"An incident of {schema_name} is being simulated already. Wait for its end.")
    try:
        yield
    finally:
        with connection.cursor() as cursor:
            cursor.execute("SELECT pg_advisory_unlock(%s)", [key])
