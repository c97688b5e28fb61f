"""Files as they really come: lines, quotes, encodings, damage."""

from __future__ import annotations

import io

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from integrations.engine import csv_source
from integrations.engine.contract_model import Role
from integrations.engine.pipeline import read_batch
from integrations.engine.records import map_records
from integrations.engine.tests.helpers import HEAD, LOOSE, codes, contract, read, rows

GOOD = "2017-01-02,A,milk,3,1.5\n"


def places(result):
    return [(row.line, row.column, row.reason, row.raw) for row in result.rejected]


def test_csv__quoted_newlines_blank_lines_and_ragged_rows__keep_real_line_numbers(tmp_path):
    text = HEAD + '2017-01-02,A,"two\nlines",x,1\n\n2017-01-02,A,b\n\r\n' + GOOD + '2017-01-03,"A",c,"y",1\n'
    result = read(tmp_path, text, dq_thresholds=LOOSE)
    assert places(result) == [
        (2, "qty", "not_a_number", '2017-01-02,A,"two\nlines",x,1'),
        (5, "", "wrong_number_of_cells", "2017-01-02,A,b"),
        (8, "qty", "not_a_number", '2017-01-03,"A",c,"y",1'),
    ]
    assert result.files[0].rows_read == 4


@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
def test_csv__any_line_end__reads_alike(tmp_path, end):
    text = (HEAD + GOOD + "2017-01-02,A,milk,bad,1\n" + GOOD).replace("\n", end)
    result = read(tmp_path, text, dq_thresholds=LOOSE)
    assert rows(result) == [("A", "milk", "2017-01-02", 6.0)]
    assert [row.line for row in result.rejected] == [3]


def test_csv__many_small_blocks__same_result_as_one(tmp_path, monkeypatch):
    lines = [f'2017-01-{1 + i % 28:02d},"S{i % 3}","p\n{i % 5}",{i % 7 if i % 11 else "bad"},1.5' for i in range(400)]
    text = HEAD + "\r\n".join(lines)
    whole = read(tmp_path, text, dq_thresholds=LOOSE)
    monkeypatch.setattr(csv_source, "BLOCK_BYTES", 97)
    pieces = read(tmp_path, text, dq_thresholds=LOOSE)
    assert pieces.demand.equals(whole.demand)
    assert pieces.rejected == whole.rejected
    assert pieces.files == whole.files


@settings(max_examples=60, deadline=None)
@given(st.lists(st.lists(st.text('ab",\n\r 5', max_size=5), min_size=2, max_size=2), max_size=8))
def test_records__whatever_is_quoted__agree_with_the_csv_writer(table):
    out = io.StringIO()
    pd.DataFrame(table, columns=["a", "b"]).to_csv(out, index=False, header=False, lineterminator="\n", quoting=1)
    assert len(map_records(out.getvalue().encode(), ",").ends) == len(table)


def test_records__quote_inside_a_plain_field__is_an_ordinary_sign():
    assert map_records(b'1,5" pipe\n2,6" pipe\n"a\nb",3\n', ",").ends.tolist() == [10, 20, 28]


def test_csv__bom_and_semicolons_and_decimal_commas__are_read(tmp_path):
    text = "\ufeff" + HEAD.replace(",", ";") + "2017-01-02;A;milk;1.203,5;2,50\n"
    spec = {"delimiter": ";", "decimal": ",", "thousands": "."}
    result = read(tmp_path, text, transactions=spec)
    assert rows(result) == [("A", "milk", "2017-01-02", 1203.5)]
    assert result.demand["unit_price"].to_pylist() == [2.5]


@pytest.mark.parametrize(("encoding", "declared"), [("cp1252", "cp1252"), ("utf-16", "utf-16"), ("latin-1", "latin-1")])
def test_csv__declared_encoding__is_decoded(tmp_path, encoding, declared):
    text = (HEAD + "2017-01-02,Café,milk,3,1\n").encode(encoding)
    assert rows(read(tmp_path, text, transactions={"encoding": declared})) == [("Café", "milk", "2017-01-02", 3.0)]


@pytest.mark.parametrize(
    ("content", "code", "verdict"),
    [
        (b"", "empty_file", "failed"),
        (b" \n\n", "empty_file", "failed"),
        (HEAD.encode(), "no_rows", "failed"),
        ((HEAD + GOOD).encode() + b"2017-01-02,A\0,milk,3,1\n", "nul_bytes", "failed"),
        ((HEAD + "2017-01-02,Café,milk,3,1\n").encode("cp1252"), "not_utf8", "failed"),
        ((HEAD + GOOD).encode("utf-16"), "not_utf8", "failed"),
        ((HEAD + GOOD + '2017-01-02,A,"milk,3,1\n' + GOOD).encode(), "unclosed_quote", "failed"),
        ((HEAD + GOOD).replace(",", ";").encode(), "wrong_delimiter", "failed"),
        (("qty," + HEAD + "9," + GOOD).encode(), "duplicate_heading", "failed"),
        (b"PK\x03\x04" + b"\0" * 40, "binary_file", "requires_custom_adapter"),
        (b"\x07\x00\x00\x00\x00\x00\x01" * 9, "binary_file", "requires_custom_adapter"),
        (",".join(f"c{i}" for i in range(10_000)).encode() + b"\n", "too_many_columns", "failed"),
    ],
)
def test_csv__damaged_or_of_the_wrong_kind__says_so_and_loads_nothing(tmp_path, content, code, verdict):
    result = read(tmp_path, content)
    assert code in codes(result)
    assert result.verdict == verdict
    assert result.demand.num_rows == 0
    assert result.total("rows_loaded") == 0
    assert all(found.fix for found in result.findings if found.severity == "error")


def test_csv__quote_that_closes_on_a_later_line__is_told(tmp_path):
    result = read(tmp_path, HEAD + GOOD + '2017-01-02,"A,milk,3,1\n2017-01-03,A",milk,4,1\n' + GOOD)
    (found,) = [found for found in result.findings if found.code == "line_break_in_id"]
    assert (found.severity, found.column) == ("warning", "store_id") and "A,milk,3,1 2017-01-03,A" in found.message
    assert not read(tmp_path, HEAD + GOOD).findings


def test_csv__unclosed_quote__names_the_line_it_began_in(tmp_path):
    result = read(tmp_path, HEAD + GOOD + GOOD + '2017-01-02,A,"milk,3,1\n' + GOOD)
    assert "line 4" in result.findings[0].message


def test_csv__record_without_end__stops_within_bounded_memory(tmp_path, monkeypatch):
    monkeypatch.setattr(csv_source, "MAX_RECORD_BYTES", 1000)
    monkeypatch.setattr(csv_source, "BLOCK_BYTES", 500)
    result = read(tmp_path, HEAD + GOOD + '2017-01-02,A,"' + "x" * 50_000)
    assert codes(result) == ["unclosed_quote"]


def test_parquet__native_types__become_the_same_demand(tmp_path):
    path = tmp_path / "sales.parquet"
    table = pa.table(
        {
            "day": pa.array(np.array(["2017-01-02T23:30", "2017-01-03T01:00"], "datetime64[s]")),
            "shop": pa.array([101, 101], pa.int32()),
            "sku": pa.array(["a", "a"]).dictionary_encode(),
            "qty": pa.array([2, None], pa.int16()),
            "price": pa.array([199, 201], pa.int32()),
        }
    )
    pq.write_table(table, path)
    made = contract(
        transactions={"pattern": "sales.parquet", "format": "parquet"},
        unit_map={"unit_price": {"divide_by": 100}},
        dq_thresholds=LOOSE,
    )
    result = read_batch(made, {Role.TRANSACTIONS: [path]})
    assert rows(result) == [("101", "a", "2017-01-02", 2.0)]
    assert result.demand["unit_price"].to_pylist() == [1.99]
    assert [(row.line, row.reason) for row in result.rejected] == [(2, "missing_value")]
    assert '"shop": 101' in result.rejected[0].raw


def test_parquet__nested_column__needs_an_adapter(tmp_path):
    path = tmp_path / "sales.parquet"
    pq.write_table(pa.table({"day": ["2017-01-02"], "shop": ["A"], "sku": ["a"], "qty": [[1, 2]]}), path)
    made = contract(transactions={"pattern": "sales.parquet", "format": "parquet"})
    result = read_batch(made, {Role.TRANSACTIONS: [path]})
    assert result.verdict == "requires_custom_adapter"
    assert codes(result) == ["nested_values"]


def test_parquet__damaged__needs_an_adapter(tmp_path):
    path = tmp_path / "sales.parquet"
    path.write_bytes(b"PAR1 not really")
    made = contract(transactions={"pattern": "sales.parquet", "format": "parquet"})
    assert codes(read_batch(made, {Role.TRANSACTIONS: [path]})) == ["binary_file"]


def test_batch__no_file_at_all__says_which_pattern(tmp_path):
    result = read_batch(contract(), {})
    assert codes(result) == ["file_missing"]
    assert "sales*.csv" in result.findings[0].message
