"""The rollback drill, step by step on a channel of its own: serve, damage, notice, put back, prove, record.

Each step is a run of its own that queues the next; what a step found travels in the next one's inputs. A step that a
kill ended is retried from there; one that fails ends the drill, which is then recorded as failed.
"""

from __future__ import annotations

from datetime import date, datetime
from typing import Any

from django.contrib.auth.models import AbstractBaseUser
from django.db import transaction
from django.utils import timezone

from forecasting import selectors
from forecasting.engine.damage import FACTOR, damageable
from forecasting.engine.forecast_hash import forecast_sha256
from forecasting.engine.types import ModelSpec as EngineSpec
from forecasting.errors_rollback import DrillFailed, DrillNotPossible, DrillOriginGone
from forecasting.models import ChampionAssignment, Channel, ForecastSet, ModelVersion, RollbackDrill
from forecasting.models.assignment import AssignmentKind
from forecasting.services import champions, drill_record
from forecasting.services.accuracy_watch import promised
from forecasting.services.chain_steps import check_may_start
from forecasting.services.drill_models import choose_ground, clear_away, make_drill_version
from forecasting.services.drill_state import Served, live_state, stored_sha256
from forecasting.services.drill_watch import reveal
from forecasting.services.policy import clean_reason
from forecasting.services.publishing import forecast_frame, forecast_version
from forecasting.services.rollback import rollback_champion
from forecasting.services.windows import plan_window
from ledger.context import RunContext
from ledger.errors import RunAlreadyLive
from ledger.models import LIVE_STATES, Run, RunState
from ledger.services import runs

START, DAMAGE = "forecasting.drill", "forecasting.drill_damage"
NOTICE, RESTORE, PROVE = "forecasting.drill_notice", "forecasting.drill_restore", "forecasting.drill_prove"
STEPS = (START, DAMAGE, NOTICE, RESTORE, PROVE)
SCHEDULED_REASON = "Monthly drill"


# --- doors ------------------------------------------------------------------------------------------------------------


def start_drill(*, actor: AbstractBaseUser | None, reason: str) -> Run:
    """Queue a drill and return its first run. Needs analyst or tenant_admin, or None for the system.

    Raises RoleRequired, TenantSuspended, ReasonMissing, DrillNotPossible, RunAlreadyLive.
    """
    check_may_start(actor)
    said = clean_reason(reason, "run a drill")
    live = Run.objects.filter(kind__in=STEPS, state__in=LIVE_STATES).first()
    if live is not None:
        raise RunAlreadyLive(live)
    choose_ground()
    return runs.enqueue(kind=START, inputs={"reason": said}, requested_by=actor)


def may_drill() -> bool:
    """Whether there is anything to drill with: asked before the schedule starts one."""
    try:
        choose_ground()
    except DrillNotPossible:
        return False
    return True


# --- steps ------------------------------------------------------------------------------------------------------------


def begin(ctx: RunContext, served: Served) -> dict[str, Any]:
    """Clear what an earlier drill left, choose what is put back, and let it serve on the drill channel."""
    ctx.progress(0, 3, "Looking at what serves")
    state: dict[str, Any] = {
        "reason": ctx.inputs.get("reason") or SCHEDULED_REASON,
        "started_at": timezone.now().isoformat(),
        "before": live_state(served),
    }
    clear_away(keep=ctx.run.pk)
    ground = choose_ground()
    ctx.progress(1, 3, f"Forecasting from {ground.origin}")
    version = ground.version
    if version is None:
        spec = EngineSpec.from_json(ground.champion.version.spec.body)
        version = make_drill_version(
            ctx=ctx, spec=spec, calibrated_by=ground.champion.version, origin=ground.origin, damage=False
        )
    made = forecast_version(ctx=ctx, version=version, origin=ground.origin, channel=Channel.DRILL)
    _serve(ctx, version, "The drill begins with what serves")
    live = ForecastSet.objects.filter(version=version, channel=Channel.LIVE, origin_date=ground.origin).first()
    state |= {
        "reference": version.number,
        "reference_is": ground.how,
        "promised_by": ground.champion.version.number,
        "origin": ground.origin.isoformat(),
        "until": str(selectors.newest_day()),
        "series": made.series_count,
        "horizon": made.horizon,
        "published_sha256": stored_sha256(made),
        "live_published_sha256": stored_sha256(live) if live is not None else None,
    }
    return _next(ctx, DAMAGE, state)


def damage(ctx: RunContext) -> dict[str, Any]:
    """Make the damaged version and promote it on the drill channel."""
    state = _state(ctx)
    reference, origin = _version(state["reference"]), date.fromisoformat(state["origin"])
    ctx.progress(0, 3, "Fitting, and damaging what was fitted")
    spec = damageable(EngineSpec.from_json(reference.spec.body))
    version = make_drill_version(ctx=ctx, spec=spec, calibrated_by=reference, origin=origin, damage=True)
    ctx.progress(1, 3, f"Forecasting with {version.label}")
    made = forecast_version(ctx=ctx, version=version, origin=origin, channel=Channel.DRILL)
    assignment = _serve(ctx, version, "Damaged on purpose")
    state |= {
        "damaged": version.number,
        "damage": {"spec": version.spec.label, "factor": FACTOR, "as_of": state["origin"],
                   "how": "every booster’s first tree was shifted by log(factor) in its stored file"},
        "damaged_sha256": stored_sha256(made),
        "promoted_at": assignment.from_at.isoformat(),
    }  # fmt: skip
    return _next(ctx, NOTICE, state)


def notice(ctx: RunContext) -> dict[str, Any]:
    """Let the actuals come, day by day, until the rule calls the damaged version."""
    state = _state(ctx)
    sets = [_set(state[name], state) for name in ("damaged", "reference")]
    days = reveal(
        ctx=ctx, damaged=sets[0], whole=sets[1], promise=promised(_version(state["promised_by"])),
        until=date.fromisoformat(state["until"]),
    )  # fmt: skip
    called = bool(days) and days[-1].damaged.detected
    now = timezone.now()
    state |= {
        "days": [one.to_json() for one in days],
        "detected": called,
        "days_to_detect": days[-1].steps if called else None,
        "detected_at": now.isoformat() if called else None,
        "seconds_to_detect": (now - datetime.fromisoformat(state["promoted_at"])).total_seconds() if called else None,
    }
    return _next(ctx, RESTORE, state)


def restore(ctx: RunContext) -> dict[str, Any]:
    """Roll back on the drill channel through the one service, then forecast the same rows from the reloaded files."""
    state = _state(ctx)
    reference, origin = _version(state["reference"]), date.fromisoformat(state["origin"])
    ctx.progress(0, 2, f"Rolling back to {reference.label}")
    current = selectors.current_champion(Channel.DRILL)
    if current is not None and current.version_id == reference.pk and current.kind == AssignmentKind.ROLLBACK:
        told = current.details  # a killed attempt had done it
    else:
        done = rollback_champion(
            actor=None,
            reason="The damage was noticed" if state["detected"] else "The drill ends, unnoticed",
            version=reference.number,
            channel=Channel.DRILL,
        )
        told = done.to_json()
    ctx.progress(1, 2, "Forecasting the same rows from the stored files")
    frame, _, _ = forecast_frame(reference, plan_window(as_of=origin, mode="serving"))
    serving = selectors.serving_set(Channel.DRILL)
    if serving is None:
        raise DrillOriginGone(origin)
    state |= {
        "rollback": told,
        "restored": serving.version.number,
        "seconds_to_restore": told["seconds"]["total"],
        "restored_sha256": stored_sha256(serving),
        "reloaded_sha256": forecast_sha256(frame),
    }
    return _next(ctx, PROVE, state)


def prove(ctx: RunContext, served: Served) -> dict[str, Any]:
    """Check everything, clear away, record what came of it; a drill that proved nothing fails."""
    state = _state(ctx)
    state["after"] = live_state(served)
    root = ctx.run.parent or ctx.run
    checks = drill_record.check(state, root)
    with transaction.atomic():
        ctx.fence()
        clear_away()
        drill = drill_record.write(root=root, state=state, checks=checks)
    outputs = {"drill": drill.pk, "outcome": drill.outcome, "sentence": drill.sentence}
    if not all(one["passed"] for one in checks):
        raise DrillFailed(drill.sentence)
    return outputs


def ended(run: Run) -> None:
    """A step that failed or was cancelled ends the drill: record it, clear away, and tell who is on duty."""
    if run.state not in (RunState.FAILED, RunState.CANCELLED):
        return
    root = run.parent or run
    if RollbackDrill.objects.filter(run_id=root.pk).exists():
        return
    if run.kind == START and run.error_code == DrillNotPossible.code:
        return  # nothing was begun
    clear_away()
    drill_record.write_stopped(root=root, step=run, state=dict(run.inputs))


# --- what steps share -------------------------------------------------------------------------------------------------


def _next(ctx: RunContext, kind: str, state: dict[str, Any]) -> dict[str, Any]:
    """Queue the step after this one, once; the state is the outputs of this one and the inputs of the next."""
    root = ctx.run.parent or ctx.run
    runs.enqueue(
        kind=kind,
        inputs=state,
        idempotency_key=f"{root.pk}:{kind}",
        requested_by=ctx.run.requested_by,
        parent=root,
    )
    return state


def _state(ctx: RunContext) -> dict[str, Any]:
    root = ctx.run.parent or ctx.run
    if RollbackDrill.objects.filter(run_id=root.pk).exists():
        raise DrillFailed("This drill was recorded as ended; its forecasts are cleared away. Start another one.")
    return dict(ctx.inputs)


def _serve(ctx: RunContext, version: ModelVersion, reason: str) -> ChampionAssignment:
    """The version as champion of the drill channel; where a killed attempt had done it, as it stands."""
    current = selectors.current_champion(Channel.DRILL)
    if current is not None and current.version_id == version.pk:
        return current
    with transaction.atomic():
        ctx.fence()
        return champions.assign(
            version=version, kind=AssignmentKind.PROMOTION, channel=Channel.DRILL, reason=reason,
            actor=ctx.run.requested_by,
        )  # fmt: skip


def _version(number: int) -> ModelVersion:
    return ModelVersion.objects.select_related("spec").get(number=number)


def _set(number: int, state: dict[str, Any]) -> ForecastSet:
    rows = ForecastSet.objects.select_related("version__spec").filter(channel=Channel.DRILL, version__number=number)
    found = rows.filter(origin_date=state["origin"]).first()
    if found is None:
        raise DrillOriginGone(date.fromisoformat(state["origin"]))
    return found
