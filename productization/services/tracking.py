"""The tracker: rows from their declaration, statuses from their evidence, and the little that a person may say."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from django.contrib.auth.models import AbstractBaseUser
from django.db import transaction
from django.utils import timezone

from ledger.services.audit import actor_name, record
from productization.declared import Declarations, Evidence, Item, declarations
from productization.errors import ItemNotBlocked, ItemUnknown, ReasonRequired
from productization.models import EvidencePiece, TrackerItem
from productization.proof.evidence import Status
from productization.proof.judge import Judge, Verdict
from productization.proof.verify import Ground
from productization.services.ground import current_ground
from tenants.services.operators import require_operator

CHANGE = "productization.change_trackeritem"


@transaction.atomic
def load_tracker(*, declared: Declarations | None = None) -> bool:
    """Bring the rows in line with their declaration; whether anything changed. What a person said of a row stays."""
    wanted = (declared or declarations()).items
    known = {item.code: item for item in TrackerItem.objects.select_for_update()}
    changed = [item.id for position, item in enumerate(wanted) if _load(item, position, known.get(item.id))]
    gone = sorted(set(known) - {item.id for item in wanted})
    TrackerItem.objects.filter(code__in=gone).delete()
    if changed or gone:
        record(event="tracker.loaded", data={"changed": changed, "gone": gone})
    return bool(changed or gone)


def _load(item: Item, position: int, row: TrackerItem | None) -> bool:
    fields = {"position": position, "workstream": item.workstream, "task": item.task}
    is_new = row is None
    if row is None:
        row = TrackerItem.objects.create(code=item.id, owner=item.owner, **fields)
    differs = any(getattr(row, name) != value for name, value in fields.items())
    if differs:
        TrackerItem.objects.filter(pk=row.pk).update(**fields)
    kept = [(one.kind, one.ref, one.declared) for one in row.evidence.all()]
    declared = [(piece.kind.value, piece.ref, _rest(piece)) for piece in item.evidence]
    if kept != declared:
        row.evidence.all().delete()
        EvidencePiece.objects.bulk_create(
            EvidencePiece(item=row, position=number, kind=kind, ref=ref, declared=rest)
            for number, (kind, ref, rest) in enumerate(declared)
        )
    return is_new or differs or kept != declared


def _rest(piece: Evidence) -> dict[str, Any]:
    """What is declared of a piece beside its kind and reference."""
    body: dict[str, Any] = piece.model_dump(mode="json", exclude={"kind", "ref"}, exclude_defaults=True)
    return body


def verify(
    *,
    only: str | None = None,
    actor: AbstractBaseUser | None = None,
    declared: Declarations | None = None,
    ground: Ground | None = None,
) -> list[Verdict]:
    """Look at the evidence of every row (or of one) and write what was found; returns the verdicts in order.

    actor None is the system. Raises ``ItemUnknown``, ``PlatformOperatorRequired``.
    """
    if actor is not None:
        require_operator(actor, CHANGE)
    rows = (declared or declarations()).items
    load_tracker(declared=declared)
    if only is not None and only not in {item.id for item in rows}:
        raise ItemUnknown(only, [item.id for item in rows])
    ground = ground or current_ground(declared)
    looked = Judge(ground)
    for item in rows:  # what asks other hosts is over before anything is locked
        if only in (None, item.id):
            looked.verdict(item.id)
    return _write(looked, [item.id for item in rows if only in (None, item.id)], actor)


@transaction.atomic
def _write(looked: Judge, codes: Sequence[str], actor: AbstractBaseUser | None) -> list[Verdict]:
    items = {item.code: item for item in TrackerItem.objects.select_for_update().order_by("pk")}
    judge = Judge(looked.ground, {code: _held(item) for code, item in items.items() if item.blocked_reason}, looked)
    now = timezone.now()
    verdicts = [judge.verdict(code) for code in codes]
    for verdict in verdicts:
        item = items[verdict.code]
        before = item.status
        item.status, item.reason, item.checked_at = verdict.status.value, verdict.reason, now
        item.save(update_fields=["status", "reason", "checked_at"])
        pieces = list(item.evidence.all())
        for piece, (_, finding) in zip(pieces, verdict.findings, strict=True):
            piece.state, piece.reason, piece.checked_at = finding.state.value, finding.reason, now
            piece.facts = dict(finding.facts)
        EvidencePiece.objects.bulk_update(pieces, ["state", "reason", "facts", "checked_at"])
        if before != item.status:
            data = {"from": before, "to": item.status, "reason": verdict.reason[:1000]}
            record(event="tracker.status_changed", actor=actor, subject=item, data=data)
    return verdicts


def _held(item: TrackerItem) -> str:
    return f"Blocked by {item.blocked_by_name}: {item.blocked_reason}"


@transaction.atomic
def block(*, code: str, reason: str, actor: AbstractBaseUser) -> TrackerItem:
    """Say that a row is blocked, and why; no evidence makes it done until somebody lifts it.

    Raises ``ItemUnknown``, ``ReasonRequired``, ``PlatformOperatorRequired``.
    """
    reason = _clean(reason, "block this")
    item = _locked(code, actor)
    before = item.status
    item.blocked_reason, item.blocked_at = reason, timezone.now()
    item.blocked_by_id, item.blocked_by_name = actor.pk, actor_name(actor)
    item.status, item.reason = Status.BLOCKED.value, _held(item)
    item.save()
    record(event="tracker.blocked", actor=actor, subject=item, data={"reason": reason, "from": before})
    return item


def unblock(*, code: str, reason: str, actor: AbstractBaseUser) -> Verdict:
    """Lift what a person blocked; the row is then what its evidence says.

    Raises ``ItemUnknown``, ``ItemNotBlocked``, ``ReasonRequired``, ``PlatformOperatorRequired``.
    """
    _lift(code, _clean(reason, "lift the block"), actor)
    (verdict,) = verify(only=code, actor=actor)
    return verdict


@transaction.atomic
def _lift(code: str, reason: str, actor: AbstractBaseUser) -> None:
    item = _locked(code, actor)
    if not item.blocked_reason:
        raise ItemNotBlocked(code)
    item.blocked_reason, item.blocked_at, item.blocked_by_id, item.blocked_by_name = "", None, None, ""
    item.status, item.reason = Status.OPEN.value, "Its evidence was not looked at since the block was lifted."
    item.save()
    record(event="tracker.unblocked", actor=actor, subject=item, data={"reason": reason})


@transaction.atomic
def assign_owner(*, code: str, owner: str, reason: str, actor: AbstractBaseUser) -> TrackerItem:
    """Name who looks after a row. Raises ``ItemUnknown``, ``ReasonRequired``, ``PlatformOperatorRequired``."""
    reason = _clean(reason, "change the owner")
    owner = _clean(owner, "name nobody")
    item = _locked(code, actor)
    before, item.owner = item.owner, owner
    item.save(update_fields=["owner"])
    record(event="tracker.owner_changed", actor=actor, subject=item,
           data={"from": before, "to": owner, "reason": reason})  # fmt: skip
    return item


def _locked(code: str, actor: AbstractBaseUser) -> TrackerItem:
    require_operator(actor, CHANGE)
    item = TrackerItem.objects.select_for_update().filter(code=code).first()
    if item is None:
        raise ItemUnknown(code, list(TrackerItem.objects.values_list("code", flat=True)))
    return item


def _clean(text: str, what: str) -> str:
    if not any(character.isalnum() for character in text):
        raise ReasonRequired(what)
    return text.strip()
