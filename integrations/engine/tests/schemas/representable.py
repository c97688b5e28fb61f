"""Schemas that a contract can express: they become demand."""

from __future__ import annotations

from datetime import date, datetime

from integrations.engine.tests.schemas.model import Example, lines, records

PLAIN = {"date": "date", "store": "store_id", "sku": "product_id", "qty": "quantity"}

EXAMPLES = (
    Example(
        "One row per store, product and day",
        "date, store, sku, units, price",
        lines(
            ("date", "store", "sku", "units", "price"),
            ("2024-03-01", "S1", "A1", 4, 2.5),
            ("2024-03-02", "S1", "A1", 3, 2.5),
        ),
        {"date": "date", "store": "store_id", "sku": "product_id", "units": "quantity", "price": "unit_price"},
    ),
    Example(
        "Till lines with a clock time",
        "one row per receipt line, summed to the day",
        lines(
            ("Date", "Time", "Location", "SKU", "Item", "Qty", "Price Point Name"),
            ("03/14/2024", "09:12:01", "Main St", "A1", "Espresso", 1, "Regular"),
            ("03/14/2024", "09:14:40", "Main St", "A1", "Espresso", 2, "Regular"),
            ("03/15/2024", "10:01:09", "Main St", "A1", "Espresso", 1, "Regular"),
        ),
        {"Date": "date", "Location": "store_id", "SKU": "product_id", "Qty": "quantity"},
        contract={"date_format": "%m/%d/%Y"},
    ),
    Example(
        "Web shop order lines with offsets",
        "created_at with an offset from UTC, the shop's day is meant",
        lines(
            ("name", "created_at", "lineitem_sku", "lineitem_quantity", "location"),
            ("#1001", "2024-03-14T23:30:00-05:00", "A1", 1, "web"),
            ("#1002", "2024-03-15T00:10:00-05:00", "A1", 2, "web"),
        ),
        {
            "created_at": "date",
            "location": "store_id",
            "lineitem_sku": "product_id",
            "lineitem_quantity": "quantity",
        },
        contract={"timezone": "America/New_York", "timezone_handling": "convert_to_profile_tz_date"},
    ),
    Example(
        "Central European till",
        "semicolons, decimal comma, points for thousands, cp1252",
        lines(
            ("Datum", "Filiale", "Artikel", "Menge", "Preis"),
            ("14.03.2024", "Köln", "Käse", "1.203,5", "2,49"),
            ("15.03.2024", "Köln", "Käse", "12", "2,49"),
            sign=";",
        ),
        {"Datum": "date", "Filiale": "store_id", "Artikel": "product_id", "Menge": "quantity", "Preis": "unit_price"},
        spec={"delimiter": ";", "decimal": ",", "thousands": ".", "encoding": "cp1252"},
        contract={"date_format": "%d.%m.%Y", "country_code": "DE", "currency": "EUR"},
    ),
    Example(
        "Accounting export of days",
        "compact dates, tabs, quoted texts",
        lines(
            ("Belegdatum", "Kostenstelle", "Konto", "Menge"),
            (20240314, '"0100"', '"4711"', 3),
            (20240315, '"0100"', '"4711"', 5),
            sign="\t",
        ),
        {"Belegdatum": "date", "Kostenstelle": "store_id", "Konto": "product_id", "Menge": "quantity"},
        spec={"delimiter": "\t"},
        contract={"date_format": "%Y%m%d"},
    ),
    Example(
        "ERP material documents",
        "plant, material with leading zeros, posting date",
        lines(
            ("MATNR", "WERKS", "BUDAT", "MENGE", "MEINS"),
            ("000000000000004711", "1000", "14.03.2024", "5,000", "EA"),
            ("4711", "1000", "15.03.2024", "7,000", "EA"),
            sign="|",
        ),
        {"BUDAT": "date", "WERKS": "store_id", "MATNR": "product_id", "MENGE": "quantity"},
        spec={"delimiter": "|", "decimal": ","},
        contract={"date_format": "%d.%m.%Y", "id_normalization": {"product_id": {"strip_leading_zeros": True}}},
    ),
    Example(
        "EDI sales report, flattened",
        "one line per product activity, quantity in cases",
        lines(
            ("PERIOD", "GLN", "GTIN", "QTY_CASES"),
            ("240314", "4012345000009", "04006381333931", 2),
            ("240315", "4012345000009", "04006381333931", 1),
            sign="|",
        ),
        {"PERIOD": "date", "GLN": "store_id", "GTIN": "product_id", "QTY_CASES": "quantity"},
        spec={"delimiter": "|"},
        contract={"date_format": "%y%m%d", "unit_map": {"quantity": {"multiplier": 12}}},
    ),
    Example(
        "Returns as negative quantities",
        "a return is kept beside the day's sales",
        lines(
            ("date", "store", "sku", "qty"),
            ("2024-03-01", "S1", "A1", 4),
            ("2024-03-01", "S1", "A1", -1),
            ("2024-03-02", "S1", "A1", 2),
        ),
        PLAIN,
        contract={"quantity_sign_policy": "allow_negative_returns"},
    ),
    Example(
        "Returns by a type column",
        "positive quantities, type says sale or refund",
        lines(
            ("date", "store", "sku", "qty", "type"),
            ("2024-03-01", "S1", "A1", 4, "sale"),
            ("2024-03-01", "S1", "A1", 1, "refund"),
        ),
        {**PLAIN, "type": "transaction_type"},
        contract={"quantity_sign_policy": "allow_negative_returns"},
    ),
    Example(
        "Prices in cents",
        "unit_price as whole cents",
        lines(("date", "store", "sku", "qty", "cents"), ("2024-03-01", "S1", "A1", 4, 249)),
        {**PLAIN, "cents": "unit_price"},
        contract={"unit_map": {"unit_price": {"divide_by": 100}}},
    ),
    Example(
        "Weekly totals",
        "each week dated by its last day",
        lines(
            ("week_ending", "store", "sku", "qty"),
            ("2024-03-02", "S1", "A1", 40),
            ("2024-03-09", "S1", "A1", 36),
        ),
        {"week_ending": "date", "store": "store_id", "sku": "product_id", "qty": "quantity"},
        contract={"grain": "weekly"},
    ),
    Example(
        "Workbook with a title above the headings",
        "real date cells, a second sheet of notes",
        {
            "Notes": [["exported by the back office"]],
            "Sales": [
                ["Daily sales"],
                [],
                ["Day", "Shop", "Article", "Pieces"],
                [date(2024, 3, 1), "S1", 4711, 4],
                [date(2024, 3, 2), "S1", 4711, 2.5],
            ],
        },
        {"Day": "date", "Shop": "store_id", "Article": "product_id", "Pieces": "quantity"},
        spec={"format": "xlsx"},
    ),
    Example(
        "Event stream as NDJSON",
        "flat objects with UTC moments",
        records(
            {"ts": "2024-03-15T02:00:00Z", "store": 12, "sku": "A1", "n": 1},
            {"ts": "2024-03-15T14:00:00Z", "store": 12, "sku": "A1", "n": 2, "tags": ["x"]},
        ),
        {"ts": "date", "store": "store_id", "sku": "product_id", "n": "quantity"},
        spec={"format": "ndjson"},
        contract={"timezone": "America/Chicago", "timezone_handling": "convert_to_profile_tz_date"},
    ),
    Example(
        "Warehouse extract as parquet",
        "typed columns, timestamps",
        {
            "sold_at": [datetime(2024, 3, 1, 9), datetime(2024, 3, 2, 11)],
            "store": [12, 12],
            "sku": ["A1", "A1"],
            "units": [3, 4],
        },
        {"sold_at": "date", "store": "store_id", "sku": "product_id", "units": "quantity"},
        spec={"format": "parquet"},
    ),
    Example(
        "Nightly file, packed",
        "CSV in a gzip archive, UTF-16",
        lines(("date", "store", "sku", "qty"), ("2024-03-01", "S1", "A1", 4)),
        PLAIN,
        spec={"encoding": "utf-16"},
        packed=True,
    ),
    Example(
        "Sales with shop and product lists",
        "transactions checked against two reference files",
        lines(("date", "store", "sku", "qty"), ("2024-03-01", "S1", "A1", 4)),
        {**PLAIN, "group": "category"},
        contract={"covariates": {"static": ["category"]}},
        others={"stores": "store,city\nS1,Graz\n", "products": "sku,group\nA1,Dairy\n"},
    ),
    Example(
        "Sales with the promotions to come",
        "known-future flags run past the last sale",
        lines(("date", "store", "sku", "qty", "promo"), ("2024-03-01", "S1", "A1", 4, "no")),
        {**PLAIN, "promo": "is_promotional"},
        contract={"covariates": {"known_future": ["is_promotional"]}},
        others={"covariates": "date,sku,promo\n2024-03-20,A1,yes\n"},
    ),
)
