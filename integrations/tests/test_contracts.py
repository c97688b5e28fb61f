"""Sources and the versions of their contracts."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from django.contrib.auth.models import User
from django.db import IntegrityError, transaction

from integrations.engine.contract import DataContract
from integrations.errors import (
    ContractAltered,
    ContractOfAnotherSource,
    ContractOfAnotherTenant,
    SourceRefused,
    SourceTypeDiffers,
)
from integrations.models import Contract, Source
from integrations.services.contracts import activate_contract, check_tenant, contract_of, save_contract
from integrations.services.sources import create_source, pause_source, resume_source, source_of_contract
from ledger.errors import TransitionRefused
from ledger.models import AuditEvent
from tenants.errors import RoleRequired
from tenants.models import Tenant
from tenants.roles import Role


def changed(contract: DataContract, **keys: object) -> DataContract:
    return DataContract.model_validate({**contract.model_dump(mode="json"), **keys})


def saved(contract: DataContract) -> Contract:
    source = source_of_contract(contract=contract, actor=None)
    return save_contract(source=source, contract=contract, actor=None)


def events(name: str) -> list[AuditEvent]:
    return list(AuditEvent.objects.filter(event=name))


def test_save_contract__same_content_again__is_the_same_version(alpha: Tenant, contract: DataContract) -> None:
    first = saved(contract)
    assert (first.version, first.state) == (1, "draft")
    assert saved(contract).pk == first.pk
    assert saved(changed(contract, quantity_uom="boxes")).version == 2
    assert len(events("contract.saved")) == 2


def test_save_contract__stored_body__is_the_contract_again(alpha: Tenant, contract: DataContract) -> None:
    row = Contract.objects.get(pk=saved(contract).pk)
    assert contract_of(row) == contract


def test_contract_of__body_altered_behind_our_back__is_refused(alpha: Tenant, contract: DataContract) -> None:
    row = saved(contract)
    Contract.objects.filter(pk=row.pk).update(body={**row.body, "currency": "EUR"})
    with pytest.raises(ContractAltered, match="new version"):
        contract_of(Contract.objects.get(pk=row.pk))


def test_activate_contract__second_version__supersedes_the_first_and_tells(
    alpha: Tenant, contract: DataContract, make_user: Callable[..., User]
) -> None:
    ann = make_user("ann", Role.TENANT_ADMIN)
    first = activate_contract(contract_id=saved(contract).pk, actor=ann, reason="first files")
    assert Source.objects.get().state == "active"
    second = activate_contract(contract_id=saved(changed(contract, sla={"max_age_hours": 5})).pk, actor=ann)
    first.refresh_from_db()
    assert (first.state, second.state, second.activated_by_name) == ("superseded", "active", "ann")
    assert Source.objects.get().active_contract == second
    newest = events("contract.activated")[0]
    assert (newest.actor_name, newest.data["version"], newest.data["superseded_version"]) == ("ann", 2, 1)


def test_activate_contract__active_already__changes_and_tells_nothing(alpha: Tenant, contract: DataContract) -> None:
    row = activate_contract(contract_id=saved(contract).pk, actor=None)
    assert activate_contract(contract_id=row.pk, actor=None).activated_at == row.activated_at
    assert len(events("contract.activated")) == 1


def test_active_contract__its_body__cannot_be_changed_or_deleted(alpha: Tenant, contract: DataContract) -> None:
    row = activate_contract(contract_id=saved(contract).pk, actor=None)
    with pytest.raises(IntegrityError, match="make a new version"), transaction.atomic():
        Contract.objects.filter(pk=row.pk).update(body={})
    with pytest.raises(IntegrityError, match="make a new version"), transaction.atomic():
        row.delete()


def test_contracts__two_active_ones__are_refused_by_the_database(alpha: Tenant, contract: DataContract) -> None:
    activate_contract(contract_id=saved(contract).pk, actor=None)
    other = saved(changed(contract, currency="EUR"))
    with pytest.raises(IntegrityError), transaction.atomic():
        Contract.objects.filter(pk=other.pk).update(state="active")


@pytest.mark.parametrize("role", [Role.ANALYST, Role.REVIEWER, Role.VIEWER])
def test_contract_services__not_a_tenant_admin__are_refused(
    alpha: Tenant, contract: DataContract, make_user: Callable[..., User], role: Role
) -> None:
    row, bob = saved(contract), make_user("bob", role)
    with pytest.raises(RoleRequired):
        activate_contract(contract_id=row.pk, actor=bob)
    with pytest.raises(RoleRequired):
        save_contract(source=row.source, contract=contract, actor=bob)
    with pytest.raises(RoleRequired):
        create_source(name="other", source_type="smb_csv", actor=bob)


def test_save_contract__of_another_tenant_source_or_type__says_what_to_do(
    alpha: Tenant, contract: DataContract
) -> None:
    source = source_of_contract(contract=contract, actor=None)
    with pytest.raises(ContractOfAnotherTenant, match="tenant: alpha"):
        save_contract(source=source, contract=changed(contract, tenant="beta"), actor=None)
    with pytest.raises(ContractOfAnotherSource):
        save_contract(source=source, contract=changed(contract, source="other"), actor=None)
    with pytest.raises(SourceTypeDiffers):
        source_of_contract(contract=changed(contract, source_type="smb_sftp"), actor=None)


def test_check_tenant__dash_for_underscore__is_the_same_tenant(contract: DataContract) -> None:
    check_tenant(contract=changed(contract, tenant="smb-tenant_a"), schema_name="smb_tenant_a")


def test_create_source__name_taken_or_not_plain__is_refused(alpha: Tenant) -> None:
    create_source(name="till", source_type="smb_csv", actor=None)
    for name in ("till", "no spaces", ""):
        with pytest.raises(SourceRefused):
            create_source(name=name, source_type="smb_csv", actor=None)


def test_pause_source__then_resume__keeps_the_reasons(alpha: Tenant, contract: DataContract) -> None:
    source = activate_contract(contract_id=saved(contract).pk, actor=None).source
    with pytest.raises(SourceRefused, match="why"):
        pause_source(source_id=source.pk, reason=" ", actor=None)
    assert pause_source(source_id=source.pk, reason="stocktaking", actor=None).state == "paused"
    with pytest.raises(TransitionRefused):
        pause_source(source_id=source.pk, reason="again", actor=None)
    assert resume_source(source_id=source.pk, reason="done", actor=None).state == "active"
    assert [event.data["reason"] for event in AuditEvent.objects.filter(event__startswith="source.")[:2]] == [
        "done",
        "stocktaking",
    ]
