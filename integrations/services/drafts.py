"""An onboarding that is filled in step by step: begun, saved, taken from a contract, discarded.

Every change locks the draft, checks that the page which asks was not older than the draft, counts the revision up and
leaves an audit event.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from django.contrib.auth.models import AbstractBaseUser, User
from django.core.files.storage import default_storage
from django.db import transaction
from django.utils import timezone

from integrations.draft_errors import AnswersRefused, DraftClosed, DraftStale
from integrations.engine.contract import DataContract
from integrations.engine.findings import Finding, error
from integrations.errors import SourceRefused
from integrations.models import OnboardingDraft, Source
from integrations.models.draft import DRAFT_TRANSITIONS, DraftState, DraftStep
from integrations.services.contracts import contract_of
from integrations.services.drafts_body import STEP_KEYS, Body, first_body, problems_of_step, slug_of
from ledger.errors import TransitionRefused
from ledger.schema import connection
from ledger.services.audit import actor_name, record
from tenants.roles import Role, require_role

STEPS = tuple(DraftStep)


@transaction.atomic
def create_draft(
    *,
    title: str,
    source_type: str,
    country_code: str,
    currency: str,
    time_zone: str,
    actor: AbstractBaseUser,
) -> OnboardingDraft:
    """Begin to bring in a new source; ``actor`` is a tenant admin.

    The contract's name of the source is made from ``title``. Raises ``AnswersRefused`` (a name without letters, or
    one that a source has already), ``RoleRequired``.
    """
    require_role(actor, Role.TENANT_ADMIN)
    body = first_body(
        tenant=connection.schema_name,
        source=slug_of(title),
        source_type=source_type,
        country_code=country_code,
        currency=currency,
        timezone=time_zone,
    )
    _refuse_problems(body, DraftStep.SOURCE)
    _refuse_taken(body["source"], None)
    return _begin(OnboardingDraft(title=title.strip()[:120], body=body), actor, {"source": body["source"]})


@transaction.atomic
def create_draft_from_source(*, source_id: int, actor: AbstractBaseUser) -> OnboardingDraft:
    """Begin to change a source's contract: everything is filled in from the version in force, or the newest one.

    Raises ``SourceRefused`` where the source has no contract yet, ``ContractAltered``, ``RoleRequired``.
    """
    require_role(actor, Role.TENANT_ADMIN)
    source = Source.objects.get(pk=source_id)
    row = source.active_contract or source.contracts.first()
    if row is None:
        raise SourceRefused(source.name, ["it has no contract yet that could be changed."])
    body = contract_of(row).model_dump(mode="json")
    draft = OnboardingDraft(title=source.name, body=body, source=source, notes={"from_version": row.version})
    return _begin(draft, actor, {"source": source.name, "from_version": row.version})


def _begin(draft: OnboardingDraft, actor: AbstractBaseUser, data: dict[str, Any]) -> OnboardingDraft:
    draft.created_by = actor if isinstance(actor, User) else None
    draft.created_by_name = draft.changed_by_name = actor_name(actor)
    draft.save(force_insert=True)
    record(event="draft.created", actor=actor, subject=draft, data=data)
    return draft


@transaction.atomic
def save_step(
    *,
    draft_id: int,
    revision: int,
    step: str,
    changes: Mapping[str, Any],
    notes: Mapping[str, Any] | None = None,
    title: str | None = None,
    reached: str | None = None,
    actor: AbstractBaseUser,
) -> OnboardingDraft:
    """Put a step's answers into the draft: ``changes`` are contract keys with their new values (None takes one out).

    ``reached`` is the step that the person goes on to. Answers that a contract cannot hold are refused and nothing is
    saved. Raises ``DraftStale``, ``DraftClosed``, ``AnswersRefused``, ``RoleRequired``; ``ValueError`` for a key that
    is not this step's.
    """
    foreign = set(changes) - STEP_KEYS.get(step, frozenset())
    if foreign:
        raise ValueError(f"{', '.join(sorted(foreign))} is not asked in step {step}")
    draft = lock_draft(draft_id=draft_id, revision=revision, actor=actor)
    body: Body = {**draft.body, **{key: value for key, value in changes.items() if value is not None}}
    for key in (key for key, value in changes.items() if value is None):
        body.pop(key, None)
    if draft.source_id is not None:  # a source keeps its name and kind
        body["source"], body["source_type"] = draft.source.name, draft.source.source_type  # type: ignore[union-attr]  # not None here
    _refuse_problems(body, step)
    if step == DraftStep.SOURCE:
        _refuse_taken(body["source"], draft.source_id)
    changed = sorted(key for key in {*draft.body, *body} if draft.body.get(key) != body.get(key))
    draft.body = body
    if title is not None and title.strip():
        draft.title = title.strip()[:120]
    if notes is not None:
        draft.notes = {**draft.notes, **notes}
    touch_draft(draft, actor=actor, reached=reached)
    record(event="draft.saved", actor=actor, subject=draft, data={"step": step, "changed": changed})
    return draft


@transaction.atomic
def import_contract(
    *, draft_id: int, revision: int, contract: DataContract, name: str, actor: AbstractBaseUser
) -> OnboardingDraft:
    """Take every answer from a contract that was written elsewhere; the tenant is this one, whatever it says.

    A draft of an existing source keeps that source's name and kind. ``name`` is what the file was called.
    Raises ``DraftStale``, ``DraftClosed``, ``AnswersRefused``, ``RoleRequired``.
    """
    draft = lock_draft(draft_id=draft_id, revision=revision, actor=actor)
    body = contract.model_dump(mode="json")
    body["tenant"] = connection.schema_name
    if draft.source_id is not None:
        body["source"], body["source_type"] = draft.source.name, draft.source.source_type  # type: ignore[union-attr]  # not None here
    _refuse_taken(body["source"], draft.source_id)
    draft.body = body
    touch_draft(draft, actor=actor)
    record(event="draft.imported", actor=actor, subject=draft, data={"file": name[:200], "keys": len(body)})
    return draft


@transaction.atomic
def discard_draft(*, draft_id: int, revision: int, reason: str, actor: AbstractBaseUser) -> OnboardingDraft:
    """End a draft without loading anything; its sample files are removed from the storage, its answers are kept.

    Raises ``DraftStale``, ``DraftClosed``, ``AnswersRefused`` without a reason, ``RoleRequired``.
    """
    draft = lock_draft(draft_id=draft_id, revision=revision, actor=actor)
    if not reason.strip():
        raise AnswersRefused([error("reason_missing", "The reason is missing.", fix="Say why: it is kept.")])
    draft.ended_reason = reason.strip()[:2000]
    end_draft(draft, DraftState.DISCARDED, actor=actor)
    record(event="draft.discarded", actor=actor, subject=draft, data={"reason": draft.ended_reason})
    return draft


def lock_draft(*, draft_id: int, revision: int | None, actor: AbstractBaseUser) -> OnboardingDraft:
    """The open draft, locked for this transaction; ``revision`` None where the change cannot overwrite another's.

    Raises ``RoleRequired``, ``DraftClosed``, ``DraftStale``, ``OnboardingDraft.DoesNotExist``.
    """
    require_role(actor, Role.TENANT_ADMIN)
    draft = OnboardingDraft.objects.select_for_update().get(pk=draft_id)
    if not draft.is_open:
        raise DraftClosed(draft.title, draft.get_state_display())
    if revision is not None and revision != draft.revision:
        raise DraftStale(draft.changed_by_name, draft.changed_at, draft.revision)
    return draft


def touch_draft(draft: OnboardingDraft, *, actor: AbstractBaseUser, reached: str | None = None) -> None:
    """Count the change, say who made it, and remember where the person goes on."""
    draft.revision += 1
    draft.changed_at, draft.changed_by_name = timezone.now(), actor_name(actor)
    if reached is not None:
        draft.step = reached
    draft.save()


def end_draft(draft: OnboardingDraft, state: DraftState, *, actor: AbstractBaseUser) -> None:
    """Close a locked draft; its sample and the rows it left out leave the storage when the transaction commits."""
    if state not in DRAFT_TRANSITIONS[draft.state]:
        raise TransitionRefused(str(draft), draft.state, state)
    draft.state = state
    paths = [*draft.files.values_list("path", flat=True), draft.check_report.get("rejected_path", "")]
    touch_draft(draft, actor=actor)
    transaction.on_commit(lambda: _forget(paths), robust=True)


def _forget(paths: list[str]) -> None:
    for path in filter(None, paths):
        default_storage.delete(path)


def _refuse_problems(body: Body, step: str) -> None:
    problems: tuple[Finding, ...] = problems_of_step(body, step)
    if problems:
        raise AnswersRefused(problems)


def _refuse_taken(name: str, own: int | None) -> None:
    """A new source needs a name of its own; one that exists is changed from its own page."""
    taken = Source.objects.filter(name=name).exclude(pk=own or 0).first() if name else None
    if taken is not None:
        raise AnswersRefused(
            [
                error(
                    "contract_source_taken",
                    f"There is a source {name} already.",
                    column="source",
                    fix="Choose another name, or open that source and press “Change the contract”.",
                )
            ]
        )
