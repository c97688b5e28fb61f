"""The main chain: retrain, forecast, accuracy, gate, request. Queued, each step starts the next; or in one process."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field
from datetime import date
from typing import Any

from django.contrib.auth.models import AbstractBaseUser

from forecasting import selectors
from forecasting.errors import CandidateNotJudgeable, ChainStopped, VersionUnknown
from forecasting.models import GateReport, ModelVersion, PromotionRequest
from forecasting.models.gate import Verdict
from forecasting.models.registry import TrainingMode
from forecasting.services import training
from forecasting.services.chain_steps import (
    ACCURACY,
    FORECAST,
    GATE,
    GUARD,
    REQUEST,
    RETRAIN,
    check_may_start,
    in_this_process,
    next_step,
)
from forecasting.services.policy import clean_reason
from forecasting.services.pool import training_pool
from forecasting.services.promotion_evidence import PROMOTABLE
from ledger import execution
from ledger.jobs import job_title
from ledger.models import Run, RunState
from ledger.services import runs
from ledger.services.leftovers import IN_PROCESS, end_leftovers

__all__ = [
    "ACCURACY", "FORECAST", "GATE", "GUARD", "REQUEST", "RETRAIN", "ChainListener", "ChainOutcome", "check_may_start",
    "next_step", "run_chain_inline", "start_chain", "start_judgement", "version_scores",
]  # fmt: skip

ChainListener = Callable[[str, int, int, str], None]
"""Called with the step's kind, done, total and a message."""


# --- doors ------------------------------------------------------------------------------------------------------------


def start_chain(
    *,
    actor: AbstractBaseUser | None,
    mode: str | None = None,
    as_of: date | None = None,
    horizon: int | None = None,
    families: Sequence[str] | None = None,
    decision: int | None = None,
    reason: str = "",
) -> Run:
    """Queue a training chain and return its first run. Needs analyst or tenant_admin, or None for the system.

    mode: search (the default) or refresh; with a decision of a strategy cycle, decided. What is asked is
    checked before anything is queued: raises the errors of `training.check_request`, RoleRequired, RunAlreadyLive.
    """
    check_may_start(actor)
    inputs = training.check_request(mode=mode, as_of=as_of, horizon=horizon, families=families, decision=decision)
    return runs.enqueue(kind=RETRAIN, inputs={**inputs, "reason": reason, "chain": True}, requested_by=actor)


def start_judgement(*, actor: AbstractBaseUser | None, version: int | ModelVersion, reason: str) -> Run:
    """Queue the gate alone for a version, as a lapsed request or a changed policy asks for; an eligible verdict goes on
    to the request. Needs analyst or tenant_admin, or None for the system.

    version: its number, or the version. The reason is kept with the opening of the holdout, which is not the first.
    Raises RoleRequired, TenantSuspended, ReasonMissing, VersionUnknown, CandidateNotJudgeable, HorizonShort,
    RunAlreadyLive.
    """
    check_may_start(actor)
    reason = clean_reason(reason, "judge this version")
    number = version if isinstance(version, int) else version.number
    found = selectors.version_named(str(number))
    champion = selectors.current_champion()
    if champion is not None and champion.version_id == found.pk:
        raise CandidateNotJudgeable(found.label, "it is champion already.")
    if found.status not in PROMOTABLE:
        raise CandidateNotJudgeable(found.label, f"its status is {found.status}.")
    training.require_protection(int(found.spec.body["horizon"]))
    inputs = {
        "version": found.number,
        "mode": found.mode,
        "as_of": found.as_of.isoformat(),
        "reason": reason,
        "chain": True,
    }
    return runs.enqueue(kind=GATE, inputs=inputs, scope=f"v{found.number}", requested_by=actor)


@dataclass(frozen=True)
class ChainOutcome:
    """What a whole chain came to. `gates`: the gate table. Scores are of the sealed holdout, else of the backtest."""

    run: str
    mode: str
    as_of: str
    version: int
    spec: str
    verdict: str | None
    gates: list[dict[str, Any]]
    scores: dict[str, float | None]
    scores_of: str
    forecasts: int
    series: int
    request: int | None
    request_reason: str
    champion: int | None
    guard: dict[str, Any] = field(default_factory=dict)
    seconds: dict[str, float] = field(default_factory=dict)

    @property
    def refused(self) -> bool:
        """Whether a gate, or the guard of a refresh, said no."""
        if self.mode == TrainingMode.REFRESH:
            return self.champion != self.version and self.request is None
        return self.verdict != Verdict.ELIGIBLE

    def to_json(self) -> dict[str, Any]:
        """Plain JSON values."""
        return asdict(self)


def run_chain_inline(
    *,
    actor: AbstractBaseUser | None = None,
    mode: str | None = None,
    as_of: date | None = None,
    horizon: int | None = None,
    families: Sequence[str] | None = None,
    decision: int | None = None,
    reason: str = "",
    listener: ChainListener | None = None,
) -> ChainOutcome:
    """Do the whole chain in this process, step by step, each as a run of its own. Raises as `start_chain`, and what a
    step raises; ChainStopped where a step was cancelled."""
    check_may_start(actor)
    inputs = training.check_request(mode=mode, as_of=as_of, horizon=horizon, families=families, decision=decision)
    end_leftovers()  # of a chain that was killed
    seconds: dict[str, float] = {}
    ended: dict[str, Run] = {}
    root: Run | None = None
    step: tuple[str, dict[str, Any], str] | None = (RETRAIN, {**inputs, "reason": reason, "chain": True}, "")
    with training_pool(), in_this_process():
        while step is not None:
            kind, given, scope = step
            started = time.monotonic()
            run = _do(kind, {**given, IN_PROCESS: True}, scope, actor, root, listener)
            seconds[kind.removeprefix("forecasting.")] = round(time.monotonic() - started, 2)
            root, ended[kind] = root or run, run
            step = next_step(kind, run.outputs)
    return _outcome(ended, seconds)


def _do(
    kind: str,
    inputs: dict[str, Any],
    scope: str,
    actor: AbstractBaseUser | None,
    root: Run | None,
    listener: ChainListener | None,
) -> Run:
    def hear(done: int, total: int, message: str) -> None:
        if listener is not None:
            listener(kind, done, total, message)

    run = execution.run_inline(
        kind=kind,
        inputs=inputs,
        scope=scope,
        idempotency_key=None if root is None else f"{root.pk}:{kind}",
        requested_by=actor,
        parent=root,
        listener=hear,
    )
    if run.state != RunState.SUCCEEDED:
        raise ChainStopped(job_title(kind), run.state)
    return run


# --- outcome ----------------------------------------------------------------------------------------------------------


def _outcome(ended: dict[str, Run], seconds: dict[str, float]) -> ChainOutcome:
    first = ended[RETRAIN]
    version = ModelVersion.objects.select_related("spec").get(number=first.outputs["version"])
    report = None
    if GATE in ended:
        report = GateReport.objects.filter(pk=ended[GATE].outputs["report"]).first()
    asked = ended[REQUEST].outputs if REQUEST in ended else {}
    guarded = ended[GUARD].outputs["guard"] if GUARD in ended else {}
    request_id = asked.get("request") or guarded.get("request")
    champion = selectors.current_champion()
    scores, scores_of = version_scores(version)
    return ChainOutcome(
        run=str(first.pk),
        mode=version.mode,
        as_of=version.as_of.isoformat(),
        version=version.number,
        spec=version.spec.label,
        verdict=None if report is None else str(report.verdict),
        gates=[] if report is None else list(report.results),
        scores=scores,
        scores_of=scores_of,
        forecasts=ended[FORECAST].outputs["forecasts"],
        series=ended[FORECAST].outputs["series"],
        request=request_id,
        request_reason=_why(asked, guarded, ended, request_id),
        champion=None if champion is None else champion.version.number,
        guard=guarded,
        seconds={**seconds, "total": round(sum(seconds.values()), 2)},
    )


def _why(asked: dict[str, Any], guarded: dict[str, Any], ended: dict[str, Run], request_id: int | None) -> str:
    """Why there is a request, or why there is none."""
    if request_id is not None:
        pending = PromotionRequest.objects.filter(pk=request_id).first()
        return pending.reason if pending is not None else ""
    if guarded:
        return str(guarded.get("reason", "A refresh is decided by its guard."))
    if asked:
        return str(asked["refused"])
    judged = ended[GATE].outputs
    return f"The gate's verdict is {judged['verdict']}; not passed: {', '.join(judged['failing'])}."


def version_scores(version: ModelVersion) -> tuple[dict[str, float | None], str]:
    """wape, wape_naive (on the same rows), coverage80 of a version; and what they are of: "holdout" or "backtest"."""
    for source, name in ((version.evaluation.get("scores"), "holdout"), (version.backtest.get("scores"), "backtest")):
        if source:
            overall = source["overall"]
            wape, fva = overall["wape"]["value"], overall["fva"]["value"]
            naive = wape / (1.0 - fva) if wape is not None and fva is not None and fva < 1.0 else None
            return {"wape": wape, "wape_naive": naive, "coverage80": overall["coverage80"]["value"]}, name
    raise VersionUnknown(f"{version.label} has no scores.")
