"""Migrating the fleet: what is there already is skipped, canaries go first, the others in parallel within an error
budget; who comes second is refused, and what was interrupted goes on where it stood."""

from __future__ import annotations

import logging
import os
import socket
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager

from django.contrib.auth.models import AbstractBaseUser
from django.core.management import call_command
from django.db import connections, transaction
from django.db.backends.base.base import BaseDatabaseWrapper
from django.utils import timezone
from django_tenants.utils import get_public_schema_name, schema_context

from ledger.services.audit import actor_name, record
from tenants.errors import RolloutRefused
from tenants.fleet_state import Fleet, SchemaView, customer_schemas, survey
from tenants.migration_state import applied, target
from tenants.models import (
    Rollout,
    RolloutEntry,
    RolloutOutcome,
    RolloutState,
    SchemaStanding,
    SchemaState,
    Tenant,
)
from tenants.services.migrating import Outcome, migrating
from tenants.services.operators import require_operator
from tenants.services.templates import ensure_template, learn_shape

logger = logging.getLogger(__name__)
Say = Callable[[str], None]
_LOCK = 712_302
_LEARNED = 5
"""States that are learned in one rollout, a few seconds each; a fleet has one or two."""
_STAYS = (SchemaStanding.MISSING, SchemaStanding.HALF_MIGRATED, SchemaStanding.DRIFTED, SchemaStanding.AHEAD)


def migrate_fleet(
    *,
    processes: int = 2,
    max_errors: int = 0,
    canaries: Sequence[str] | None = None,
    actor: AbstractBaseUser | None = None,
    say: Say = logger.info,
) -> Rollout:
    """Bring public, the template and every tenant to the newest migration; return what came of it.

    ``canaries`` go first, one failure of theirs ends it; without a list those marked so, or else one tenant. Of the
    others, more than ``max_errors`` failures end it. Whatever ended it, the next call goes on with those that are left.
    ``processes=0`` migrates in this process. Raises ``RolloutRefused`` where another one is under way or a canary is
    unknown, ``PlatformOperatorRequired``.
    """
    if actor is not None:
        require_operator(actor, "tenants.change_tenant")
    with schema_context(get_public_schema_name()), _alone():
        _public(say)
        names = customer_schemas()
        if unknown := sorted(set(canaries or ()) - set(names)):
            raise RolloutRefused(f"There is no tenant {', '.join(unknown)} to go first.")
        before = _interrupted()
        ensure_template()
        fleet = look(names)
        behind = fleet.standing(SchemaStanding.BEHIND)
        rollout = _begin(fleet, _first(behind, canaries), before, processes, max_errors, actor)
        say(_counted(fleet))
        for view in fleet.views.values():
            if view.standing in _STAYS:
                say(f"{view.schema_name}: {view.standing.label.lower()}, not touched. {view.reason}")
        try:
            _roll(rollout, fleet, behind, say)
        except BaseException:
            _end(rollout, RolloutState.INTERRUPTED, "It was interrupted.")
            raise
        return rollout


def look(schema_names: Sequence[str] | None = None) -> Fleet:
    """Survey the fleet (or these schemas), learn the shapes that are not known, and keep what was found."""
    with schema_context(get_public_schema_name()):
        names = customer_schemas() if schema_names is None else list(schema_names)
        fleet = survey(names)
        if fleet.unknown:
            for state in list(fleet.unknown.values())[:_LEARNED]:
                learn_shape(state)
            fleet = survey(names)
        _keep(fleet.views.values())
    return fleet


def look_again(*, actor: AbstractBaseUser) -> Fleet:
    """Look at every schema because a person asks; raises ``PlatformOperatorRequired``."""
    require_operator(actor, "tenants.change_tenant")
    return look()


def _roll(rollout: Rollout, fleet: Fleet, behind: list[str], say: Say) -> None:
    canaries = [name for name in behind if name in rollout.canaries]
    others = [name for name in behind if name not in rollout.canaries]
    for stage, allowed in ((canaries, 0), (others, rollout.max_errors)):
        failed = 0
        with migrating(stage, processes=rollout.processes) as outcomes:
            for outcome in outcomes:
                failed += not _note(rollout, fleet.views[outcome.schema_name], outcome, say)
                if failed > allowed:
                    break
        if failed > allowed:
            word = "A canary failed" if stage is canaries else f"More than {allowed} tenants failed"
            _end(rollout, RolloutState.STOPPED, f"{word}: see their errors, mend them, and run it again.")
            return
    state = RolloutState.INCOMPLETE if rollout.failed or rollout.untouched else RolloutState.SUCCEEDED
    _end(rollout, state, "")


def _note(rollout: Rollout, was: SchemaView, outcome: Outcome, say: Say) -> bool:
    """Keep what came of one tenant, after having looked at it; whether it is where it should be."""
    view = survey([was.schema_name]).views[was.schema_name]
    good = not outcome.error and view.standing == SchemaStanding.AT_TARGET
    error = outcome.error or ("" if good else view.reason)
    with transaction.atomic():
        _keep([view])
        RolloutEntry.objects.create(
            rollout=rollout,
            schema_name=was.schema_name,
            canary=was.schema_name in rollout.canaries,
            outcome=RolloutOutcome.MIGRATED if good else RolloutOutcome.FAILED,
            standing=was.standing,
            before=was.migrations,
            after=view.migrations,
            seconds=round(outcome.seconds, 3),
            error=error,
        )
        rollout.migrated, rollout.failed = rollout.migrated + good, rollout.failed + (not good)
        rollout.left -= 1
        rollout.save()
    say(f"{was.schema_name}: {'migrated' if good else f'failed. {error}'} ({outcome.seconds:.1f} s)")
    return good


def _begin(
    fleet: Fleet,
    canaries: list[str],
    before: Rollout | None,
    processes: int,
    max_errors: int,
    actor: AbstractBaseUser | None,
) -> Rollout:
    now = target()
    stays = [view for view in fleet.views.values() if view.standing in _STAYS]
    with transaction.atomic():
        rollout = Rollout.objects.create(
            target_key=now.key,
            target_migrations=len(now.names),
            follows=before,
            processes=processes,
            max_errors=max_errors,
            canaries=canaries,
            tenants=len(fleet.views),
            at_target=len(fleet.standing(SchemaStanding.AT_TARGET)),
            untouched=len(stays),
            left=len(fleet.standing(SchemaStanding.BEHIND)),
            worker=f"{socket.gethostname()}:{os.getpid()}",
            requested_by_name=actor_name(actor),
        )
        RolloutEntry.objects.bulk_create(
            RolloutEntry(
                rollout=rollout,
                schema_name=view.schema_name,
                outcome=RolloutOutcome.UNTOUCHED,
                standing=view.standing,
                before=view.migrations,
                after=view.migrations,
                error=view.reason,
            )
            for view in stays
        )
        record(event="rollout.started", actor=actor, subject=rollout, data={"target": now.key, "left": rollout.left})
    return rollout


def _end(rollout: Rollout, state: RolloutState, reason: str) -> None:
    counts = ("at_target", "migrated", "failed", "untouched", "left")
    with transaction.atomic():
        rollout.state, rollout.reason, rollout.finished_at = state, reason, timezone.now()
        rollout.save()
        facts = {"state": state, **{name: getattr(rollout, name) for name in counts}}
        record(event="rollout.ended", subject=rollout, data=facts)


def _interrupted() -> Rollout | None:
    """The rollout that this one goes on with: we hold the lock, so one that stands as running is not any more."""
    for rollout in Rollout.objects.filter(state=RolloutState.RUNNING):
        _end(rollout, RolloutState.INTERRUPTED, "Its process went away.")
    last = Rollout.objects.filter(target_key=target().key).first()
    return last if last is not None and last.state != RolloutState.SUCCEEDED else None


def _first(behind: list[str], canaries: Sequence[str] | None) -> list[str]:
    """Who goes first of those that are behind."""
    if canaries is not None:
        return [name for name in behind if name in set(canaries)]
    marked = set(Tenant.objects.filter(canary=True).values_list("schema_name", flat=True))
    return [name for name in behind if name in marked] or behind[:1]


def _public(say: Say) -> None:
    public = get_public_schema_name()
    if applied([public])[public][0] != target().key:
        say("public: migrating")
        call_command("migrate_schemas", shared=True, interactive=False, verbosity=0)


def _keep(views: Iterable[SchemaView]) -> None:
    rows = [
        SchemaState(
            schema_name=view.schema_name,
            standing=view.standing,
            reason=view.reason,
            state_key=view.state_key,
            migrations=view.migrations,
            checked_at=timezone.now(),
        )
        for view in views
    ]
    fields = ["standing", "reason", "state_key", "migrations", "checked_at"]
    SchemaState.objects.bulk_create(rows, update_conflicts=True, unique_fields=["schema_name"], update_fields=fields)


def _counted(fleet: Fleet) -> str:
    counts = [(len(fleet.standing(one)), one.label.lower()) for one in SchemaStanding]
    words = ", ".join(f"{count} {label}" for count, label in counts if count)
    return f"{len(fleet.views)} tenants: {words or 'none'}."


@contextmanager
def _alone() -> Iterator[None]:
    """Hold the fleet's lock on a connection of its own, so that it lasts however often the others are closed."""
    own: BaseDatabaseWrapper = connections["default"].copy()
    try:
        with own.cursor() as cursor:
            cursor.execute("SELECT pg_try_advisory_lock(%s)", [_LOCK])
            got = cursor.fetchone()
        if not got or not got[0]:
            other = Rollout.objects.filter(state=RolloutState.RUNNING).first()
            who = f" {other} by {other.requested_by_name} on {other.worker}" if other is not None else ""
            raise RolloutRefused(
                f"Another migration of the fleet is under way:{who}. Wait for it; nothing was changed."
            )
        yield
    finally:
        own.close()
