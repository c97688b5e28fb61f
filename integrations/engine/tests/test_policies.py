"""Signs, returns, units, empty cells, duplicates, references, covariates."""

from __future__ import annotations

from datetime import date
from typing import Any

import pytest

from integrations.engine.contract_model import Role
from integrations.engine.pipeline import read_batch
from integrations.engine.tests.helpers import HEAD, LOOSE, codes, contract, match_files, read, rows

SALE, RETURN = "2017-01-02,A,milk,5,2\n", "2017-01-02,A,milk,-2,2\n"


def reasons(result):
    return [(row.line, row.reason) for row in result.rejected]


def test_signs__non_negative__rejects_the_row(tmp_path):
    result = read(tmp_path, HEAD + SALE + RETURN)
    assert reasons(result) == [(3, "negative_quantity")]
    assert (result.units, result.returned_units) == (5.0, 0.0)


@pytest.mark.parametrize("policy", ["sum", "keep_last", "reject"])
def test_signs__allowed_returns__stand_beside_gross_demand(tmp_path, policy):
    changes = {"quantity_sign_policy": "allow_negative_returns", "dedupe_policy": policy}
    result = read(tmp_path, HEAD + SALE + RETURN, **changes)
    assert rows(result) == [("A", "milk", "2017-01-02", 5.0)]
    assert (result.units, result.returned_units) == (5.0, 2.0)
    assert result.files[0].rows_merged == 1


def test_signs__day_with_only_returns__is_a_day_without_sales(tmp_path):
    result = read(tmp_path, HEAD + RETURN, quantity_sign_policy="allow_negative_returns")
    assert rows(result) == [("A", "milk", "2017-01-02", 0.0)]
    assert result.demand["returned_quantity"].to_pylist() == [2.0]


def test_signs__clip__makes_it_zero(tmp_path):
    assert read(tmp_path, HEAD + SALE + RETURN, quantity_sign_policy="clip_negative").units == 5.0


def test_signs__transaction_type__marks_a_return_of_positive_quantity(tmp_path):
    text = "day,shop,sku,qty,kind\n2017-01-02,A,milk,5,Sale\n2017-01-02,A,milk,2,RETURN\n"
    changes: dict[str, Any] = {"field_map": {"day": "date", "shop": "store_id", "sku": "product_id", "qty": "quantity"}}
    changes["field_map"]["kind"] = "transaction_type"
    kept = read(tmp_path, text, quantity_sign_policy="allow_negative_returns", **changes)
    assert (kept.units, kept.returned_units) == (5.0, 2.0)
    assert reasons(read(tmp_path, text, **changes)) == [(3, "return_not_allowed")]


def test_units__multiplier_and_divisor__reach_the_canonical_unit(tmp_path):
    text = HEAD + "2017-01-02,A,milk,0.3,299\n"
    result = read(tmp_path, text, unit_map={"quantity": {"multiplier": 10}, "unit_price": {"divide_by": 100}})
    assert rows(result)[0][3] == 3.0
    assert result.demand["unit_price"].to_pylist() == [2.99]


def test_price__of_several_rows__is_weighted_by_units(tmp_path):
    result = read(tmp_path, HEAD + "2017-01-02,A,milk,3,1\n2017-01-02,A,milk,1,5\n2017-01-02,A,milk,2,\n")
    assert result.demand["unit_price"].to_pylist() == [2.0]
    assert rows(result)[0][3] == 6.0


def test_price__without_any_sale__is_the_plain_mean(tmp_path):
    assert (
        read(tmp_path, HEAD + "2017-01-02,A,milk,0,1\n2017-01-02,A,milk,0,5\n").demand["unit_price"][0].as_py() == 3.0
    )


def test_empty_cells__filled_or_left_empty_or_rejected(tmp_path):
    text = HEAD + "2017-01-02,A,milk,,\n2017-01-03,A,milk,2,\n"
    plain = read(tmp_path, text, dq_thresholds=LOOSE)
    assert reasons(plain) == [(2, "missing_value")]
    assert plain.demand["unit_price"].to_pylist() == [None]
    filled = read(tmp_path, text, null_policy={"quantity": {"fill_value": 1}, "unit_price": {"fill_value": 9}})
    assert [row[3] for row in rows(filled)] == [1.0, 2.0]
    assert filled.demand["unit_price"].to_pylist() == [9.0, 9.0]


def test_duplicates__each_policy__conserves_rows_in_its_way(tmp_path):
    text = HEAD + "2017-01-02,A,milk,1,1\n2017-01-03,A,milk,7,1\n2017-01-02,A,milk,2,1\n"
    loose: dict[str, Any] = {"dq_thresholds": LOOSE}
    assert [row[3] for row in rows(read(tmp_path, text, dedupe_policy="sum", **loose))] == [3.0, 7.0]
    assert [row[3] for row in rows(read(tmp_path, text, dedupe_policy="keep_last", **loose))] == [2.0, 7.0]
    rejected = read(tmp_path, text, dedupe_policy="reject", **loose)
    assert [row[3] for row in rows(rejected)] == [7.0]
    assert reasons(rejected) == [(2, "duplicate_key"), (4, "duplicate_key")]
    assert rejected.rejected[0].raw == "2017-01-02,A,milk,1,1"


@pytest.mark.parametrize(
    ("policy", "given", "refused"), [("sum", {}, False), ("sum", 0.01, True), ("keep_last", {}, True)]
)
def test_duplicates__over_the_threshold__fail(tmp_path, policy, given, refused):
    limits = {"max_duplicate_rate": given} if given else {}
    result = read(tmp_path, HEAD + SALE + SALE, dedupe_policy=policy, dq_thresholds=limits)
    assert (codes(result) == ["max_duplicate_rate"]) is refused
    assert result.metrics["duplicate_rate"] == 0.5


def test_several_files__keep_last__the_later_file_wins(tmp_path):
    for name, quantity in (("sales_1.csv", 1), ("sales_2.csv", 2)):
        (tmp_path / name).write_text(f"{HEAD}2017-01-02,A,milk,{quantity},1\n")
    made = contract(dedupe_policy="keep_last", dq_thresholds=LOOSE)
    result = read_batch(made, match_files(made, tmp_path))
    assert [row[3] for row in rows(result)] == [2.0]
    assert [(file.rows_loaded, file.rows_merged) for file in result.files] == [(0, 1), (1, 0)]


def chain_contract(**changes):
    files = {role: {"pattern": f"{role}.csv"} for role in ("transactions", "stores", "products", "covariates")}
    mapping = {"day": "date", "shop": "store_id", "sku": "product_id", "qty": "quantity", "group": "category"}
    covariates = {"known_future": ["is_promotional", "footfall"], "static": ["category"]}
    return contract(
        files=files,
        field_map={**mapping, "promo": "is_promotional"},
        covariates=covariates,
        extra_regressors=["footfall"],
        **changes,
    )


def write_chain(folder, sales, future="day,sku,promo,footfall\n2017-02-01,milk,yes,12.5\n"):
    (folder / "transactions.csv").write_text("day,shop,sku,qty\n" + sales)
    (folder / "stores.csv").write_text("shop\nA\nB\n")
    (folder / "products.csv").write_text("sku,group\nmilk,Dairy\nbread,Bakery\nbread,Bread\n")
    (folder / "covariates.csv").write_text(future)


def test_references__unknown_store_and_product__fail_by_name_and_pass_when_allowed(tmp_path):
    write_chain(tmp_path, "2017-01-02,A,milk,1\n2017-01-02,C,milk,1\n2017-01-02,A,tea,1\n")
    strict = chain_contract()
    result = read_batch(strict, match_files(strict, tmp_path))
    assert codes(result) == ["max_store_ref_missing_rate", "max_product_ref_missing_rate"]
    assert result.metrics["store_ref_missing_rate"] == pytest.approx(1 / 3, abs=1e-6)
    loose = chain_contract(dq_thresholds=LOOSE)
    allowed = read_batch(loose, match_files(loose, tmp_path))
    assert allowed.verdict == "passed"
    assert reasons(allowed) == [(3, "unknown_store"), (4, "unknown_product")]


def test_covariates__past_the_last_sale_and_for_all_stores__are_kept(tmp_path):
    write_chain(tmp_path, "2017-01-02,A,milk,1\n")
    made = chain_contract()
    result = read_batch(made, match_files(made, tmp_path), as_of=date(2017, 1, 2))
    assert result.verdict == "passed"
    assert result.future is not None
    assert result.future.to_pylist() == [
        {
            "product_id": "milk",
            "date": date(2017, 2, 1),
            "is_promotional": 1.0,
            "footfall": 12.5,
            "store_id": None,
        }
    ]
    assert result.products is not None
    assert {row["product_id"]: row["category"] for row in result.products.to_pylist()} == {
        "bread": "Bread",
        "milk": "Dairy",
    }
    assert "reference_conflict" in [found.code for found in result.findings]
    assert {file.role: (file.rows_read, file.rows_loaded, file.rows_merged) for file in result.files} == {
        Role.STORES: (2, 2, 0),
        Role.PRODUCTS: (3, 2, 1),
        Role.TRANSACTIONS: (1, 1, 0),
        Role.COVARIATES: (1, 1, 0),
    }


def test_covariates__bad_figures__fail_the_batch(tmp_path):
    write_chain(tmp_path, "2017-01-02,A,milk,1\n", "day,sku,promo,footfall\n2017-02-01,milk,yes,many\n")
    made = chain_contract()
    result = read_batch(made, match_files(made, tmp_path))
    assert codes(result) == ["min_quantity_parse_success"]
    assert result.demand.num_rows == 0


def test_references__declared_and_not_sent__is_a_warning(tmp_path):
    write_chain(tmp_path, "2017-01-02,A,milk,1\n")
    (tmp_path / "stores.csv").unlink()
    made = chain_contract()
    result = read_batch(made, match_files(made, tmp_path))
    assert result.verdict == "passed"
    assert "file_missing" in [found.code for found in result.findings]
