"""A file with some rows replaced: all other bytes stay, and every row keeps its line."""

from __future__ import annotations

import csv
import gzip
import io

import pytest
from hypothesis import given
from hypothesis import strategies as st

from integrations.engine import compose as subject
from integrations.engine.compose import ComposeProblem, IteratorStream, cells_of, compose, text_of
from integrations.engine.contract_model import FileFormat, FileSpec

CSV = FileSpec(pattern="sales*.csv")
NDJSON = FileSpec(pattern="sales*.ndjson", format=FileFormat.NDJSON)


def composed(data: bytes, changes: dict[int, str | None], spec: FileSpec = CSV) -> bytes:
    return b"".join(compose(io.BytesIO(data), changes, spec))


def test_compose__rows_of_every_kind__replaces_those_and_keeps_all_other_bytes() -> None:
    data = b'\xef\xbb\xbf"a",b\r\n1,"x\r\ny"\r\n\r\n2,z,\r\n3,"q""r"\r\n4,last'
    assert composed(data, {}) == data
    changed = composed(data, {2: "9,one line", 5: "2,z", 7: '4,"a,b"'})
    assert changed == b'\xef\xbb\xbf"a",b\r\n9,one line\r\n\r\n\r\n2,z\r\n3,"q""r"\r\n4,"a,b"'
    assert composed(data, {5: None}) == data.replace(b"2,z,", b"")


def test_compose__encoded_and_packed_file__gives_the_same_kind_of_file() -> None:
    text = "tag;menge\r\nMärz;1\r\nApril;€\r\n"
    spec = CSV.model_copy(update={"encoding": "cp1252", "delimiter": ";"})
    data = composed(text.encode("cp1252"), {2: "März;2 €"}, spec)
    assert data.decode("cp1252") == text.replace("März;1", "März;2 €")
    wide = spec.model_copy(update={"encoding": "utf-16"})
    assert composed(text.encode("utf-16"), {3: "Mai;3"}, wide).decode("utf-16") == text.replace("April;€", "Mai;3")
    packed = composed(gzip.compress(text.encode("cp1252")), {3: "Mai;3"}, spec)
    assert gzip.decompress(packed).decode("cp1252") == text.replace("April;€", "Mai;3")
    assert packed == composed(gzip.compress(text.encode("cp1252"), mtime=7), {3: "Mai;3"}, spec)


@pytest.mark.parametrize(
    ("changes", "spec", "said"),
    [
        ({9: "x"}, CSV, "No row begins in line 9"),
        ({3: "x"}, CSV, "No row begins in line 3"),
        ({1: "a\nb"}, CSV, "more line breaks"),
        ({1: "a,\u20ac"}, CSV.model_copy(update={"encoding": "latin-1"}), "has no '€'"),
    ],
)
def test_compose__change_that_cannot_be_made__names_the_line(
    changes: dict[int, str | None], spec: FileSpec, said: str
) -> None:
    with pytest.raises(ComposeProblem, match=said):
        composed(b'a,b\n1,"x\ny"\n2,z\n', changes, spec)


CELL = st.text(st.sampled_from("abc,;\"\n é'=-0"), max_size=6)


@given(
    rows=st.lists(st.lists(CELL, min_size=2, max_size=4), min_size=1, max_size=12),
    data=st.data(),
    line_end=st.sampled_from(["\n", "\r\n"]),
    last_end=st.booleans(),
    block=st.integers(16, 64),
)
def test_compose__any_rows__reads_as_if_written_so_from_the_start(
    rows: list[list[str]], data: st.DataObject, line_end: str, last_end: bool, block: int
) -> None:
    texts = [text_of(["r", *row], [], "", CSV) for row in rows]
    lines, line = [], 1
    for text in texts:
        lines.append(line)
        line += text.count("\n") + 1
    chosen = data.draw(st.sets(st.integers(0, len(rows) - 1)))
    changes: dict[int, str | None] = {}
    for index in chosen:
        cells = data.draw(st.none() | st.lists(CELL.map(lambda cell: cell.replace("\n", " ")), min_size=2, max_size=3))
        changes[lines[index]] = None if cells is None else text_of(["new", *cells], [], "", CSV)
    before = line_end.join(texts) + (line_end if last_end else "")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(subject, "BLOCK_BYTES", block)
        after = composed(before.encode(), changes).decode()
    wanted = [changes.get(line, text) for line, text in zip(lines, texts, strict=True)]
    read = [row for row in csv.reader(io.StringIO(after, newline="")) if row]
    assert read == [next(csv.reader(io.StringIO(text, newline=""))) for text in wanted if text is not None]
    assert after.count("\n") == before.count("\n")


def test_compose__ndjson__replaces_whole_lines() -> None:
    data = b'{"a": 1, "b": "x"}\n{"a": "no", "b": "y"}\n{broken\n'
    new = text_of(["2", "y"], ["a", "b"], '{"a": "no", "b": "y"}', NDJSON)
    assert composed(data, {2: new, 3: None}, NDJSON) == b'{"a": 1, "b": "x"}\n{"a": "2", "b": "y"}\n\n'


def test_cells_of__row_of_each_format__goes_there_and_back() -> None:
    raw = '1;\'x;"a;b";'
    spec = CSV.model_copy(update={"delimiter": ";"})
    assert cells_of(raw, ["a", "b", "c"], spec) == ["1", "'x", "a;b", ""]
    assert text_of(["1", "'x", "a;b", ""], [], raw, spec) == raw
    line = '{"a": 1.50, "b": "007", "c": null, "d": true}'
    assert cells_of(line, ["a", "b", "c", "d", "e"], NDJSON) == ["1.5", "007", "", "true", ""]
    assert text_of(["2", "008", "", "false", ""], list("abcde"), line, NDJSON) == (
        '{"a": 2, "b": "008", "c": null, "d": false}'
    )
    assert cells_of("{broken", ["a"], NDJSON) is None


def test_iterator_stream__empty_blocks__are_not_taken_for_the_end() -> None:
    stream = IteratorStream([b"", b"a", b"", b"b"])
    assert [stream.read(1) for _ in range(3)] == [b"a", b"b", b""]
