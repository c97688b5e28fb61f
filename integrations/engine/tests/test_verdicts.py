"""Thresholds, and what no contract can express."""

from __future__ import annotations

from datetime import date

import pytest

from integrations.engine.tests.helpers import HEAD, LOOSE, codes, read

GOOD = "".join(f"2017-01-{day:02d},A,milk,{3 + day % 4},1.5\n" for day in range(1, 21))
ADAPTER = "requires_custom_adapter"


def bad(row, times=1):
    return HEAD + GOOD + row * times


@pytest.mark.parametrize(
    ("text", "changes", "code"),
    [
        (bad("soon,A,milk,1,1\n"), {}, "min_date_parse_success"),
        (bad("2017-01-30,A,milk,many,1\n"), {}, "min_quantity_parse_success"),
        (bad("2017-01-30,A,milk,1e309,1\n"), {}, "min_quantity_parse_success"),
        (bad("2017-01-30,A,milk,NaN,1\n"), {}, "min_quantity_parse_success"),
        (bad('2017-01-30,A,milk,"12,3,4",1\n'), {}, "min_quantity_parse_success"),
        (bad("2017-01-30,A,milk,12,3,4,1\n"), {}, "min_quantity_parse_success"),
        (bad("2017-01-30,A,milk,2,cheap\n"), {}, "min_quantity_parse_success"),
        (bad("2017-01-30,A,milk,,1\n"), {}, "max_required_null_rate"),
        (bad("2017-01-30,,milk,1,1\n"), {}, "max_required_null_rate"),
        (bad("2017-01-30,A,milk,1.5,1\n"), {"type_map": {"quantity": "int"}}, "min_quantity_parse_success"),
        (bad("9999-12-31,A,milk,1,1\n"), {}, "min_date_parse_success"),
        (bad("2099-12-31,A,milk,1,1\n"), {}, "max_history_years"),
        (HEAD + GOOD.replace("2017-01-", "01/").replace(",A", "/2017,A"), {"date_format": "mixed"}, "ambiguous_date"),
        (HEAD + GOOD, {"grain": "weekly"}, "weekly_dates_differ"),
        (HEAD + "2017-01-01,A,milk,-1,1\n", {}, "nothing_to_load"),
        (bad("").replace("price", "currency").replace("1.5", "EUR"), {}, "currency_differs"),
    ],
)
def test_verdict__threshold_missed__fails_with_what_to_do(tmp_path, text, changes, code):
    result = read(tmp_path, text, **changes)
    assert code in codes(result)
    assert result.verdict == "failed"
    assert result.units == 0
    file = result.files[0]
    assert (file.rows_loaded, file.rows_merged, file.rows_rejected) == (0, 0, file.rows_read)


def test_verdict__dates_after_as_of__fail_beyond_the_allowed_days(tmp_path):
    assert read(tmp_path, bad(""), as_of=date(2017, 1, 13)).verdict == "passed"
    late = read(tmp_path, bad(""), as_of=date(2017, 1, 12))
    assert codes(late) == ["max_future_days"]
    assert late.findings[0].rows == 1
    assert codes(read(tmp_path, bad(""), as_of=date(2040, 1, 1))) == ["max_history_years"]


@pytest.mark.parametrize(
    ("text", "changes", "code"),
    [
        ("shop,sku,2017-01-01,2017-01-02,2017-01-03\nA,milk,1,2,3\n", {}, "wide_pivot"),
        ("shop,sku,01/01/2017,01/02/2017,01/03/2017\nA,milk,1,2,3\n", {}, "wide_pivot"),
        ("day,shop,sku,price\n2017-01-01,A,milk,2\n", {}, "missing_required_field"),
        ("day,shop,sku,amount,price\n2017-01-01,A,milk,9,2\n", {}, "quantity_by_arithmetic"),
        ("day,shop,sku,opening_stock,closing_stock\n2017-01-01,A,milk,9,2\n", {}, "quantity_by_arithmetic"),
        (
            "day,shop,sku,qty,pieces\n2017-01-01,A,milk,9,2\n",
            {
                "field_map": {
                    "day": "date",
                    "shop": "store_id",
                    "sku": "product_id",
                    "qty": "quantity",
                    "pieces": "quantity",
                }
            },
            "two_columns_one_field",
        ),
        (HEAD + "2017-01-01,A,milk,3;4;5,1\n2017-01-02,A,milk,1;2,1\n", {}, "several_records_in_one_cell"),
        (HEAD + '2017-01-01,A,milk,"{""n"": 3}",1\n', {}, "nested_values"),
        ("day,shop,sku,qty,currency\n2017-01-01,A,m,1,USD\n2017-01-02,A,m,1,EUR\n", {}, "several_currencies"),
        ("day,shop,sku,qty,company\n2017-01-01,A,m,1,X\n2017-01-02,A,m,1,Y\n", {}, "several_companies"),
        (HEAD + "".join(f"2017-01-{d:02d},A,milk,{100 + d * 3},1\n" for d in range(1, 29)), {}, "cumulative_counter"),
    ],
)
def test_verdict__not_representable__asks_for_an_adapter(tmp_path, text, changes, code):
    result = read(tmp_path, text, **changes)
    assert result.verdict == ADAPTER
    assert code in codes(result)
    assert all(found.fix for found in result.findings)
    assert result.demand.num_rows == 0


def test_verdict__sound_file__passes_without_a_finding(tmp_path):
    result = read(tmp_path, HEAD + GOOD)
    assert result.verdict == "passed"
    assert result.findings == ()
    assert result.metrics["series"] == 1
    assert result.metrics["newest_date"] == "2017-01-20"


def test_verdict__one_bad_row_among_many__is_left_out_and_told(tmp_path):
    text = HEAD + GOOD * 20 + "2017-01-02,A,milk,bad,1\n"
    result = read(tmp_path, text)
    assert result.verdict == "passed"
    assert [(found.code, found.rows, found.column) for found in result.findings] == [
        ("rejected_not_a_number", 1, "qty")
    ]
    assert result.metrics["quantity_parse_success"] == pytest.approx(400 / 401, abs=1e-6)


def test_verdict__heading_in_other_letters__names_the_right_one(tmp_path):
    result = read(tmp_path, HEAD.replace("qty", "QTY") + GOOD)
    assert "QTY" in result.findings[0].fix


def test_verdict__too_many_rejected_rows_to_keep__fails(tmp_path, monkeypatch):
    for module in ("rows", "checks", "pipeline"):
        monkeypatch.setattr(f"integrations.engine.{module}.MAX_REJECTED", 5)
    result = read(tmp_path, bad("2017-01-30,A,milk,bad,1\n", 9), dq_thresholds=LOOSE)
    assert codes(result) == ["too_many_rejected"]
    assert len(result.rejected) == 5


@pytest.mark.parametrize(("marks", "told"), [("JN", True), ("NN", False), (("X", ""), True), (("", ""), False)])
def test_column_that_marks_cancelled_rows__not_read__is_told_and_counts(tmp_path, marks, told):
    rows = f"2017-01-02,A,milk,3,1.5,{marks[0]}\n2017-01-03,A,milk,4,1.5,{marks[1]}\n"
    result = read(tmp_path, HEAD.strip() + ",Storno\n" + rows)
    assert ("cancelled_rows_count" in {found.code for found in result.findings}) == told
    assert result.units == 7
