"""Schemas that no contract can express, or whose data is not good enough as it is."""

from __future__ import annotations

from integrations.engine.tests.schemas.model import Example, lines, records
from integrations.engine.tests.schemas.representable import PLAIN

HEAD = ("date", "store", "sku", "qty")

EXAMPLES = (
    Example(
        "Wide pivot",
        "one column per day",
        lines(("store", "sku", "2024-03-01", "2024-03-02", "2024-03-03"), ("S1", "A1", 4, 3, 5)),
        {"store": "store_id", "sku": "product_id"},
    ),
    Example(
        "Running totals",
        "the till's counter since it was installed",
        lines(HEAD, *((f"2024-03-{day:02}", "S1", "A1", 1000 + 3 * day) for day in range(1, 29))),
        PLAIN,
    ),
    Example(
        "Orders as nested JSON",
        "the lines of an order within one object",
        records({"date": "2024-03-01", "store": "S1", "sku": [{"id": "A1", "n": 2}], "qty": 2}),
        PLAIN,
        spec={"format": "ndjson"},
    ),
    Example(
        "Revenue without units",
        "amount and price, the units would have to be divided",
        lines(("date", "store", "sku", "amount", "price"), ("2024-03-01", "S1", "A1", 10.0, 2.5)),
        {"date": "date", "store": "store_id", "sku": "product_id", "price": "unit_price"},
    ),
    Example(
        "Stock readings",
        "opening and closing stock, sales would be the difference",
        lines(("date", "store", "sku", "opening_stock", "closing_stock"), ("2024-03-01", "S1", "A1", 40, 36)),
        {"date": "date", "store": "store_id", "sku": "product_id"},
    ),
    Example(
        "Two currencies in one file",
        "a currency column with USD and EUR",
        lines((*HEAD, "currency"), ("2024-03-01", "S1", "A1", 4, "USD"), ("2024-03-01", "S2", "A1", 2, "EUR")),
        PLAIN,
    ),
    Example(
        "Two companies in one file",
        "a company column with more than one value",
        lines((*HEAD, "company"), ("2024-03-01", "S1", "A1", 4, "North"), ("2024-03-01", "S2", "A1", 2, "South")),
        PLAIN,
    ),
    Example(
        "Several figures in one cell",
        "sizes S;M;L sold, joined in a cell",
        lines(HEAD, ("2024-03-01", "S1", "A1", "3;4;5"), ("2024-03-02", "S1", "A1", "1;0;2")),
        PLAIN,
    ),
    Example(
        "No product column",
        "takings per store and day",
        lines(("date", "store", "qty"), ("2024-03-01", "S1", 40)),
        {"date": "date", "store": "store_id", "qty": "quantity"},
    ),
    Example(
        "Header and line files to be joined",
        "the lines name an order, the date stands in another file",
        lines(("order", "sku", "qty"), (1001, "A1", 2)),
        {"sku": "product_id", "qty": "quantity"},
    ),
    Example(
        "Quantity in two columns",
        "full-price and reduced units, to be added up",
        lines(("date", "store", "sku", "regular", "reduced"), ("2024-03-01", "S1", "A1", 3, 1)),
        {"date": "date", "store": "store_id", "sku": "product_id", "regular": "quantity", "reduced": "quantity"},
    ),
    Example(
        "Printed report as PDF",
        "a document, not a table",
        b"%PDF-1.7\n%\xe2\xe3\xcf\xd3\n",
        PLAIN,
    ),
    Example(
        "Old workbook (.xls) or one with a password",
        "not the open workbook format",
        b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1" + b"\0" * 600,
        PLAIN,
        spec={"format": "xlsx"},
    ),
    Example(
        "Dates that could be read two ways",
        "03/04/2024, and the contract says mixed",
        lines(HEAD, ("03/04/2024", "S1", "A1", 4), ("05/06/2024", "S1", "A1", 2)),
        PLAIN,
        contract={"date_format": "mixed"},
    ),
    Example(
        "Numbers in another notation",
        "decimal commas under a contract that says points",
        lines(HEAD, ("2024-03-01", "S1", "A1", "4,5"), ("2024-03-02", "S1", "A1", "2,5"), sign=";"),
        PLAIN,
        spec={"delimiter": ";"},
    ),
    Example(
        "One JSON document",
        "an array of objects instead of one object per line",
        '[\n{"date": "2024-03-01", "store": "S1", "sku": "A1", "qty": 4}\n]\n',
        PLAIN,
        spec={"format": "ndjson"},
    ),
    Example(
        "Formulas without results",
        "a workbook written by a program that calculates nothing",
        {"Sales": [list(HEAD), ["2024-03-01", "S1", "A1", "=2+2"]]},
        PLAIN,
        spec={"format": "xlsx"},
    ),
)
