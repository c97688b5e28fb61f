"""The body of a replay: load once, walk, keep each day, stop where a person has to decide, keep the files."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from django.conf import settings
from django.contrib.auth.models import AbstractBaseUser
from django.db import transaction
from django.utils import timezone

from forecasting.engine.replay.artifacts import files_of
from forecasting.engine.replay.config import Hitl, ReplayConfig
from forecasting.engine.replay.knowledge import Knowledge, Rows
from forecasting.engine.replay.outcome import Outcome, outcome_of
from forecasting.engine.replay.review import APPROVE, EDIT, REJECT, Decision, Paused, Question, Reviewer, by_key
from forecasting.engine.replay.store import Store
from forecasting.engine.replay.walk import Walk
from forecasting.engine.types import TrainingWindow
from forecasting.errors_replay import ReplayDataChanged, ReplayGrainChanged
from forecasting.models import REPLAY_TRANSITIONS, Replay, ReplayDay, ReplayDecision, ReplayDecisionState, ReplayState
from forecasting.models.replay import DECIDED
from forecasting.services.data_profile import DataProfile, active_profile
from forecasting.services.engine_errors import engine_errors
from forecasting.services.loading import LoadedRows, load_rows
from forecasting.services.pool import training_pool
from forecasting.services.replay_request import REPLAY, locked, queue, reopened, scope_of, stop
from forecasting.services.windows import plan_window
from integrations.services.artifacts import keep_artifacts
from ledger import execution
from ledger.context import Listener, RunContext
from ledger.models import Run, RunState
from ledger.schema import connection
from ledger.services.audit import record
from ledger.services.leftovers import IN_PROCESS, end_leftovers

VERDICTS = {
    ReplayDecisionState.APPROVED: APPROVE,
    ReplayDecisionState.EDITED: EDIT,
    ReplayDecisionState.REJECTED: REJECT,
}
_POOL_FROM_ROWS = 100_000
"""Below this, other processes cost more than they give."""


def perform(*, ctx: RunContext) -> dict[str, Any]:
    """The body of the job. A run walks until the end, or until a person has to decide; then another goes on from there.

    Raises ReplayUnknown, ReplayDataChanged, SeriesUnusable, TrainingRefused, LeaseLost.
    """
    with transaction.atomic():
        ctx.fence()
        replay = locked(ctx.inputs["replay"])
        if replay.state == ReplayState.FINISHED:  # the attempt before this one ended after it had written
            return {"replay": replay.pk, "sentence": replay.sentence}
        replay.state, replay.run_id, replay.error = ReplayState.RUNNING, ctx.run.pk, ""
        replay.save(update_fields=["state", "run_id", "error"])
    config = ReplayConfig.from_json(replay.config)
    ctx.progress(0, config.steps + 1, "Reading demand")
    with engine_errors():
        knowledge = Knowledge(_rows(_loaded(ctx, replay, config)), config)
        store = Store(folder_of(replay))
        big = len(knowledge.given.rows) >= _POOL_FROM_ROWS
        with training_pool() if big else _alone() as executor:
            walk = Walk(knowledge, config, store, Reviewer(config, _given(replay, config)), executor=executor)
            _keep_missing(ctx, replay, walk)
            try:
                walk.run(ctx.progress, kept=lambda line: _keep_day(ctx, replay, line))
            except Paused as waits:
                return _pause(ctx, replay, waits.question)
    outcome = outcome_of(walk.state, store.lines(), knowledge, config, fingerprint=replay.fingerprint)
    sentence = _finish(ctx, replay, outcome)
    shutil.rmtree(store.folder, ignore_errors=True)
    return {"replay": replay.pk, "sentence": sentence}


def replay_inline(
    *, replay: Replay, actor: AbstractBaseUser | None = None, listener: Listener | None = None, resume: bool = False
) -> Replay:
    """Walk in this process, as a run of its own, and return the replay as it stands then: finished, or waiting.

    resume: go on with one that failed, was cancelled, or whose command was killed. Raises as `perform` and
    `resume_replay`.
    """
    end_leftovers(kind=REPLAY, scope=scope_of(replay))
    if resume:
        with transaction.atomic():
            replay = reopened(replay.pk, actor)
    inputs = {"replay": replay.pk, IN_PROCESS: True}
    execution.run_inline(
        kind=REPLAY, inputs=inputs, scope=scope_of(replay), requested_by=actor, listener=listener
    )  # fmt: skip
    return Replay.objects.get(pk=replay.pk)


def ended(run: Run) -> None:
    """A run that failed or was cancelled takes its replay with it; it can be resumed.

    One that ended at a question may find it answered: somebody decided between the question and this end. Then it hands
    the replay on to the next run. Both look under the replay's lock, so that one of them queues it, and only one.
    """
    replay = Replay.objects.select_for_update(of=("self",)).filter(pk=run.inputs.get("replay")).first()
    if replay is None:
        return
    told = run.state == RunState.CANCELLED or run.cancel_requested_at is not None  # also after its last look
    if run.state == RunState.FAILED and ReplayState.FAILED in REPLAY_TRANSITIONS[replay.state]:
        stop(replay, ReplayState.FAILED, run.error)
    elif told and ReplayState.CANCELLED in REPLAY_TRANSITIONS[replay.state]:
        stop(replay, ReplayState.CANCELLED, run.error)
    elif run.state == RunState.SUCCEEDED and replay.state == ReplayState.QUEUED:
        queue(replay, replay.created_by)


def folder_of(replay: Replay) -> Path:
    """Where a replay at work keeps its models and checkpoints, on this machine. Where it is gone, the walk begins anew
    and comes to the same."""
    return Path(settings.MEDIA_ROOT) / connection.schema_name / "replays" / str(replay.token)


# --- before the walk --------------------------------------------------------------------------------------------------


def _loaded(ctx: RunContext, replay: Replay, config: ReplayConfig) -> LoadedRows:
    """The rows, which must be those that the replay began with, on the grid that it was asked for."""
    _require_grain(replay, config, active_profile())
    window = plan_window(as_of=config.end, mode="serving")
    loaded = load_rows(TrainingWindow.refit(window.train_start, config.end), ahead=config.horizon)
    _require_grain(replay, config, loaded.profile)  # the contract may have been changed in between
    with transaction.atomic():
        ctx.fence()
        if not replay.fingerprint:
            replay.fingerprint = loaded.window.fingerprint
            replay.save(update_fields=["fingerprint"])
    if replay.fingerprint != loaded.window.fingerprint:
        raise ReplayDataChanged(replay.pk, config.end)
    return loaded


def _require_grain(replay: Replay, config: ReplayConfig, profile: DataProfile) -> None:
    if profile.grain != config.grain:
        raise ReplayGrainChanged(replay.pk, config.grain, profile.grain)


def _rows(loaded: LoadedRows) -> Rows:
    profile, static = loaded.profile, loaded.static
    names = {
        int(i): f"{store} · {product}"
        for i, store, product in zip(static["unique_id"], static["store_id"], static["product_id"], strict=True)
    }
    return Rows(
        loaded.rows, static=static, future=loaded.future, regressors=profile.regressors,
        missing_days=profile.missing_days, grain=profile.grain, country=profile.country, names=names,
    )  # fmt: skip


def _given(replay: Replay, config: ReplayConfig) -> dict[str, Decision]:
    """Decisions that are there already: recorded ones, or people's in this replay."""
    if config.hitl == Hitl.RECORDED:
        return by_key(replay.recorded)
    rows = ReplayDecision.objects.filter(replay=replay, state__in=DECIDED).order_by("pk")
    return {
        row.key: Decision(
            row.key, row.question_sha256, VERDICTS[ReplayDecisionState(row.state)], row.code, row.reason,
            row.decided_by_name, edits=row.edits,
        )
        for row in rows
    }  # fmt: skip


class _alone:  # stands where a pool might
    def __enter__(self) -> None:
        return None

    def __exit__(self, *_: object) -> None:
        return None


# --- what is kept -----------------------------------------------------------------------------------------------------


def _keep_day(ctx: RunContext, replay: Replay, line: Mapping[str, Any]) -> None:
    """Keep a day; the same day again is the same."""
    with transaction.atomic():
        ctx.fence()
        ReplayDay.objects.update_or_create(
            replay=replay, step=line["step"], defaults={"day": line["day"], "line": dict(line)}
        )
        Replay.objects.filter(pk=replay.pk, step__lt=line["step"]).update(step=line["step"])
    ctx.check_cancelled()


def _keep_missing(ctx: RunContext, replay: Replay, walk: Walk) -> None:
    """Days whose line stands in the folder, and which a kill kept out of the table."""
    known = set(ReplayDay.objects.filter(replay=replay).values_list("step", flat=True))
    for line in walk.store.lines()[: walk.state.step + 1]:
        if line["step"] not in known:
            _keep_day(ctx, replay, line)


@transaction.atomic
def _pause(ctx: RunContext, replay: Replay, question: Question) -> dict[str, Any]:
    """Put a question before the reviewers; the run ends well, and the decision queues the next."""
    ctx.fence()
    replay = locked(replay.pk)
    row, _ = ReplayDecision.objects.get_or_create(
        replay=replay,
        key=question.key,
        question_sha256=question.sha256,
        defaults={
            "kind": question.kind,
            "day": question.day,
            "question": dict(question.body),
            "asked_by_id": replay.created_by_id,
            "asked_by_name": replay.created_by_name,
        },
    )
    if row.state in DECIDED:  # while this attempt, which does after a lost one, was on its way to the same question
        replay.state = ReplayState.QUEUED
        replay.save(update_fields=["state"])
        return {"replay": replay.pk, "decided": row.pk, "day": question.day.isoformat(), "kind": question.kind}
    if row.state == ReplayDecisionState.LAPSED:  # of a replay that was cancelled while it waited
        row.state = ReplayDecisionState.PENDING
        row.save(update_fields=["state"])
    replay.state = ReplayState.WAITING
    replay.save(update_fields=["state"])
    record(
        event="replay.waits",
        subject=replay,
        data={"question": row.pk, "kind": question.kind, "day": question.day, "sha256": question.sha256},
        correlation_id=ctx.run.correlation_id,
    )
    return {"replay": replay.pk, "waits_for": row.pk, "day": question.day.isoformat(), "kind": question.kind}


def _finish(ctx: RunContext, replay: Replay, outcome: Outcome) -> str:
    """Keep the files and what came of it, in one transaction."""
    with tempfile.TemporaryDirectory(prefix="forecourt-replay-") as folder:
        paths = []
        for name, text in files_of(outcome, _tenant_name()).items():
            path = Path(folder) / name
            path.write_text(text, encoding="utf-8")
            paths.append(path)
        kept_in = f"replay/{replay.pk}/{ctx.run.pk}/{ctx.attempt}"
        with keep_artifacts(folder=kept_in, paths=paths) as kept, transaction.atomic():
            ctx.fence()
            done = locked(replay.pk)
            done.state, done.step, done.finished_at = ReplayState.FINISHED, done.steps - 1, timezone.now()
            done.sentence = outcome.summary["sentence"]
            done.summary = {**outcome.summary, "hitl_decisions": outcome.decisions}
            done.files = [artifact.as_dict() for artifact in kept]
            done.save()
            record(
                event="replay.finished",
                subject=done,
                data={"sentence": done.sentence, "log_sha256": outcome.summary["log_sha256"],
                      "manifest_sha256": outcome.summary["manifest_sha256"]},
                correlation_id=ctx.run.correlation_id,
            )  # fmt: skip
    return str(outcome.summary["sentence"])


def _tenant_name() -> str:
    from tenants.selectors import current_tenant

    return str(current_tenant().name)
