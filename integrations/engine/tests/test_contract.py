"""Contracts: what is accepted, what is refused and how it is said, fingerprint and schema."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import yaml

from integrations.engine.contract import ContractInvalid, contract_json_schema, contract_sha256, load_contract
from integrations.engine.tests.helpers import BASE, contract

SCHEMA = Path(__file__).parents[3] / "docs" / "schemas" / "data_contract.schema.json"


def refused(text: str | bytes) -> str:
    with pytest.raises(ContractInvalid) as caught:
        load_contract(text)
    assert all(found.fix for found in caught.value.findings)
    return " | ".join(f"{found.column}: {found.message}" for found in caught.value.findings)


def with_change(**changes: Any) -> str:
    return yaml.safe_dump({**BASE, **changes})


def test_contract__the_same_in_yaml_and_json_in_any_order__has_one_fingerprint():
    turned = dict(reversed(list(BASE.items())))
    assert contract_sha256(load_contract(yaml.safe_dump(BASE))) == contract_sha256(load_contract(json.dumps(turned)))


def test_contract__another_value__has_another_fingerprint():
    assert contract_sha256(contract()) != contract_sha256(contract(currency="EUR"))


def test_contract__defaults__are_those_of_the_format():
    found = contract().thresholds()
    assert found["min_date_parse_success"] == 0.99
    assert found["max_future_days"] == 7
    assert contract(dedupe_policy="reject").max_duplicate_rate == 0.01
    assert contract(dedupe_policy="sum").max_duplicate_rate == 1.0
    assert contract(dedupe_policy="sum", dq_thresholds={"max_duplicate_rate": 0.02}).max_duplicate_rate == 0.02


@pytest.mark.parametrize(
    ("changes", "key"),
    [
        ({"host": "sftp.example.com"}, "host"),
        ({"password": "x"}, "password"),
        ({"files": {"transactions": {"pattern": "../other/sales.csv"}}}, "files.transactions.pattern"),
        ({"files": {"transactions": {"pattern": "/etc/passwd"}}}, "files.transactions.pattern"),
        ({"files": {"transactions": {"pattern": "a\\b.csv"}}}, "files.transactions.pattern"),
        ({"files": {"products": {"pattern": "p.csv"}}}, "files.transactions"),
        ({"files": {"transactions": {"pattern": "s.csv", "decimal": ",", "thousands": ","}}}, "files.transactions"),
        ({"quantity_uom": "https://example.com"}, "quantity_uom"),
        ({"timezone": "Mars/Olympus"}, "timezone"),
        ({"date_format": "%m/%m/%Y"}, "date_format"),
        ({"date_format": "%Y-%m"}, "date_format"),
        ({"date_format": "%x"}, "date_format"),
        ({"unit_map": {"quantity": {"multiplier": 10, "divide_by": 2}}}, "unit_map.quantity"),
        ({"unit_map": {"category": {"multiplier": 10}}}, "unit_map"),
        ({"field_map": {"day": "datum"}}, "field_map"),
        ({"id_columns": {"shop": "product_id"}}, "id_columns"),
        ({"type_map": {"quantity": "str"}}, "type_map"),
        ({"null_policy": {"date": {"fill_value": 1}}}, "null_policy"),
        ({"null_policy": {"unit_price": {"fill_value": "none"}}}, "null_policy"),
        ({"extra_regressors": ["rain"]}, "extra_regressors"),
        ({"covariates": {"known_future": ["unit_price"], "historic_only": ["unit_price"]}}, "covariates"),
        ({"covariates": {"known_future": ["quantity"]}}, "covariates"),
        ({"dedupe_keys": ["store_id", "date"]}, "dedupe_keys"),
        ({"dq_thresholds": {"max_duplicate_rate": 3}}, "dq_thresholds.max_duplicate_rate"),
        ({"country_code": True}, "country_code"),
    ],
)
def test_contract__a_wrong_key__is_named(changes, key):
    assert key in refused(with_change(**changes))


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("a: &x [1]\nb: *x\n", "& or *"),
        ("- 1\n- 2\n", "keys and values"),
        ("", "keys and values"),
        ("tenant: a\ntenant: b\n", "written twice"),
        ('{"tenant": "a", "tenant": "b"}', "written twice"),
        ("[" * 3000, "nested too deep"),
        ("{" * 3000, "nested too deep"),
        ('{"a":' * 100_000, "bytes long"),
        ("tenant: [unclosed", "line 1"),
        ("a: !!python/object/apply:os.system ['true']\n", "not valid YAML"),
        (b"\xff\xfe\x00", "not UTF-8"),
    ],
)
def test_contract_text__bomb_or_rubbish__is_refused_in_one_line(text, said):
    message = refused(text)
    assert said in message
    assert "\n" not in message


def test_contract_text__country_norway__stays_text():
    assert load_contract(yaml.safe_dump(BASE).replace("country_code: US", "country_code: NO")).country_code == "NO"


def test_contract_schema__published_file__is_up_to_date():
    assert json.loads(SCHEMA.read_text(encoding="utf-8")) == contract_json_schema()
