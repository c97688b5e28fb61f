"""Jobs that were lost with their process or their database: retried by themselves, but somebody should know why."""

from __future__ import annotations

from datetime import timedelta

from django.utils import timezone

from integrations.incidents import Check, Step, Trigger, register_trigger, register_watch
from integrations.models import Incident
from integrations.services.incidents import open_incident
from ledger.models import LIVE_STATES, AuditEvent, Run, RunState

LOST = "runs_lost"
_LOOK_BACK = timedelta(hours=24)
_NAMED = 20


def register() -> None:
    """Make the trigger and its watch known."""
    register_trigger(
        Trigger(
            name=LOST,
            title="Jobs were lost with their process",
            severity="sev3",
            meaning="A job process was killed, its machine went away or its database was restarted. The jobs are tried "
            "again by themselves, and nothing that they did is kept twice.",
            steps=(
                Step("which", "Read which jobs it were, and why each was lost", "The facts name them; Runs"),
                Step(
                    "cause", "Find what ended the process", "The worker's log, the machine's memory, the database's log"
                ),
                Step("retried", "See that each was tried again and ended", "Runs, each run's attempts"),
                Step("resume", "Resume the ones that ran out of attempts", "Runs → failed → Resume"),
            ),
            check=_all_ended,
        )
    )
    register_watch("lost runs", _watch)


def _watch() -> None:
    newest = Incident.objects.filter(trigger=LOST).order_by("-pk").first()
    since = timezone.now() - _LOOK_BACK
    if newest is not None:
        since = max(since, newest.last_seen_at)
    events = AuditEvent.objects.filter(event="run.lost", at__gt=since).order_by("sequence")
    found = [
        {"why": "it gave no sign of life", "run": event.subject_id, "job": event.subject_label, **event.data}
        for event in events[:_NAMED]
    ]
    if not found:
        return
    count = events.count()
    open_incident(
        trigger=LOST,
        summary=f"{count} attempt(s) of jobs were lost; the first: {found[0]['job']}, as {found[0]['why']}.",
        facts={"attempts": count, "runs": found},
    )


def _all_ended(incident: Incident) -> Check:
    ids = {one["run"] for one in incident.facts.get("runs", [])}
    runs = Run.objects.filter(pk__in=ids)
    live = runs.filter(state__in=LIVE_STATES).count()
    failed = runs.filter(state=RunState.FAILED).count()
    if live or failed:
        return Check(False, f"Of {len(ids)} lost jobs {live} are not done yet and {failed} failed.")
    return Check(True, f"All {len(ids)} lost jobs were tried again and ended.")
