"""The strategy cycle: sweep the mixtures on rolling origins, propose a mode, keep both. The holdout stays sealed."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Sequence
from datetime import date
from pathlib import Path
from typing import Any
from uuid import UUID

from django.contrib.auth.models import AbstractBaseUser
from django.db import transaction

from forecasting.engine.strategy import Sweep, sweep
from forecasting.engine.strategy_choice import Recommendation, recommend
from forecasting.engine.train import SearchConfig
from forecasting.engine.types import TrainingWindow, canonical_json, sha256_text
from forecasting.errors import WrongRequest
from forecasting.models import StrategyCycle, StrategyDecision
from forecasting.models.strategy import DecisionKind
from forecasting.services.backtest_runs import asked_of, keep_files, run_now
from forecasting.services.backtesting import run_backtest
from forecasting.services.chain import check_may_start
from forecasting.services.engine_errors import engine_errors
from forecasting.services.evaluating import check_evaluation
from forecasting.services.policy import active_policy, body_of
from forecasting.services.pool import training_pool
from forecasting.services.strategy_chart import to_svg
from forecasting.services.strategy_report import to_markdown
from forecasting.services.windows import plan_window
from integrations.services.artifacts import keep_artifacts
from ledger.context import Listener, RunContext
from ledger.models import Run
from ledger.services import runs
from ledger.services.audit import record
from tenants.selectors import current_tenant

CYCLE = "forecasting.strategy_cycle"
JSON_FILE, MARKDOWN_FILE, CHART_FILE = (f"model_strategy_cycle.{kind}" for kind in ("json", "md", "svg"))
FORMAT = "forecourt-strategy-cycle/1"
SYSTEM_REASON = "Proposed by the cycle: the simplest mode within the noise of the best."


def check_cycle(
    *, as_of: date | None, horizon: int | None, origins: int | None, families: Sequence[str] | None
) -> dict[str, Any]:
    """What a cycle would do, checked before anything is queued: as_of, horizon, origins, families as JSON values.

    Raises the errors of `check_evaluation`; WrongRequest for one origin or one family, which nothing can be set
    against.
    """
    asked = check_evaluation(as_of=as_of, horizon=horizon, origins=origins, families=families)
    if asked["origins"] < 2:
        raise WrongRequest(
            "A strategy cycle needs at least 2 origins: weights and intervals of each come from the others."
        )
    if len(asked["families"]) < 2:
        raise WrongRequest(
            f"A strategy cycle compares families, and {asked['families'][0]} is the only one. Name at least one more, "
            "or leave the families out to compare all of them."
        )
    return asked


def start_strategy_cycle(
    *,
    actor: AbstractBaseUser | None,
    as_of: date | None = None,
    horizon: int | None = None,
    origins: int | None = None,
    families: Sequence[str] | None = None,
) -> Run:
    """Queue a cycle and return its run. Needs analyst or tenant_admin, or None for the system.

    Raises the errors of `check_cycle`, RoleRequired, TenantSuspended, RunAlreadyLive.
    """
    check_may_start(actor)
    inputs = check_cycle(as_of=as_of, horizon=horizon, origins=origins, families=families)
    return runs.enqueue(kind=CYCLE, inputs=inputs, requested_by=actor)


def cycle_inline(
    *,
    actor: AbstractBaseUser | None = None,
    as_of: date | None = None,
    horizon: int | None = None,
    origins: int | None = None,
    families: Sequence[str] | None = None,
    listener: Listener | None = None,
) -> StrategyCycle:
    """Do a cycle in this process, as a run of its own. Raises as `start_strategy_cycle`, and what the engine refuses
    (SeriesUnusable, TrainingRefused); EvaluationStopped where the run was cancelled."""
    check_may_start(actor)
    inputs = check_cycle(as_of=as_of, horizon=horizon, origins=origins, families=families)
    run = run_now(kind=CYCLE, inputs=inputs, actor=actor, listener=listener)
    return StrategyCycle.objects.get(run_id=run.pk)


def perform(*, ctx: RunContext) -> dict[str, Any]:
    """The body of the job: one run makes one cycle with its proposal, however often it is tried."""
    made = StrategyCycle.objects.filter(run_id=ctx.run.pk).first()
    if made is not None:  # the attempt before this one ended after it had written
        return _summary(made)
    asked = check_cycle(**asked_of(ctx))
    ctx.progress(0, 0, "Reading demand")
    report = _report(asked, ctx)
    with tempfile.TemporaryDirectory(prefix="forecourt-strategy-") as folder:
        paths = write_files(report, Path(folder))
        with keep_artifacts(folder=f"strategy/{ctx.run.pk}/{ctx.attempt}", paths=paths) as kept:
            cycle = _keep(ctx, report, [artifact.as_dict() for artifact in kept])
    return _summary(cycle)


def write_files(report: dict[str, Any], folder: Path) -> list[Path]:
    """The report as JSON, Markdown and chart in ``folder``: the same report gives the same bytes."""
    texts = {
        JSON_FILE: json.dumps(report, sort_keys=True, indent=1, allow_nan=False, ensure_ascii=False) + "\n",
        MARKDOWN_FILE: to_markdown(report),
        CHART_FILE: to_svg(report),
    }
    paths = []
    for name, text in texts.items():
        path = folder / name
        path.write_text(text, encoding="utf-8")
        paths.append(path)
    return paths


def _report(asked: dict[str, Any], ctx: RunContext) -> dict[str, Any]:
    """Do the backtest and the sweep, telling the run how far it is."""
    window = plan_window(as_of=date.fromisoformat(asked["as_of"]), mode="evaluation")
    config = SearchConfig(families=tuple(asked["families"]), horizon=asked["horizon"], origins=asked["origins"])
    pairs = len(config.families) * (len(config.families) - 1) // 2
    extra = pairs + 2
    fitted = 0

    def fitting(done: int, total: int, message: str) -> None:
        nonlocal fitted
        fitted = total
        ctx.progress(done, total + extra, message)

    def judging(done: int, total: int, message: str) -> None:
        ctx.progress(fitted + done, fitted + total, message)

    with engine_errors(), training_pool() as executor:
        outcome = run_backtest(window=window, config=config, progress=fitting)
        found = sweep(
            outcome.backtest,
            outcome.base,
            outcome.classes,
            outcome.values,
            body_of(active_policy()).business_policy(),
            executor=executor,
            progress=judging,
        )
        choice = recommend(found)
    return report_of(asked, outcome.window, found, choice, current_tenant().currency)


def report_of(
    asked: dict[str, Any], window: TrainingWindow, found: Sweep, choice: Recommendation, currency: str
) -> dict[str, Any]:
    """A sweep and what is proposed of it as JSON values: no run, no clock, so the same data give the same bytes."""
    spec = found.get(choice.key).spec
    return {
        "format": FORMAT,
        "request": asked,
        "window": window.to_json(),
        "currency": currency,
        "recommendation": choice.to_json(),
        "decision": {
            "kind": str(DecisionKind.PROPOSED),
            "point": choice.key,
            "mode": spec.mode,
            "spec_label": spec.label,
            "spec": spec.to_json(),
            "spec_sha256": spec.sha256,
        },
        "sweep": found.to_json(),
    }


@transaction.atomic
def _keep(ctx: RunContext, report: dict[str, Any], files: list[dict[str, Any]]) -> StrategyCycle:
    keep_files(ctx, files)
    run = ctx.run
    return keep_cycle(
        run_id=run.pk,
        report=report,
        files=files,
        actor=run.requested_by,
        by=run.requested_by_name,
        correlation_id=run.correlation_id,
    )


@transaction.atomic
def keep_cycle(
    *,
    run_id: UUID,
    report: dict[str, Any],
    files: list[dict[str, Any]],
    actor: AbstractBaseUser | None,
    by: str,
    correlation_id: UUID | None = None,
) -> StrategyCycle:
    """Write a cycle with its proposal, and the audit event of both. by: in whose name it was asked for."""
    choice, decision = report["recommendation"], report["decision"]
    cycle = StrategyCycle.objects.create(
        run_id=run_id,
        as_of=date.fromisoformat(report["window"]["as_of"]),
        horizon=report["request"]["horizon"],
        window=report["window"],
        fingerprint=report["window"]["fingerprint"],
        measure=choice["measure"],
        sentence=choice["sentence"],
        report=report,
        report_sha256=sha256_text(canonical_json(report)),
        files=files,
        created_by_name=by,
    )
    facts = {name: decision[name] for name in ("point", "mode", "spec_label", "spec_sha256")}
    StrategyDecision.objects.create(
        cycle=cycle, kind=DecisionKind.PROPOSED, reason=SYSTEM_REASON, spec=decision["spec"], **facts
    )
    record(
        event="strategy.proposed",
        actor=actor,
        subject=cycle,
        data={**facts, "as_of": report["window"]["as_of"], "fingerprint": cycle.fingerprint, "measure": cycle.measure},
        correlation_id=correlation_id,
    )
    return cycle


def _summary(cycle: StrategyCycle) -> dict[str, Any]:
    decision, choice = cycle.report["decision"], cycle.report["recommendation"]
    return {
        "cycle": cycle.pk,
        "as_of": cycle.as_of.isoformat(),
        "fingerprint": cycle.fingerprint,
        "mode": decision["mode"],
        "spec": decision["spec_label"],
        "spec_sha256": decision["spec_sha256"],
        "measure": choice["measure"],
        "sentence": choice["sentence"],
        "points": len(cycle.report["sweep"]["points"]),
    }
