"""The first look at a file nobody has described: format, encoding, signs of numbers, dates, first rows."""

from __future__ import annotations

import gzip
from datetime import date

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from integrations.engine.contract_model import FileFormat
from integrations.engine.sniff import sniff_file
from integrations.engine.tests.workbooks import workbook

HEAD = "Datum;Filiale;Artikel;Menge;Preis\n"


def sniff(folder, content, name="sales.dat"):
    path = folder / "upload"
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return sniff_file(path, name=name)


def found_codes(found):
    return [finding.code for finding in found.findings]


def test_sniff__german_till_in_cp1252__is_understood_in_every_part(tmp_path):
    text = HEAD + "13.01.2017;Köln;Käse – mild;1.203,5;2,50 \n14.01.2017;Köln;Brot;2;1,10\n"
    found = sniff(tmp_path, text.encode("cp1252"))
    assert (found.format, found.compressed, found.encoding, found.delimiter) == (FileFormat.CSV, False, "cp1252", ";")
    assert (found.decimal, found.thousands, found.date_formats) == (",", ".", ("%d.%m.%Y",))
    assert found.headings == ("Datum", "Filiale", "Artikel", "Menge", "Preis")
    assert found.rows[1] == ("14.01.2017", "Köln", "Brot", "2", "1,10")
    assert found_codes(found) == ["encoding_guessed"]
    assert found.name == "sales.dat"
    spec = found.spec("sales*.csv")
    assert (spec.delimiter, spec.decimal, spec.thousands, spec.encoding) == (";", ",", ".", "cp1252")


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16", "utf-8"])
def test_sniff__by_byte_order_mark_or_validity__needs_no_guess(tmp_path, encoding):
    found = sniff(tmp_path, (HEAD + "2017-01-13;Köln;Käse;1;2\n").encode(encoding))
    assert found.encoding == ("utf-16" if encoding == "utf-16" else "utf-8")
    assert found.headings[0] == "Datum"
    assert found.findings == ()


def test_sniff__euro_sign_of_iso_8859_15_or_polish_letters__are_read_as_written(tmp_path):
    polish = "Zażółć gęślą jaźń, święta, źródło, pączki, śliwki, żurek, łosoś, ćwikła"
    text = "dzień;sklep;towar;ilość\n" + "".join(f"2017-01-13;Łódź;{word};1\n" for word in polish.split(", "))
    found = sniff(tmp_path, text.encode("cp1250"))
    assert found.encoding == "cp1250"
    assert found.rows[1][1] == "Łódź"


@pytest.mark.parametrize(
    ("sign", "text"), [(",", "a,b\n1;2,3\n"), ("\t", "a\tb\n1,5\t2,5\n"), ("|", "a|b|c\n1|2,5|x;y\n")]
)
def test_sniff__delimiter__is_the_one_that_cuts_all_lines_alike(tmp_path, sign, text):
    assert sniff(tmp_path, text).delimiter == sign


def test_sniff__quoted_delimiters_and_line_breaks__do_not_count(tmp_path):
    found = sniff(tmp_path, 'day;note;qty\n2017-01-13;"a, b, c; d\n, e",1\n'.replace('",1', '";1') * 1)
    assert found.delimiter == ";"
    assert found.rows == (("2017-01-13", "a, b, c; d\n, e", "1"),)


@pytest.mark.parametrize(
    ("cells", "decimal", "thousands", "codes"),
    [
        (["1.5", "2"], ".", None, []),
        (["1,5", "1.234,5"], ",", ".", []),
        (["1,234.5", "3"], ".", ",", []),
        (["1,234", "2,345"], ".", None, ["ambiguous_number"]),
        (["1.234", "2.345"], ".", None, ["ambiguous_number"]),
        (["1,234", "1.5"], ".", ",", []),
        (["1.234.567", "8"], ",", ".", []),
        (["1'234.50", "8"], ".", "'", []),
        (["1.5", "1,5"], ".", ",", ["mixed_decimals"]),
        (["12.01.2017", "13.01.2017"], ".", None, []),
        (["0,125"], ",", None, []),
    ],
)
def test_sniff__signs_of_numbers__follow_from_the_values(tmp_path, cells, decimal, thousands, codes):
    found = sniff(tmp_path, "name;qty\n" + "".join(f"x;{cell}\n" for cell in cells))
    if codes != ["mixed_decimals"]:
        assert (found.decimal, found.thousands) == (decimal, thousands)
    assert found_codes(found) == codes


@pytest.mark.parametrize(
    ("cells", "formats"),
    [
        (["03/04/2017", "05/06/2017"], ("%m/%d/%Y", "%d/%m/%Y")),
        (["03/04/2017", "13/06/2017"], ("%d/%m/%Y",)),
        (["03/04/2017", "05/26/2017"], ("%m/%d/%Y",)),
        (["04/04/2017", "05/05/2017"], ("%m/%d/%Y", "%d/%m/%Y")),
        (["01-01-2017", "01-01-2017"], ("%d-%m-%Y", "%m-%d-%Y")),
        (["2017/04/04", "2017/05/05"], ("%Y/%m/%d",)),
        (["2017-03-04", "2017-05-06"], ("iso8601",)),
        (["2017-03-04T10:00:00Z"], ("iso8601",)),
        (["20170304", "20171231"], ("%Y%m%d",)),
        (["4 Mar 2017", "5 Apr 2017"], ("%d %b %Y",)),
        (["03/14/17 4:05 PM"], ("%m/%d/%y %I:%M %p",)),
        (["2017-03-04", "13/06/2017"], ("mixed",)),
        (["milk", "bread"], ()),
        (["31.02.2017"], ()),
        (["3.4.2017", "5.6.2017"], ("%d.%m.%Y",)),
    ],
)
def test_sniff__dates__every_format_that_reads_all_values_and_no_guess(tmp_path, cells, formats):
    found = sniff(tmp_path, "day;qty\n" + "".join(f"{cell};1\n" for cell in cells))
    assert found.date_formats == formats
    assert ("ambiguous_date" in found_codes(found)) == (len(formats) > 1)


def test_sniff__column_named_like_a_date__outweighs_an_earlier_one(tmp_path):
    text = "lot;Datum;qty\n20170304;03.05.2017;1\n20170305;04.05.2017;1\n"
    assert sniff(tmp_path, text).date_formats == ("%d.%m.%Y",)


def test_sniff__packed_ndjson__gives_flat_columns_and_names_the_nested(tmp_path):
    text = '{"day": "2017-01-02", "qty": 1.5, "tags": ["x"]}\n{"day": "2017-01-03", "qty": 2}\n'
    found = sniff(tmp_path, gzip.compress(text.encode()))
    assert (found.format, found.compressed, found.headings) == (FileFormat.NDJSON, True, ("day", "qty", "tags"))
    assert found.rows == (("2017-01-02", "1.5", ""), ("2017-01-03", "2", ""))
    assert found_codes(found) == ["nested_values"]


def test_sniff__workbook__names_its_sheets_and_the_chosen_one(tmp_path):
    rows: list[list[object]] = [["day", "qty"], [date(2017, 1, 2), 3], [date(2017, 1, 3), 1.5]]
    path = workbook(tmp_path / "sales.xlsx", {"Notes": [["till 4"]], "Sales": rows})
    found = sniff_file(path)
    assert (found.format, found.sheet, found.sheets) == (FileFormat.XLSX, "Sales", ("Notes", "Sales"))
    assert found.rows == (("2017-01-02", "3"), ("2017-01-03", "1.5"))
    assert found.date_formats == ("iso8601",)
    assert found.spec("s.xlsx").sheet == "Sales"


def test_sniff__parquet__has_its_columns(tmp_path):
    pq.write_table(pa.table({"day": pa.array([date(2017, 1, 2)]), "qty": [3], "tags": [["a"]]}), tmp_path / "upload")
    found = sniff_file(tmp_path / "upload", rows=5)
    assert (found.format, found.headings, found.rows) == (
        FileFormat.PARQUET,
        ("day", "qty", "tags"),
        (("2017-01-02", "3", ""),),
    )
    assert found.date_formats == ("iso8601",)


@pytest.mark.parametrize(
    ("content", "code"),
    [
        (b"", "empty_file"),
        (b"PK\x03\x04rubbish", "binary_file"),
        (b"PAR1rubbish", "binary_file"),
        (gzip.compress(b"a,b\n1,2\n" * 9, mtime=0)[:-9], "damaged_archive"),
        (b"%PDF-1.4", "binary_file"),
        (b"\xd0\xcf\x11\xe0" + b"\0" * 60, "binary_file"),
        (b"[{}]", "not_ndjson"),
        (b"<html><table>", "markup"),
        (b"day,qty\n", "no_rows"),
        (b"Sales of January\n\nday,shop,qty\n2017-01-01,A,1\n2017-01-02,A,1\n", "title_rows"),
        (b"a" * 9_000_000, "record_too_long"),
        (b'a,b\n"x,1\n', "unclosed_quote"),
        (",".join(f"c{i}" for i in range(10_000)).encode(), "too_many_columns"),
    ],
)
def test_sniff__what_cannot_be_read__has_a_finding_with_what_to_do(tmp_path, content, code):
    found = sniff(tmp_path, content)
    assert code in found_codes(found)
    assert all(finding.fix for finding in found.findings)
    assert all("upload" not in finding.message for finding in found.findings)


def test_sniff__missing_file__has_a_finding(tmp_path):
    assert found_codes(sniff_file(tmp_path / "nothing.csv")) == ["file_unreadable"]


@settings(max_examples=60, deadline=None)
@given(
    content=st.one_of(
        st.binary(max_size=300),
        st.text('dayshopqty,;|\t"\n\r0123456789-./{}[]:éł', max_size=300).map(str.encode),
        st.binary(max_size=200).map(gzip.compress),
        st.binary(max_size=100).map(lambda data: b"PK\x03\x04" + data),
    )
)
def test_sniff__rubbish__never_raises(tmp_path_factory, content):
    found = sniff(tmp_path_factory.getbasetemp(), content)
    assert all(len(row) == len(found.headings) for row in found.rows)
    if found.headings:
        found.spec("sales.csv")
