"""What a drill proved, check by check, and the record that stays of it."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from django.utils import timezone

from forecasting.engine.types import canonical_json, sha256_text
from forecasting.models import (
    ChampionAssignment,
    Channel,
    DrillOutcome,
    ForecastSet,
    ModelVersion,
    PromotionRequest,
    RollbackDrill,
)
from forecasting.models.registry import TrainingMode, VersionStatus
from forecasting.services import alarms
from forecasting.services.drill_state import compare
from ledger.jobs import job_title
from ledger.models import Run, RunState
from ledger.services.audit import record


def check(state: dict[str, Any], root: Run) -> list[dict[str, Any]]:
    """Everything that the drill is to prove: name, passed, and why that is known."""
    days = state["days"]
    last = days[-1] if days else None
    whole_called = [one["day"] for one in days if one["whole"]["detected"]]
    untouched, why = compare(
        state["before"],
        state["after"],
        since=datetime.fromisoformat(state["started_at"]),
        correlation=root.correlation_id,
    )
    same = state["published_sha256"] == state["reloaded_sha256"] == state["restored_sha256"]
    kept_out = _kept_out(state["damaged"])
    rows = [
        ("damage", state["damaged_sha256"] != state["published_sha256"],
         "the damaged version forecasts other figures than the one it displaced"),
        ("noticed", bool(state["detected"]),
         f"{last['damaged']['reason']}, after {last['steps']} step(s) of actuals" if last else "no day came"),
        ("no_false_alarm", not whole_called,
         f"of the whole version on the same rows: {last['whole']['reason']}" if last else "no day came"),
        ("restored", state["restored"] == state["reference"],
         f"v{state['reference']} serves on the drill channel again, through the rollback that the live one uses; "
         f"{state['rollback']['files']} files verified"),
        ("bit_identical", same,
         "reloaded from the store, it forecast the same bits as it had published" if same
         else "what it forecast after the reload is not what it had published"),
        ("live_untouched", untouched, why),
        ("kept_out", kept_out,
         "the damaged version has no live assignment, forecast or request, and is no candidate" if kept_out
         else "the damaged version is known to the live channel"),
    ]  # fmt: skip
    return [{"name": name, "passed": passed, "text": text} for name, passed, text in rows]


def write(*, root: Run, state: dict[str, Any], checks: list[dict[str, Any]]) -> RollbackDrill:
    """Record an ended drill, and open an incident where it proved less than it should. One drill, one record."""
    failing = [one for one in checks if not one["passed"]]
    same = next(one["passed"] for one in checks if one["name"] == "bit_identical")
    return _write(
        root=root,
        outcome=DrillOutcome.FAILED if failing else DrillOutcome.PASSED,
        sentence=_failed(failing) if failing else _passed(state),
        state=state,
        checks=checks,
        bit_identical=same,
    )


def write_stopped(*, root: Run, step: Run, state: dict[str, Any]) -> RollbackDrill:
    """Record a drill that did not come to its end: a step failed, or somebody cancelled it."""
    title = job_title(step.kind)
    if step.state == RunState.CANCELLED:
        outcome, said = DrillOutcome.STOPPED, f"Cancelled at the step “{title}”; nothing was proved."
    else:
        outcome, said = DrillOutcome.FAILED, f"The step “{title}” failed: {step.error}"
    return _write(root=root, outcome=outcome, sentence=said, state=state, checks=[], bit_identical=None)


def _write(
    *,
    root: Run,
    outcome: str,
    sentence: str,
    state: dict[str, Any],
    checks: list[dict[str, Any]],
    bit_identical: bool | None,
) -> RollbackDrill:
    known = RollbackDrill.objects.filter(run_id=root.pk).first()
    if known is not None:
        return known
    versions = {one.number: one for one in ModelVersion.objects.filter(
        number__in=[state[name] for name in ("reference", "damaged") if name in state])}  # fmt: skip
    report = {**state, "checks": checks, "steps": steps_of(root)}
    drill = RollbackDrill.objects.create(
        run_id=root.pk,
        outcome=outcome,
        sentence=sentence,
        reference=versions.get(state.get("reference", -1)),
        damaged=versions.get(state.get("damaged", -1)),
        origin_date=state.get("origin"),
        days_to_detect=state.get("days_to_detect"),
        seconds_to_detect=state.get("seconds_to_detect"),
        seconds_to_restore=state.get("seconds_to_restore"),
        bit_identical=bit_identical,
        report=report,
        report_sha256=sha256_text(canonical_json(report)),
        started_at=root.started_at or root.queued_at,
        finished_at=timezone.now(),
        asked_by_name=root.requested_by_name,
        reason=state.get("reason", ""),
    )
    record(
        event=f"drill.{outcome}",
        actor=root.requested_by,
        subject=drill,
        data={
            "channel": Channel.DRILL,
            "run": str(root.pk),
            "sentence": sentence,
            "report_sha256": drill.report_sha256,
        },
        correlation_id=root.correlation_id,
    )
    if outcome == DrillOutcome.FAILED:
        alarms.drill_failed(drill)
    return drill


def steps_of(root: Run) -> list[dict[str, Any]]:
    """The runs of a drill in order: what, how it ended, how often it was tried, how long it took."""
    rows = [root, *Run.objects.filter(parent=root).order_by("queued_at")]
    return [
        {
            "title": job_title(one.kind),
            "kind": one.kind,
            "run": str(one.pk),
            "state": str(one.state),
            "attempts": one.attempt,
            "worker": one.worker,
            "seconds": round(one.duration_seconds, 3) if one.duration_seconds is not None else None,
        }
        for one in rows
    ]


def _kept_out(number: int) -> bool:
    version = ModelVersion.objects.get(number=number)
    near = (
        ChampionAssignment.objects.filter(version=version, channel=Channel.LIVE).exists()
        or ForecastSet.objects.filter(version=version, channel=Channel.LIVE).exists()
        or PromotionRequest.objects.filter(candidate=version).exists()
    )
    return not near and version.mode == TrainingMode.DRILL and version.status == VersionStatus.RETIRED


def _passed(state: dict[str, Any]) -> str:
    return (
        f"A damaged model was noticed after {state['days_to_detect']} step(s) of actuals "
        f"({state['seconds_to_detect']:.1f} s after it was promoted); v{state['reference']} served again within "
        f"{state['seconds_to_restore']:.2f} s, bit for bit as it had published."
    )


def _failed(failing: list[dict[str, Any]]) -> str:
    return "The drill did not prove what it should: " + "; ".join(
        f"{one['name'].replace('_', ' ')}: {one['text']}" for one in failing
    )
