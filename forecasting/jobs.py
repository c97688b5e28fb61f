"""Bodies of this app's background jobs: thin, the services do the work."""

from __future__ import annotations

from typing import Any

from forecasting.services import chain_steps as chain
from forecasting.services import evaluating, strategy
from ledger.context import RunContext
from ledger.jobs import job


@job(chain.RETRAIN, title="Retrain", max_attempts=3)
def retrain(ctx: RunContext) -> dict[str, Any]:
    """Train a version: search for a spec, or refresh the champion's."""
    return chain.retrain(ctx)


@job(chain.FORECAST, title="Forecast", max_attempts=3)
def forecast(ctx: RunContext) -> dict[str, Any]:
    """Forecast with a version from the newest day."""
    return chain.forecast(ctx)


@job(chain.ACCURACY, title="Measure accuracy", max_attempts=3)
def accuracy(ctx: RunContext) -> dict[str, Any]:
    """Score stored forecasts on the demand that came."""
    return chain.accuracy(ctx)


@job(chain.GATE, title="Promotion gate", max_attempts=3)
def gate(ctx: RunContext) -> dict[str, Any]:
    """Judge a candidate on its sealed holdout."""
    return chain.gate(ctx)


@job(chain.REQUEST, title="Request promotion", max_attempts=3)
def request(ctx: RunContext) -> dict[str, Any]:
    """Ask for the promotion of an eligible candidate."""
    return chain.request(ctx)


@job(chain.GUARD, title="Refresh guard", max_attempts=3)
def guard(ctx: RunContext) -> dict[str, Any]:
    """Let a refreshed champion serve, or say why not."""
    return chain.guard(ctx)


@job(evaluating.EVALUATE, title="Evaluate families", max_attempts=3)
def evaluate(ctx: RunContext) -> dict[str, Any]:
    """Score all families and their ensemble on rolling origins."""
    return evaluating.perform(ctx=ctx)


@job(strategy.CYCLE, title="Strategy cycle", max_attempts=3)
def strategy_cycle(ctx: RunContext) -> dict[str, Any]:
    """Sweep the mixtures of the families and propose one model or a mixture."""
    return strategy.perform(ctx=ctx)
