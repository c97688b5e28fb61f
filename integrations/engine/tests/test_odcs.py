"""The Open Data Contract Standard: our export is valid and reads back exactly, documents of others become drafts."""

from __future__ import annotations

import json
from functools import lru_cache
from importlib.resources import files
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given, settings
from jsonschema import Draft201909Validator

from integrations.engine.changes import compare_contracts
from integrations.engine.contract import DataContract, load_contract
from integrations.engine.odcs import from_odcs, is_odcs, to_odcs
from integrations.engine.tests.helpers import contract
from integrations.engine.tests.strategies import contracts

DEMO = Path(__file__).parents[2] / "demo" / "contracts"
PLACE = {"country_code": "DE", "currency": "EUR"}
SECRET = "sftp.internal.example"
FOREIGN: dict[str, Any] = {
    "apiVersion": "v3.0.2",
    "kind": "DataContract",
    "id": "53581432-6c55-4ba2-a65f-72344a91553a",
    "name": "Kassenbons Süd",
    "version": "1.1.0",
    "status": "active",
    "servers": [{"server": "prod", "type": "sftp", "location": f"sftp://user:secret@{SECRET}/sales.csv"}],
    "team": [{"username": "ceastwood", "role": "Data Scientist"}],
    "schema": [
        {
            "name": "bons",
            "physicalName": "bons_*.csv",
            "physicalType": "file",
            "properties": [
                {"name": "Buchungsdatum", "logicalType": "date", "logicalTypeOptions": {"format": "dd.MM.yyyy"}},
                {"name": "Filiale", "logicalType": "string", "required": True},
                {"name": "artikel", "physicalName": "ArtikelNr", "logicalType": "string"},
                {
                    "name": "Menge",
                    "logicalType": "integer",
                    "quality": [
                        {"type": "library", "metric": "nullValues", "mustBeLessOrEqualTo": 2, "unit": "percent"}
                    ],
                },
                {"name": "Umsatz", "logicalType": "number"},
            ],
            "quality": [{"type": "sql", "query": "SELECT COUNT(*) FROM x", "mustBeGreaterThan": 5}],
        },
        {"name": "kunden", "properties": [{"name": "Kundennummer", "logicalType": "string"}]},
    ],
    "slaProperties": [{"property": "latency", "value": 2, "unit": "d"}, {"property": "retention", "value": 3}],
    "customProperties": [{"property": "dataDomain", "value": "sales"}],
}


@lru_cache(maxsize=1)
def official_schema() -> Draft201909Validator:
    """The standard's own JSON Schema, as its Python package ships it."""
    text = files("open_data_contract_standard").joinpath("schema.json").read_text(encoding="utf-8")
    return Draft201909Validator(json.loads(text))


@settings(deadline=None, max_examples=60)
@given(made=contracts())
def test_odcs__our_export__is_valid_and_reads_back_exactly(made: DataContract) -> None:
    document = json.loads(json.dumps(to_odcs(made, version=3, status="active")))
    assert [error.message for error in official_schema().iter_errors(document)] == []
    found, findings = from_odcs(document, tenant="other")
    assert (found, findings) == (made, ())


@settings(deadline=None, max_examples=60)
@given(made=contracts(), other=contracts())
def test_changes__two_contracts__differ_exactly_when_a_change_is_listed(
    made: DataContract, other: DataContract
) -> None:
    assert bool(compare_contracts(made, other).changes) == (made != other)


@pytest.mark.parametrize("name", sorted(path.name for path in DEMO.glob("*.yaml")))
def test_odcs__the_demo_contracts__read_back_from_yaml(name: str) -> None:
    made = load_contract((DEMO / name).read_bytes())
    document = yaml.safe_load(yaml.safe_dump(to_odcs(made), sort_keys=False))
    assert from_odcs(document, tenant="other") == (made, ())


def test_odcs__what_the_standard_can_say__stands_in_its_words() -> None:
    document = to_odcs(contract(sla={"max_age_hours": 30}))
    columns = {column["name"]: column for column in document["schema"][0]["properties"]}
    assert columns["qty"]["businessName"] == "quantity"
    assert (columns["qty"]["logicalType"], columns["qty"]["required"]) == ("number", True)
    assert [name for name, column in columns.items() if column.get("primaryKey")] == ["day", "shop", "sku"]
    assert document["slaProperties"] == [{"property": "latency", "value": 30, "unit": "h"}]
    assert is_odcs(document)
    assert not is_odcs(contract().model_dump())


def test_odcs__the_foreign_example__is_itself_valid() -> None:
    assert list(official_schema().iter_errors({**FOREIGN, "team": {"members": []}})) == []


def test_odcs__a_document_of_others__becomes_a_draft_and_says_what_it_dropped() -> None:
    found, findings = from_odcs(FOREIGN, tenant="corner-shop", defaults=PLACE)
    assert found is not None
    assert found.source == "kassenbons-sud"
    assert found.mapping == {
        "Buchungsdatum": "date", "Filiale": "store_id", "ArtikelNr": "product_id", "Menge": "quantity",
    }  # fmt: skip
    assert (found.date_format, found.type_map["quantity"], found.sla.max_age_hours) == ("%d.%m.%Y", "int", 48)
    assert found.dq_thresholds.max_required_null_rate == 0.02
    assert found.files.transactions.pattern == "bons_*.csv"
    dropped = {item.column for item in findings if item.code == "odcs_dropped"}
    assert dropped >= {"servers", "team", "quality", "kunden", "slaProperties", "customProperties"}
    assert SECRET not in str(findings) + found.model_dump_json()


def test_odcs__a_document_without_a_place__is_refused_with_what_is_missing() -> None:
    found, findings = from_odcs(FOREIGN, tenant="corner-shop")
    assert found is None
    assert {item.column for item in findings if item.severity == "error"} == {"country_code", "currency"}
    assert all(item.fix for item in findings if item.severity == "error")


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({"apiVersion": "v2.2.2"}, "odcs_version"),
        ({"apiVersion": None}, "odcs_version"),
        ({"schema": []}, "odcs_no_schema"),
        ({"schema": "everything"}, "odcs_no_schema"),
        ({"schema": [None, {"properties": [1, None]}]}, "odcs_no_schema"),
        ({"schema": [{"name": "x", "properties": [{"name": "foo"}]}]}, "odcs_no_column"),
        ({"schema": [{"name": "x", "properties": [{"name": "lines", "logicalType": "array"}]}]}, "nested_values"),
    ],
)
def test_odcs__a_document_that_cannot_become_a_contract__says_why(changes: dict[str, Any], code: str) -> None:
    found, findings = from_odcs({**FOREIGN, **changes}, tenant="corner-shop", defaults=PLACE)
    assert found is None
    assert code in {item.code for item in findings}


@pytest.mark.parametrize("part", ["schema", "customProperties", "slaProperties", "name", "tenant"])
@pytest.mark.parametrize("rubbish", [None, 7, "x", [], [[]], [{}], {"a": 1}, [{"property": "forecourtSourceType"}]])
def test_odcs__our_export_bent_out_of_shape__raises_nothing(part: str, rubbish: Any) -> None:
    document = {**to_odcs(contract()), part: rubbish}
    found, findings = from_odcs(document, tenant="corner-shop", defaults=PLACE)
    assert found is not None or any(item.severity == "error" for item in findings)
