"""What this app watches for: stale sources, repeated refusals, columns that wait, a broken audit chain.

What it finds becomes an incident; what is over by itself is resolved where the trigger says so.
"""

from __future__ import annotations

from datetime import time, timedelta
from typing import Any

from django.utils import timezone

from integrations.incident_errors import StillFailing
from integrations.incidents import Check, Step, Trigger, all_watches, get_trigger, register_trigger, register_watch
from integrations.models import DriftItem, Incident, SftpConnection
from integrations.models.drift import DriftState
from integrations.models.incident import LIVE_INCIDENTS
from integrations.services.incidents import open_incident, resolve_incident
from integrations.sync_health import Health, SyncHealth, sync_health
from ledger.context import RunContext
from ledger.schema import connection
from ledger.services.verify import ChainReport, verify_chain
from tenants.models import Heartbeat
from tenants.schedules import Every, Schedule, register_schedule
from tenants.services.slo_measuring import age_hours, applies_to
from tenants.slos import TENANT_SLOS, Slo, SloState, age_state

WATCH, VERIFY, PULL_ALL = "integrations.watch", "integrations.verify_ledger", "integrations.sftp_pull_all"
DRIFT_WAITS = timedelta(hours=24)
STALE, FAILING, HELD, LEDGER = "stale_source", "ingest_failing", "drift_held", "ledger_broken"
LEVEL, MISSING = "slo_critical", "forecasts_missing"
_PRODUCTION = "production_tier_active"


def watch(*, ctx: RunContext | None) -> dict[str, int]:
    """Run every registered watch in the current schema, then look again at what may close by itself.

    Returns the number of watches, of live incidents, and of those that were resolved. A watch that breaks is told as
    such by the run that fails, after the others had their turn.
    """
    broken: list[Exception] = []
    watches = all_watches()
    for number, (name, look) in enumerate(watches):
        if ctx is not None:
            ctx.progress(number, len(watches) + 1, f"Watching: {name}")
        try:
            look()
        except Exception as error:  # noqa: BLE001  # the other watches have to be heard; it is raised below
            broken.append(error)
    resolved = sum(_close_if_over(incident) for incident in Incident.objects.filter(state__in=LIVE_INCIDENTS))
    if broken:
        raise broken[0]
    live = Incident.objects.filter(state__in=LIVE_INCIDENTS).count()
    return {"watches": len(watches), "live": live, "resolved": resolved}


def _close_if_over(incident: Incident) -> bool:
    trigger = get_trigger(incident.trigger)
    if not trigger.closes_itself or not trigger.check(incident).passed:
        return False
    try:
        resolve_incident(incident_id=incident.pk, actor=None, text="The cause is gone; nobody had to step in.")
    except StillFailing:  # it came back in between
        return False
    return True


def register() -> None:
    """Make this app's triggers, watches and schedules known."""
    register_schedule(
        Schedule("watch", WATCH, "Look for what should be an incident", Every.HOUR, at=time(0, 5), jitter=30)
    )
    register_schedule(
        Schedule("sftp_pull", PULL_ALL, "Pull from every SFTP server", Every.HOUR, at=time(0, 20), jitter=25,
                 applies=lambda: SftpConnection.objects.filter(enabled=True).exists())
    )  # fmt: skip
    register_schedule(Schedule("verify_ledger", VERIFY, "Verify the audit trail", Every.DAY, at=time(2), jitter=60))
    for trigger in _TRIGGERS:
        register_trigger(trigger)
    register_watch("sources", _watch_sources)
    register_watch("changed columns", _watch_columns)
    register_watch("service levels", _watch_levels)


# --- sources ----------------------------------------------------------------------------------------------------------


def _watch_sources() -> None:
    for found in sync_health():
        trigger = {Health.STALE: STALE, Health.FAILING: FAILING}.get(found.health)
        if trigger is not None:
            open_incident(trigger=trigger, subject=found.source.name, summary=found.words, facts=found.to_json())


def _of(incident: Incident) -> SyncHealth | None:
    return next(iter(sync_health(name=incident.subject)), None)


def _fresh_again(incident: Incident) -> Check:
    found = _of(incident)
    if found is None:
        return Check(True, "the source is not there any more.")
    return Check(found.health not in (Health.STALE, Health.LATE), found.words)


def _loads_again(incident: Incident) -> Check:
    found = _of(incident)
    if found is None:
        return Check(True, "the source is not there any more.")
    refused = f"the newest delivery was refused: {found.last_problem[:200]}"
    return Check(found.failures == 0, refused if found.failures else found.words)


# --- changed columns --------------------------------------------------------------------------------------------------


def _watch_columns() -> None:
    waiting = DriftItem.objects.filter(state=DriftState.OPEN, opened_at__lt=timezone.now() - DRIFT_WAITS)
    for item in waiting.select_related("source"):
        open_incident(
            trigger=HELD,
            subject=item.source.name,
            summary=f"A delivery of {item.source.name} has been held for more than a day because its columns changed. "
            "Later deliveries wait behind it.",
            facts={"delivery": item.delivery_id, "held_since": item.opened_at.isoformat()},
        )


def _decided(incident: Incident) -> Check:
    open_items = DriftItem.objects.filter(state=DriftState.OPEN, source__name=incident.subject).count()
    return Check(not open_items, f"{open_items or 'no'} deliveries of {incident.subject} are held for changed columns.")


# --- service levels ---------------------------------------------------------------------------------------------------


def _critical() -> tuple[Heartbeat | None, list[Slo]]:
    """The tenant's heartbeat, and the service levels that it has missed for two windows by now."""
    beat = Heartbeat.objects.filter(schema_name=connection.schema_name).first()
    if beat is None:
        return None, []
    now = timezone.now()
    ages = {slo: age_hours(beat, slo, now) for slo in TENANT_SLOS if applies_to(beat, slo)}
    return beat, [slo for slo, age in ages.items() if age_state(age, slo) is SloState.CRITICAL]


def _watch_levels() -> None:
    beat, critical = _critical()
    for slo in critical:
        missing = beat is not None and slo.field == "last_forecast_at" and beat.readiness == _PRODUCTION
        open_incident(
            trigger=MISSING if missing else LEVEL,
            subject=slo.name,
            summary=f"{slo.title}: not for this tenant, for more than {2 * slo.max_age_hours:g} hours. "
            "No model is promoted until it is so again.",
            facts={"slo": slo.name, "max_age_hours": slo.max_age_hours},
        )


def _kept_again(incident: Incident) -> Check:
    critical = [slo for slo in _critical()[1] if slo.name == incident.subject]
    title = incident.subject.replace("_", " ")
    return Check(not critical, f"{title} is {'missed for two windows still' if critical else 'kept, or nearly'}.")


# --- audit chain ------------------------------------------------------------------------------------------------------


def verify_ledger() -> dict[str, Any]:
    """Recompute the tenant's audit chain; a break is an incident. Returns the number of events and of broken ones."""
    report = verify_chain()
    if not report.intact:
        problem = _first_break(report)
        open_incident(trigger=LEDGER, summary=f"The audit trail does not add up: {problem}", facts={"problem": problem})
    return {"events": report.events, "broken": len(report.broken), "head": report.head}


def _first_break(report: ChainReport) -> str:
    first = report.broken[0]
    return f"event {first.sequence} ({first.event or 'at the end'}): {first.problem}."


def _chain_whole(incident: Incident) -> Check:
    report = verify_chain()
    return Check(report.intact, "the audit trail adds up." if report.intact else _first_break(report))


_LEVEL_STEPS = (
    Step("worker", "See that a worker runs, and what waits in its queue", "/readyz; Runs"),
    Step("runs", "Read why the newest run of the job failed", "Runs → failed"),
    Step("data", "See that sales still come in: without new days there is nothing to forecast from", "Sources"),
    Step("again", "Start the job again", "manage.py dispatch forecasting.retrain --tenants SCHEMA"),
)

_TRIGGERS = (
    Trigger(
        name=MISSING,
        title="A production tenant has no fresh forecasts",
        severity="sev1",
        meaning="A tenant in production is served forecasts that are older than twice what is promised.",
        steps=_LEVEL_STEPS,
        check=_kept_again,
        closes_itself=True,
    ),
    Trigger(
        name=LEVEL,
        title="A service level is critical",
        severity="sev2",
        meaning="One of the tenant's own service levels was missed for two windows in a row.",
        steps=_LEVEL_STEPS,
        check=_kept_again,
        closes_itself=True,
    ),
    Trigger(
        name=STALE,
        title="A source is stale",
        severity="sev2",
        meaning="No sales came in for more than twice the time that the source's contract promises. Forecasts go on "
        "from old days and get worse with each one.",
        steps=(
            Step("see", "See when the source was last loaded and what came since", "Sources → the source → Deliveries"),
            Step("pull", "Where it is fetched by SFTP: look at the last pull, then pull now", "SFTP connections"),
            Step("ask", "Where files are sent to us: ask the sender whether the export ran", ""),
            Step("held", "See whether a delivery is held or was refused, and settle that first", "Changed columns"),
            Step("load", "Load what is missing, oldest day first", "Sources → Upload files"),
        ),
        check=_fresh_again,
        closes_itself=True,
    ),
    Trigger(
        name=FAILING,
        title="Deliveries are refused again and again",
        severity="sev2",
        meaning="Three deliveries in a row could not be loaded. The sender's export most likely changed.",
        steps=(
            Step("read", "Read why the newest delivery was refused", "Deliveries → the newest → Findings"),
            Step("compare", "Compare its file with the last one that was loaded", ""),
            Step("mend", "Mend the file and send it again, or change the contract", "Sources → Change the contract"),
            Step("resume", "Resume the run of the refused delivery where the cause was ours", "Runs"),
        ),
        check=_loads_again,
        closes_itself=True,
    ),
    Trigger(
        name=HELD,
        title="Changed columns wait for a decision",
        severity="sev3",
        meaning="A delivery is held because its columns changed, and everything that came later waits behind it.",
        steps=(
            Step("look", "Look at what changed and at the first rows", "Changed columns"),
            Step("decide", "Take the changed columns or discard the delivery, with a reason", "Changed columns"),
        ),
        check=_decided,
        closes_itself=True,
    ),
    Trigger(
        name=LEDGER,
        title="The audit trail does not add up",
        severity="sev1",
        meaning="A row of the append-only audit trail was changed or is missing. No decision may rest on it until it "
        "is known what happened.",
        steps=(
            Step("stop", "Stop promotions: the operations gate does so while this is open", ""),
            Step("name", "Let the ledger be verified and note the row that it names", "manage.py verify_ledger SCHEMA"),
            Step("keep", "Keep a copy of the database as it is", "manage.py backup of your PostgreSQL"),
            Step("find", "Find who had write access to the database since the last verified row", ""),
            Step("restore", "Restore the tenant from the last backup that verifies", ""),
        ),
        check=_chain_whole,
    ),
)
