"""One job dispatched to every tenant twice over, done by a worker, and what came of it in each."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

from django.conf import settings
from django.core.management.base import CommandError
from django.utils import timezone
from django_tenants.utils import schema_context

from config.staging.evidence import revision
from config.staging.worker import OwnWorker
from ledger.models import Run, RunState
from ledger.presence import worker_is_present
from tenants.models import Dispatch, DispatchEntry, EntryOutcome
from tenants.selectors import serving_schemas
from tenants.services.dispatching import dispatch

_POLL_SECONDS = 0.25
_ENDED = (RunState.SUCCEEDED, RunState.FAILED, RunState.CANCELLED, RunState.LOST)


def validate_fan_out(*, kind: str, timeout: float, say: Callable[[str], None]) -> dict[str, Any]:
    """Dispatch ``kind`` to every serving tenant, at once a second time, and let a worker do it; the evidence as JSON
    values. The second dispatch must find what the first queued, and queue nothing.

    Raises CommandError after ``timeout`` seconds, or where fewer than two tenants serve.
    """
    schemas = serving_schemas()
    if len(schemas) < 2:
        raise CommandError("A fan-out needs two tenants on trial or active: run manage.py demo.", returncode=2)
    started = timezone.now()
    foreign = worker_is_present()
    first = dispatch(kind=kind)
    second = dispatch(kind=kind)
    worker = None if foreign else OwnWorker(settings.DATA_DIR / "staging-worker.log")
    try:
        if worker is not None:
            worker.start()
        _wait(first, timeout, say)
    finally:
        if worker is not None:
            worker.stop()
    tenants = [_told(entry, second) for entry in first.entries.all()]
    checks = _checks(tenants, schemas, foreign=foreign)
    return {
        "kind": kind,
        "started_at": started.isoformat(),
        "ended_at": timezone.now().isoformat(),
        "revision": revision(),
        "worker": "one that ran already" if foreign else "started and stopped by the validation",
        "dispatches": [first.pk, second.pk],
        "tenants": tenants,
        "checks": checks,
        "verdict": "passed" if all(check["passed"] for check in checks) else "failed",
    }


def _wait(made: Dispatch, timeout: float, say: Callable[[str], None]) -> None:
    deadline = time.monotonic() + timeout
    waiting = {entry.schema_name: entry for entry in made.entries.all() if entry.run_id is not None}
    while waiting:
        for schema, entry in list(waiting.items()):
            run = _run_of(entry)
            if run is None or run.state in _ENDED:
                say(f"{schema}: {run.get_state_display().lower() if run is not None else 'its run is gone'}")
                del waiting[schema]
        if waiting and time.monotonic() > deadline:
            raise CommandError(f"It did not end within {timeout:.0f} s in {', '.join(waiting)}.")
        time.sleep(_POLL_SECONDS)


def _run_of(entry: DispatchEntry) -> Run | None:
    if entry.run_id is None:
        return None
    with schema_context(entry.schema_name):
        return Run.objects.filter(pk=entry.run_id).first()


def _told(entry: DispatchEntry, second: Dispatch) -> dict[str, Any]:
    run = _run_of(entry)
    with schema_context(entry.schema_name):
        runs = Run.objects.filter(kind=second.kind, idempotency_key__startswith=f"dispatch:{second.pk}").count()
    again = second.entries.get(schema_name=entry.schema_name)
    return {
        "schema": entry.schema_name,
        "dispatched": entry.outcome,
        "run": str(entry.run_id or ""),
        "state": run.state if run is not None else "gone",
        "waited_seconds": round(run.waited_seconds, 2) if run is not None else None,
        "worked_seconds": round(run.worked_seconds or 0.0, 2) if run is not None else None,
        "dispatched_again": again.outcome,
        "runs_of_the_second": runs,
    }


def _checks(tenants: list[dict[str, Any]], schemas: list[str], *, foreign: bool) -> list[dict[str, Any]]:
    reached = [one["schema"] for one in tenants]
    own = {one["run"] for one in tenants}
    doubled = [one["schema"] for one in tenants if one["runs_of_the_second"]]
    found = [
        ("every serving tenant was reached once", sorted(reached) == sorted(schemas), ", ".join(reached)),
        ("each was queued", {one["dispatched"] for one in tenants} == {EntryOutcome.QUEUED}, f"{len(tenants)} tenants"),
        ("each has a run of its own", len(own) == len(tenants), f"{len(own)} runs"),
        ("every run succeeded", all(one["state"] == RunState.SUCCEEDED for one in tenants),
         ", ".join(f"{one['schema']}: {one['state']}" for one in tenants)),
    ]  # fmt: skip
    if not foreign:  # before a worker began, so nothing of the first was over
        live = all(one["dispatched_again"] == EntryOutcome.LIVE for one in tenants)
        found.append(("a second dispatch queued nothing", live and not doubled, ", ".join(doubled) or "found it live"))
    return [{"name": name, "passed": bool(passed), "detail": detail} for name, passed, detail in found]


def as_markdown(report: dict[str, Any]) -> str:
    """The evidence for people."""
    began = report["started_at"][:16].replace("T", " ")
    lines = [
        "# Dispatch to every tenant, validated in staging",
        "",
        f"`{report['kind']}`, revision `{report['revision']}`, {began} UTC, worker {report['worker']}. "
        f"Verdict: **{report['verdict']}**.",
        "",
        "It is made again with `manage.py validate_dispatch`; only ids and times differ.",
        "",
        "| tenant | dispatched | run | ended as | waited, s | worked, s | dispatched again |",
        "|---|---|---|---|--:|--:|---|",
        *(
            f"| {one['schema']} | {one['dispatched']} | `{one['run'][:8]}` | {one['state']} | {one['waited_seconds']} "
            f"| {one['worked_seconds']} | {one['dispatched_again']} |"
            for one in report["tenants"]
        ),
        "",
        "| holds | check | found |",
        "|---|---|---|",
        *(f"| {'yes' if one['passed'] else '**no**'} | {one['name']} | {one['detail']} |" for one in report["checks"]),
    ]
    return "\n".join(lines) + "\n"
