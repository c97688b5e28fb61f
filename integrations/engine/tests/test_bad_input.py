"""Hostile and broken input: a clear finding, bounded memory, nothing loaded, and no exception."""

from __future__ import annotations

import gzip
import io
import json
import struct
import zipfile
import zlib
from datetime import date
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from integrations.engine.contract import ContractInvalid, load_contract
from integrations.engine.contract_model import Role
from integrations.engine.pipeline import read_batch
from integrations.engine.report import report_json, write_artifacts
from integrations.engine.spreadsheet import plain_cell
from integrations.engine.tests.helpers import HEAD, LOOSE, codes, contract, read, rows
from integrations.engine.tests.memory import readings
from integrations.engine.tests.workbooks import raw_workbook, workbook

GOOD = "2017-01-02,A,milk,3,1.5\n"
SHEET = "<worksheet><sheetData>{}</sheetData></worksheet>"
HEADINGS = "<row>" + "".join(f'<c t="inlineStr"><is><t>{n}</t></is></c>' for n in HEAD.strip().split(",")) + "</row>"
MOST_MIB = 100


def made(kind="csv", **spec):
    return contract(transactions={"pattern": "sales*", "format": kind, **spec})


def judged(path: Path, kind="csv", **spec):
    """The codes of the errors, after making sure that nothing was loaded and that each error says what to do."""
    result = read_batch(made(kind, **spec), {Role.TRANSACTIONS: [path]})
    assert (result.units, result.demand.num_rows, result.total("rows_loaded")) == (0, 0, 0)
    assert all(found.fix for found in result.findings if found.severity == "error")
    return codes(result)


def zipped(parts: dict[str, bytes]) -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in parts.items():
            archive.writestr(name, data)
    return out.getvalue()


def gzip_of(size: int, block: bytes) -> bytes:
    """A gzip archive of `size` bytes of this block over and over, made without holding them."""
    packer = zlib.compressobj(6, wbits=31)
    parts = [packer.compress(block) for _ in range(size // len(block))]
    return b"".join((*parts, packer.flush()))


def gzip_rows() -> bytes:
    return gzip.compress(HEAD.encode()) + gzip_of(150 * 1024**2, GOOD.encode() * 50_000)


def xlsx_bomb() -> bytes:
    return raw_workbook(SHEET.format(HEADINGS + "<row>" + " " * 150 * 1024**2 + "</row>"))


def xlsx_lying_about_its_size() -> bytes:
    """The central directory says 90 bytes; the part unpacks to 150 MiB."""
    data = bytearray(xlsx_bomb())
    at = data.rindex(b"PK\x01\x02", 0, data.rindex(b"xl/worksheets/sheet1.xml"))
    data[at + 24 : at + 28] = struct.pack("<I", 90)
    return bytes(data)


def xlsx_million_strings() -> bytes:
    strings = "<sst>" + "<si/>" * 2_500_000 + "</sst>"
    return raw_workbook(SHEET.format(HEADINGS), xl__sharedStrings="", **{"xl__sharedStrings.xml": strings})


def xlsx_wide_row() -> bytes:
    return raw_workbook(
        SHEET.format(
            HEADINGS + "<row>" + "".join(f"<c><v>{i * i % 999_983}</v></c>" for i in range(300_000)) + "</row>"
        )
    )


def parquet_bomb() -> bytes:
    """A hundred thousand times the same long text: a dictionary of one, and a file of a few kilobytes."""
    size = 100_000
    text = pa.DictionaryArray.from_arrays(pa.array([0] * size, pa.int32()), pa.array(["x" * 100_000]))
    table = pa.table({"day": ["2017-01-02"] * size, "shop": ["A"] * size, "sku": text, "qty": [1] * size})
    out = io.BytesIO()
    pq.write_table(table, out, compression="zstd")
    return out.getvalue()


BOMBS = {
    "gzip of one endless line": (lambda: gzip_of(256 * 1024**2, b"a" * 2**20), "csv", "record_too_long"),
    "gzip of one row over and over": (gzip_rows, "csv", "archive_bomb"),
    "gzip ndjson of one row over and over": (
        lambda: gzip_of(150 * 1024**2, b'{"day":"2017-01-02","shop":"A","sku":"a","qty":1}\n' * 20_000),
        "ndjson",
        "archive_bomb",
    ),
    "one line of 150 MiB": (lambda: HEAD.encode() + b"x" * 150 * 1024**2, "csv", "record_too_long"),
    "a quote that never closes over 150 MiB": (
        lambda: HEAD.encode() + b'2017-01-02,"' + GOOD.encode() * 6_500_000,
        "csv",
        "unclosed_quote",
    ),
    "ndjson of one line of 150 MiB": (lambda: b'{"a": "' + b"x" * 150 * 1024**2, "ndjson", "record_too_long"),
    "a million headings": (lambda: ",".join(f"c{i}" for i in range(1_000_000)).encode(), "csv", "too_many_columns"),
    "a heading of 5 MiB": (lambda: b"a" * 5 * 1024**2 + b",b\n1,2\n", "csv", "record_too_long"),
    "workbook that unpacks to 150 MiB": (xlsx_bomb, "xlsx", "archive_bomb"),
    "workbook that lies about its size": (xlsx_lying_about_its_size, "xlsx", "binary_file"),
    "workbook of too many texts": (xlsx_million_strings, "xlsx", "binary_file"),
    "workbook with a row of 300,000 cells": (xlsx_wide_row, "xlsx", "binary_file"),
    "parquet of one long text a hundred thousand times": (parquet_bomb, "parquet", "archive_bomb"),
}


@pytest.fixture(scope="module")
def bombs(tmp_path_factory):
    folder = tmp_path_factory.mktemp("bombs")
    files = {}
    for number, (name, (make, kind, _)) in enumerate(BOMBS.items()):
        path = folder / f"sales{number}.bin"
        path.write_bytes(make())
        files[name] = path, made(kind)
    return readings(folder, files)


@pytest.mark.parametrize("name", list(BOMBS))
def test_bomb__of_any_kind__is_refused_in_bounded_memory(bombs, name):
    answer = bombs[name]
    assert BOMBS[name][2] in answer["codes"]
    assert answer["units"] == 0
    assert answer["mib"] < MOST_MIB


def test_bombs__all_of_them__together_raise_the_peak_by_less_than_one_unpacks_to(bombs):
    assert sum(answer["mib"] for answer in bombs.values()) < 2.5 * MOST_MIB


@pytest.mark.parametrize(
    "declaration",
    [
        '<!DOCTYPE x [<!ENTITY a "aaaaaaaaaa"><!ENTITY b "&a;&a;&a;&a;&a;&a;">]>',
        '<!DOCTYPE x SYSTEM "file:///etc/passwd">',
    ],
)
@pytest.mark.parametrize(
    "part", ["xl__workbook.xml", "xl__worksheets__sheet1.xml", "xl__sharedStrings.xml", "_rels__.rels"]
)
def test_xlsx__with_a_document_type__is_refused(tmp_path, declaration, part):
    path = tmp_path / "sales.xlsx"
    path.write_bytes(raw_workbook(SHEET.format(HEADINGS), **{part: f"{declaration}<x>&b;</x>"}))
    assert judged(path, "xlsx") == ["binary_file"]


@pytest.mark.parametrize(
    "content",
    [
        zipped({"word/document.xml": b"<w/>", "_rels/.rels": b"<Relationships/>"}),
        zipped({"sales.csv": (HEAD + GOOD).encode()}),
        zipped({"xl/workbook.xml": b"<workbook><sheets/></workbook>", "xl/_rels/workbook.xml.rels": b"<a/>"}),
        raw_workbook("<worksheet><sheetData><row><c><v>not a number"),
        raw_workbook(SHEET.format('<row r="99999999"><c><v>1</v></c></row>')),
        raw_workbook(SHEET.format('<row><c r="ZZZZ1"><v>1</v></c></row>')),
        raw_workbook(SHEET.format("<row><c><v>abc</v></c></row>")),
        raw_workbook("x"),
        raw_workbook(SHEET.format(HEADINGS))[:-40],
        b"PK\x03\x04",
        b"\xd0\xcf\x11\xe0" + b"\0" * 600,
        (HEAD + GOOD).encode(),
    ],
    ids=[
        "docx",
        "zip of a csv",
        "no sheet",
        "cut xml",
        "row",
        "column",
        "number",
        "no xml",
        "cut zip",
        "stub",
        "xls",
        "csv",
    ],
)
def test_xlsx__that_is_none_or_damaged__says_so(tmp_path, content):
    path = tmp_path / "sales.xlsx"
    path.write_bytes(content)
    assert judged(path, "xlsx") == ["binary_file"]


@pytest.mark.parametrize("rows_", [[], [[None, None]], [["day", "shop", "sku", "qty"]]])
def test_xlsx__without_a_row__says_so(tmp_path, rows_):
    path = workbook(tmp_path / "sales.xlsx", {"Sales": rows_})
    assert judged(path, "xlsx")[0] in ("empty_file", "no_rows")


@pytest.mark.parametrize("cut", [3, 12, 30, -1, -8, -9])
def test_gzip__cut_off_anywhere__says_so(tmp_path, cut):
    path = tmp_path / "sales.csv.gz"
    path.write_bytes(gzip.compress((HEAD + GOOD * 50).encode())[:cut])
    assert judged(path) == ["damaged_archive"]


def test_gzip__flipped_byte_or_rubbish_behind__says_so(tmp_path):
    path, packed = tmp_path / "sales.csv", bytearray(gzip.compress((HEAD + GOOD * 50).encode()))
    path.write_bytes(bytes(packed) + b"more")
    assert judged(path) == ["damaged_archive"]
    packed[-6] ^= 1  # the checksum
    path.write_bytes(bytes(packed))
    assert judged(path) == ["damaged_archive"]
    path.write_bytes(gzip.compress(gzip.compress((HEAD + GOOD).encode())))
    assert judged(path) == ["binary_file"]


def test_parquet__with_any_byte_changed__is_read_or_refused_and_never_crashes(tmp_path):
    out = io.BytesIO()
    table = pa.table(
        {"day": ["2017-01-02"] * 50, "shop": ["A"] * 50, "sku": [f"s{i}" for i in range(50)], "qty": range(50)}
    )
    pq.write_table(table, out)
    whole, path = out.getvalue(), tmp_path / "sales.parquet"
    refused = 0
    for at in range(0, len(whole), 7):
        path.write_bytes(whole[:at] + bytes([whole[at] ^ 0x5A]) + whole[at + 1 :])
        result = read_batch(made("parquet"), {Role.TRANSACTIONS: [path]})
        refused += result.verdict != "passed"
        assert result.verdict == "passed" or result.units == 0
    assert refused > 20


def test_parquet__whose_footer_promises_more_rows__is_refused(tmp_path):
    path = tmp_path / "sales.parquet"
    pq.write_table(pa.table({"day": ["2017-01-02"], "shop": ["A"], "sku": ["a"], "qty": [1]}), path)
    whole = path.read_bytes()
    size = struct.unpack("<I", whole[-8:-4])[0]
    path.write_bytes(whole[:-8] + struct.pack("<I", size * 1000) + b"PAR1")
    assert judged(path, "parquet") == ["binary_file"]
    path.write_bytes(whole[:4] + b"\0" * (len(whole) - size - 12) + whole[-size - 8 :])
    assert judged(path, "parquet") == ["binary_file"]


def test_parquet__text_without_the_mark_of_text__is_read_and_other_bytes_are_refused(tmp_path):
    path = tmp_path / "sales.parquet"
    for sku, good in ((b"K\xc3\xa4se", True), (b"\xff\xfe", False)):
        pq.write_table(pa.table({"day": ["2017-01-02"], "shop": [b"A"], "sku": [sku], "qty": [1]}), path)
        result = read_batch(made("parquet"), {Role.TRANSACTIONS: [path]})
        assert rows(result) == ([("A", "Käse", "2017-01-02", 1.0)] if good else [])
        assert codes(result) == ([] if good else ["binary_file"])


def test_ndjson__nested_a_hundred_and_a_hundred_thousand_deep__is_told(tmp_path):
    path = tmp_path / "sales.ndjson"
    good = '{"day": "2017-01-02", "shop": "A", "sku": "a", "qty": 1}\n'
    path.write_text(good.replace('"a"', '{"x":' * 100 + "1" + "}" * 100))
    assert judged(path, "ndjson") == ["nested_values"]
    path.write_text(good * 3 + good.replace('"a"', "[" * 100_000) + good)
    result = read_batch(
        contract(transactions={"pattern": "s", "format": "ndjson"}, dq_thresholds=LOOSE), {Role.TRANSACTIONS: [path]}
    )
    assert [(row.line, row.reason, len(row.raw) <= 2000) for row in result.rejected] == [(4, "not_json", True)]


def test_ndjson__half_a_surrogate_pair_nul_or_a_number_without_end__is_a_rejected_row(tmp_path):
    lines = [
        {"day": "2017-01-02", "shop": "A", "sku": "a", "qty": 1},
        {"day": "2017-01-02", "shop": "A", "sku": "\ud800", "qty": 1},
        {"day": "2017-01-02", "shop": "A", "sku": "a\0b", "qty": 1},
        {"day": "2017-01-02", "shop": "A", "sku": "a", "qty": float("inf")},
        {"day": "2017-01-02", "shop": "A", "sku": "a", "qty": float("nan")},
        {"day": "2017-01-02", "shop": "A", "sku": "a", "qty": "1e309"},
    ]
    path = tmp_path / "sales.ndjson"
    text = "\n".join(json.dumps(line) for line in lines) + '\n{"day":"2017-01-02","shop":"A","sku":"b","qty":1e999}\n'
    text += '{"day":"2017-01-02","shop":"A","sku":"b","qty":' + "9" * 6000 + "}\n"
    path.write_text(text)
    result = read_batch(
        contract(transactions={"pattern": "s", "format": "ndjson"}, dq_thresholds=LOOSE), {Role.TRANSACTIONS: [path]}
    )
    assert rows(result) == [("A", "a", "2017-01-02", 1.0)]
    assert [(row.line, row.reason) for row in result.rejected] == [
        (2, "not_json"),
        (3, "not_json"),
        (4, "not_a_number"),
        (5, "not_a_number"),
        (6, "number_out_of_range"),
        (7, "number_out_of_range"),
        (8, "number_out_of_range"),
    ]
    write_artifacts(result, tmp_path / "out")


def test_csv__line_ends_of_three_kinds_in_one_file__count_alike(tmp_path):
    text = HEAD.strip() + "\r\n" + GOOD.strip() + "\r" + GOOD + GOOD.strip() + "\r\n" + "2017-01-02,A,milk,x,1\r" + GOOD
    result = read(tmp_path, text, dq_thresholds=LOOSE)
    assert rows(result) == [("A", "milk", "2017-01-02", 12.0)]
    assert [row.line for row in result.rejected] == [5]


@pytest.mark.parametrize(
    ("cell", "reason"),
    [
        ("1e309", "number_out_of_range"),
        ("-1e309", "number_out_of_range"),
        ("1e13", "number_out_of_range"),
        ("NaN", "not_a_number"),
        ("inf", "not_a_number"),
        ('"12,3,4"', "not_a_number"),
        ("0x10", "not_a_number"),
        ("١٢", "not_a_number"),
        ("1_000", "not_a_number"),
        ("--1", "not_a_number"),
        ("9" * 400, "number_out_of_range"),
    ],
)
@pytest.mark.parametrize("decimal", [".", ","])
def test_csv__figure_that_is_none__is_a_rejected_row(tmp_path, cell, reason, decimal):
    result = read(
        tmp_path,
        HEAD + GOOD.replace("1.5", "1") + f"2017-01-02,A,milk,{cell},1\n",
        dq_thresholds=LOOSE,
        transactions={"decimal": decimal},
    )
    assert [(row.line, row.column, row.reason) for row in result.rejected] == [(3, "qty", reason)]
    assert result.units == 3


@pytest.mark.parametrize("cell", ["9999-12-31", "1969-12-31", "0001-01-01", "2101-01-01"])
def test_csv__day_outside_of_any_trade__is_a_rejected_row(tmp_path, cell):
    result = read(tmp_path, HEAD + GOOD + f"{cell},A,milk,1,1\n", dq_thresholds=LOOSE)
    assert [(row.line, row.reason) for row in result.rejected] == [(3, "date_implausible")]


def test_xlsx__day_outside_of_any_trade__is_a_rejected_row(tmp_path):
    table: list[list[object]] = [
        [*HEAD.strip().split(",")],
        [date(9999, 12, 31), "A", "milk", 1, 1],
        [date(2017, 1, 2), "A", "milk", 1e300, 1],
    ]
    path = workbook(tmp_path / "sales.xlsx", {"Sales": table})
    result = read_batch(
        contract(transactions={"pattern": "s", "format": "xlsx"}, dq_thresholds=LOOSE), {Role.TRANSACTIONS: [path]}
    )
    assert [(row.line, row.reason) for row in result.rejected] == [(2, "date_implausible"), (3, "number_out_of_range")]


@pytest.mark.parametrize("delimiter", ["§", "\0", "a", " ", "\t", "'", "-", "."])
def test_csv__odd_delimiter__is_read_or_refused(tmp_path, delimiter):
    try:
        spec = made(delimiter=delimiter)
    except ValueError as refused:
        assert "delimiter" in str(refused)
        return
    path = tmp_path / "sales.csv"
    path.write_text((HEAD + GOOD).replace(",", delimiter))
    result = read_batch(spec, {Role.TRANSACTIONS: [path]})
    assert result.verdict in ("passed", "failed", "requires_custom_adapter")


def test_report__file_name_with_a_line_break_and_formulas__stays_in_its_cell(tmp_path):
    path = tmp_path / "=cmd\n|sales.csv"
    path.write_text(HEAD + GOOD + "=cmd(),A,milk,1,1\n@x,A,milk,1,1\n")
    result = read_batch(contract(dq_thresholds=LOOSE), {Role.TRANSACTIONS: [path]})
    written = {
        out.name: out.read_text() for out in write_artifacts(result, tmp_path / "out") if out.suffix != ".parquet"
    }
    lines = written["contract_validation_report.md"].splitlines()
    assert any(line.startswith("| =cmd \\|sales.csv | transactions |") for line in lines)
    assert '"\'=cmd\n|sales.csv",3,' in written["rejected_rows.csv"]
    assert json.loads(written["contract_validation_report.json"]) == report_json(result)


@pytest.mark.parametrize("start", ["=", "+", "-", "@", "\t", "\r", "\n", "＝"])
def test_plain_cell__that_a_spreadsheet_would_run__gets_an_apostrophe(start):
    assert plain_cell(f"{start}1+1") == f"'{start}1+1"
    assert plain_cell(f"1{start}") == f"1{start}"


ALIASES = "a0: &a0 x\n" + "".join(f"a{i}: &a{i} [{', '.join([f'*a{i - 1}'] * 10)}]\n" for i in range(1, 12))


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (ALIASES, "& or *"),
        ("<<: {tenant: a}\ntenant: b\n", ""),
        ("tenant: \u0000", "not valid YAML"),
        ("? [a]\n: b\n", "plain word"),
        ("tenant: " + "9" * 5000, ""),
        ('{"tenant": ' + "9" * 5000 + "}", ""),
        ('{"tenant": NaN}', ""),
        ('{"tenant": "\\ud800"}', ""),
        ("tenant: !!binary aGk=\n", ""),
        ("--- a\n--- b\n", "not valid YAML"),
    ],
)
def test_contract__bomb_or_trick__is_refused_with_findings(text, said):
    with pytest.raises(ContractInvalid) as caught:
        load_contract(text)
    assert said in str(caught.value)
    assert all(found.fix for found in caught.value.findings)
    json.dumps([found.as_dict() for found in caught.value.findings]).encode()
