"""Releases: one person prepares the statement over a frozen board, another signs it off or declines it."""

from __future__ import annotations

from typing import Any

from django.contrib.auth.models import AbstractBaseUser
from django.db import transaction
from django.utils import timezone

from ledger.services.audit import actor_name, record
from productization.declared import declarations
from productization.documents.tracker_text import verification_body
from productization.errors import ReasonRequired, ReleaseRefused
from productization.models import RELEASE_TRANSITIONS, Release, ReleaseState, TrackerItem
from productization.proof.board import board_body, standings
from productization.proof.hashing import sha256_of_text
from productization.proof.judge import Judge
from productization.proof.records import json_text
from productization.proof.verify import Ground
from productization.services.ground import current_ground
from productization.services.rendering import short_revision
from productization.services.tracking import verify
from tenants.services.operators import require_operator

PREPARE, SIGN = "productization.add_release", "productization.change_release"


def prepare_release(*, version: str, reason: str, actor: AbstractBaseUser, ground: Ground | None = None) -> Release:
    """Verify everything now and freeze it with the statement that it allows.

    Raises ``PlatformOperatorRequired``, ``ReasonRequired``, and ``ReleaseRefused`` where that version waits already or
    was signed off before.
    """
    require_operator(actor, PREPARE)
    version, reason = _clean(version, "name no version"), _clean(reason, "prepare this release")
    ground = ground or current_ground()
    verdicts = verify(ground=ground)
    snapshot = frozen(ground, verdicts)
    with transaction.atomic():
        known = Release.objects.select_for_update().filter(version=version)
        if any(one.state == ReleaseState.PREPARED for one in known):
            raise ReleaseRefused(f"Release {version} waits for sign-off already. Sign or decline that one first.")
        if any(one.state == ReleaseState.SIGNED for one in known):
            raise ReleaseRefused(f"Release {version} was signed off before. Give this one a new version.")
        release = Release.objects.create(
            version=version,
            statement=snapshot["board"]["statement"],
            snapshot=snapshot,
            snapshot_sha256=digest(snapshot),
            revision=short_revision(),
            reason=reason,
            prepared_by_id=actor.pk,
            prepared_by_name=actor_name(actor),
        )
        _record("release.prepared", release, actor, reason)
    return release


def frozen(ground: Ground, verdicts: list[Any]) -> dict[str, Any]:
    """Board and rows as plain JSON values, with the hash of every artifact that they rest on."""
    rows = {item.code: item for item in TrackerItem.objects.all()}
    held = {code: row.reason for code, row in rows.items() if row.blocked_reason}
    return {
        "board": board_body(standings(Judge(ground, held))),
        "tracker": verification_body(verdicts, declarations(), {code: row.owner for code, row in rows.items()}),
    }


def digest(snapshot: dict[str, Any]) -> str:
    """SHA-256 of a snapshot, the same before and after it was stored."""
    return sha256_of_text(json_text(snapshot))


def sign_release(*, release_id: int, reason: str, actor: AbstractBaseUser) -> Release:
    """Sign the statement off. Raises ``PlatformOperatorRequired``, ``ReasonRequired``, ``ReleaseRefused``."""
    return _decide(release_id, ReleaseState.SIGNED, reason, actor, "sign this off")


def decline_release(*, release_id: int, reason: str, actor: AbstractBaseUser) -> Release:
    """Decline it. Raises ``PlatformOperatorRequired``, ``ReasonRequired``, ``ReleaseRefused``."""
    return _decide(release_id, ReleaseState.DECLINED, reason, actor, "decline this")


@transaction.atomic
def _decide(release_id: int, wanted: str, reason: str, actor: AbstractBaseUser, what: str) -> Release:
    require_operator(actor, SIGN)
    reason = _clean(reason, what)
    release = Release.objects.select_for_update().filter(pk=release_id).first()
    if release is None:
        raise ReleaseRefused(f"There is no release of number {release_id}.")
    if wanted not in RELEASE_TRANSITIONS[release.state]:
        said = f"{release.get_state_display().lower()} by {release.decided_by_name}"
        raise ReleaseRefused(f"Release {release.version} was {said}; prepare another.")
    if release.prepared_by_id == actor.pk:
        raise ReleaseRefused(f"{actor_name(actor)} prepared this; another operator signs it off or declines it.")
    if digest(release.snapshot) != release.snapshot_sha256:
        raise ReleaseRefused("The frozen board is not what was prepared: its hash is another. Prepare it again.")
    release.state, release.decided_at, release.decision_reason = wanted, timezone.now(), reason
    release.decided_by_id, release.decided_by_name = actor.pk, actor_name(actor)
    release.save(update_fields=["state", "decided_at", "decision_reason", "decided_by_id", "decided_by_name"])
    _record(f"release.{wanted}", release, actor, reason)
    return release


def _record(event: str, release: Release, actor: AbstractBaseUser, reason: str) -> None:
    data = {"version": release.version, "statement": release.statement, "snapshot": release.snapshot_sha256}
    record(event=event, actor=actor, subject=release, data={**data, "reason": reason})


def _clean(text: str, what: str) -> str:
    if not any(character.isalnum() for character in text):
        raise ReasonRequired(what)
    return text.strip()
