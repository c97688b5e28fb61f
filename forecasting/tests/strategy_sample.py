"""The report of a small made-up strategy cycle, and such a cycle in the registry, for tests."""

from __future__ import annotations

import copy
import tempfile
import uuid
from datetime import date, timedelta
from functools import cache
from pathlib import Path
from typing import Any

from django.contrib.auth.models import User

from forecasting.engine.strategy import sweep
from forecasting.engine.strategy_choice import recommend
from forecasting.engine.tests.strategy_ground import POLICY, base_spec, made_backtest, unit_values
from forecasting.engine.types import ModelSpec as EngineSpec
from forecasting.engine.types import TrainingWindow
from forecasting.models import StrategyCycle, StrategyDecision
from forecasting.services.strategy import keep_cycle, report_of, write_files
from forecasting.tests.factories import AS_OF
from integrations.services.artifacts import keep_artifacts
from ledger.services.audit import record


@cache
def _report(price: float | None) -> dict[str, Any]:
    backtest, classes = made_backtest()
    found = sweep(backtest, base_spec(backtest), classes, unit_values(backtest, price, price), POLICY, resamples=200)
    window = TrainingWindow.plan(AS_OF - timedelta(days=119), AS_OF).with_fingerprint("f" * 64)
    asked = {"as_of": AS_OF.isoformat(), "horizon": 7, "origins": 3, "families": list(backtest.families)}
    return report_of(asked, window, found, recommend(found), "EUR")


def sample_report(price: float | None = 3.0) -> dict[str, Any]:
    """A report of a real sweep of twelve made-up series; without a price it goes by WAPE."""
    return copy.deepcopy(_report(price))


def make_cycle(*, by: User | None = None, price: float | None = 3.0, as_of: date = AS_OF) -> StrategyCycle:
    """A cycle with its proposal and files in the current schema."""
    report, run_id = sample_report(price), uuid.uuid4()
    report["window"]["as_of"] = as_of.isoformat()
    name = by.get_username() if by is not None else "system"
    with tempfile.TemporaryDirectory() as folder:
        paths = write_files(report, Path(folder))
        with keep_artifacts(folder=f"strategy/{run_id}/1", paths=paths) as kept:
            files = [one.as_dict() for one in kept]
            return keep_cycle(run_id=run_id, report=report, files=files, actor=by, by=name)


def make_decision(
    spec: EngineSpec, *, seen: date = AS_OF - timedelta(days=28), reason: str = "It did best"
) -> StrategyDecision:
    """A person's decision for that spec, on a cycle that compared forecasts on days up to `seen`."""
    window = TrainingWindow.plan(seen - timedelta(days=91), seen + timedelta(days=28))
    cycle = StrategyCycle.objects.create(
        run_id=uuid.uuid4(),
        as_of=window.as_of,
        horizon=spec.horizon,
        window=window.with_fingerprint("f" * 64).to_json(),
        fingerprint="f" * 64,
        measure="wape",
        sentence="Made for a test.",
        report={},
        report_sha256="0" * 64,
    )
    decision = StrategyDecision.objects.create(
        cycle=cycle,
        kind="chosen",
        point="made for a test",
        mode=spec.mode,
        spec_label=spec.label,
        spec=spec.to_json(),
        spec_sha256=spec.sha256,
        reason=reason,
        decided_by_name="ann",
    )
    record(event="strategy.decided", subject=cycle, data={"decision": decision.pk})
    return decision
