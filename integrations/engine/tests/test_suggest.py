"""Suggestions for columns: names in several languages, and what the cells say against the name."""

from __future__ import annotations

from collections.abc import Mapping

import pytest

from integrations.engine.contract_model import Role
from integrations.engine.profile import is_ean, profile_column
from integrations.engine.suggest import THRESHOLD, Suggestion, suggest_columns

QUANTITIES, PRICES = (1, 2, 3, 5, 2, 4), ("1.25", "2.50", "0.99", "1.10", "7.30", "2.05")
AMOUNTS = tuple(f"{count * float(price):.2f}" for count, price in zip(QUANTITIES, PRICES, strict=True))


def suggest(table: Mapping[str, tuple[object, ...]], role: Role = Role.TRANSACTIONS) -> dict[str, Suggestion]:
    rows = [tuple(str(cell) for cell in row) for row in zip(*table.values(), strict=True)]
    return {found.column: found for found in suggest_columns(list(table), rows, role=role)}


def fields(table: Mapping[str, tuple[object, ...]], role: Role = Role.TRANSACTIONS) -> dict[str, str | None]:
    return {column: found.field for column, found in suggest(table, role).items()}


@pytest.mark.parametrize(
    ("heading", "field"),
    [
        ("Verkaufsmenge", "quantity"),
        ("Qté vendue", "quantity"),
        ("İlçe", None),
        ("ArtikelNr.", "product_id"),
        ("N° magasin", "store_id"),
        ("CÓDIGO TIENDA", "store_id"),
        ("Ilość", "quantity"),
        ("SATIŞ_ADEDİ", "quantity"),
        ("salesQty", "quantity"),
        ("Stueckzahl", "quantity"),
        ("Quantitiy", "quantity"),
        ("WERKS", "store_id"),
        ("MATNR", "product_id"),
        ("xyz_17", None),
        ("日付", None),
    ],
)
def test_suggest__a_heading_alone__is_known_in_several_languages(heading: str, field: str | None) -> None:
    assert suggest_columns([heading], [])[0].field == field


def test_suggest__revenue_called_sales__is_no_quantity() -> None:
    found = suggest({"units": QUANTITIES, "price": PRICES, "sales": AMOUNTS})
    assert (found["units"].field, found["sales"].field) == ("quantity", None)
    assert "units × price" in found["sales"].why


def test_suggest__headings_that_say_nothing__are_read_from_the_cells() -> None:
    days = tuple(f"2024-03-{day:02}" for day in range(1, 7))
    barcodes = ("4006381333931", "5901234123457", "4006381333931", "9780201379624", "4006381333931", "5901234123457")
    table = {"a": days, "b": barcodes, "c": QUANTITIES, "d": PRICES, "e": AMOUNTS, "f": (7, 1, 3, 3, 9, 9)}
    assert fields(table) == {
        "a": "date", "b": "product_id", "c": "quantity", "d": "unit_price", "e": None, "f": None,
    }  # fmt: skip


def test_suggest__a_running_row_number__is_no_quantity() -> None:
    assert fields({"Anzahl": tuple(range(1, 30))}) == {"Anzahl": None}


def test_suggest__words_that_the_cells_contradict__are_left_to_the_person() -> None:
    found = suggest({"date": ("apple", "pear", "plum", "fig"), "store": ("1.27", "3.91", "7.11", "2.54")})
    assert [item.field for item in found.values()] == [None, None]
    assert all(item.confidence < THRESHOLD for item in found.values())


def test_suggest__two_columns_for_one_field__gives_it_once() -> None:
    table = {"item": ("A1", "A2", "A1"), "sku": ("77", "78", "77"), "item description": ("Fig", "Plum", "Fig")}
    assert sorted(filter(None, fields(table).values())) == ["product_id"]


def test_suggest__a_name_where_there_is_no_number__stands_in_as_the_identifier() -> None:
    assert fields({"Product name": ("Fig", "Plum", "Fig", "Fig")})["Product name"] == "product_id"
    table = {"sku": ("77", "78", "77", "77"), "Product name": ("Fig", "Plum", "Fig", "Fig")}
    assert fields(table) == {"sku": "product_id", "Product name": None}


def test_suggest__repeated_or_empty_headings__are_not_suggested() -> None:
    found = suggest_columns(["qty", "qty", " "], [("1", "2", "3")])
    assert [item.field for item in found] == [None, None, None]


def test_suggest__in_a_reference_file__has_only_its_fields() -> None:
    table = {"store": ("1", "2"), "city": ("Ulm", "Bonn"), "qty": ("3", "4")}
    assert fields(table, Role.STORES) == {"store": "store_id", "city": None, "qty": None}


def test_suggest__short_rows_and_odd_cells__raise_nothing() -> None:
    odd = ["x" * 9000, None, "1e999", "\x00", "nan"]
    rows: list[list[str | None]] = [["1"], [], [*odd], ["=1+1", "12,3,4", "--", "∞", "٣"]]
    found = suggest_columns(["date", "qty", "price", "", "store"], rows)
    assert len(found) == 5


def test_profile__signs_of_decimals__are_found_for_the_column_as_a_whole() -> None:
    assert profile_column(["1.234,50", "12,00", "7,25"]).high == 1234.5
    assert profile_column(["1,234.50", "12.00"]).high == 1234.5
    assert profile_column(["1.250", "12,5"]).high == 1250
    assert profile_column(["12,00-", "3,10"]).low == -12
    assert profile_column(["€ 3.10", "$4.00"]).money


@pytest.mark.parametrize(("text", "good"), [("4006381333931", True), ("4006381333932", False), ("12", False)])
def test_ean__check_digit__decides(text: str, good: bool) -> None:
    assert is_ean(text) is good
