"""The steps of the main chain: what each does, and which follows. A queued step starts the next when it succeeded."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from datetime import date
from typing import Any

from forecasting import selectors
from forecasting.models import ModelVersion
from forecasting.models.gate import Verdict
from forecasting.models.registry import TrainingMode
from forecasting.services import training
from forecasting.services.accuracy import measure_accuracy
from forecasting.services.publishing import forecast_version
from ledger.context import RunContext
from ledger.errors import DomainError
from ledger.services import runs

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
        ACCURACY: GATE if outputs["mode"] == TrainingMode.SEARCH else GUARD,
        GATE: REQUEST if outputs.get("verdict") == Verdict.ELIGIBLE else None,
    }.get(kind)
    if following is None:
        return None
    carried = {key: outputs[key] for key in ("version", "mode", "as_of", "reason", "chain")}
    return following, carried, f"v{outputs['version']}"


def follow(ctx: RunContext, outputs: dict[str, Any]) -> dict[str, Any]:
    """Queue the step after this one, once, unless the chain runs in this process; return the outputs."""
    step = None if _in_process.get() else next_step(ctx.run.kind, outputs)
    if step is not None:
        kind, inputs, scope = step
        root = ctx.run.parent or ctx.run
        runs.enqueue(
            kind=kind,
            inputs=inputs,
            scope=scope,
            idempotency_key=f"{root.pk}:{kind}",
            requested_by=ctx.run.requested_by,
            parent=root,
        )
    return outputs


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
    """Train a version as the run's inputs say (mode, as_of, horizon, families)."""
    version = training.train_version(
        ctx=ctx,
        mode=ctx.inputs.get("mode", TrainingMode.SEARCH),
        as_of=_day(ctx, "as_of"),
        horizon=ctx.inputs.get("horizon"),
        families=ctx.inputs.get("families"),
    )
    return follow(ctx, {**_carried(ctx, version), "spec": version.spec.label})


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
    return follow(ctx, outputs)


def accuracy(ctx: RunContext) -> dict[str, Any]:
    """Measure every stored forecast on the demand that has come."""
    ctx.progress(0, 1, "Looking for forecasts whose days have come")
    records = measure_accuracy(ctx=ctx, until=_day(ctx, "until", "as_of"))
    outputs: dict[str, Any] = {"records": len(records)}
    if ctx.inputs.get("chain"):
        outputs |= _carried(ctx, _version(ctx))
    return follow(ctx, outputs)


def gate(ctx: RunContext) -> dict[str, Any]:
    """Judge a version on its sealed holdout."""
    from forecasting.services.gate import judge_candidate

    version = _version(ctx)
    report = judge_candidate(
        ctx=ctx, candidate=version, actor=ctx.run.requested_by, reason=ctx.inputs.get("reason", "")
    )
    failing = [result["name"] for result in report.results if not result["passed"]]
    return follow(
        ctx, {**_carried(ctx, version), "report": report.pk, "verdict": str(report.verdict), "failing": failing}
    )


def request(ctx: RunContext) -> dict[str, Any]:
    """Ask for the promotion of an eligible version. That it cannot be asked for now is an outcome, not a failure."""
    from forecasting.services.promotion import request_promotion

    version = _version(ctx)
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
