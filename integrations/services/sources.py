"""Changes of a source: made, paused, resumed."""

from __future__ import annotations

from django.contrib.auth.models import AbstractBaseUser
from django.core.exceptions import ValidationError
from django.db import transaction

from integrations.engine.contract import DataContract
from integrations.errors import SourceRefused, SourceTypeDiffers
from integrations.models import Source
from integrations.models.source import SOURCE_TRANSITIONS, SourceState
from integrations.services.delivery_life import send_next
from ledger.errors import TransitionRefused
from ledger.services.audit import record
from tenants.roles import Role, require_role


@transaction.atomic
def create_source(*, name: str, source_type: str, actor: AbstractBaseUser | None) -> Source:
    """Make a draft source; ``actor`` is a tenant admin, or None for the system.

    Raises ``SourceRefused`` for a name that is taken or not plain, ``RoleRequired``.
    """
    _require_admin(actor)
    source = Source(name=name, source_type=source_type)
    try:
        source.full_clean()
    except ValidationError as problem:
        raise SourceRefused(name, problem.messages) from problem
    source.save(force_insert=True)
    record(event="source.created", actor=actor, subject=source, data={"name": name, "source_type": source_type})
    return source


@transaction.atomic
def source_of_contract(*, contract: DataContract, actor: AbstractBaseUser | None) -> Source:
    """The source that the contract names, made as a draft where there is none.

    Raises ``SourceTypeDiffers``, ``RoleRequired``.
    """
    _require_admin(actor)
    source = Source.objects.filter(name=contract.source).first()
    if source is None:
        return create_source(name=contract.source, source_type=contract.source_type, actor=actor)
    if source.source_type != contract.source_type:
        raise SourceTypeDiffers(source.name, source.source_type, contract.source_type)
    return source


@transaction.atomic
def pause_source(*, source_id: int, reason: str, actor: AbstractBaseUser | None) -> Source:
    """Take no more files from a source, and why; raises ``TransitionRefused``, ``SourceRefused``, ``RoleRequired``."""
    return _change_state(source_id, SourceState.PAUSED, "source.paused", reason, actor)


@transaction.atomic
def resume_source(*, source_id: int, reason: str, actor: AbstractBaseUser | None) -> Source:
    """Take files again, with a reason; deliveries that waited go on.

    Raises ``TransitionRefused``, ``SourceRefused``, ``RoleRequired``.
    """
    source = _change_state(source_id, SourceState.ACTIVE, "source.resumed", reason, actor)
    send_next(source=source)
    return source


def _change_state(
    source_id: int, wanted: SourceState, event: str, reason: str, actor: AbstractBaseUser | None
) -> Source:
    _require_admin(actor)
    source = Source.objects.select_for_update().get(pk=source_id)
    if not reason.strip():
        raise SourceRefused(source.name, ["say why: the reason is kept"])
    before = source.state
    if wanted not in SOURCE_TRANSITIONS[before]:
        raise TransitionRefused(f"Source {source.name}", before, wanted)
    source.state = wanted
    source.save(update_fields=["state"])
    record(event=event, actor=actor, subject=source, data={"from": before, "to": wanted, "reason": reason.strip()})
    return source


def _require_admin(actor: AbstractBaseUser | None) -> None:
    if actor is not None:
        require_role(actor, Role.TENANT_ADMIN)
