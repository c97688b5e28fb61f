"""Rollback: put back a version that served before, from its verified artifact, in one transaction and at once."""

from __future__ import annotations

import time
from dataclasses import asdict, dataclass, replace
from datetime import date
from typing import Any

from django.contrib.auth.models import AbstractBaseUser, User
from django.db import transaction

from forecasting import selectors
from forecasting.errors import ArtifactCorrupt
from forecasting.errors_rollback import ChampionMoved, NothingToRollBackTo, RollbackRefused
from forecasting.models import ChampionAssignment, Channel, ForecastSet, ModelVersion, VersionStatus
from forecasting.models.assignment import AssignmentKind
from forecasting.models.registry import TrainingMode
from forecasting.services import alarms, champions
from forecasting.services.policy import clean_reason, lock_decisions
from integrations.errors import TenantSuspended
from ledger.services.audit import record
from tenants.errors import RoleRequired
from tenants.roles import Role, require_role
from tenants.selectors import current_tenant, get_tenant

ROLES = (Role.REVIEWER, Role.TENANT_ADMIN)
"""Who may roll back: the reviewer, who answers for what serves, and the tenant admin, who works the incident."""
_AGAIN = frozenset({VersionStatus.CHALLENGER, VersionStatus.RETIRED})


@dataclass(frozen=True)
class RollbackPlan:
    """What a rollback would do. origin: of the forecasts that would serve at once; None where they have to be made.

    behind_days: between those and the newest day; newer ones are then made by a job. fit_age_days: of the fit.
    """

    target: ChampionAssignment
    displaces: ChampionAssignment
    newest_day: date | None
    origin: date | None
    repairs: bool

    @property
    def version(self) -> ModelVersion:
        return self.target.version

    @property
    def fit_age_days(self) -> int | None:
        return (self.newest_day - self.version.as_of).days if self.newest_day is not None else None

    @property
    def behind_days(self) -> int | None:
        return (self.newest_day - self.origin).days if self.newest_day is not None and self.origin is not None else None

    def to_json(self) -> dict[str, Any]:
        """Plain JSON values."""
        return {
            "to": self.version.number,
            "to_assignment": self.target.pk,
            "spec": self.version.spec.label,
            "displaces": self.displaces.version.number,
            "displaces_assignment": self.displaces.pk,
            "newest_day": _iso(self.newest_day),
            "fit_until": self.version.as_of.isoformat(),
            "fit_age_days": self.fit_age_days,
            "forecast_origin": _iso(self.origin),
            "behind_days": self.behind_days,
            "forecasts_are_made_first": self.origin is None or self.repairs,
        }


@dataclass(frozen=True)
class Seconds:
    """How long each part took: reading and hashing every file, loading the fit, making forecasts where none were
    usable, letting them serve, and all of it until the change was committed."""

    verify: float = 0.0
    load: float = 0.0
    forecast: float = 0.0
    publish: float = 0.0
    total: float = 0.0


@dataclass(frozen=True)
class Rollback:
    """What a rollback came to."""

    assignment: ChampionAssignment
    plan: RollbackPlan
    forecast_set: ForecastSet
    files: int
    bytes: int
    seconds: Seconds

    def to_json(self) -> dict[str, Any]:
        """Plain JSON values."""
        return {
            **self.plan.to_json(),
            "assignment": self.assignment.pk,
            "forecast_set": self.forecast_set.pk,
            "forecast_origin": self.forecast_set.origin_date.isoformat(),
            "files": self.files,
            "bytes": self.bytes,
            "seconds": asdict(self.seconds),
        }


def plan_rollback(
    *, assignment_id: int | None = None, version: int | None = None, channel: str = Channel.LIVE
) -> RollbackPlan:
    """What a rollback to an earlier assignment (or to a version's last one) would do; reads only, and no files.

    Raises NothingToRollBackTo, RollbackRefused.
    """
    current = selectors.current_champion(channel)
    target = _target(assignment_id, version, channel)
    found = target.version
    if current is None:
        raise RollbackRefused(found.label, f"nothing serves on the {channel} channel, so there is nothing to displace.")
    if current.version_id == found.pk:
        raise RollbackRefused(found.label, f"it is champion of the {channel} channel already.")
    if channel == Channel.LIVE and (found.status not in _AGAIN or found.mode == TrainingMode.DRILL):
        raise RollbackRefused(found.label, f"its status is {found.status}.")
    newest = selectors.newest_day()
    usable, repairs = _usable_set(found, channel, newest)
    return RollbackPlan(target, current, newest, usable.origin_date if usable is not None else None, repairs)


def rollback_champion(
    *,
    actor: AbstractBaseUser | None,
    reason: str,
    assignment_id: int | None = None,
    version: int | None = None,
    channel: str = Channel.LIVE,
    expected: int | None = None,
    operator: str = "",
) -> Rollback:
    """Put back what served earlier: an assignment by its id, or a version by its number (its last time in service).

    It serves when this returns: every registered file is read and verified, the fit is loaded, its newest forecasts are
    published with the assignment in one transaction; where they are older than the data, a job makes newer ones and the
    restored ones serve meanwhile. Nothing is changed where any of it fails. Needs a reviewer or tenant admin with a
    reason, or an ``operator`` (a person at the command line, by name); one pair of eyes is enough, because it only
    returns to what was approved. expected: id of the assignment that the person saw as serving.

    Raises RoleRequired, TenantSuspended, ReasonMissing, NothingToRollBackTo, RollbackRefused, ChampionMoved,
    ArtifactCorrupt (and opens an incident), StorageUnavailable.
    """
    started = time.monotonic()
    said = clean_reason(reason, "roll back")
    _allowed(actor, channel, operator)
    _as_seen(channel, expected)
    plan = plan_rollback(assignment_id=assignment_id, version=version, channel=channel)
    try:
        files, seconds = _restored(plan.version)
    except ArtifactCorrupt as error:
        if channel == Channel.LIVE:
            alarms.artifact_corrupt(error)
        raise
    clock = time.monotonic()
    _forecasts_ready(plan, channel)
    seconds = replace(seconds, forecast=time.monotonic() - clock)
    with transaction.atomic():
        done = _apply(plan, channel, actor, operator, said, files, seconds, started)
    return replace(done, seconds=replace(done.seconds, total=time.monotonic() - started))


# --- who and what -----------------------------------------------------------------------------------------------------


def _allowed(actor: AbstractBaseUser | None, channel: str, operator: str) -> User | None:
    """The person as the database knows them now. On the drill channel the drill itself acts."""
    tenant = get_tenant(current_tenant().schema_name)  # as it is now, not as the connection remembers it
    if not tenant.is_serving:
        raise TenantSuspended(tenant.schema_name, tenant.status_reason)
    if actor is None:
        if channel == Channel.LIVE and not operator.strip():
            raise RoleRequired("The system", tuple(role.value for role in ROLES))
        return None
    person = User.objects.filter(pk=actor.pk, is_active=True).first()
    if channel == Channel.LIVE:
        require_role(person, *ROLES)
    return person


def _target(assignment_id: int | None, version: int | None, channel: str) -> ChampionAssignment:
    rows = ChampionAssignment.objects.select_related("version__spec").filter(channel=channel)
    if assignment_id is not None:
        found = rows.filter(pk=assignment_id).first()
    elif version is not None:
        found = rows.filter(version__number=version).order_by("-from_at", "-pk").first()
    else:
        found = None
    if found is None:
        asked = f"Assignment {assignment_id}" if assignment_id is not None else f"v{version}"
        known = ", ".join(f"v{one.version.number} (assignment {one.pk})" for one in rollback_targets(channel)[:8])
        raise NothingToRollBackTo(asked, channel, known)
    return found


def rollback_targets(channel: str = Channel.LIVE) -> list[ChampionAssignment]:
    """The last time in service of each version that may be put back, the latest first."""
    rows = ChampionAssignment.objects.select_related("version__spec").filter(channel=channel)
    open_now = rows.filter(to_at__isnull=True).values("version_id")
    latest: dict[int, ChampionAssignment] = {}
    for row in rows.exclude(version_id__in=open_now).filter(version__status__in=_AGAIN).order_by("-from_at", "-pk"):
        latest.setdefault(row.version_id, row)
    return list(latest.values())


def _as_seen(channel: str, expected: int | None) -> None:
    current = selectors.current_champion(channel)
    if expected is not None and current is not None and current.pk != expected:
        seen = ChampionAssignment.objects.select_related("version").filter(pk=expected).first()
        raise ChampionMoved(seen.version.label if seen is not None else "another", current.version.label)


# --- the work ---------------------------------------------------------------------------------------------------------


def _restored(version: ModelVersion) -> tuple[tuple[int, int], Seconds]:
    """Verify every file of a version and load its serving fit; files, bytes and seconds."""
    from forecasting.services.artifacts import load_fit, verify_files  # brings the forecasting libraries with it

    verified = verify_files(version)
    clock = time.monotonic()
    load_fit(version, "serving")
    return (verified.files, verified.bytes), Seconds(verify=verified.seconds, load=time.monotonic() - clock)


def _usable_set(version: ModelVersion, channel: str, newest: date | None) -> tuple[ForecastSet | None, bool]:
    """The set that can serve at once, and whether it lost paths and has to be made whole first.

    An older set that lost paths is passed over: forecasts from the newest day take its place.
    """
    from forecasting.services.publishing import is_complete

    found = selectors.newest_set(version, channel)
    if found is None or is_complete(found):
        return found, False
    if channel == Channel.LIVE and newest is not None and found.origin_date < newest:
        return None, False
    return found, True


def _forecasts_ready(plan: RollbackPlan, channel: str) -> None:
    """Make what cannot be taken from the store; outside of the transaction that changes the champion."""
    from forecasting.services.publishing import forecast_version, repair_set

    if plan.origin is None:
        forecast_version(ctx=None, version=plan.version, channel=channel)
    elif plan.repairs:
        broken = selectors.newest_set(plan.version, channel)
        if broken is not None:
            repair_set(broken)


def _apply(
    plan: RollbackPlan,
    channel: str,
    actor: AbstractBaseUser | None,
    operator: str,
    reason: str,
    files: tuple[int, int],
    seconds: Seconds,
    started: float,
) -> Rollback:
    """Assignment, publication and audit, under the lock that every decision takes; all is checked again here."""
    from forecasting.services.publishing import publish_newest

    lock_decisions()
    person = _allowed(actor, channel, operator)
    current = selectors.current_champion(channel)
    if current is None or current.pk != plan.displaces.pk:
        now = current.version.label if current is not None else "gone"
        raise ChampionMoved(plan.displaces.version.label, now)
    clock = time.monotonic()
    published = publish_newest(plan.version, channel)
    if published is None:
        raise RollbackRefused(plan.version.label, "it has no forecasts.")
    seconds = replace(seconds, publish=time.monotonic() - clock, total=time.monotonic() - started)
    plan = replace(plan, origin=published.origin_date, repairs=False)
    told = {
        **plan.to_json(),
        "forecast_set": published.pk,
        "files": files[0],
        "bytes": files[1],
        "seconds": {name: round(value, 4) for name, value in asdict(seconds).items()},
    }
    assignment = champions.assign(
        version=plan.version,
        kind=AssignmentKind.ROLLBACK,
        channel=channel,
        details=told,
        reason=reason,
        actor=person,
        by=operator.strip()[:150] if person is None else "",
    )
    record(
        event="champion.rolled_back",
        actor=person,
        subject=assignment,
        data={"channel": channel, "reason": reason, "by": assignment.assigned_by_name, **told},
    )
    return Rollback(assignment, plan, published, *files, seconds)


def _iso(day: date | None) -> str | None:
    return day.isoformat() if day is not None else None
