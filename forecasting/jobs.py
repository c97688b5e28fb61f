"""Bodies of this app's background jobs: thin, the services do the work."""

from __future__ import annotations

from typing import Any

from forecasting.services import alarms, drill, evaluating, promotion_jobs, replaying, shadow, strategy
from forecasting.services import chain_steps as chain
from forecasting.services import chain_words as words
from forecasting.services.replay_request import REPLAY
from ledger.context import RunContext
from ledger.jobs import job
from ledger.queues import Queue

_STEP: dict[str, Any] = {"max_attempts": 3, "ended": chain.follow, "may_resume": chain.may_resume}


@job(chain.RETRAIN, title="Retrain", says=words.of_retrain, plan=chain.planned_steps, **_STEP)
def retrain(ctx: RunContext) -> dict[str, Any]:
    """Train a version: search for a spec, or refresh the champion's."""
    return chain.retrain(ctx)


@job(chain.FORECAST, title="Forecast", says=words.of_forecast, **_STEP)
def forecast(ctx: RunContext) -> dict[str, Any]:
    """Forecast with a version from the newest day."""
    return chain.forecast(ctx)


@job(chain.ACCURACY, title="Measure accuracy", says=words.of_accuracy, **_STEP)
def accuracy(ctx: RunContext) -> dict[str, Any]:
    """Score stored forecasts on the demand that came."""
    return chain.accuracy(ctx)


@job(chain.GATE, title="Promotion gate", says=words.of_gate, plan=chain.planned_steps, **_STEP)
def gate(ctx: RunContext) -> dict[str, Any]:
    """Judge a candidate on its sealed holdout."""
    return chain.gate(ctx)


@job(chain.REQUEST, title="Request promotion", says=words.of_request, queue=Queue.SHORT, **_STEP)
def request(ctx: RunContext) -> dict[str, Any]:
    """Ask for the promotion of an eligible candidate."""
    return chain.request(ctx)


@job(chain.GUARD, title="Refresh guard", says=words.of_guard, queue=Queue.SHORT, **_STEP)
def guard(ctx: RunContext) -> dict[str, Any]:
    """Let a refreshed champion serve, or say why not."""
    return chain.guard(ctx)


@job(
    shadow.SHADOW, title="Daily forecast, with challengers in shadow", says=words.of_shadow, may_resume=chain.may_resume
)
def shadow_forecast(ctx: RunContext) -> dict[str, Any]:
    """Forecast with the champion and, beside it and unpublished, with every live challenger."""
    return shadow.forecast_shadows(ctx=ctx)


@job(evaluating.EVALUATE, title="Evaluate families", max_attempts=3)
def evaluate(ctx: RunContext) -> dict[str, Any]:
    """Score all families and their ensemble on rolling origins."""
    return evaluating.perform(ctx=ctx)


@job(strategy.CYCLE, title="Strategy cycle", max_attempts=3)
def strategy_cycle(ctx: RunContext) -> dict[str, Any]:
    """Sweep the mixtures of the families and propose one model or a mixture."""
    return strategy.perform(ctx=ctx)


@job(drill.START, title="Rollback drill: begin with what serves", max_attempts=3, ended=drill.ended)
def drill_begin(ctx: RunContext) -> dict[str, Any]:
    """Let what serves on the live channel serve on the drill's."""
    from forecasting.api.served import served_sha256  # the API's libraries only where they are needed

    return drill.begin(ctx, served_sha256)


@job(drill.DAMAGE, title="Rollback drill: promote a damaged model", max_attempts=3, ended=drill.ended)
def drill_damage(ctx: RunContext) -> dict[str, Any]:
    """Make a damaged version and promote it on the drill channel."""
    return drill.damage(ctx)


@job(drill.NOTICE, title="Rollback drill: reveal actuals until it is noticed", max_attempts=3, ended=drill.ended)
def drill_notice(ctx: RunContext) -> dict[str, Any]:
    """Let days of actuals come until the rule calls it."""
    return drill.notice(ctx)


@job(drill.RESTORE, title="Rollback drill: roll back", max_attempts=3, ended=drill.ended)
def drill_restore(ctx: RunContext) -> dict[str, Any]:
    """Put back what served, and forecast again from its files."""
    return drill.restore(ctx)


@job(drill.PROVE, title="Rollback drill: check and record", max_attempts=3, ended=drill.ended)
def drill_prove(ctx: RunContext) -> dict[str, Any]:
    """Check everything and record what came of it."""
    from forecasting.api.served import served_sha256

    return drill.prove(ctx, served_sha256)


@job(REPLAY, title="Time-travel replay", max_attempts=5, ended=replaying.ended)
def replay(ctx: RunContext) -> dict[str, Any]:
    """Walk through past days until the end, or until a person has to decide."""
    return replaying.perform(ctx=ctx)


@job(promotion_jobs.LAPSE, title="Lapse requests", max_attempts=3, queue=Queue.SHORT)
def lapse_requests(ctx: RunContext) -> dict[str, Any]:
    """Lapse requests whose evidence or days are over."""
    return promotion_jobs.lapse(ctx)


@job(alarms.VERIFY_CHAMPION, title="Verify what serves", max_attempts=3)
def verify_champion(ctx: RunContext) -> dict[str, Any]:
    """Read every stored file of the champion again and hold it against its registered hash."""
    from forecasting.services import verifying  # the forecasting libraries only where they are needed

    return verifying.verify_champion(ctx=ctx)
