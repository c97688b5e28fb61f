"""Contract changes: every key has a rule, and each breaking one says what it breaks."""

from __future__ import annotations

from typing import Any

import pytest

from integrations.engine.change_words import BREAKS, FILE_BREAKS, FILE_SAFE, ROLE_ADDED, ROLE_REMOVED
from integrations.engine.changes import COMPARERS, Change, compare_contracts
from integrations.engine.contract_model import ContractBase, Drift, DriftMode, Files, FileSpec, Role, ServiceLevel
from integrations.engine.tests.helpers import BASE, contract

PATTERN = {"pattern": "sales*.csv"}


def changes(before: dict[str, Any], after: dict[str, Any]) -> tuple[Change, ...]:
    return compare_contracts(contract(**before), contract(**after)).changes


def test_changes__every_key_of_a_contract__has_a_rule() -> None:
    """A new key fails here: decide whether its change breaks anything, and say what."""
    assert set(COMPARERS) == set(ContractBase.model_fields)
    assert set(FileSpec.model_fields) <= set(FILE_BREAKS) | set(FILE_SAFE)
    assert {role.value for role in Role} == set(Files.model_fields)
    assert set(ROLE_ADDED) == set(ROLE_REMOVED) == set(Role)
    assert set(ServiceLevel.model_fields) == {"max_age_hours"}
    assert {f"drift.{mode}" for mode in DriftMode} - {"drift.evolve"} <= set(BREAKS)
    assert set(Drift.model_fields) == {"new_column", "missing_column", "type_change"}


@pytest.mark.parametrize(
    ("before", "after", "key"),
    [
        ({}, {"grain": "weekly"}, "grain"),
        ({}, {"timezone": "Europe/Berlin"}, "timezone"),
        ({}, {"timezone_handling": "utc_date"}, "timezone_handling"),
        ({}, {"quantity_sign_policy": "clip_negative"}, "quantity_sign_policy"),
        ({}, {"country_code": "DE"}, "country_code"),
        ({}, {"currency": "EUR"}, "currency"),
        ({"quantity_uom": "cases"}, {"quantity_uom": "units"}, "quantity_uom"),
        ({}, {"date_format": "%d.%m.%Y"}, "date_format"),
        ({}, {"dedupe_policy": "keep_last"}, "dedupe_policy"),
        ({}, {"missing_days": "closed"}, "missing_days"),
        ({}, {"unit_map": {"unit_price": {"divide_by": 100}}}, "unit_map.unit_price"),
        ({}, {"id_normalization": {"product_id": {"upper": True}}}, "id_normalization.product_id"),
        ({}, {"null_policy": {"unit_price": {"fill_value": 0}}}, "null_policy.unit_price"),
        ({}, {"type_map": {"quantity": "int"}}, "type_map.quantity"),
        ({}, {"transactions": {"delimiter": ";"}}, "files.transactions.delimiter"),
        ({}, {"transactions": {"decimal": ","}}, "files.transactions.decimal"),
        ({}, {"transactions": {"encoding": "cp1252"}}, "files.transactions.encoding"),
        ({}, {"transactions": {"format": "parquet"}}, "files.transactions.format"),
        ({}, {"transactions": {"pattern": "till*.csv"}}, "files.transactions.pattern"),
        ({}, {"files": {"transactions": PATTERN, "stores": {"pattern": "s.csv"}}}, "files.stores"),
        ({"files": {"transactions": PATTERN, "covariates": {"pattern": "s.csv"}}}, {}, "files.covariates"),
        ({}, {"dq_thresholds": {"max_future_days": 3}}, "dq_thresholds.max_future_days"),
        ({}, {"dq_thresholds": {"min_date_parse_success": 1}}, "dq_thresholds.min_date_parse_success"),
        ({"drift": {"new_column": "evolve"}}, {}, "drift.new_column"),
        ({}, {"drift": {"type_change": "discard"}}, "drift.type_change"),
        ({"covariates": {"known_future": ["unit_price"]}}, {}, "covariates.unit_price"),
        (
            {"extra_regressors": ["rain"], "covariates": {"historic_only": ["rain"]}},
            {"covariates": {}},
            "extra_regressors.rain",
        ),
    ],
)
def test_changes__that_break_something__say_what(before: dict[str, Any], after: dict[str, Any], key: str) -> None:
    found = {change.key: change for change in changes(before, after)}
    assert found[key].breaking, found[key]
    assert len(found[key].why) > 20
    assert "{" not in found[key].why


@pytest.mark.parametrize(
    ("before", "after", "key"),
    [
        ({}, {"dq_thresholds": {"max_future_days": 30}}, "dq_thresholds.max_future_days"),
        ({}, {"dq_thresholds": {"min_date_parse_success": 0.5}}, "dq_thresholds.min_date_parse_success"),
        ({}, {"dq_thresholds": {"max_duplicate_rate": 1.0}}, "dq_thresholds.max_duplicate_rate"),
        ({}, {"sla": {"max_age_hours": 5}}, "sla.max_age_hours"),
        ({}, {"drift": {"new_column": "evolve"}}, "drift.new_column"),
        ({}, {"date_format": "mixed"}, "date_format"),
        ({"type_map": {"quantity": "int"}}, {"type_map": {"quantity": "float"}}, "type_map.quantity"),
        ({}, {"type_map": {"date": "date"}}, "type_map.date"),
        ({}, {"transactions": {"pattern": "*.csv"}}, "files.transactions.pattern"),
        ({}, {"files": {"transactions": PATTERN, "covariates": {"pattern": "f.csv"}}}, "files.covariates"),
        ({}, {"field_map": {**BASE["field_map"], "grp": "category"}}, "field_map.category"),
        ({}, {"covariates": {"historic_only": ["unit_price"]}}, "covariates.unit_price"),
        ({}, {"id_normalization": {"store_id": {"strip": True}}}, "id_normalization.store_id"),
        ({}, {"dedupe_keys": ["date", "store_id", "product_id"]}, "dedupe_keys"),
        ({}, {"id_columns": {"shop": "store_id"}}, "id_columns"),
        ({"tenant": "a-b"}, {"tenant": "a_b"}, "tenant"),
    ],
)
def test_changes__that_break_nothing__are_listed_all_the_same(
    before: dict[str, Any], after: dict[str, Any], key: str
) -> None:
    found = compare_contracts(contract(**before), contract(**after))
    assert [change.key for change in found.changes] == [key]
    assert not found.breaking


def test_changes__a_field_that_loses_or_swaps_its_column__breaks() -> None:
    fields = dict(BASE["field_map"])
    without = {column: field for column, field in fields.items() if field != "unit_price"}
    other = {("units" if column == "qty" else column): field for column, field in fields.items()}
    assert [change.key for change in changes({}, {"field_map": without}) if change.breaking] == ["field_map.unit_price"]
    (swapped,) = changes({}, {"field_map": other})
    assert (swapped.before, swapped.after, swapped.breaking) == ("qty", "units", True)
    both = {**fields, "units": "quantity"}
    assert changes({}, {"field_map": both})[0].breaking


def test_changes__a_required_field_that_becomes_explicit__is_no_change_of_meaning() -> None:
    fields = {column: field for column, field in BASE["field_map"].items() if field != "quantity"}
    named = {**fields, "quantity": "quantity"}
    assert not compare_contracts(contract(field_map=fields), contract(field_map=named)).breaking


def test_changes__cases_to_units__is_said_in_words() -> None:
    (change,) = changes({"quantity_uom": "cases"}, {"quantity_uom": "units"})
    assert change.why.startswith("Quantities loaded so far were in cases, from now on in units: forecasts would jump.")


def test_changes__nothing_changed__is_empty_and_digests_name_the_step() -> None:
    assert compare_contracts(contract(), contract()).changes == ()
    there = compare_contracts(contract(), contract(currency="EUR"))
    back = compare_contracts(contract(currency="EUR"), contract())
    assert there.digest != back.digest
    assert there.digest == compare_contracts(contract(), contract(currency="EUR")).digest


def test_changes__breaking_ones__come_first() -> None:
    found = changes({}, {"sla": {"max_age_hours": 5}, "currency": "EUR", "missing_days": "closed"})
    assert [change.breaking for change in found] == [True, True, False]
