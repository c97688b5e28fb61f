"""The last two steps of an onboarding: its contract comes into force, and its files become the first delivery."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import ExitStack
from typing import Any

from django.contrib.auth.models import AbstractBaseUser
from django.core.files.storage import default_storage
from django.db import transaction

from integrations.draft_errors import NotChecked, SampleMissing
from integrations.engine.contract import Role, contract_sha256
from integrations.models import Contract, OnboardingDraft
from integrations.models.draft import DraftState, DraftStep
from integrations.services.contracts import activate_contract, save_contract
from integrations.services.deliveries import Receipt, Upload, Via, receive
from integrations.services.drafts import end_draft, lock_draft, touch_draft
from integrations.services.drafts_body import whole_contract
from integrations.services.drafts_check import has_passed
from integrations.services.sources import source_of_contract
from integrations.services.spool import Readable
from ledger.services.audit import record


@transaction.atomic
def activate_draft(
    *, draft_id: int, revision: int, reason: str, confirmed: str | None = None, actor: AbstractBaseUser
) -> Contract:
    """Save the draft's contract as a version of its source and bring it into force; the source is made if it is new.

    Only what passed the checks as it stands now. ``confirmed`` is the digest of the breaking changes that the person
    agreed to. Raises ``NotChecked``, ``BreakingChangeUnconfirmed``, ``DraftStale``, ``DraftClosed``,
    ``SourceTypeDiffers``, ``RoleRequired``.
    """
    draft = lock_draft(draft_id=draft_id, revision=revision, actor=actor)
    contract, _ = whole_contract(draft.body)
    if contract is None or not has_passed(draft):
        raise NotChecked()
    source = source_of_contract(contract=contract, actor=actor)
    row = save_contract(source=source, contract=contract, actor=actor)
    row = activate_contract(contract_id=row.pk, actor=actor, reason=reason, confirmed=confirmed)
    draft.source, draft.contract = source, row
    touch_draft(draft, actor=actor, reached=DraftStep.LOAD)
    data = {"source": source.name, "version": row.version, "reason": reason}
    record(event="draft.activated", actor=actor, subject=draft, data=data)
    return row


def is_activated(draft: OnboardingDraft) -> bool:
    """Whether the contract in force is the draft's as it stands now."""
    contract, _ = whole_contract(draft.body)
    return contract is not None and draft.contract is not None and draft.contract.sha256 == contract_sha256(contract)


@transaction.atomic
def load_draft(
    *,
    draft_id: int,
    revision: int,
    file_ids: Sequence[int],
    more: Sequence[tuple[str, Readable]] = (),
    actor: AbstractBaseUser,
) -> Receipt:
    """Hand the chosen sample files, and ``more`` (name and stream), over as a delivery of the source; end the draft.

    Raises ``NotChecked`` where the contract in force is not the draft's, ``SampleMissing`` without a file, the errors
    of ``receive``, ``DraftStale``, ``DraftClosed``, ``RoleRequired``.
    """
    draft = lock_draft(draft_id=draft_id, revision=revision, actor=actor)
    if not is_activated(draft) or draft.source is None or draft.contract is None:
        raise NotChecked()
    rows = list(draft.files.filter(pk__in=file_ids))
    if not rows and not more:
        raise SampleMissing()
    with ExitStack() as stack:
        uploads = [
            Upload(name=row.name, stream=stack.enter_context(default_storage.open(row.path)), role=Role(row.role))
            for row in rows
        ]
        uploads += [Upload(name=name, stream=stream) for name, stream in more]
        receipt = receive(
            source=draft.source,
            uploads=uploads,
            via=Via.ONBOARDING,
            actor=actor,
            idempotency_key=f"onboarding-{draft.pk}",
        )
    draft.delivery_id = receipt.delivery.pk
    end_draft(draft, DraftState.DELIVERED, actor=actor)
    data: dict[str, Any] = {"delivery": receipt.delivery.pk, "files": [upload.name for upload in uploads]}
    record(event="draft.delivered", actor=actor, subject=draft, data=data)
    return receipt
