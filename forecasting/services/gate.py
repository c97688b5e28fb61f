"""The gate: candidate and champion, spec against spec, on the candidate's sealed holdout."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import pandas as pd
from django.contrib.auth.models import AbstractBaseUser
from django.db import transaction

from forecasting import selectors
from forecasting.engine.bootstrap import Evidence
from forecasting.engine.evidence import Judged, holdout_evidence
from forecasting.engine.fitted import FittedModel
from forecasting.engine.fitting import fit_tasks, fitted_of
from forecasting.engine.gates import CHAMPION, NAIVE, GateInputs, Side, judge
from forecasting.engine.holdout import holdout_tasks, joined
from forecasting.engine.sentence import summarise
from forecasting.engine.tasks import run_tasks
from forecasting.engine.train import Evaluation, assess_holdout, cost_evidence, evaluate_beside, part_evidence
from forecasting.engine.types import MINT, ModelSpec, TrainingWindow
from forecasting.errors import CandidateNotJudgeable
from forecasting.models import GatePolicy, GateReport, HoldoutAccess, ModelVersion
from forecasting.selectors_shadow import cited
from forecasting.services import artifacts
from forecasting.services.database_source import DatabaseSource
from forecasting.services.engine_errors import engine_errors
from forecasting.services.gate_facts import (
    holdout_facts,
    is_sealed,
    judged_on_same_days,
    manifest_valid,
    realised_rows,
    store_report,
)
from forecasting.services.loading import open_holdout
from forecasting.services.policy import PolicyBody, active_policy, body_of, lock_decisions
from forecasting.services.promotion_evidence import PROMOTABLE
from forecasting.services.readiness import Operations, Readiness, assess_readiness, keep_readiness, operations_now
from forecasting.services.snapshots import DemandSnapshot, demand_snapshot
from forecasting.services.windows import BACKTEST_ORIGINS
from ledger.context import RunContext
from ledger.services.audit import record
from tenants.roles import Role, require_role
from tenants.selectors import current_tenant

_STEPS = 5


@dataclass(frozen=True)
class _Opponent:
    """Whom the candidate is held against: the champion's spec, or seasonal naive where there is no champion."""

    version: ModelVersion | None
    spec: ModelSpec
    kind: str
    label: str


@dataclass(frozen=True)
class _Comparison:
    candidate: Judged
    champion: Judged
    opponent_backtest: dict[str, Any]
    bootstrap: Evidence
    parts: dict[str, Evidence]
    static: pd.DataFrame
    grain: str
    window: TrainingWindow
    fingerprint: str


def judge_candidate(
    *, ctx: RunContext, candidate: ModelVersion, actor: AbstractBaseUser | None = None, reason: str = ""
) -> GateReport:
    """Judge a candidate on its sealed holdout and store verdict, gates and all evidence. One run makes one report.

    The champion's spec (without a champion: seasonal naive) is trained on the candidate's own window, and both
    forecast the same rows, so neither has seen the holdout. What can be checked is checked before the holdout is
    opened; an opening stays recorded whatever follows. Needs analyst or tenant_admin, or None for the system.
    Raises ``CandidateNotJudgeable``, ``ArtifactCorrupt``, ``HoldoutBudgetSpent``, ``RoleRequired``, ``LeaseLost``.
    """
    known = GateReport.objects.filter(run_id=ctx.run.pk).first()
    if known is not None:
        return known
    if actor is not None:
        require_role(actor, Role.ANALYST, Role.TENANT_ADMIN)
    policy = active_policy()
    body = body_of(policy)
    ctx.progress(0, _STEPS, "Verifying the candidate's files")
    opponent = _opponent(candidate)
    with engine_errors(), demand_snapshot() as demand:
        fitted, training = _ready(candidate, demand)
        compared = _compare(ctx, candidate, opponent, fitted, training, demand, body, actor, reason)
    ctx.progress(_STEPS - 1, _STEPS, "Judging")
    return _store(ctx, candidate, opponent, policy, compared, actor)


def _opponent(candidate: ModelVersion) -> _Opponent:
    spec = ModelSpec.from_json(candidate.spec.body)
    champion = selectors.current_champion()
    if champion is None:
        floor = replace(spec, families=("seasonal_naive",), weights={}, params={})
        return _Opponent(None, floor, NAIVE, "seasonal naive")
    version = champion.version
    if version.pk == candidate.pk:
        raise CandidateNotJudgeable(candidate.label, "it is champion already.")
    # The rows to be forecast are the candidate's: so are horizon and grain.
    same = ModelSpec.from_json(version.spec.body)
    same = replace(same, horizon=spec.horizon, grain=spec.grain, season_length=spec.season_length)
    return _Opponent(version, same, CHAMPION, version.label)


def _ready(candidate: ModelVersion, demand: DemandSnapshot) -> tuple[FittedModel, DatabaseSource]:
    """The candidate's fit and its training rows, if both are what was registered. Before the holdout is opened."""
    if candidate.status not in PROMOTABLE:
        raise CandidateNotJudgeable(candidate.label, f"its status is {candidate.status}.")
    fitted = artifacts.load_fit(candidate, "evaluation")
    window = TrainingWindow.from_json(candidate.evaluation_window)
    training = demand.source(window)
    if training.window.fingerprint != window.fingerprint:
        raise CandidateNotJudgeable(
            candidate.label, "the demand that it was trained on was changed since. Retrain, then judge the new version."
        )
    return fitted, training


def _compare(
    ctx: RunContext,
    candidate: ModelVersion,
    opponent: _Opponent,
    fitted: FittedModel,
    training: DatabaseSource,
    demand: DemandSnapshot,
    body: PolicyBody,
    actor: AbstractBaseUser | None,
    reason: str,
) -> _Comparison:
    """Train the opponent on the same rows, then open the holdout and let both forecast it."""
    ctx.progress(1, _STEPS, f"Training {opponent.label} on the same window")
    evaluation, rival = _rival(opponent.spec, training, demand)
    ctx.progress(2, _STEPS, "Opening the holdout")
    opened = open_holdout(candidate=candidate, run_id=ctx.run.pk, actor=actor, reason=reason)
    ctx.progress(3, _STEPS, "Forecasting the holdout with both")
    whole, window, steps = demand.source(opened), training.window, fitted.spec.horizon
    tasks = [holdout_tasks(whole, side, window, steps) for side in (fitted, rival)]
    made = run_tasks([task for side in tasks for task in side], demand.executor)
    of_rival = made[len(tasks[0]) :]
    del made[len(tasks[0]) :]  # so that each side's parts are let go with it
    ours, theirs = joined(made), joined(of_rival)
    business, gates = body.business_policy(), body.gate_thresholds()
    sides = [Judged(one.frame, assess_holdout(one, side, business)) for one, side in ((ours, fitted), (theirs, rival))]
    spread = cost_evidence(
        sides[1].assessment, sides[0].assessment, seed=gates.bootstrap_seed, resamples=gates.bootstrap_resamples
    )
    parts = part_evidence(
        sides[1].assessment, sides[0].assessment, seed=gates.bootstrap_seed, resamples=gates.bootstrap_resamples
    )
    return _Comparison(
        sides[0], sides[1], evaluation.scores.to_json(), spread, parts, ours.static, whole.grain, training.window,
        whole.window.fingerprint,
    )  # fmt: skip


def _rival(spec: ModelSpec, training: DatabaseSource, demand: DemandSnapshot) -> tuple[Evaluation, FittedModel]:
    """The opponent's spec, fitted on the candidate's window, with the calibration of the same rolling origins. Levels
    above its series are left out where they change no forecast."""
    fits = fit_tasks(training, spec, training.window, demand.executor)
    evaluation, parts = evaluate_beside(
        training,
        spec,
        origins=BACKTEST_ORIGINS,
        executor=demand.executor,
        beside=fits,
        levels=spec.reconciliation == MINT,
    )
    return evaluation, fitted_of(
        parts, training, spec, evaluation.calibration, window=training.window, hierarchy=evaluation.hierarchy
    )


@transaction.atomic
def _store(
    ctx: RunContext,
    candidate: ModelVersion,
    opponent: _Opponent,
    policy: GatePolicy,
    compared: _Comparison,
    actor: AbstractBaseUser | None,
) -> GateReport:
    """Judge under the decision lock and write the report; a pending request that it contradicts lapses."""
    from forecasting.services.promotion import lapse_stale

    ctx.fence()
    lock_decisions()
    body = body_of(policy)
    openings = list(HoldoutAccess.objects.filter(candidate=candidate).order_by("opened_at", "pk"))
    readiness, operations = assess_readiness(candidate=candidate, rules=body.readiness), operations_now()
    judgement = judge(
        _inputs(candidate, opponent, compared, openings, body, operations, readiness), body.gate_thresholds()
    )
    evidence = _evidence(candidate, opponent, compared, openings, body)
    evidence["operations"] = {**operations.to_json(), "readiness": readiness.to_json()}
    evidence["sentence"] = summarise(evidence, judgement.verdict, judgement.failing)
    report = store_report(
        run_id=ctx.run.pk, candidate=candidate, champion=opponent.version, policy=policy, verdict=judgement.verdict,
        results=[result.to_json() for result in judgement.results],
        evidence=evidence,
    )  # fmt: skip
    ours = compared.candidate.assessment
    candidate.evaluation = {
        "scores": ours.scores.to_json(), "business": ours.business.to_json(), "rows_sha256": ours.rows_sha256,
        "origins": [day.isoformat() for day in ours.origins], "report": report.pk,
    }  # fmt: skip
    candidate.save(update_fields=["evaluation"])
    keep_readiness(readiness)
    lapse_stale()
    facts = {"verdict": report.verdict, "failing": list(judgement.failing), "policy": policy.version,
             "champion": opponent.label, "openings": len(openings)}  # fmt: skip
    record(event="gate.judged", actor=actor, subject=report, data=facts, correlation_id=ctx.run.correlation_id)
    return report


def _inputs(
    candidate: ModelVersion,
    opponent: _Opponent,
    compared: _Comparison,
    openings: list[HoldoutAccess],
    body: PolicyBody,
    operations: Operations,
    readiness: Readiness,
) -> GateInputs:
    ours, theirs = compared.candidate.assessment, compared.champion.assessment
    repeated = openings[body.gates.holdout_access_budget :]
    return GateInputs(
        candidate=Side.of(ours, manifest_valid=manifest_valid(candidate)),
        champion=Side.of(theirs, manifest_valid=manifest_valid(opponent.version) if opponent.version else None),
        evidence=compared.bootstrap,
        champion_kind=opponent.kind,
        holdout_sealed=is_sealed(candidate, compared.window),
        holdout_accesses=len(openings),
        reasons_given=all(opening.reason.strip() for opening in repeated),
        holdout_candidates=len(judged_on_same_days(candidate)),
        series_origins=ours.series_origins,
        holdout_days=ours.holdout_days,
        slo_critical=operations.slo_critical,
        open_sev1=operations.open_sev1,
        readiness=readiness.state,
    )


def _evidence(
    candidate: ModelVersion,
    opponent: _Opponent,
    compared: _Comparison,
    openings: list[HoldoutAccess],
    body: PolicyBody,
) -> dict[str, Any]:
    budget = body.gates.holdout_access_budget
    return {
        "kind": "gate",
        "champion_kind": opponent.kind,
        "labels": {
            "candidate": candidate.label,
            "candidate_spec": candidate.spec.label,
            "champion": opponent.label,
            "champion_spec": opponent.spec.label,
        },
        "currency": current_tenant().currency,
        "holdout": holdout_facts(
            candidate=compared.candidate, window=compared.window, openings=openings, budget=budget,
            others=judged_on_same_days(candidate), fingerprint=compared.fingerprint,
        ),
        **holdout_evidence(
            compared.candidate, compared.champion, static=compared.static, window=compared.window,
            policy=body.business_policy(), grain=compared.grain,
        ),
        "bootstrap": compared.bootstrap.to_json(),
        "bootstrap_parts": {name: spread.to_json() for name, spread in compared.parts.items()},
        "rolling_origin": {
            "candidate": (candidate.backtest.get("scores") or {}).get("overall", {}),
            "champion": compared.opponent_backtest["overall"],
        },
        "realised": realised_rows(opponent.version),
        "shadow": cited(candidate, opponent.version),
    }  # fmt: skip
