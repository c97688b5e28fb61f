"""What a rollback drill works with: the version that is put back, and the damaged one; made apart, and cleared away."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, timedelta
from typing import Any
from uuid import UUID

from django.db import connection, transaction
from django.db.models import Max

from forecasting import selectors
from forecasting.engine.damage import damaged
from forecasting.engine.fitting import fit
from forecasting.engine.types import ModelSpec as EngineSpec
from forecasting.errors_rollback import DrillNotPossible
from forecasting.models import ChampionAssignment, Channel, ForecastSet, ModelArtifact, ModelSpec, ModelVersion
from forecasting.models.registry import TrainingMode, VersionStatus
from forecasting.services import artifacts, champions
from forecasting.services.data_profile import active_profile
from forecasting.services.engine_errors import engine_errors
from forecasting.services.rollback import rollback_targets
from forecasting.services.snapshots import demand_snapshot
from forecasting.services.windows import plan_window
from ledger.context import RunContext
from ledger.services.audit import record

LEAST_STEPS, MOST_STEPS = 3, 14
"""How many steps of actuals a drill has at least and at most to notice the damage by."""


@dataclass(frozen=True)
class Ground:
    """What a drill begins with. version: what is put back, or None where the champion's spec has to be fitted as of
    the origin, because every fit that served is too new for any actuals to have come. how: in words."""

    champion: ChampionAssignment
    version: ModelVersion | None
    origin: date
    how: str


def choose_ground() -> Ground:
    """The newest version in service that leaves days of actuals to reveal, and the origin to forecast from.

    Raises DrillNotPossible where nothing serves or the history is too short.
    """
    newest, champion = selectors.newest_day(), selectors.current_champion()
    if newest is None or champion is None:
        raise DrillNotPossible("A drill rolls back to what serves, and nothing serves yet. Promote a first champion.")
    for version in (champion.version, *(target.version for target in rollback_targets())):
        origin = _origin(version, newest)
        if origin is not None:
            how = "the live champion" if version.pk == champion.version_id else "an earlier live champion"
            return Ground(champion, version, origin, how)
    step = active_profile().step_days
    steps = min(int(champion.version.spec.body["horizon"]), MOST_STEPS)
    origin = plan_window(as_of=newest - timedelta(days=steps * step), mode="serving").as_of
    return Ground(champion, None, origin, "the live champion’s spec, fitted for the drill as of an earlier day")


def _origin(version: ModelVersion, newest: date) -> date | None:
    """Where a version's drill begins: at an origin that it has published from, else as late as leaves enough days."""
    step = active_profile().step_days
    wanted = min(int(version.spec.body["horizon"]), MOST_STEPS) * step
    served = ForecastSet.objects.filter(version=version, channel=Channel.LIVE, published_at__isnull=False)
    origins = served.filter(origin_date__gte=version.as_of).values_list("origin_date", flat=True)
    enough = [day for day in origins if (newest - day).days >= wanted]
    if enough:
        return max(enough)
    latest = newest - timedelta(days=LEAST_STEPS * step)
    if version.as_of > latest:
        return None
    return plan_window(as_of=max(version.as_of, newest - timedelta(days=wanted)), mode="serving").as_of


def make_drill_version(
    *, ctx: RunContext, spec: EngineSpec, calibrated_by: ModelVersion, origin: date, damage: bool
) -> ModelVersion:
    """Fit a spec as of ``origin`` through the one door to training data, damage it if asked, store and register it.

    It is registered as made for a drill, and retired from its first moment: the database lets it neither be judged nor
    asked for nor serve. The intervals are those of ``calibrated_by``. One run makes one. Raises as training does, and
    DrillNotPossible where there is nothing to damage.
    """
    known = ModelVersion.objects.select_related("spec").filter(run_id=ctx.run.pk).first()
    if known is not None:
        return known
    lender = artifacts.load_fit(calibrated_by, "serving")
    with engine_errors(), demand_snapshot() as demand:
        sealed = demand.source(plan_window(as_of=origin, mode="evaluation")).window
        source = demand.source(plan_window(as_of=origin, mode="serving"))
        fitted = fit(
            source, spec, lender.calibration, window=source.window, executor=demand.executor,
            hierarchy=lender.hierarchy if spec.reconciliation == lender.spec.reconciliation else None,
        )  # fmt: skip
    if damage:
        try:
            fitted = damaged(fitted)
        except ValueError as error:
            raise DrillNotPossible(f"Nothing could be damaged: {error}. Load more demand first.") from error
    folder = f"models/{ctx.run.pk}"
    artifacts.discard_attempts(run_folder=folder, before=ctx.attempt)
    files = artifacts.store_fit(fitted=fitted, role="serving", folder=f"{folder}/{ctx.attempt}")
    try:
        manifest = {
            "evaluation": {
                "partition": sealed.to_json(),
                "data_fingerprint": sealed.fingerprint,
                "spec_sha256": spec.sha256,
                "files": {},
                "drill": "nothing was fitted here: what is made for a drill is never judged",
            },
            "serving": artifacts.checked_manifest(fitted=fitted, role="serving", files=files),
        }
        return _register(ctx, spec, fitted.window.to_json() if fitted.window else {}, sealed.to_json(), manifest, files,
                         origin, damage)  # fmt: skip
    except BaseException:
        artifacts.discard(files)
        raise


@transaction.atomic
def _register(
    ctx: RunContext,
    spec: EngineSpec,
    serving: dict[str, Any],
    sealed: dict[str, Any],
    manifest: dict[str, Any],
    files: list[artifacts.StoredFile],
    origin: date,
    damage: bool,
) -> ModelVersion:
    ctx.fence()
    row, _ = ModelSpec.objects.get_or_create(
        sha256=spec.sha256, defaults={"label": spec.label[:160], "body": spec.to_json()}
    )
    with connection.cursor() as cursor:
        cursor.execute("LOCK TABLE forecasting_modelversion IN SHARE ROW EXCLUSIVE MODE")
    newest = ModelVersion.objects.aggregate(number=Max("number"))["number"] or 0
    what = "Damaged on purpose for a rollback drill" if damage else "Fitted for a rollback drill"
    version = ModelVersion.objects.create(
        number=newest + 1,
        spec=row,
        status=VersionStatus.RETIRED,
        mode=TrainingMode.DRILL,
        run_id=ctx.run.pk,
        as_of=origin,
        evaluation_window=sealed,
        serving_window=serving,
        manifest=manifest,
        notes=[],
        error=f"{what}; it never serves outside of the drill.",
        created_by=ctx.run.requested_by,
        created_by_name=ctx.run.requested_by_name,
    )
    artifacts.register(version=version, files=files)
    record(
        event="drill.version_made",
        actor=ctx.run.requested_by,
        subject=version,
        data={"version": version.number, "damaged": damage, "as_of": origin, "channel": Channel.DRILL},
        correlation_id=ctx.run.correlation_id,
    )
    return version


@transaction.atomic
def clear_away(*, keep: UUID | None = None) -> dict[str, int]:
    """End what is open on the drill channel, and take away its forecasts and the files of what was made for drills;
    versions, hashes and assignments stay. Idempotent: it also clears what a killed drill left. keep: the run whose
    version's files stay, because it goes on."""
    champions.end_drill()
    sets, _ = ForecastSet.objects.filter(channel=Channel.DRILL).delete()
    made = ModelArtifact.objects.filter(version__mode=TrainingMode.DRILL)
    if keep is not None:
        made = made.exclude(version__run_id=keep)
    paths = list(made.values_list("path", flat=True))
    transaction.on_commit(lambda: _delete(paths))
    return {"rows": sets, "files": len(paths)}


def _delete(paths: list[str]) -> None:
    artifacts.discard([artifacts.StoredFile("serving", "", path, "", 0) for path in paths])
