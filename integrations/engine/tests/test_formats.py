"""NDJSON, workbooks and gzip: the same sales in every format are the same demand."""

from __future__ import annotations

import gzip
import json
from datetime import date, datetime

import pytest

from integrations.engine import ndjson_source
from integrations.engine.contract_model import Role
from integrations.engine.pipeline import read_batch
from integrations.engine.tests.helpers import HEAD, LOOSE, codes, contract, rows
from integrations.engine.tests.workbooks import raw_workbook, workbook

GOOD = "2017-01-02,A,milk,3,1.5\n"
COLUMNS = ("day", "shop", "sku", "qty", "price")


def read_as(path, kind, content=None, **changes):
    """Read one file of this format; `spec` adds keys to the file's declaration."""
    if content is not None:
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
    spec = {"pattern": "sales*", "format": kind, **changes.pop("spec", {})}
    changes.setdefault("dq_thresholds", LOOSE)
    return read_batch(contract(transactions=spec, **changes), {Role.TRANSACTIONS: [path]})


def ndjson(*records):
    return "".join(json.dumps(dict(zip(COLUMNS, record, strict=False))) + "\n" for record in records)


def places(result):
    return [(row.line, row.column, row.reason) for row in result.rejected]


def infos(result):
    return [found.code for found in result.findings if found.severity == "info"]


def test_ndjson__typed_and_text_cells__become_demand(tmp_path):
    text = ndjson(
        ("02.01.2017", 1001, "milk", 3, 1.5), ("02.01.2017", "1001", "milk", "1,5", "1,5"), ("03.01.2017", 7, "m", 0.25)
    )
    spec = {"decimal": ",", "thousands": "."}
    result = read_as(tmp_path / "sales.ndjson", "ndjson", text, spec=spec, date_format="%d.%m.%Y")
    assert result.verdict == "passed"
    assert rows(result) == [("1001", "milk", "2017-01-02", 4.5), ("7", "m", "2017-01-03", 0.25)]
    assert result.demand["unit_price"].to_pylist() == [1.5, None]


def test_ndjson__broken_blank_and_repeated_keys__keep_their_real_lines(tmp_path):
    good = ndjson(("2017-01-02", "A", "milk", 3))
    text = good + "\n\r\n" + '{"day": "2017-01-02", \n' + good * 9 + '{"qty": 1, "qty": 2}\n[1]\n"x"\n' + good.strip()
    result = read_as(tmp_path / "sales.ndjson", "ndjson", text)
    assert places(result) == [(line, "", "not_json") for line in (4, 14, 15, 16)]
    assert result.rejected[0].raw == '{"day": "2017-01-02",'
    assert result.units == 33
    assert result.files[0].rows_read == 15


def test_ndjson__many_small_blocks__same_result_as_one(tmp_path, monkeypatch):
    text = ndjson(*(("2017-01-02", "A", f"p{i % 5}", i % 7 if i % 11 else "bad", 1.5) for i in range(300)))
    text = text.replace("\n", "\r\n")
    whole = read_as(tmp_path / "sales.ndjson", "ndjson", text)
    monkeypatch.setattr(ndjson_source, "BLOCK_BYTES", 101)
    pieces = read_as(tmp_path / "sales.ndjson", "ndjson")
    assert pieces.demand.equals(whole.demand)
    assert pieces.rejected == whole.rejected
    assert pieces.files == whole.files


@pytest.mark.parametrize(
    ("record", "said"),
    [
        ({"day": "2017-01-02", "shop": "A", "sku": ["a", "b"], "qty": 1}, "sku"),
        ({"day": "2017-01-02", "shop": {"id": "A"}, "sku": "a", "qty": 1}, "shop"),
    ],
)
def test_ndjson__nested_value_in_a_mapped_column__needs_an_adapter(tmp_path, record, said):
    for before in (0, 60):  # at once, and behind the first block
        text = ndjson(("2017-01-02", "A", "milk", 3)) * before + json.dumps(record)
        result = read_as(tmp_path / "sales.ndjson", "ndjson", text)
        assert codes(result) == ["nested_values"]
        assert result.verdict == "requires_custom_adapter"
        assert said in result.findings[0].message


def test_ndjson__nested_value_behind_the_first_block__needs_an_adapter(tmp_path, monkeypatch):
    monkeypatch.setattr(ndjson_source, "BLOCK_BYTES", 200)
    text = ndjson(("2017-01-02", "A", "milk", 3)) * 60 + '{"day": "2017-01-02", "shop": "A", "sku": [1], "qty": 2}'
    result = read_as(tmp_path / "sales.ndjson", "ndjson", text)
    assert codes(result) == ["nested_values"]
    assert "line 61" in result.findings[0].message
    assert result.total("rows_loaded") == 0


def test_ndjson__nested_value_in_another_column__is_left_alone(tmp_path):
    text = '{"day": "2017-01-02", "shop": "A", "sku": "a", "qty": 1, "tags": ["x"]}'
    assert rows(read_as(tmp_path / "sales.ndjson", "ndjson", text)) == [("A", "a", "2017-01-02", 1.0)]


@pytest.mark.parametrize("text", ["[\n" + ndjson(("2017-01-02", "A", "milk", 3)) + "]\n", HEAD + GOOD, '"a"\n1\n'])
def test_ndjson__mostly_no_objects__says_so(tmp_path, text):
    result = read_as(tmp_path / "sales.ndjson", "ndjson", text)
    assert codes(result) == ["not_ndjson"]
    assert result.total("rows_loaded") == 0


def test_ndjson__broken_behind_the_first_block__says_so(tmp_path, monkeypatch):
    monkeypatch.setattr(ndjson_source, "BLOCK_BYTES", 200)
    text = ndjson(("2017-01-02", "A", "milk", 3)) * 10 + "rubbish\n" * 30
    result = read_as(tmp_path / "sales.ndjson", "ndjson", text)
    assert "not_ndjson" in codes(result)
    assert result.units == 0


def sheet_rows():
    return [
        [*COLUMNS],
        [datetime(2017, 1, 2), 101, "milk", 3, 1.5],
        ["03.01.2017", 101, "milk", "4,5", None],
        [None] * 5,
        [date(2017, 1, 4), "x", "milk", "many", 2],
        [datetime(2017, 1, 4), "x", "milk", 2.25, "2,5"],
    ]


def test_xlsx__dates_numbers_and_texts_in_one_column__are_each_read_as_what_they_are(tmp_path):
    path = workbook(tmp_path / "sales.xlsx", {"Sales": sheet_rows()})
    result = read_as(path, "xlsx", spec={"decimal": ","}, date_format="%d.%m.%Y")
    assert result.verdict == "passed"
    assert rows(result) == [
        ("101", "milk", "2017-01-02", 3.0),
        ("101", "milk", "2017-01-03", 4.5),
        ("x", "milk", "2017-01-04", 2.25),
    ]
    assert result.demand["unit_price"].to_pylist() == [1.5, None, 2.5]
    assert places(result) == [(5, "qty", "not_a_number")]
    assert '"qty": "many"' in result.rejected[0].raw


@pytest.mark.parametrize("handling", ["source_local_date", "convert_to_profile_tz_date", "utc_date"])
def test_xlsx__a_plain_date__is_never_moved_by_a_time_zone(tmp_path, handling):
    path = workbook(tmp_path / "sales.xlsx", {"Sales": [COLUMNS, [date(2017, 1, 2), "A", "milk", 3, 1]]})
    result = read_as(path, "xlsx", timezone="America/New_York", timezone_handling=handling)
    assert rows(result) == [("A", "milk", "2017-01-02", 3.0)]


def test_xlsx__a_moment__follows_the_time_zone_rule(tmp_path):
    path = workbook(tmp_path / "sales.xlsx", {"Sales": [COLUMNS, [datetime(2017, 1, 2, 2, 30), "A", "milk", 3, 1]]})
    zone = {"timezone": "America/New_York", "timezone_handling": "convert_to_profile_tz_date"}
    assert rows(read_as(path, "xlsx", **zone)) == [("A", "milk", "2017-01-01", 3.0)]
    assert rows(read_as(path, "xlsx")) == [("A", "milk", "2017-01-02", 3.0)]


def test_xlsx__whole_number_as_compact_date__is_read_in_the_format(tmp_path):
    path = workbook(tmp_path / "sales.xlsx", {"Sales": [COLUMNS, [20170102, "A", "milk", 3, 1]]})
    assert rows(read_as(path, "xlsx", date_format="%Y%m%d")) == [("A", "milk", "2017-01-02", 3.0)]


def test_xlsx__title_above_the_headings__is_left_out_and_told(tmp_path):
    head: list[list[object]] = [["Sales of January"], ["Printed", date(2017, 2, 1)], []]
    path = workbook(tmp_path / "sales.xlsx", {"Sales": [*head, *sheet_rows()]})
    result = read_as(path, "xlsx", spec={"decimal": ","}, date_format="%d.%m.%Y")
    assert infos(result) == ["title_rows"]
    assert "row 4" in result.findings[0].message or "row 4" in result.findings[1].message
    assert places(result) == [(8, "qty", "not_a_number")]


def test_xlsx__several_sheets__first_visible_one_with_rows_or_the_named_one(tmp_path):
    other = [COLUMNS, [date(2017, 1, 2), "B", "tea", 9, 1]]
    sheets = {"Secret": other, "Notes": [["made by till 4"]], "Sales": sheet_rows()[:2], "Old": other}
    path = workbook(tmp_path / "sales.xlsx", sheets, hidden=["Secret"])
    chosen = read_as(path, "xlsx")
    assert rows(chosen) == [("101", "milk", "2017-01-02", 3.0)]
    assert infos(chosen) == ["several_sheets"]
    named = read_as(path, "xlsx", spec={"sheet": "old "})
    assert rows(named) == [("B", "tea", "2017-01-02", 9.0)]
    assert infos(named) == []
    missing = read_as(path, "xlsx", spec={"sheet": "2018"})
    assert codes(missing) == ["sheet_missing"]
    assert "Secret, Notes, Sales, Old" in missing.findings[0].message


def test_xlsx__formulas__stored_results_are_read_and_missing_ones_told(tmp_path):
    head = "".join(f'<c t="inlineStr"><is><t>{name}</t></is></c>' for name in COLUMNS)
    cells = '<c t="inlineStr"><is><t>2017-01-02</t></is></c><c><v>1</v></c><c><v>2</v></c>'
    rest = "<c><v>1</v></c></row></sheetData></worksheet>"
    start = f"<worksheet><sheetData><row>{head}</row><row>{cells}"
    stored = raw_workbook(f"{start}<c><f>1+2</f><v>3</v></c>{rest}")
    assert rows(read_as(tmp_path / "sales.xlsx", "xlsx", stored)) == [("1", "2", "2017-01-02", 3.0)]
    result = read_as(tmp_path / "sales.xlsx", "xlsx", raw_workbook(f"{start}<c><f>1+2</f></c>{rest}"))
    assert codes(result) == ["formula_without_result"]
    assert "row 2" in result.findings[0].message


def test_xlsx__error_cells__are_empty_cells(tmp_path):
    path = workbook(tmp_path / "sales.xlsx", {"Sales": [COLUMNS, [date(2017, 1, 2), "#N/A", "milk", 3, 1]]})
    assert places(read_as(path, "xlsx")) == [(2, "shop", "missing_value")]


@pytest.mark.parametrize("kind", ["csv", "ndjson"])
def test_gzip__of_a_text_file__is_found_by_its_bytes(tmp_path, kind):
    plain = HEAD + GOOD if kind == "csv" else ndjson(("2017-01-02", "A", "milk", 3, 1.5))
    packed = gzip.compress(plain.encode())
    result = read_as(tmp_path / "sales.dat", kind, packed)
    assert rows(result) == [("A", "milk", "2017-01-02", 3.0)]
    assert result.files[0].bytes == len(packed)


def test_gzip__several_members_and_padding__are_one_file(tmp_path):
    packed = (
        gzip.compress((HEAD + "2017-01-02,A,mi").encode()) + gzip.compress(b"lk,3,1\n" + GOOD.encode()) + b"\0" * 99
    )
    assert rows(read_as(tmp_path / "sales.csv", "csv", packed)) == [("A", "milk", "2017-01-02", 6.0)]


def test_gzip__inside_of_a_workbook_declaration__says_to_unpack(tmp_path):
    assert codes(read_as(tmp_path / "sales.xlsx", "xlsx", gzip.compress(b"PK"))) == ["packed_file"]


@pytest.mark.parametrize("encoding", ["utf-8", "utf-16", "latin-1", "cp1252", "cp1250", "iso-8859-15"])
@pytest.mark.parametrize("kind", ["csv", "ndjson"])
def test_text__every_encoding_of_a_contract__is_decoded(tmp_path, encoding, kind):
    plain = (
        HEAD + GOOD.replace("milk", "Käse") if kind == "csv" else '{"day":"2017-01-02","shop":"A","sku":"Käse","qty":3}'
    )
    data = plain.encode(encoding)
    for packed in (data, gzip.compress(data)):
        result = read_as(tmp_path / "sales.txt", kind, packed, spec={"encoding": encoding})
        assert rows(result) == [("A", "Käse", "2017-01-02", 3.0)]
