"""The gate: candidate and champion, spec against spec, on the candidate's sealed holdout."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

from django.contrib.auth.models import AbstractBaseUser
from django.db import transaction

from forecasting import selectors
from forecasting.engine.bootstrap import Evidence
from forecasting.engine.business import BusinessPolicy
from forecasting.engine.evidence import Judged, holdout_evidence
from forecasting.engine.fitted import FittedModel
from forecasting.engine.gates import CHAMPION, NAIVE, GateInputs, Side, judge
from forecasting.engine.panel import Panel
from forecasting.engine.sentence import summarise
from forecasting.engine.train import assess, cost_evidence, evaluate, holdout_forecasts
from forecasting.engine.types import ModelSpec, TrainingWindow
from forecasting.errors import CandidateNotJudgeable
from forecasting.models import GatePolicy, GateReport, HoldoutAccess, ModelVersion
from forecasting.services import artifacts
from forecasting.services.engine_errors import engine_errors
from forecasting.services.gate_facts import holdout_facts, is_sealed, manifest_valid, realised_rows, store_report
from forecasting.services.loading import BACKTEST_ORIGINS, LoadedPanel, load_training, open_holdout
from forecasting.services.policy import PolicyBody, active_policy, body_of, lock_decisions
from forecasting.services.pool import training_pool
from forecasting.services.promotion_evidence import PROMOTABLE
from forecasting.services.readiness import Operations, Readiness, assess_readiness, keep_readiness, operations_now
from forecasting.services.training import fit_spec
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
    panel: Panel
    window: TrainingWindow


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
    fitted, training = _ready(candidate)
    compared = _compare(ctx, candidate, opponent, fitted, training, body, actor, reason)
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


def _ready(candidate: ModelVersion) -> tuple[FittedModel, LoadedPanel]:
    """The candidate's fit and its training rows, if both are what was registered. Before the holdout is opened."""
    if candidate.status not in PROMOTABLE:
        raise CandidateNotJudgeable(candidate.label, f"its status is {candidate.status}.")
    fitted = artifacts.load_fit(candidate, "evaluation")
    window = TrainingWindow.from_json(candidate.evaluation_window)
    training = load_training(window)
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
    training: LoadedPanel,
    body: PolicyBody,
    actor: AbstractBaseUser | None,
    reason: str,
) -> _Comparison:
    """Train the opponent on the same rows, then open the holdout and let both forecast it."""
    ctx.progress(1, _STEPS, f"Training {opponent.label} on the same window")
    with engine_errors(), training_pool() as executor:
        evaluation = evaluate(training.panel, opponent.spec, origins=BACKTEST_ORIGINS, executor=executor)
        rival = fit_spec(spec=opponent.spec, panel=training.panel, window=training.window, evaluation=evaluation)
        ctx.progress(2, _STEPS, "Opening the holdout")
        whole = open_holdout(candidate=candidate, run_id=ctx.run.pk, actor=actor, reason=reason)
        ctx.progress(3, _STEPS, "Forecasting the holdout with both")
        business = body.business_policy()
        ours, theirs = (_judged(whole, one, training.window, fitted.spec, business) for one in (fitted, rival))
    gates = body.gate_thresholds()
    spread = cost_evidence(
        theirs.assessment, ours.assessment, seed=gates.bootstrap_seed, resamples=gates.bootstrap_resamples
    )
    return _Comparison(ours, theirs, evaluation.scores.to_json(), spread, whole, training.window)


def _judged(
    whole: Panel, fitted: FittedModel, window: TrainingWindow, spec: ModelSpec, policy: BusinessPolicy
) -> Judged:
    frame = holdout_forecasts(whole, fitted, window, horizon=spec.horizon)
    return Judged(frame, assess(whole, fitted, frame, policy))


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
        run_id=ctx.run.pk, candidate=candidate, champion=opponent.version, policy=policy, judgement=judgement,
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
    budget, panel = body.gates.holdout_access_budget, compared.panel
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
            candidate=compared.candidate, window=compared.window, openings=openings, budget=budget
        ),
        **holdout_evidence(
            compared.candidate, compared.champion, static=panel.static, window=compared.window,
            policy=body.business_policy(), grain=panel.grain,
        ),
        "bootstrap": compared.bootstrap.to_json(),
        "rolling_origin": {
            "candidate": (candidate.backtest.get("scores") or {}).get("overall", {}),
            "champion": compared.opponent_backtest["overall"],
        },
        "realised": realised_rows(opponent.version),
    }  # fmt: skip
