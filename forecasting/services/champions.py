"""Who is champion: one open assignment a channel, closed and followed, never rewritten."""

from __future__ import annotations

from contextlib import suppress
from datetime import date
from typing import Any

from django.contrib.auth.models import AbstractBaseUser
from django.db import transaction
from django.utils import timezone

from forecasting import selectors
from forecasting.errors import AssignmentRefused
from forecasting.models import (
    ChampionAssignment,
    Channel,
    ForecastSet,
    ModelVersion,
    PromotionRequest,
    VersionStatus,
)
from forecasting.models.assignment import AssignmentKind
from forecasting.models.registry import TrainingMode
from forecasting.services.announcing import announce_assignment
from forecasting.services.policy import lock_decisions
from ledger.errors import RunAlreadyLive
from ledger.services import runs
from ledger.services.audit import actor_name, record
from tenants.services import heartbeat

_ASSIGNABLE: dict[str, frozenset[str]] = {
    AssignmentKind.PROMOTION: frozenset({VersionStatus.CANDIDATE, VersionStatus.CHALLENGER}),
    AssignmentKind.REFRESH: frozenset({VersionStatus.CANDIDATE, VersionStatus.CHALLENGER}),
    AssignmentKind.ROLLBACK: frozenset({VersionStatus.CHALLENGER, VersionStatus.RETIRED}),
}
_ON_DRILL = frozenset({VersionStatus.CANDIDATE, VersionStatus.CHALLENGER, VersionStatus.RETIRED})


def champion_version(channel: str = Channel.LIVE) -> ModelVersion | None:
    """The version that serves on the channel now."""
    assignment = selectors.current_champion(channel)
    return assignment.version if assignment is not None else None


@transaction.atomic
def assign(
    *,
    version: ModelVersion,
    kind: str,
    channel: str = Channel.LIVE,
    request: PromotionRequest | None = None,
    guard: dict[str, Any] | None = None,
    details: dict[str, Any] | None = None,
    reason: str = "",
    actor: AbstractBaseUser | None = None,
    by: str = "",
) -> ChampionAssignment:
    """Close the channel's open assignment, open one for ``version``, publish its newest forecasts.

    The one place where a champion changes. It asks for no role: approval, the refresh guard and rollback decide who
    may, and call it inside their own transaction. Requests that were judged against the displaced champion lapse
    (after a refresh they are asked again on the same comparison, see `promotion_renewal`).
    by: the name of whoever decided, where that is no user of the tenant. Raises ``AssignmentRefused``.
    """
    from forecasting.services.promotion import lapse_stale
    from forecasting.services.promotion_renewal import renew_after_refresh
    from forecasting.services.publishing import publish_newest  # brings the forecasting libraries with it

    lock_decisions()
    version = ModelVersion.objects.select_for_update(of=("self",)).select_related("spec").get(pk=version.pk)
    current = (
        ChampionAssignment.objects.select_for_update(of=("self",))
        .select_related("version__spec")
        .filter(channel=channel, to_at__isnull=True)
        .first()
    )
    _check(version, kind, channel, current)
    now = timezone.now()
    if current is not None:
        now = max(now, current.from_at)  # a clock set back must not make history run backwards
        current.to_at = now
        current.save(update_fields=["to_at"])
    assignment = ChampionAssignment.objects.create(
        channel=channel,
        version=version,
        kind=kind,
        request=request,
        guard=guard or {},
        details=details or {},
        reason=reason,
        assigned_by_name=by or actor_name(actor),
        effective_on=_counts_from(version, kind, current),
        from_at=now,
    )
    if channel == Channel.LIVE:
        _follow(version, current)
        heartbeat.touch(champion=str(version)[:80], champion_since=now)
    published = publish_newest(version, channel)
    if channel == Channel.LIVE:
        _catch_up(assignment, published, actor)
    lapsed = lapse_stale()
    if kind == AssignmentKind.REFRESH and current is not None:
        renew_after_refresh(lapsed, before=current.version, champion=version)
    record(
        event="champion.assigned",
        actor=actor,
        subject=assignment,
        data={
            "channel": channel,
            "kind": kind,
            "version": version.number,
            "spec_sha256": version.spec.sha256,
            "displaced": current.version.number if current is not None else None,
            "request": request.pk if request is not None else None,
            "forecast_set": published.pk if published is not None else None,
            "reason": reason,
            **({"by": by} if by else {}),
            **({"details": details} if details else {}),
        },
    )
    announce_assignment(assignment=assignment, displaced=current, actor=actor)
    return assignment


def _counts_from(version: ModelVersion, kind: str, displaced: ChampionAssignment | None) -> date:
    """The business day from which an assignment counts: its data's last, but never before the one that it ends. What
    was put back counts from the newest day: until then, the other one had served."""
    days = [version.as_of, displaced.effective_on if displaced is not None else version.as_of]
    if kind == AssignmentKind.ROLLBACK:
        days.append(selectors.newest_day() or version.as_of)
    return max(days)


@transaction.atomic
def end_drill() -> ChampionAssignment | None:
    """Close what is open on the drill channel; None where nothing is. The live channel is never left without."""
    lock_decisions()
    current = ChampionAssignment.objects.select_for_update().filter(channel=Channel.DRILL, to_at__isnull=True).first()
    if current is not None:
        current.to_at = max(timezone.now(), current.from_at)
        current.save(update_fields=["to_at"])
    return current


def _catch_up(assignment: ChampionAssignment, published: ForecastSet | None, actor: AbstractBaseUser | None) -> None:
    """What serves starts the day after the newest data: where the new champion's forecasts are older (days came in
    while the request waited), a job makes newer ones."""
    from forecasting.services.chain_steps import FORECAST  # brings the forecasting libraries with it

    newest = selectors.newest_day()
    if newest is None or (published is not None and published.origin_date >= newest):
        return
    version = assignment.version
    # Under way already: then it needs no second one.
    with suppress(RunAlreadyLive):
        runs.enqueue(
            kind=FORECAST,
            inputs={"version": version.number},
            scope=version.label,
            idempotency_key=f"champion:{assignment.pk}",
            requested_by=actor,
        )


def _check(version: ModelVersion, kind: str, channel: str, current: ChampionAssignment | None) -> None:
    if current is not None and current.version_id == version.pk:
        raise AssignmentRefused(version.label, f"it is champion of the {channel} channel already.")
    allowed = _ON_DRILL if channel == Channel.DRILL else _ASSIGNABLE[kind]
    if version.status not in allowed or (version.mode == TrainingMode.DRILL and channel == Channel.LIVE):
        raise AssignmentRefused(
            version.label, f"its status is {version.status}. Choose a version that is a candidate or challenger."
        )


def _follow(version: ModelVersion, displaced: ChampionAssignment | None) -> None:
    """The new champion is a live version; an older fit of the same spec has no more to tell and is retired."""
    if version.status != VersionStatus.CHALLENGER:
        version.status = VersionStatus.CHALLENGER
        version.save(update_fields=["status"])
    if displaced is None or displaced.version.spec_id != version.spec_id:
        return
    ModelVersion.objects.filter(pk=displaced.version_id, status=VersionStatus.CHALLENGER).update(
        status=VersionStatus.RETIRED
    )
