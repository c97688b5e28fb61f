"""Generated batches: rows, a contract of any policies, and the files in any format, with an oracle in plain Python."""

from __future__ import annotations

import csv
import gzip
import io
import json
import random
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
from hypothesis import strategies as st

from integrations.engine.contract import DataContract
from integrations.engine.contract_model import Role
from integrations.engine.demand import RETURN_WORDS
from integrations.engine.pipeline import read_batch
from integrations.engine.tests.helpers import BASE, LOOSE
from integrations.engine.tests.workbooks import workbook
from integrations.engine.types import BatchResult

Cell = date | float | bool | str | None
Row = dict[str, Cell]
FIRST = date(2017, 1, 7)
COLUMNS = ("day", "shop", "sku", "qty", "price", "promo", "stock", "kind", "visitors", "note")
MAPPING = {
    "day": "date",
    "shop": "store_id",
    "sku": "product_id",
    "qty": "quantity",
    "price": "unit_price",
    "promo": "is_promotional",
    "stock": "on_hand_qty",
    "kind": "transaction_type",
    "visitors": "visitors",
}
SHOPS = ("A", "b", "101", "007", 'say "x"', "two\nlines", "x;y, z", "Zoë", " Ä ", "-1")
SKUS = ("milk", "Käse", "4006381333931", "bread|roll", "'tis")
JUNK = ("", "12,3,4", "NaN", "1e309", "many", "1.2.3", "9999-99-99", "[1]", "- 1", "\\N", "1,2,3")
FORMATS = ("csv", "ndjson", "xlsx", "parquet")


@dataclass(frozen=True)
class Batch:
    """Rows of the transactions by file, rows of the other roles, and how each file is written."""

    contract: dict[str, Any]
    files: tuple[tuple[Row, ...], ...]
    references: dict[str, tuple[Row, ...]] = field(default_factory=dict)
    format: str = "csv"
    packed: bool = False
    typed: bool = True

    def model(self) -> DataContract:
        """The contract."""
        spec = {key: self.contract[key] for key in ("delimiter", "decimal", "thousands", "encoding")}
        specs = {"transactions": {"pattern": "sales*", "format": self.format, **spec}}
        for role in self.references:
            specs[role] = {"pattern": f"{role}*", "format": self.format, **spec}
        values = {key: value for key, value in self.contract.items() if key not in spec}
        return DataContract.model_validate({**BASE, **values, "files": specs, "field_map": MAPPING})

    def read(self, folder: Path) -> BatchResult:
        """Write the files into the folder and read them."""
        paths = {Role.TRANSACTIONS: [self.write(folder / f"sales{n}", rows) for n, rows in enumerate(self.files)]}
        for role, rows in self.references.items():
            paths[Role(role)] = [self.write(folder / role, rows)]
        return read_batch(self.model(), paths)

    def write(self, path: Path, rows: Sequence[Row]) -> Path:
        """One file with these rows."""
        names = [name for name in COLUMNS if any(name in row for row in rows)]
        if self.format == "xlsx":
            table = [names, *([self._typed(row.get(name), "xlsx") for name in names] for row in rows)]
            return workbook(path, {"Sheet": table})
        if self.format == "parquet":
            pq.write_table(pa.table({name: self._column([row.get(name) for row in rows]) for name in names}), path)
            return path
        text = self._csv(names, rows) if self.format == "csv" else self._ndjson(names, rows)
        data = text.encode(self.contract["encoding"])
        path.write_bytes(gzip.compress(data, mtime=0) if self.packed else data)
        return path

    def _csv(self, names: Sequence[str], rows: Sequence[Row]) -> str:
        out = io.StringIO()
        writer = csv.writer(out, delimiter=self.contract["delimiter"], lineterminator="\r\n" if self.typed else "\n")
        writer.writerow(names)
        writer.writerows([self.text(row.get(name)) for name in names] for row in rows)
        return out.getvalue()

    def _ndjson(self, names: Sequence[str], rows: Sequence[Row]) -> str:
        records = ({name: self._typed(row.get(name), "ndjson") for name in names} for row in rows)
        return "".join(json.dumps(record, ensure_ascii=self.packed) + "\n" for record in records)

    def _typed(self, cell: Cell, kind: str) -> Any:
        """The cell in its own type where the format has it and the batch uses it, else as text."""
        if isinstance(cell, date) and not (self.typed and kind == "xlsx"):
            return self.text(cell)
        if isinstance(cell, float) and self.typed:
            return int(cell) if cell.is_integer() and kind == "ndjson" else cell
        if isinstance(cell, str) and self.typed and cell == "101":
            return 101
        return cell if isinstance(cell, date | bool) and self.typed else self.text(cell) or None

    def _column(self, cells: list[Cell]) -> pa.Array:
        for kind, arrow in ((date, pa.date32()), (float, pa.float64()), (bool, pa.bool_())):
            if self.typed and all(cell is None or isinstance(cell, kind) for cell in cells):
                return pa.array(cells, arrow)
        return pa.array([None if cell is None else self.text(cell) for cell in cells], pa.string())

    def text(self, cell: Cell) -> str:
        """The cell as the contract says that texts are written."""
        if cell is None:
            return ""
        if isinstance(cell, bool):
            return "yes" if cell else "no"
        if isinstance(cell, date):
            style = self.contract["date_format"]
            return cell.isoformat() if style in ("iso8601", "mixed") else cell.strftime(style)
        if isinstance(cell, float):
            return f"{cell:g}".replace(".", self.contract["decimal"])
        return cell

    def shuffled(self, seed: int) -> Batch:
        """The same rows in another order; rows of one key keep theirs where the last of them counts."""
        rng = random.Random(seed)
        rows = [row for rows in self.files for row in rows]
        order = list(range(len(rows)))
        rng.shuffle(order)
        if self.contract["dedupe_policy"] == "keep_last":
            spots: dict[Any, list[int]] = defaultdict(list)
            for spot, index in enumerate(order):
                spots[_raw_key(rows[index])].append(spot)
            for row_index, row in enumerate(rows):
                order[spots[_raw_key(row)].pop(0)] = row_index
        mixed = [rows[index] for index in order]
        cut = len(self.files[0])
        return replace(self, files=tuple(part for part in (tuple(mixed[:cut]), tuple(mixed[cut:])) if part))


def _raw_key(row: Row) -> tuple[Any, ...]:
    return row["day"], str(row["shop"]).strip().upper(), str(row["sku"]).strip().upper()


def expected(batch: Batch) -> dict[tuple[str, str, date], tuple[float, float]]:
    """(store, product, day) to (sold, returned), by plain Python over the rows as they were meant."""
    contract = batch.contract
    kept: dict[tuple[Any, ...], list[float]] = defaultdict(list)
    known = {
        name: {_id(contract, field_name, row[name]) for row in batch.references[role]}
        for role, name, field_name in (("stores", "shop", "store_id"), ("products", "sku", "product_id"))
        if role in batch.references
    }
    for row in (row for rows in batch.files for row in rows):
        store, product = _id(contract, "store_id", row["shop"]), _id(contract, "product_id", row["sku"])
        quantity, day = row["qty"], row["day"]
        if not isinstance(quantity, float) or not isinstance(day, date) or not store or not product:
            continue
        if any(
            isinstance(row.get(name), str) and row[name] not in ("", "\\N") for name in ("price", "stock", "visitors")
        ):
            continue
        if store not in known.get("shop", {store}) or product not in known.get("sku", {product}):
            continue
        quantity *= contract.get("unit_map", {}).get("quantity", {}).get("multiplier", 1)
        returned = quantity < 0 or str(row.get("kind")).lower() in RETURN_WORDS
        policy = contract["quantity_sign_policy"]
        if returned and policy == "non_negative":
            continue
        if returned and policy == "clip_negative":
            quantity, returned = 0.0, False
        kept[store, product, day, returned].append(abs(quantity))
    found: dict[tuple[str, str, date], tuple[float, float]] = {}
    for (store, product, day, returned), figures in kept.items():
        if contract["dedupe_policy"] == "reject" and len(figures) > 1:
            continue
        figure = figures[-1] if contract["dedupe_policy"] == "keep_last" else sum(figures)
        sold, back = found.get((store, product, day), (0.0, 0.0))
        found[store, product, day] = (sold, back + figure) if returned else (sold + figure, back)
    return found


def _id(contract: dict[str, Any], name: str, cell: Cell) -> str:
    rule = contract.get("id_normalization", {}).get(name, {})
    text = str(cell).replace("\n", " ").strip()
    return text.upper() if rule.get("upper") else text


@st.composite
def contracts(draw: st.DrawFn) -> dict[str, Any]:
    """A contract's policies, and how its texts are written."""
    decimal = draw(st.sampled_from(".,"))
    values: dict[str, Any] = {
        "dedupe_policy": draw(st.sampled_from(["sum", "keep_last", "reject"])),
        "quantity_sign_policy": draw(st.sampled_from(["non_negative", "allow_negative_returns", "clip_negative"])),
        "missing_days": draw(st.sampled_from(["zero", "closed", "unknown"])),
        "grain": draw(st.sampled_from(["daily", "daily", "weekly"])),
        "timezone": draw(st.sampled_from(["UTC", "America/New_York", "Pacific/Auckland"])),
        "timezone_handling": draw(st.sampled_from(["source_local_date", "convert_to_profile_tz_date", "utc_date"])),
        "date_format": draw(st.sampled_from(["iso8601", "mixed", "%d.%m.%Y", "%Y%m%d", "%m/%d/%y"])),
        "delimiter": draw(st.sampled_from([",", ";", "\t", "|"])),
        "decimal": decimal,
        "thousands": draw(st.sampled_from([None, None, " ", "." if decimal == "," else ","])),
        "encoding": draw(st.sampled_from(["utf-8", "utf-16", "latin-1", "cp1252", "cp1250", "iso-8859-15"])),
        "extra_regressors": ["visitors"],
        "covariates": {"historic_only": ["visitors"], "known_future": ["is_promotional"]},
        "dq_thresholds": draw(st.sampled_from([LOOSE | {"max_history_years": 100}] * 5 + [{}])),
    }
    if draw(st.booleans()):
        values["unit_map"] = {"quantity": {"multiplier": 12}, "unit_price": {"divide_by": 100}}
    if draw(st.booleans()):
        values["null_policy"] = {"unit_price": {"fill_value": 1}, "is_promotional": {"fill_value": 0}}
    if draw(st.booleans()):
        values["id_normalization"] = {"store_id": {"upper": True}}
    return values


@st.composite
def batches(draw: st.DrawFn) -> Batch:
    """A whole batch; most of its rows are sound, so that most batches pass."""
    contract = draw(contracts())
    step = 7 if contract["grain"] == "weekly" else 1
    days = st.integers(0, 12).map(lambda number: FIRST + timedelta(days=number * step))
    figures = st.one_of(st.integers(-3, 40).map(float), st.sampled_from([0.5, 2.25, 1234.0, 12.5]))

    def seldom(usual: st.SearchStrategy[Any], odd: Sequence[Cell]) -> st.SearchStrategy[Any]:
        return st.integers(0, 19).flatmap(lambda number: st.sampled_from(odd) if number == 0 else usual)

    row = st.fixed_dictionaries(
        {
            "day": seldom(days, JUNK),
            "shop": seldom(st.sampled_from(SHOPS), ("", " ")),
            "sku": seldom(st.sampled_from(SKUS), ("",)),
            "qty": seldom(figures, JUNK),
            "price": seldom(st.sampled_from([None, 1.0, 2.5]), JUNK),
            "promo": st.sampled_from([None, True, False]),
            "stock": st.sampled_from([None, 0.0, 7.0]),
            "kind": st.sampled_from([None, "Sale", "RETURN"]) if draw(st.booleans()) else st.none(),
            "visitors": seldom(st.sampled_from([None, 10.0, 12.5]), ("few",)),
            "note": st.sampled_from([None, "x", "[]"]),
        }
    )
    files = draw(st.lists(st.lists(row, min_size=1, max_size=12).map(tuple), min_size=1, max_size=3).map(tuple))
    references: dict[str, tuple[Row, ...]] = {}
    if draw(st.booleans()):
        references["stores"] = tuple({"shop": shop, "note": None} for shop in draw(st.sampled_from([SHOPS, SHOPS[:5]])))
    if draw(st.booleans()):
        references["products"] = tuple({"sku": sku, "note": "x"} for sku in draw(st.sampled_from([SKUS, SKUS[:3] * 2])))
    if draw(st.booleans()):
        ahead = [FIRST + timedelta(days=step * number) for number in range(9, 16)]
        references["covariates"] = tuple({"day": day, "sku": "milk", "promo": day.day % 2 == 0} for day in ahead)
    return Batch(
        contract,
        files,
        references,
        draw(st.sampled_from(FORMATS)),
        packed=draw(st.booleans()),
        typed=draw(st.booleans()),
    )
