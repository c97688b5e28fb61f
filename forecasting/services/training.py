"""Train a version: search or refresh, fit what is judged, refit what serves, register both."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date
from typing import Any

import pandas as pd
from django.db import connection, transaction
from django.db.models import Max

from forecasting import selectors
from forecasting.engine.families import FAMILY_NAMES
from forecasting.engine.fitted import FittedModel
from forecasting.engine.fitting import FitTask, fit_tasks, fitted_of
from forecasting.engine.memory import give_back
from forecasting.engine.tasks import run_tasks
from forecasting.engine.train import Evaluation, SearchConfig, SearchOutcome, evaluate_beside, search
from forecasting.engine.types import ModelSpec as EngineSpec
from forecasting.errors import (
    FamilyUnknown,
    HorizonShort,
    NothingToRefresh,
    PartitionBroken,
    WrongRequest,
)
from forecasting.errors_strategy import DecisionMissing
from forecasting.models import ChampionAssignment, ModelSpec, ModelVersion, VersionStatus
from forecasting.models.registry import TrainingMode
from forecasting.services import artifacts
from forecasting.services.data_profile import active_profile
from forecasting.services.database_source import DatabaseSource
from forecasting.services.decided import check_decided, check_sealed_from, decision_named, where_from
from forecasting.services.engine_errors import engine_errors
from forecasting.services.lineage import data_lineage, lineage_of
from forecasting.services.policy import active_policy, body_of
from forecasting.services.snapshots import DemandSnapshot, demand_snapshot
from forecasting.services.windows import BACKTEST_ORIGINS, plan_window, require_history
from ledger.context import RunContext
from ledger.services.audit import record

FLOOR = "seasonal_naive"
_STEPS_AFTER = 4


def check_families(families: Sequence[str] | None) -> tuple[str, ...]:
    """The families to compare (default all), the floor always among them. Raises FamilyUnknown."""
    if families is None:
        return FAMILY_NAMES
    wanted = tuple(dict.fromkeys(name.strip() for name in families if name.strip()))
    unknown = [name for name in wanted if name not in FAMILY_NAMES]
    if unknown or not wanted:
        raise FamilyUnknown(unknown, FAMILY_NAMES)
    return tuple(name for name in FAMILY_NAMES if name in {*wanted, FLOOR})


def check_request(
    *,
    mode: str | None,
    as_of: date | None,
    horizon: int | None,
    families: Sequence[str] | None,
    decision: int | None = None,
) -> dict[str, Any]:
    """What a training run would do, checked before it is queued: mode, as_of, horizon, families as JSON values, and the
    decision where a decided spec is to be trained.

    Raises WrongRequest and its kin, NothingToRefresh, NoDemandLoaded, HistoryShort, HorizonShort.
    """
    mode = mode or (TrainingMode.SEARCH if decision is None else TrainingMode.DECIDED)
    if mode not in TrainingMode.values or mode == TrainingMode.DRILL:
        raise WrongRequest(f"The mode is search, refresh or decided, not {mode!r}.")
    if (mode == TrainingMode.DECIDED) != (decision is not None):
        raise DecisionMissing(mode)
    if decision is not None:
        return _check_decided(decision, as_of, horizon, families)
    if mode == TrainingMode.REFRESH:
        champion = selectors.current_champion()
        if champion is None:
            raise NothingToRefresh()
        if families is not None:
            raise WrongRequest("A refresh keeps the champion's families. Leave the families out, or run a search.")
        approved = int(champion.version.spec.body["horizon"])
        if horizon not in (None, approved):
            raise WrongRequest(
                f"A refresh keeps the champion's horizon of {approved} steps. Leave it out, or run a search."
            )
        horizon = approved
    chosen = check_families(families)
    day, steps = require_history(as_of=as_of, horizon=horizon)
    if mode == TrainingMode.SEARCH:  # a refresh is not judged by what it costs
        require_protection(steps)
    return {"mode": str(mode), "as_of": day.isoformat(), "horizon": steps, "families": list(chosen)}


def _check_decided(
    decision: int, as_of: date | None, horizon: int | None, families: Sequence[str] | None
) -> dict[str, Any]:
    spec = check_decided(decision=decision, horizon=horizon, families=families)
    day, steps = require_history(as_of=as_of, horizon=spec.horizon)
    require_protection(steps)
    check_sealed_from(decision, day)
    asked = {"mode": str(TrainingMode.DECIDED), "as_of": day.isoformat(), "horizon": steps}
    return {**asked, "families": list(spec.families), "decision": decision}


def require_protection(steps: int) -> None:
    """Raise HorizonShort where ``steps`` of the grain do not cover lead time and review period of the policy: an order
    is judged over both, and the holdout would be opened in vain."""
    business, step_days = body_of(active_policy()).business_policy(), active_profile().step_days
    needed = -(-business.protection_days // step_days)
    if steps < needed:
        raise HorizonShort(steps, needed, business.protection_days)


@dataclass(frozen=True)
class _Trained:
    """What one run computed, before any of it is written."""

    spec: EngineSpec
    evaluation: Evaluation
    backtest: dict[str, Any]
    judged: FittedModel
    serving: FittedModel
    declined: pd.DataFrame
    lineage: dict[str, Any]


class _Progress:
    """The backtest's progress, as a share of the whole run's."""

    def __init__(self, ctx: RunContext, families: int) -> None:
        self.ctx, self.total = ctx, families * BACKTEST_ORIGINS + _STEPS_AFTER
        self.done = 0

    def __call__(self, done: int, total: int, message: str) -> None:
        self.done = done
        self.ctx.progress(done, self.total, message)

    def next(self, message: str) -> None:
        self.done = min(self.done + 1, self.total)
        self.ctx.progress(self.done, self.total, message)


def train_version(
    *,
    ctx: RunContext,
    mode: str,
    as_of: date | None,
    horizon: int | None,
    families: Sequence[str] | None,
    decision: int | None = None,
) -> ModelVersion:
    """Train one version and register it as a candidate; a run that made one already returns it.

    search: compare families on rolling origins before the sealed holdout and propose a spec. refresh: the champion's
    own spec. decided: the spec of a decision, exactly. Either way the spec is fitted up to the holdout (what is judged)
    and refitted up to the as-of date (what serves). Nothing is written before the one transaction at the end. Raises
    the errors of `check_request`, SeriesUnusable, TrainingRefused, LeaseLost.
    """
    known = ModelVersion.objects.select_related("spec").filter(run_id=ctx.run.pk).first()
    if known is not None:
        return known
    asked = check_request(
        mode=mode,
        as_of=as_of,
        horizon=horizon,
        families=families if mode == TrainingMode.SEARCH else None,
        decision=decision,
    )
    day = date.fromisoformat(asked["as_of"])
    ctx.progress(0, 0, "Reading demand")
    with engine_errors(), demand_snapshot() as demand:
        trained = _train(ctx, asked, day, demand)
    ctx.check_cancelled()
    run_folder = f"models/{ctx.run.pk}"
    artifacts.discard_attempts(run_folder=run_folder, before=ctx.attempt)
    folder = f"{run_folder}/{ctx.attempt}"
    files: list[artifacts.StoredFile] = []
    try:
        files += artifacts.store_fit(fitted=trained.judged, role="evaluation", folder=folder)
        files += artifacts.store_fit(fitted=trained.serving, role="serving", folder=folder)
        return _register(ctx, asked, trained, files)
    except BaseException:
        artifacts.discard(files)
        raise


def _train(ctx: RunContext, asked: dict[str, Any], day: date, demand: DemandSnapshot) -> _Trained:
    """Search or evaluate, fit, refit: all the computing, outside of any transaction, on one state of the demand."""
    sealed = demand.source(plan_window(as_of=day, mode="evaluation"))
    whole = demand.source(plan_window(as_of=day, mode="serving"))
    with demand.reading():
        data = data_lineage(whole.window, whole.profile)
    champion = selectors.current_champion()
    if asked["mode"] == TrainingMode.SEARCH:
        progress = _Progress(ctx, len(asked["families"]))
        config = SearchConfig(families=tuple(asked["families"]), horizon=asked["horizon"], origins=BACKTEST_ORIGINS)
        found = search(sealed, config, progress=progress, executor=demand.executor)
        spec, evaluation, declined = found.spec, found.evaluation, found.declined
        backtest = _search_report(found)
        del found  # with the rows of the backtest, which are large
        give_back()
        progress.next("Fitting up to the holdout, and up to the as-of date")
        tasks = _fits(sealed, whole, spec, demand)
        parts = run_tasks(tasks, demand.executor)
    else:
        decision = decision_named(asked["decision"]) if asked["mode"] == TrainingMode.DECIDED else None
        spec = _champion_spec(champion) if decision is None else EngineSpec.from_json(decision.spec)
        progress = _Progress(ctx, len(spec.families))
        evaluation, parts = evaluate_beside(
            sealed,
            spec,
            origins=BACKTEST_ORIGINS,
            progress=progress,
            executor=demand.executor,
            beside=_fits(sealed, whole, spec, demand),
        )
        declined = evaluation.declined
        backtest = _evaluation_report(evaluation)
        if decision is not None:
            backtest["reason"] = where_from(decision)
    progress.next("Putting the model together")
    count = len(sealed.segments)
    judged, serving = (
        fitted_of(made, source, spec, evaluation.calibration, window=source.window, hierarchy=evaluation.hierarchy)
        for made, source in ((parts[:count], sealed), (parts[count:], whole))
    )
    progress.next("Storing the model")
    parent = champion.version if champion is not None else None
    lineage = lineage_of(data, classes=serving.classes, parent=parent, inputs=ctx.inputs)
    return _Trained(spec, evaluation, backtest, judged, serving, declined, lineage)


def _fits(sealed: DatabaseSource, whole: DatabaseSource, spec: EngineSpec, demand: DemandSnapshot) -> list[FitTask]:
    """What is judged and what serves: fitted side by side."""
    return [task for source in (sealed, whole) for task in fit_tasks(source, spec, source.window, demand.executor)]


def _champion_spec(champion: ChampionAssignment | None) -> EngineSpec:
    if champion is None:
        raise NothingToRefresh()
    return EngineSpec.from_json(champion.version.spec.body)


def _evaluation_report(evaluation: Evaluation) -> dict[str, Any]:
    return {
        "scores": evaluation.scores.to_json(),
        "origins": [day.isoformat() for day in evaluation.origins],
        "horizon": evaluation.horizon,
        "families": list(evaluation.families),
    }


def _search_report(found: SearchOutcome) -> dict[str, Any]:
    return {
        **_evaluation_report(found.evaluation),
        "by_family": {name: scores.to_json()["overall"] for name, scores in found.scores_by_family.items()},
        "sweep": [point.to_json() for point in found.sweep],
        "reason": found.reason,
        "reconciliation": found.reconciliation.to_json() if found.reconciliation is not None else None,
    }


def _notes(trained: _Trained) -> list[dict[str, Any]]:
    """How many series each family declined, and why: in the serving fit, or for a family that was compared and is not
    in the spec, at the last origin of the backtest."""
    compared = trained.declined
    if "origin" in compared.columns and len(compared):
        compared = compared.loc[compared["origin"] == compared["origin"].max()]
    compared = compared.loc[~compared["family"].isin(trained.spec.families)]
    columns = ["unique_id", "family", "reason"]
    once = pd.concat([trained.serving.declined[columns], compared[columns]], ignore_index=True).drop_duplicates()
    counts = Counter(zip(once["family"], once["reason"], strict=True))
    return [{"family": f, "reason": r, "series": n} for (f, r), n in sorted(counts.items())]


@transaction.atomic
def _register(
    ctx: RunContext, asked: dict[str, Any], trained: _Trained, files: list[artifacts.StoredFile]
) -> ModelVersion:
    """Write spec, version and artifacts; only the attempt that owns the run gets here."""
    ctx.fence()
    by_role = {role: [f for f in files if f.role == role] for role in ("evaluation", "serving")}
    manifest = {
        "evaluation": artifacts.checked_manifest(fitted=trained.judged, role="evaluation", files=by_role["evaluation"]),
        "serving": artifacts.checked_manifest(fitted=trained.serving, role="serving", files=by_role["serving"]),
        "lineage": trained.lineage,
    }
    judged, serving = trained.judged.window, trained.serving.window
    if judged is None or serving is None:
        raise PartitionBroken("A fit has no training window; it was not registered.")
    spec, _ = ModelSpec.objects.get_or_create(
        sha256=trained.spec.sha256, defaults={"label": trained.spec.label[:160], "body": trained.spec.to_json()}
    )
    with connection.cursor() as cursor:
        # One number after the other, also when two trainings end at once.
        cursor.execute("LOCK TABLE forecasting_modelversion IN SHARE ROW EXCLUSIVE MODE")
    newest = ModelVersion.objects.aggregate(number=Max("number"))["number"] or 0
    version = ModelVersion.objects.create(
        number=newest + 1,
        spec=spec,
        status=VersionStatus.CANDIDATE,
        mode=asked["mode"],
        decision_id=asked.get("decision"),
        run_id=ctx.run.pk,
        as_of=serving.as_of,
        evaluation_window=judged.to_json(),
        serving_window=serving.to_json(),
        manifest=manifest,
        backtest=trained.backtest,
        notes=_notes(trained),
        created_by=ctx.run.requested_by,
        created_by_name=ctx.run.requested_by_name,
    )
    artifacts.register(version=version, files=files)
    record(
        event="model.trained",
        actor=ctx.run.requested_by,
        subject=version,
        data={
            "version": version.number,
            "spec": spec.label,
            "mode": asked["mode"],
            "decision": asked.get("decision"),
            "as_of": serving.as_of,
            "fingerprints": [judged.fingerprint, serving.fingerprint],
        },
        correlation_id=ctx.run.correlation_id,
    )
    return version
