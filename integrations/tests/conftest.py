"""A small shop for the tests of ingest: its contract, its files, and a sink that really writes to a table."""

from __future__ import annotations

import io
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
import pytest
from pytest_django.fixtures import Settings

from integrations import registry
from integrations.engine.contract import DataContract, Role, load_contract
from integrations.engine.pieces import Pieces
from integrations.models import Source
from integrations.registry import LoadResult
from integrations.services.contracts import activate_contract, save_contract
from integrations.services.deliveries import Upload
from integrations.services.sources import source_of_contract
from ledger.execution import execute
from ledger.schema import connection

CONTRACT = """
contract_version: v1
tenant: alpha
source: till
source_type: smb_csv
country_code: US
currency: USD
files:
  transactions: {pattern: "sales*.csv", format: csv}
date_format: "%Y-%m-%d"
field_map: {day: date, shop: store_id, sku: product_id, qty: quantity, price: unit_price}
dedupe_policy: sum
dq_thresholds: {min_quantity_parse_success: 0.6, max_required_null_rate: 0.5}
"""
HEADER = "day,shop,sku,qty,price"
GOOD = (
    "2024-03-01,s1,apple,3,1.50",
    "2024-03-01,s1,apple,2,1.50",
    "2024-03-02,s1,apple,4,1.50",
    "2024-03-01,s1,pear,1,2.00",
)
BAD = ("2024-03-03,s1,apple,=1+1,1.50",)


@dataclass
class ProbeSink:
    """Writes day, quantity and batch of each canonical row to a table of the current schema."""

    fail: bool = False
    calls: list[int] = field(default_factory=list)
    replaced: list[frozenset[int]] = field(default_factory=list)
    turns: list[tuple[frozenset[int], frozenset[int] | None]] = field(default_factory=list)

    def __call__(
        self,
        *,
        demand: Pieces,
        future: pa.Table | None,
        stores: pa.Table | None,
        products: pa.Table | None,
        contract: DataContract,
        batch_id: int,
        replaces: frozenset[int] = frozenset(),
        yields_to: frozenset[int] = frozenset(),
        takes_over: frozenset[int] | None = frozenset(),
    ) -> LoadResult:
        self.calls.append(batch_id)
        self.replaced.append(replaces)
        self.turns.append((yields_to, takes_over))
        table = demand.table()
        rows = zip(
            *(table.column(name).to_pylist() for name in ("store_id", "product_id", "date", "quantity")), strict=True
        )
        kept = 0
        with connection.cursor() as cursor:
            for row in rows:
                cursor.execute(
                    "INSERT INTO probe AS p VALUES (%s, %s, %s, %s, %s) "
                    "ON CONFLICT (store_id, product_id, date) "
                    "DO UPDATE SET quantity = excluded.quantity, batch_id = excluded.batch_id "
                    "WHERE p.batch_id <> ALL (%s) AND (%s OR p.batch_id = ANY (%s) OR p.batch_id < %s)",
                    [*row, batch_id, list(yields_to), not replaces, list(replaces), min(replaces, default=0)],
                )
                kept += not cursor.rowcount
            if replaces:
                cursor.execute("DELETE FROM probe WHERE batch_id = ANY (%s)", [list(replaces)])
        if self.fail:
            raise RuntimeError("the disk is full")
        days = pc.min_max(table.column("date")).as_py()
        series = table.select(["store_id", "product_id"]).group_by(["store_id", "product_id"]).aggregate([]).num_rows
        return LoadResult(demand.num_rows, series, days["min"], days["max"], kept)


def probe_rows() -> list[tuple[object, ...]]:
    """Everything the sink wrote into the current schema."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT store_id, product_id, date::text, quantity, batch_id FROM probe ORDER BY 1, 2, 3")
        return list(cursor.fetchall())


def make_probe_table() -> None:
    """The sink's table, in the current schema."""
    with connection.cursor() as cursor:
        cursor.execute(
            "CREATE TABLE probe (store_id text, product_id text, date date, quantity float8, batch_id bigint, "
            "PRIMARY KEY (store_id, product_id, date))"
        )


@pytest.fixture
def registered_sink() -> Iterator[ProbeSink]:
    """The sink in the registry; its table has to be made by ``make_probe_table``."""
    before = list(registry._SINKS)
    probe = ProbeSink()
    registry.register_demand_sink(probe)
    yield probe
    registry._SINKS[:] = before


@pytest.fixture
def sink(alpha: object, registered_sink: ProbeSink) -> ProbeSink:
    """The sink with its table in tenant alpha."""
    make_probe_table()
    return registered_sink


@pytest.fixture(autouse=True)
def storage_folder(settings: Settings, tmp_path: Path) -> Path:
    """The tenants' storage in a folder of the test."""
    folder = tmp_path / "storage"
    settings.MULTITENANT_RELATIVE_MEDIA_ROOT = f"{folder}/%s"
    return folder


@pytest.fixture
def contract() -> DataContract:
    """The shop's contract."""
    return load_contract(CONTRACT)


@dataclass
class Shop:
    """The shop's upload folder."""

    folder: Path

    def write(self, *rows: str, name: str = "sales.csv", header: str = HEADER) -> dict[Role, list[Path]]:
        """Write the rows to a file and return the files of a batch."""
        path = self.folder / name
        path.write_text("\n".join((header, *rows)) + "\n", encoding="utf-8")
        return {Role.TRANSACTIONS: [path]}


@pytest.fixture
def shop(tmp_path: Path) -> Shop:
    """A folder to put files into, with the contract's text beside it."""
    folder = tmp_path / "upload"
    folder.mkdir()
    (tmp_path / "contract.yaml").write_text(CONTRACT, encoding="utf-8")
    return Shop(folder)


def work(run_id: object, schema_name: str = "alpha") -> str:
    """Do what a worker does with the message of this run, and stand in the tenant again; the run's state after it."""
    here = connection.tenant
    try:
        return execute(schema_name, str(run_id))
    finally:
        connection.set_tenant(here)


def till_source(contract: DataContract) -> Source:
    """The contract's source with the contract in force."""
    source = source_of_contract(contract=contract, actor=None)
    activate_contract(contract_id=save_contract(source=source, contract=contract, actor=None).pk, actor=None)
    return source


def upload(*rows: str, name: str = "sales.csv", header: str = HEADER, role: Role | None = None) -> Upload:
    """A file of these rows as it comes in at a door."""
    return Upload(name, io.BytesIO(("\n".join((header, *rows)) + "\n").encode()), role)


def stored_files(folder: Path) -> list[Path]:
    """Everything that the storage holds of deliveries."""
    return sorted(path for path in folder.rglob("*") if path.is_file() and "deliveries" in path.parts)
