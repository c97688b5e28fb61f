"""Asking for a replay: what it would walk through, checked before anything is queued; start, resume, cancel."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import date, timedelta
from typing import Any

from django.contrib.auth.models import AbstractBaseUser
from django.db import transaction

from forecasting import selectors
from forecasting.engine.replay.config import Cadence, Hitl, OrderRules, Portfolio, ReplayConfig, ReplayImpossible
from forecasting.engine.replay.review import by_key
from forecasting.errors import NoDemandLoaded, WrongRequest
from forecasting.errors_replay import (
    RecordedDecisionsUnusable,
    ReplayNotCancellable,
    ReplayNotPossible,
    ReplayNotResumable,
    ReplayUnknown,
)
from forecasting.models import REPLAY_TRANSITIONS, Replay, ReplayDecision, ReplayDecisionState, ReplayState
from forecasting.models.replay import RESUMABLE
from forecasting.services.chain_steps import check_may_start
from forecasting.services.data_profile import active_profile
from forecasting.services.policy import active_policy, body_of, clean_reason
from forecasting.services.training import check_families
from forecasting.services.windows import plan_window
from ledger.models import LIVE_STATES, Run
from ledger.services import runs
from ledger.services.audit import actor_name, record
from tenants.selectors import current_tenant

REPLAY = "forecasting.replay"
DEFAULT_FAMILIES = ("seasonal_naive", "seasonal_average", "lightgbm")
DEFAULT_REASON = "Would the governance have served us well?"


def check_replay(
    *,
    holdout_days: int,
    cadence: str = Cadence.WEEKLY,
    horizon: int | None = None,
    hitl: str = Hitl.POLICY,
    portfolio: str = Portfolio.AUTO,
    families: Sequence[str] | None = None,
    as_of: date | None = None,
    pack_size: float = 1.0,
) -> ReplayConfig:
    """The replay of the last ``holdout_days`` up to ``as_of`` (default: the newest day), under today's policy.

    Raises WrongRequest and its kin, FamilyUnknown, NoDemandLoaded, AsOfOutsideData, ReplayNotPossible.
    """
    for name, value, kind in (("cadence", cadence, Cadence), ("hitl", hitl, Hitl), ("portfolio", portfolio, Portfolio)):
        if value not in list(kind):
            raise WrongRequest(f"The {name} is {', '.join(kind)}; not {value!r}.")
    profile, first = active_profile(), selectors.first_day()
    if first is None:
        raise NoDemandLoaded()
    end = plan_window(as_of=as_of, mode="serving").as_of
    if holdout_days % profile.step_days:
        raise WrongRequest("Demand is weekly: a replay covers whole weeks, so give the days as a multiple of 7.")
    body = body_of(active_policy())
    chosen = check_families(families if families is not None else DEFAULT_FAMILIES)
    try:
        config = ReplayConfig(
            start=end - timedelta(days=holdout_days - 1),
            end=end,
            cadence=Cadence(cadence),
            horizon=profile.default_horizon if horizon is None else horizon,
            families=chosen,
            hitl=Hitl(hitl),
            portfolio=Portfolio(portfolio),
            grain=profile.grain,
            season_length=profile.season_length,
            gates=body.gate_thresholds(),
            business=body.business_policy(),
            regression=body.regression.regression_rules(),
            watched_days=body.regression.watched_days,
            max_backtest_wape_ratio=body.refresh.max_backtest_wape_ratio,
            max_realised_wape_ratio=body.refresh.max_realised_wape_ratio,
            orders=OrderRules(pack_size=pack_size),
            currency=current_tenant().currency,
        )
        config.require_history(first, end)
    except ReplayImpossible as error:
        raise ReplayNotPossible(str(error)) from error
    except (ValueError, OverflowError) as error:
        raise WrongRequest(f"{str(error)[:1].upper()}{str(error)[1:]}.") from error
    return config


def recorded_of(value: Any) -> list[dict[str, Any]]:
    """Decisions of a file's content, or of an earlier replay by its number. Raises RecordedDecisionsUnusable."""
    if isinstance(value, int):
        earlier = Replay.objects.filter(pk=value).first()
        if earlier is None:
            raise ReplayUnknown(value)
        value = (earlier.summary or {}).get("hitl_decisions")
    if not isinstance(value, list) or not all(isinstance(one, Mapping) for one in value):
        raise RecordedDecisionsUnusable("it is no list of decisions")
    try:
        by_key(value)
    except ValueError as error:
        raise RecordedDecisionsUnusable(str(error)) from error
    return [dict(one) for one in value]


@transaction.atomic
def make_replay(
    *,
    config: ReplayConfig,
    actor: AbstractBaseUser | None,
    reason: str = DEFAULT_REASON,
    recorded: Sequence[Mapping[str, Any]] | None = None,
) -> Replay:
    """Write down what is asked for. Needs analyst or tenant_admin, or None for the system.

    Raises RoleRequired, TenantSuspended, ReasonMissing, RecordedDecisionsUnusable where decisions are to be recorded
    ones and none are given.
    """
    check_may_start(actor)
    said = clean_reason(reason, "start a replay")
    if config.hitl == Hitl.RECORDED and recorded is None:
        raise RecordedDecisionsUnusable("none were given")
    replay = Replay.objects.create(
        config=config.to_json(),
        recorded=list(recorded or []),
        first_day=config.start,
        last_day=config.end,
        steps=config.steps,
        reason=said,
        created_by_id=actor.pk if actor is not None else None,
        created_by_name=actor_name(actor),
    )
    facts = {"first_day": config.start, "last_day": config.end, "config_sha256": config.sha256, "hitl": config.hitl}
    record(event="replay.asked", actor=actor, subject=replay, data={**facts, "reason": said})
    return replay


@transaction.atomic
def start_replay(
    *,
    config: ReplayConfig,
    actor: AbstractBaseUser | None,
    reason: str,
    recorded: Sequence[Mapping[str, Any]] | None = None,
) -> Replay:
    """Ask for a replay and queue its run. Raises as `make_replay`."""
    replay = make_replay(config=config, actor=actor, reason=reason, recorded=recorded)
    queue(replay, actor)
    return replay


def queue(replay: Replay, actor: AbstractBaseUser | None) -> Run:
    """Queue the next run of a replay, in the caller's transaction. Raises RunAlreadyLive where one is at work."""
    run = runs.enqueue(kind=REPLAY, inputs={"replay": replay.pk}, scope=scope_of(replay), requested_by=actor)
    Replay.objects.filter(pk=replay.pk).update(run_id=run.pk)
    return run


def scope_of(replay: Replay) -> str:
    """One live run a replay; several replays do not get in each other's way."""
    return f"replay-{replay.pk}"


@transaction.atomic
def resume_replay(*, replay_id: int, actor: AbstractBaseUser | None) -> Replay:
    """Go on with a replay that failed or was cancelled, from its last checkpoint.

    Needs analyst or tenant_admin, or None for the system. Raises RoleRequired, TenantSuspended, ReplayUnknown,
    ReplayNotResumable, RunAlreadyLive.
    """
    check_may_start(actor)
    replay = reopened(replay_id, actor)
    queue(replay, actor)
    return replay


def reopened(replay_id: int, actor: AbstractBaseUser | None) -> Replay:
    """The locked replay, ready to be worked on again. Raises ReplayUnknown, ReplayNotResumable."""
    replay = locked(replay_id)
    if replay.state not in RESUMABLE:
        raise ReplayNotResumable(replay.pk, replay.get_state_display().lower())
    replay.state, replay.error = ReplayState.QUEUED, ""
    replay.save(update_fields=["state", "error"])
    record(event="replay.resumed", actor=actor, subject=replay, data={"step": replay.step})
    return replay


@transaction.atomic
def cancel_replay(*, replay_id: int, actor: AbstractBaseUser | None) -> Replay:
    """End a replay: a run at work stops at its next day, a question that waits lapses. It can be resumed later.

    Needs analyst or tenant_admin, or None for the system. Raises RoleRequired, ReplayUnknown, ReplayNotCancellable.
    """
    check_may_start(actor)
    replay, live = _locked_with_run(replay_id)
    if ReplayState.CANCELLED not in REPLAY_TRANSITIONS[replay.state]:
        raise ReplayNotCancellable(replay.pk, replay.get_state_display().lower())
    record(event="replay.cancelled", actor=actor, subject=replay, data={"step": replay.step})
    if live is not None:
        runs.cancel(run_id=live.pk, actor=None)  # permission was asked above; the run's end is told to the replay
    else:
        stop(replay, ReplayState.CANCELLED)
    return Replay.objects.get(pk=replay.pk)


def stop(replay: Replay, state: ReplayState, error: str = "") -> None:
    """The locked replay failed or was cancelled: nothing is asked any more. What lapses is asked again on resuming."""
    ReplayDecision.objects.filter(replay=replay, state=ReplayDecisionState.PENDING).update(
        state=ReplayDecisionState.LAPSED
    )
    replay.state, replay.error = state, error
    replay.save(update_fields=["state", "error"])


def live_run(replay: Replay) -> Run | None:
    """The run that works on the replay, or will."""
    return Run.objects.filter(kind=REPLAY, scope=scope_of(replay), state__in=LIVE_STATES).first()


def _locked_with_run(replay_id: int) -> tuple[Replay, Run | None]:
    """The replay and its live run under lock, the run first, as a run at work locks them: else two could wait for each
    other. Raises ReplayUnknown.
    """
    replay = Replay.objects.filter(pk=replay_id).first()
    while replay is not None:
        live = live_run(replay)
        held = transaction.savepoint()
        if live is not None:
            Run.objects.select_for_update().get(pk=live.pk)
        replay, now = locked(replay_id), live_run(replay)
        if now == live:
            transaction.savepoint_commit(held)
            return replay, now
        transaction.savepoint_rollback(held)  # another run came or went meanwhile; this lets go of both locks
    raise ReplayUnknown(replay_id)


def locked(replay_id: int) -> Replay:
    """The replay under lock. Raises ReplayUnknown."""
    replay = Replay.objects.select_for_update(of=("self",)).filter(pk=replay_id).first()
    if replay is None:
        raise ReplayUnknown(replay_id)
    return replay
