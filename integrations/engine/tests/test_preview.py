"""The preview: first rows as canonical, each cell's problem, one block only."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from integrations.engine import chunks
from integrations.engine.contract_model import Role
from integrations.engine.preview import Preview, preview
from integrations.engine.tests.helpers import HEAD, contract

FIRST_BLOCK_ROWS = 500_000


def look(folder: Path, content: str, *, limit: int = 20, **changes: Any) -> Preview:
    path = folder / "sales.csv"
    path.write_text(content, encoding="utf-8")
    return preview(contract(**changes), {Role.TRANSACTIONS: [path]}, limit=limit)


def test_preview__good_rows__are_canonical(tmp_path: Path) -> None:
    body = "03/09/2024, S1 ,a7,3,125\n03/10/2024,S1,a8,1,\n"
    rules: dict[str, Any] = {"date_format": "%m/%d/%Y", "unit_map": {"unit_price": {"divide_by": 100}}}
    found = look(tmp_path, HEAD + body, **rules, id_normalization={"product_id": {"upper": True}})
    assert found.fields == ("date", "store_id", "product_id", "quantity", "unit_price")
    first = {"date": "2024-03-09", "store_id": "S1", "product_id": "A7", "quantity": "3", "unit_price": "1.25"}
    assert (found.rows[0].line, found.rows[0].values, found.rows[0].problems) == (2, first, {})
    assert found.rows[1].values["unit_price"] == ""
    assert [item.code for item in found.findings] == ["preview_clean"]
    assert found.columns["quantity"] == "qty"


def test_preview__every_bad_cell_of_a_row__has_its_problem_and_its_text(tmp_path: Path) -> None:
    found = look(tmp_path, HEAD + "someday,S1,,many,1\n2024-03-01,S1,a,-2,1\n")
    assert found.rows[0].values["date"] == "someday"
    assert set(found.rows[0].problems) == {"date", "product_id", "quantity"}
    assert "not a number" in found.rows[0].problems["quantity"]
    assert "negative" in found.rows[1].problems["quantity"]
    assert {item.code for item in found.findings} >= {"rejected_not_a_date", "rejected_negative_quantity"}


def test_preview__a_row_with_too_many_cells__stands_in_its_place(tmp_path: Path) -> None:
    found = look(tmp_path, HEAD + "2024-03-01,S1,a,2,1\n2024-03-01,S1,a,2,1,9,9\n2024-03-02,S1,a,2,1\n", limit=2)
    assert [row.line for row in found.rows] == [2, 3]
    assert (found.rows[1].values, set(found.rows[1].problems)) == ({}, {""})
    assert found.rows[1].raw == "2024-03-01,S1,a,2,1,9,9"


def test_preview__returns__are_shown_apart(tmp_path: Path) -> None:
    found = look(tmp_path, HEAD + "2024-03-01,S1,a,-2,1\n", quantity_sign_policy="allow_negative_returns")
    assert found.fields[-1] == "returned_quantity"
    assert (found.rows[0].values["quantity"], found.rows[0].values["returned_quantity"]) == ("0", "2")


def test_preview__columns_that_are_missing__still_show_the_others(tmp_path: Path) -> None:
    found = look(tmp_path, "day,shop,pieces\n2024-03-01,S1,4\n")
    assert found.fields == ("date", "store_id")
    assert found.rows[0].values == {"date": "2024-03-01", "store_id": "S1"}
    assert [item.code for item in found.findings].count("missing_required_field") == 2


def test_preview__no_file_empty_file_or_binary_file__is_a_finding(tmp_path: Path) -> None:
    assert [item.code for item in preview(contract(), {}).findings] == ["file_missing"]
    assert preview(contract(), {Role.TRANSACTIONS: [tmp_path / "gone.csv"]}).findings[0].code == "file_missing"
    assert look(tmp_path, HEAD).findings[-1].code == "no_rows"
    assert not look(tmp_path, "").rows
    (tmp_path / "sales.csv").write_bytes(b"%PDF-1.7\n")
    assert preview(contract(), {Role.TRANSACTIONS: [tmp_path / "sales.csv"]}).findings[0].code == "binary_file"


def test_preview__a_large_file__reads_only_its_first_block(tmp_path: Path, monkeypatch: Any) -> None:
    path = tmp_path / "sales.csv"
    path.write_text(HEAD + "2024-03-01,S1,a,2,1\n" * FIRST_BLOCK_ROWS, encoding="utf-8")
    assert path.stat().st_size > 2 * chunks.BLOCK_BYTES
    taken: list[int] = []
    read = chunks.HashingReader.read

    def counting(self: chunks.HashingReader, size: int) -> bytes:
        data = read(self, size)
        taken.append(len(data))
        return data

    monkeypatch.setattr(chunks.HashingReader, "read", counting)
    found = preview(contract(), {Role.TRANSACTIONS: [path]}, limit=10_000)
    assert len(found.rows) == 200
    assert sum(taken) <= 2 * chunks.BLOCK_BYTES


def test_preview__a_reference_file__has_its_headings_checked(tmp_path: Path) -> None:
    (tmp_path / "sales.csv").write_text(HEAD + "2024-03-01,S1,a,2,1\n", encoding="utf-8")
    (tmp_path / "stores.csv").write_text("name\nUlm\n", encoding="utf-8")
    files = {"transactions": {"pattern": "sales*.csv"}, "stores": {"pattern": "stores.csv"}}
    places = {Role.TRANSACTIONS: [tmp_path / "sales.csv"], Role.STORES: [tmp_path / "stores.csv"]}
    found = preview(contract(files=files), places)
    assert any(item.code == "missing_required_field" and "stores.csv" in item.message for item in found.findings)
