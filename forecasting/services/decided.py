"""The spec that people decided on in a strategy cycle, as a training takes it: exactly it, nothing is fitted anew."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date

from forecasting.engine.families import FAMILY_NAMES
from forecasting.engine.types import ModelSpec as EngineSpec
from forecasting.errors import FamilyUnknown, WrongRequest
from forecasting.errors_strategy import DecidedOnLaterData, DecisionOutdated, DecisionUnknown
from forecasting.models import StrategyDecision
from forecasting.services.data_profile import active_profile
from forecasting.services.windows import plan_window


def decision_named(decision: int) -> StrategyDecision:
    """A decision with its cycle; raises DecisionUnknown."""
    known = StrategyDecision.objects.select_related("cycle").defer("cycle__report").filter(pk=decision).first()
    if known is None:
        raise DecisionUnknown(decision)
    return known


def check_decided(*, decision: int, horizon: int | None, families: Sequence[str] | None) -> EngineSpec:
    """The decided spec, where it can be trained on the data as they are declared now.

    Raises DecisionUnknown, DecisionOutdated, FamilyUnknown, and WrongRequest for families or a horizon of one's own.
    """
    known = decision_named(decision)
    spec = EngineSpec.from_json(known.spec)
    if families is not None:
        raise WrongRequest("What was decided names its families. Leave the families out, or run a search.")
    if horizon not in (None, spec.horizon):
        raise WrongRequest(
            f"What was decided forecasts {spec.horizon} steps ahead. Leave the horizon out, or run a cycle for another."
        )
    unknown = [name for name in spec.families if name not in FAMILY_NAMES]
    if unknown:
        raise FamilyUnknown(unknown, FAMILY_NAMES)
    if spec.grain != active_profile().grain:
        raise DecisionOutdated(known.cycle_id, {"D": "daily", "W": "weekly"}[spec.grain])
    return spec


def check_sealed_from(decision: int, as_of: date) -> None:
    """Raise DecidedOnLaterData where the holdout of a training as of that day lies in the days that were decided on:
    the weights have seen them, and the gate would judge what they were fitted to."""
    known = decision_named(decision)
    seen = date.fromisoformat(known.cycle.window["train_end"])
    if plan_window(as_of=as_of, mode="evaluation").train_end < seen:
        raise DecidedOnLaterData(known.cycle_id, seen, as_of)


def where_from(decision: StrategyDecision) -> str:
    """Where a version's spec came from, in one sentence."""
    who = f"{decision.get_kind_display().lower()} by {decision.decided_by_name}"
    return f"Decided in strategy cycle {decision.cycle_id}, {who}: {decision.reason}"
