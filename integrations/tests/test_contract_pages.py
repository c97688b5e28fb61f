"""Pages of contracts: activation with what it breaks, comparison, import and export."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest
import yaml
from django.core.files.uploadedfile import SimpleUploadedFile
from django.test import Client
from django.urls import reverse

from integrations.engine.contract import DataContract
from integrations.engine.odcs import from_odcs, to_odcs
from integrations.models import Contract
from integrations.services.contracts import activate_contract
from integrations.tests.conftest import CONTRACT
from integrations.tests.test_contracts import changed, saved
from tenants.models import Tenant
from tenants.roles import Role

ClientOf = Callable[..., Client]
IMPORT = "admin:integrations_contract_import"


@pytest.fixture
def client(alpha: Tenant, client_of: ClientOf, make_user: Callable[..., Any]) -> Client:
    return client_of("alpha", make_user("ann", Role.TENANT_ADMIN))


@pytest.fixture
def first(alpha: Tenant, contract: DataContract) -> Contract:
    return activate_contract(contract_id=saved(contract).pk, actor=None)


def activate_url(row: Contract) -> str:
    return reverse("admin:integrations_contract_activate", args=[row.pk])


def test_activation__that_breaks_something__lists_it_and_wants_a_tick(
    client: Client, first: Contract, contract: DataContract
) -> None:
    row = saved(changed(contract, quantity_uom="cases"))
    page = client.get(activate_url(row))
    assert "Quantities loaded so far were in units, from now on in cases" in page.content.decode()
    digest = page.context["changes"].digest
    refused = client.post(activate_url(row), {"reason": "new unit", "confirmed": digest})
    assert "tick this" in refused.content.decode() and "new unit" in refused.content.decode()
    row.refresh_from_db()
    assert row.state == "draft"
    assert client.post(activate_url(row), {"reason": "r", "confirmed": digest, "agree": "on"}).status_code == 302
    row.refresh_from_db()
    assert row.state == "active"


def test_activation__another_version_came_into_force_meanwhile__asks_again(
    client: Client, first: Contract, contract: DataContract
) -> None:
    row = saved(changed(contract, quantity_uom="cases"))
    digest = client.get(activate_url(row)).context["changes"].digest
    other = saved(changed(contract, sla={"max_age_hours": 5}))
    activate_contract(contract_id=other.pk, actor=None)
    page = client.post(activate_url(row), {"reason": "why not", "confirmed": digest, "agree": "on"})
    text = page.content.decode()
    assert "changed meanwhile" in text and "why not" in text
    assert page.context["form"]["confirmed"].value() == page.context["changes"].digest != digest
    row.refresh_from_db()
    assert row.state == "draft"


def test_activation__that_breaks_nothing__wants_no_tick(
    client: Client, first: Contract, contract: DataContract
) -> None:
    row = saved(changed(contract, sla={"max_age_hours": 5}))
    assert "agree" not in client.get(activate_url(row)).context["form"].fields
    assert client.post(activate_url(row), {"reason": "fresher"}).status_code == 302


def test_compare__two_versions__shows_both_values(client: Client, first: Contract, contract: DataContract) -> None:
    second = saved(changed(contract, currency="EUR"))
    third = saved(changed(contract, currency="GBP"))
    url = reverse("admin:integrations_contract_compare", args=[third.pk])
    assert client.get(url).context["before"] == first
    page = client.get(url, {"with": second.pk})
    assert [(found.before, found.after) for found in page.context["changes"].changes] == [("EUR", "GBP")]
    assert client.get(url, {"with": "9' OR 1=1"}).context["before"] == first


def test_compare__the_only_version__says_so(client: Client, first: Contract) -> None:
    page = client.get(reverse("admin:integrations_contract_compare", args=[first.pk]))
    assert "only version" in page.content.decode()


@pytest.mark.parametrize("form", ["pasted", "uploaded", "json"])
def test_import__a_good_contract__becomes_a_draft(client: Client, form: str) -> None:
    if form == "uploaded":
        data: dict[str, Any] = {"file": SimpleUploadedFile("contract.yaml", CONTRACT.encode())}
    else:
        data = {"text": CONTRACT if form == "pasted" else json.dumps(yaml.safe_load(CONTRACT))}
    assert client.post(reverse(IMPORT), data).status_code == 302
    row = Contract.objects.get()
    assert (row.state, row.version, row.created_by_name, row.source.state) == ("draft", 1, "ann", "draft")


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (CONTRACT.replace("USD", "dollars"), "currency"),
        (CONTRACT + "host: sftp.example.com\n", "not part of a contract"),
        (CONTRACT.replace("tenant: alpha", "tenant: beta"), "not for"),
        ("a: &x [1]\nb: *x\n", "Write each value out."),
        ("{" * 3000, "nested too deep"),
        ("x" * 300_000, "bytes long"),
        ("kind: DataContract\napiVersion: v2.2.2\n", "version 3 of the standard"),
        (" \n", "paste the contract"),
    ],
)
@pytest.mark.parametrize("uploaded", [False, True])
def test_import__a_bad_text__names_what_to_mend_and_keeps_it(
    client: Client, text: str, said: str, uploaded: bool
) -> None:
    data: dict[str, Any] = {"file": SimpleUploadedFile("c.yaml", text.encode())} if uploaded else {"text": text}
    page = client.post(reverse(IMPORT), data)
    assert page.status_code == 200
    assert said in page.content.decode()
    if text.strip() and len(text) < 300_000:
        assert page.context["form"]["text"].value().strip() == text.strip()
    assert not Contract.objects.exists()


def test_import__binary_rubbish__is_refused_in_words(client: Client) -> None:
    page = client.post(reverse(IMPORT), {"file": SimpleUploadedFile("c.yaml", b"\xff\xfe\x00\x01PK\x03\x04")})
    assert "not UTF-8" in page.content.decode()


def test_import__an_odcs_export_of_ours__is_the_same_contract(
    client: Client, first: Contract, contract: DataContract
) -> None:
    document = json.dumps(to_odcs(changed(contract, currency="EUR")))
    client.post(reverse(IMPORT), {"text": document})
    assert Contract.objects.get(version=2).body["currency"] == "EUR"
    client.post(reverse(IMPORT), {"text": json.dumps(to_odcs(contract))})
    assert Contract.objects.count() == 2


def test_import__an_odcs_document_of_others__tells_what_it_dropped(client: Client, first: Contract) -> None:
    names = ["Sale date", "Store", "SKU", "Units sold"]
    document = {
        "apiVersion": "v3.0.2",
        "kind": "DataContract",
        "name": "elsewhere",
        "servers": [{"server": "s", "host": "sftp.secret.example"}],
        "schema": [{"name": "sales", "physicalName": "s.csv", "properties": [{"name": name} for name in names]}],
    }
    page = client.post(reverse(IMPORT), {"text": yaml.safe_dump(document)}, follow=True)
    assert "servers is left out" in page.content.decode()
    row = Contract.objects.get(source__name="elsewhere")
    assert (row.body["currency"], row.body["field_map"]["Units sold"]) == ("USD", "quantity")
    assert "secret" not in json.dumps(row.body) + page.content.decode()


@pytest.mark.parametrize(("kind", "ending"), [("yaml", ".yaml"), ("json", ".json"), ("odcs", ".odcs.yaml")])
def test_download__each_form__reads_back(
    client: Client, first: Contract, contract: DataContract, kind: str, ending: str
) -> None:
    url = reverse("admin:integrations_contract_download", args=[first.pk])
    response = client.get(url, {"as": kind})
    assert response.headers["Content-Disposition"].endswith(f'till-v1{ending}"')
    values = yaml.safe_load(response.content)
    found = from_odcs(values, tenant="x")[0] if kind == "odcs" else DataContract.model_validate(values)
    assert found == contract


def test_import__not_a_tenant_admin__is_forbidden(
    alpha: Tenant, client_of: ClientOf, make_user: Callable[..., Any]
) -> None:
    viewer = client_of("alpha", make_user("vic", Role.VIEWER))
    assert viewer.post(reverse(IMPORT), {"text": CONTRACT}).status_code == 403
    assert not Contract.objects.exists()
