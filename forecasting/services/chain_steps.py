"""The steps of the main chain: what each does, and which follows. A queued step starts the next when it succeeded."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from datetime import date
from typing import Any

from django.contrib.auth.models import AbstractBaseUser

from forecasting import selectors
from forecasting.models import ModelVersion, PromotionRequest
from forecasting.models.gate import Verdict
from forecasting.models.registry import TrainingMode
from forecasting.services import training
from forecasting.services.accuracy import measure_accuracy
from forecasting.services.publishing import forecast_version
from forecasting.services.readiness import review_readiness
from forecasting.services.shadow_scores import compare_shadows
from integrations.errors import TenantSuspended
from ledger.context import RunContext
from ledger.errors import DomainError
from ledger.models import Run, RunState
from ledger.services import runs
from tenants.roles import Role, require_role
from tenants.selectors import current_tenant, get_tenant

RETRAIN, FORECAST, ACCURACY = "forecasting.retrain", "forecasting.forecast", "forecasting.accuracy"
GATE, REQUEST, GUARD = "forecasting.gate", "forecasting.request", "forecasting.guard"
AUTOMATIC_REASON = "Proposed by the training chain: every gate passed."

_in_process: ContextVar[bool] = ContextVar("chain_in_process", default=False)


@contextmanager
def in_this_process() -> Iterator[None]:
    """While this lasts, a step queues nothing after it: the caller does the steps itself."""
    token = _in_process.set(True)
    try:
        yield
    finally:
        _in_process.reset(token)


def next_step(kind: str, outputs: dict[str, Any]) -> tuple[str, dict[str, Any], str] | None:
    """Kind, inputs and scope of what follows a step that succeeded; None at the end of a chain (or outside of one)."""
    if not outputs.get("chain"):
        return None
    following = {
        RETRAIN: FORECAST,
        FORECAST: ACCURACY,
        ACCURACY: GUARD if outputs["mode"] == TrainingMode.REFRESH else GATE,
        GATE: REQUEST if outputs.get("verdict") == Verdict.ELIGIBLE else None,
    }.get(kind)
    if following is None:
        return None
    carried = {key: outputs[key] for key in ("version", "mode", "as_of", "reason", "chain")}
    return following, carried, f"v{outputs['version']}"


def follow(run: Run) -> None:
    """Queue the step after one that succeeded, once, in the transaction that ends it: a worker that is killed leaves
    either a step that is done again or the next one in the queue, never a chain that stands still.

    Nothing follows where the chain runs in this process, or where somebody asked for its end. Raises RunAlreadyLive.
    """
    if run.state != RunState.SUCCEEDED or _in_process.get() or not runs.may_go_on(run):
        return
    step = next_step(run.kind, run.outputs)
    if step is None:
        return
    kind, inputs, scope = step
    root = run.parent or run
    runs.enqueue(
        kind=kind,
        inputs=inputs,
        scope=scope,
        idempotency_key=f"{root.pk}:{kind}",
        requested_by=run.requested_by,
        parent=root,
    )


def may_resume(run: Run, actor: AbstractBaseUser | None) -> None:
    """A failed step goes on only where a chain could be started: the role, and a tenant that is served."""
    check_may_start(actor)


def planned_steps(first: Run) -> tuple[str, ...]:
    """The steps that a chain's first run leads to if nothing fails and every gate passes."""
    if not first.inputs.get("chain"):
        return ()
    if first.kind == GATE:
        return GATE, REQUEST
    if first.kind != RETRAIN:
        return ()
    refresh = first.inputs.get("mode") == TrainingMode.REFRESH
    return (RETRAIN, FORECAST, ACCURACY, GUARD) if refresh else (RETRAIN, FORECAST, ACCURACY, GATE, REQUEST)


def check_may_start(actor: AbstractBaseUser | None) -> None:
    """Raise RoleRequired or TenantSuspended where this person (None: the system) may start no work on models now."""
    if actor is not None:
        require_role(actor, Role.ANALYST, Role.TENANT_ADMIN)
    tenant = get_tenant(current_tenant().schema_name)  # as it is now, not as the connection remembers it
    if not tenant.is_serving:
        raise TenantSuspended(tenant.schema_name, tenant.status_reason)


def _carried(ctx: RunContext, version: ModelVersion) -> dict[str, Any]:
    """What every step of a chain hands on."""
    return {
        "version": version.number,
        "mode": version.mode,
        "as_of": version.as_of.isoformat(),
        "reason": ctx.inputs.get("reason", ""),
        "chain": bool(ctx.inputs.get("chain")),
    }


def _version(ctx: RunContext) -> ModelVersion:
    return selectors.version_named(str(ctx.inputs.get("version", "champion")))


def _day(ctx: RunContext, *names: str) -> date | None:
    found = next((ctx.inputs[name] for name in names if ctx.inputs.get(name)), None)
    return None if found is None else date.fromisoformat(found)


def retrain(ctx: RunContext) -> dict[str, Any]:
    """Train a version as the run's inputs say (mode, as_of, horizon, families, decision)."""
    version = training.train_version(
        ctx=ctx,
        mode=ctx.inputs.get("mode", TrainingMode.SEARCH),
        as_of=_day(ctx, "as_of"),
        horizon=ctx.inputs.get("horizon"),
        families=ctx.inputs.get("families"),
        decision=ctx.inputs.get("decision"),
    )
    return {**_carried(ctx, version), "spec": version.spec.label}


def forecast(ctx: RunContext) -> dict[str, Any]:
    """Forecast with a version (default: the champion) from an origin (default: in a chain its as-of date, else the
    newest day). In a chain the serving champion forecasts from that day, too."""
    version, origin = _version(ctx), _day(ctx, "origin", "as_of")
    ctx.progress(0, 2, f"Forecasting with {version.label}")
    made = forecast_version(ctx=ctx, version=version, origin=origin)
    outputs = {
        **_carried(ctx, version),
        "forecast_set": made.pk,
        "series": made.series_count,
        "forecasts": made.series_count * made.horizon,
        "origin": made.origin_date.isoformat(),
    }
    champion = selectors.current_champion()
    if outputs["chain"] and champion is not None and champion.version_id != version.pk:
        ctx.progress(1, 2, f"Forecasting with the champion {champion.version.label}")
        if champion.version.as_of <= made.origin_date:
            serving = forecast_version(ctx=ctx, version=champion.version, origin=made.origin_date)
            outputs["champion_forecast_set"] = serving.pk
    return outputs


def accuracy(ctx: RunContext) -> dict[str, Any]:
    """Measure every stored forecast on the demand that has come, and score the challengers in shadow."""
    ctx.progress(0, 1, "Looking for forecasts whose days have come")
    until = _day(ctx, "until", "as_of")
    records = measure_accuracy(ctx=ctx, until=until)
    windows = 0
    if until is None or until == selectors.newest_day():  # what came later is no business of an older day
        windows = compare_shadows(ctx=ctx)
    outputs: dict[str, Any] = {"records": len(records), "windows": windows}
    review_readiness(actor=None)
    if ctx.inputs.get("chain"):
        outputs |= _carried(ctx, _version(ctx))
    return outputs


def gate(ctx: RunContext) -> dict[str, Any]:
    """Judge a version on its sealed holdout."""
    from forecasting.services.gate import judge_candidate

    version = _version(ctx)
    report = judge_candidate(
        ctx=ctx, candidate=version, actor=ctx.run.requested_by, reason=ctx.inputs.get("reason", "")
    )
    failing = [result["name"] for result in report.results if not result["passed"]]
    return {**_carried(ctx, version), "report": report.pk, "verdict": str(report.verdict), "failing": failing}


def request(ctx: RunContext) -> dict[str, Any]:
    """Ask for the promotion of an eligible version. That it cannot be asked for now is an outcome, not a failure."""
    from forecasting.services.promotion import request_promotion

    version = _version(ctx)
    known = PromotionRequest.objects.filter(candidate=version, requested_at__gte=ctx.run.started_at).first()
    if known is not None:  # by an attempt that was killed before it could say so
        return {**_carried(ctx, version), "request": known.pk}
    reason = ctx.inputs.get("reason") or AUTOMATIC_REASON
    try:
        made = request_promotion(candidate=version, actor=ctx.run.requested_by, reason=reason)
    except DomainError as error:
        return {**_carried(ctx, version), "request": None, "refused": str(error), "refused_code": error.code}
    return {**_carried(ctx, version), "request": made.pk}


def guard(ctx: RunContext) -> dict[str, Any]:
    """End of a refresh: the non-regression guard decides whether the new fit serves by itself."""
    from forecasting.services.refresh import guard_and_assign

    version = _version(ctx)
    return {**_carried(ctx, version), "guard": guard_and_assign(ctx=ctx, version=version)}
