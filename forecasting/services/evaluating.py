"""Evaluate the families side by side on rolling origins; what is sealed stays sealed, and nothing is registered."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Any

from django.contrib.auth.models import AbstractBaseUser
from django.core.files.storage import default_storage
from django.db import transaction

from forecasting.engine.evaluate import Contender, RollingTable, table_of, table_steps
from forecasting.engine.train import SearchConfig
from forecasting.engine.types import TrainingWindow
from forecasting.errors import WrongRequest
from forecasting.services.backtest_runs import asked_of, keep_files, run_now
from forecasting.services.backtesting import run_backtest
from forecasting.services.chain import check_may_start
from forecasting.services.engine_errors import engine_errors
from forecasting.services.training import check_families
from forecasting.services.windows import BACKTEST_ORIGINS, plan_window, require_history
from integrations.services.artifacts import keep_artifacts
from ledger.context import Listener, RunContext
from ledger.models import Run
from ledger.services.audit import record

EVALUATE = "forecasting.evaluate"
MOST_ORIGINS = 52
FILE = "evaluation.json"


def check_evaluation(
    *, as_of: date | None, horizon: int | None, origins: int | None, families: Sequence[str] | None
) -> dict[str, Any]:
    """What an evaluation would do, checked before anything is read: as_of, horizon, origins, families as JSON values.

    Raises WrongRequest and its kin, FamilyUnknown, NoDemandLoaded, HistoryShort.
    """
    count = BACKTEST_ORIGINS if origins is None else origins
    if not 1 <= count <= MOST_ORIGINS:
        raise WrongRequest(f"The number of origins must be between 1 and {MOST_ORIGINS}, not {count}.")
    chosen = check_families(families)
    day, steps = require_history(as_of=as_of, horizon=horizon, origins=count)
    return {"as_of": day.isoformat(), "horizon": steps, "origins": count, "families": list(chosen)}


@dataclass(frozen=True)
class EvaluationOutcome:
    """An ended evaluation: its run, and the whole report as it is kept."""

    run: Run
    report: dict[str, Any]


def evaluate_inline(
    *,
    actor: AbstractBaseUser | None = None,
    as_of: date | None = None,
    horizon: int | None = None,
    origins: int | None = None,
    families: Sequence[str] | None = None,
    listener: Listener | None = None,
) -> EvaluationOutcome:
    """Evaluate in this process, as a run of its own. Needs analyst or tenant_admin, or None for the system.

    Raises the errors of `check_evaluation`, RoleRequired, TenantSuspended, RunAlreadyLive, SeriesUnusable,
    TrainingRefused; EvaluationStopped where the run was cancelled.
    """
    check_may_start(actor)
    inputs = check_evaluation(as_of=as_of, horizon=horizon, origins=origins, families=families)
    run = run_now(kind=EVALUATE, inputs=inputs, actor=actor, listener=listener)
    with default_storage.open(run.artifacts[0]["path"], "rb") as file:
        return EvaluationOutcome(run, json.load(file))


def perform(*, ctx: RunContext) -> dict[str, Any]:
    """The body of the job. The full report is kept as a file of the run; returned is what a person asks first.

    The data come through the one door to training data: nothing after `train_end` of the sealed window is read.
    """
    asked = check_evaluation(**asked_of(ctx))
    ctx.progress(0, 0, "Reading demand")
    window = plan_window(as_of=date.fromisoformat(asked["as_of"]), mode="evaluation")
    config = SearchConfig(families=tuple(asked["families"]), horizon=asked["horizon"], origins=asked["origins"])
    table, window = _table(ctx, window, config)
    outputs = _summary(table, window)
    with tempfile.TemporaryDirectory(prefix="forecourt-evaluation-") as folder:
        path = Path(folder) / FILE
        body = {"window": window.to_json(), **table.to_json()}
        path.write_text(json.dumps(body, sort_keys=True, indent=1, allow_nan=False) + "\n", encoding="utf-8")
        with keep_artifacts(folder=f"evaluations/{ctx.run.pk}/{ctx.attempt}", paths=[path]) as kept:
            _keep(ctx, outputs, [artifact.as_dict() for artifact in kept])
    return outputs


def _table(ctx: RunContext, window: TrainingWindow, config: SearchConfig) -> tuple[RollingTable, TrainingWindow]:
    """The table, and the window with the fingerprint of what was read."""
    scoring, fits = table_steps(config.families), 0

    def fitting(done: int, total: int, message: str) -> None:
        nonlocal fits
        fits = total
        ctx.progress(done, total + scoring, message)

    def scored(done: int, total: int, message: str) -> None:
        ctx.progress(fits + done, fits + total, message)

    found = run_backtest(window=window, config=config, progress=fitting)
    with engine_errors():
        table = table_of(found.base, found.backtest, found.classes, gap=config.gap, progress=scored)
    return table, found.window


@transaction.atomic
def _keep(ctx: RunContext, outputs: dict[str, Any], files: list[dict[str, Any]]) -> None:
    keep_files(ctx, files)
    record(
        event="evaluation.made",
        actor=ctx.run.requested_by,
        subject=ctx.run,
        data={name: outputs[name] for name in ("as_of", "train_end", "horizon", "origins", "proposed", "fingerprint")},
        correlation_id=ctx.run.correlation_id,
    )


def _summary(table: RollingTable, window: TrainingWindow) -> dict[str, Any]:
    return {
        "as_of": window.as_of.isoformat(),
        "train_end": window.train_end.isoformat(),
        "fingerprint": window.fingerprint,
        "horizon": table.horizon,
        "origins": [day.isoformat() for day in table.origins],
        "series": table.series,
        "proposed": table.proposed,
        "reason": table.reason,
        "scores": {one.name: _line(one) for one in table.contenders},
    }


def _line(one: Contender) -> dict[str, Any]:
    values = {name: score.value for name, score in one.scores.overall.items()}
    return {**values, "rows": one.scores.rows, "series": one.scores.series, "declined_series": one.declined_series}
