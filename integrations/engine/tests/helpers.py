"""Small contracts and files for the engine's tests."""

from __future__ import annotations

from datetime import date
from pathlib import Path
from typing import Any

from integrations.engine.contract import DataContract
from integrations.engine.contract_model import Role
from integrations.engine.pipeline import read_batch
from integrations.engine.types import BatchResult

BASE: dict[str, Any] = {
    "contract_version": "v1",
    "tenant": "corner-shop",
    "source": "till",
    "source_type": "smb_csv",
    "country_code": "US",
    "currency": "USD",
    "files": {"transactions": {"pattern": "sales*.csv"}},
    "field_map": {"day": "date", "shop": "store_id", "sku": "product_id", "qty": "quantity", "price": "unit_price"},
    "dedupe_policy": "sum",
}
LOOSE = {
    "min_date_parse_success": 0,
    "min_quantity_parse_success": 0,
    "max_required_null_rate": 1,
    "max_duplicate_rate": 1,
    "max_store_ref_missing_rate": 1,
    "max_product_ref_missing_rate": 1,
}
HEAD = "day,shop,sku,qty,price\n"


def contract(**changes: Any) -> DataContract:
    """The base contract with some keys replaced; `transactions` replaces keys of that file's declaration."""
    values = {**BASE, **changes}
    spec = values.pop("transactions", None)
    if spec:
        values["files"] = {**values["files"], "transactions": {"pattern": "sales*.csv", **spec}}
    return DataContract.model_validate(values)


def read(folder: Path, content: str | bytes, *, as_of: date | None = None, **changes: Any) -> BatchResult:
    """Read one transactions file with this content."""
    path = folder / "sales.csv"
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    return read_batch(contract(**changes), {Role.TRANSACTIONS: [path]}, as_of=as_of)


def codes(result: BatchResult) -> list[str]:
    """The codes of the errors."""
    return [found.code for found in result.findings if found.severity == "error"]


def rows(result: BatchResult) -> list[tuple[str, str, str, float]]:
    """(store, product, day, quantity) of the demand."""
    table = result.demand
    return [(row["store_id"], row["product_id"], row["date"].isoformat(), row["quantity"]) for row in table.to_pylist()]


def match_files(contract: DataContract, place: Path) -> dict[Role, tuple[Path, ...]]:
    """The files of each declared role under a folder, by the contract's patterns, or one transactions file."""
    if place.is_file():
        return {Role.TRANSACTIONS: (place,)}
    found = {role: tuple(sorted(place.glob(spec.pattern))) for role, spec in contract.files.by_role().items()}
    return {role: paths for role, paths in found.items() if paths}
