"""A version that breaks what the active one promised needs a confirmation of exactly what it breaks."""

from __future__ import annotations

from io import StringIO
from pathlib import Path

import pytest
from django.core.management import CommandError, call_command

from integrations.engine.contract import DataContract
from integrations.errors import BreakingChangeUnconfirmed
from integrations.models import Contract, Source
from integrations.services.contracts import activate_contract, changes_against_active
from integrations.tests.conftest import CONTRACT, GOOD, ProbeSink, Shop
from integrations.tests.test_contracts import changed, events, saved
from tenants.models import Tenant


def active(contract: DataContract) -> Source:
    return activate_contract(contract_id=saved(contract).pk, actor=None).source


def test_activate_contract__breaking_and_unconfirmed__is_refused_with_the_list(
    alpha: Tenant, contract: DataContract
) -> None:
    active(contract)
    row = saved(changed(contract, currency="EUR", missing_days="closed"))
    with pytest.raises(BreakingChangeUnconfirmed, match=r"in USD, from now on in EUR.*closed") as caught:
        activate_contract(contract_id=row.pk, actor=None)
    assert {change.key for change in caught.value.changes.changes} == {"currency", "missing_days"}
    row.refresh_from_db()
    assert row.state == "draft"


def test_activate_contract__confirmed__keeps_the_diff_in_the_audit(alpha: Tenant, contract: DataContract) -> None:
    source = active(contract)
    other = changed(contract, currency="EUR")
    changes = changes_against_active(source=source, contract=other)
    assert changes is not None
    activate_contract(contract_id=saved(other).pk, actor=None, confirmed=changes.digest)
    data = events("contract.activated")[0].data
    assert data["breaking"] is True
    assert [(found["key"], found["before"], found["after"]) for found in data["changes"]] == [
        ("currency", "USD", "EUR")
    ]


def test_activate_contract__confirmation_of_another_step__is_refused(alpha: Tenant, contract: DataContract) -> None:
    source = active(contract)
    euros = changes_against_active(source=source, contract=changed(contract, currency="EUR"))
    assert euros is not None
    pounds = saved(changed(contract, currency="GBP"))
    with pytest.raises(BreakingChangeUnconfirmed):
        activate_contract(contract_id=pounds.pk, actor=None, confirmed=euros.digest)


def test_activate_contract__nothing_breaks__needs_no_confirmation(alpha: Tenant, contract: DataContract) -> None:
    active(contract)
    row = saved(changed(contract, sla={"max_age_hours": 5}))
    assert activate_contract(contract_id=row.pk, actor=None).state == "active"
    assert events("contract.activated")[0].data["breaking"] is False


def test_activate_contract__the_active_one_was_altered__can_still_be_superseded(
    alpha: Tenant, contract: DataContract
) -> None:
    row = Contract.objects.get(pk=saved(contract).pk)
    Contract.objects.filter(pk=row.pk).update(body={**row.body, "currency": "GBP"}, state="active")
    newer = saved(changed(contract, currency="EUR"))
    assert activate_contract(contract_id=newer.pk, actor=None).state == "active"


def test_onboard__a_contract_that_breaks_the_active_one__needs_the_flag(
    alpha: Tenant, sink: ProbeSink, shop: Shop, tmp_path: Path
) -> None:
    shop.write(*GOOD)
    arguments = ["onboard", "alpha", "--contract", str(tmp_path / "contract.yaml"), "--data", str(shop.folder)]
    call_command(*arguments, stdout=StringIO())
    (tmp_path / "contract.yaml").write_text(CONTRACT.replace("USD", "EUR"), encoding="utf-8")
    with pytest.raises(CommandError, match="--confirm-breaking") as caught:
        call_command(*arguments, stdout=StringIO())
    assert caught.value.returncode == 2
    assert Source.objects.get().contracts.count() == 1
    assert len(sink.calls) == 1
    call_command(*arguments, "--confirm-breaking", stdout=StringIO())
    active_contract = Source.objects.get().active_contract
    assert active_contract is not None
    assert (active_contract.version, active_contract.body["currency"], len(sink.calls)) == (2, "EUR", 2)
