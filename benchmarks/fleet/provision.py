"""Making every tenant of the fleet, one after the other, and some by every migration for comparison."""

from __future__ import annotations

import multiprocessing
import statistics
import sys
import time
from concurrent.futures import ProcessPoolExecutor

from django.db import connection, connections, transaction  # after Django

from benchmarks.fleet import QUICK_TENANTS, TENANTS, schema_of
from benchmarks.parts import Figure, Part
from benchmarks.place import drop_tenant, prepare, timed
from tenants.catalogue.contents import digests
from tenants.migration_state import TEMPLATE, target
from tenants.models import SchemaMade, SchemaState, SchemaTemplate, Tenant, TenantStatus
from tenants.services.provisioning import create_tenant
from tenants.services.templates import clone_into, ensure_template, migrate

_MORE = 1000
_PROCESSES = 4


def main(quick: bool, anew: bool) -> None:
    """Bring the fleet to its size: some timed, most of the rest by several processes, and the last ones timed."""
    count = QUICK_TENANTS if quick else TENANTS
    part = Part("provision", "Provisioning", quick=quick)
    if anew:
        for name in Tenant.objects.filter(schema_name__startswith="fleet_").values_list("schema_name", flat=True):
            drop_tenant(name)
    with connection.cursor() as cursor:
        cursor.execute("ALTER SYSTEM SET fsync = off")  # see the report's text
        cursor.execute("SELECT pg_reload_conf()")
    template = timed(ensure_template)
    there = set(Tenant.objects.filter(schema_name__startswith="fleet_").values_list("schema_name", flat=True))
    lacking = [number for number in range(count) if schema_of(number) not in there]
    some = max(1, count // 25)
    assert len(lacking) >= 2 * some, "the fleet is there already: say --anew"
    before = len(there)
    first = [_make(number) for number in lacking[:some]]
    print(f"the first {some} took {statistics.median(first):.2f} s each, beside {before} that were there", flush=True)
    part.keep()
    rest = lacking[some:-some]
    connections.close_all()
    with ProcessPoolExecutor(_PROCESSES, multiprocessing.get_context("fork")) as pool:
        for done, _ in enumerate(pool.map(_make, rest, chunksize=5), start=1):
            if done % 100 == 0:
                print(f"{done} of {len(rest)} made", flush=True)
    last = [_make(number) for number in lacking[-some:]]
    seconds = [*first, *last]
    assert SchemaState.objects.filter(made=SchemaMade.CLONE, schema_name__startswith="fleet_").count() == count
    migrated = [_migrated() for _ in range(2)]
    plain = [_clone() for _ in range(7)]
    longer = [_clone(more=_MORE) for _ in range(7)]
    ordered = sorted(seconds)
    tail = ordered[min(len(ordered) - 1, int(len(ordered) * 0.95))]
    early, late = statistics.median(first), statistics.median(last)
    part.figures = [
        Figure(
            f"seconds to provision a tenant by create_tenant, median of {len(seconds)} of {count:,}",
            statistics.median(seconds), 1.0, note=f"95% within {tail:.2f} s, longest {ordered[-1]:.2f} s",
        ),
        Figure(
            f"the last {some} tenants ÷ the first {some}", late / early, None,
            note=f"{late:.2f} s beside {count - some:,} schemas ÷ {early:.2f} s beside {before}",
        ),
        Figure(
            f"a clone with {_MORE:,} more migrations recorded ÷ one without",
            statistics.median(longer) / statistics.median(plain), 1.25,
            note=f"{statistics.median(longer):.2f} ÷ {statistics.median(plain):.2f} s, medians of 7",
        ),
        Figure(
            f"a schema by its {len(target().names)} migrations ÷ a clone",
            min(migrated) / statistics.median(plain), None, "higher",
            f"{' and '.join(f'{one:.1f}' for one in migrated)} s, beside {count:,} schemas",
        ),
    ]  # fmt: skip
    part.text = [
        f"{count:,} tenants, each with its row, host, heartbeat, schema, roles and two audit events. The first "
        f"and the last {some} are made one after the other and timed, those between by {_PROCESSES} processes. "
        f"The template took {template:.1f} s to make. The more migrations are rows in the template's "
        "`django_migrations` for which there is no file: what a history of that length with the same tables leaves. "
        "The server runs with `fsync = off`: a thousand schemas are 400,000 files, and a checkpoint that sends each of "
        "them to this machine's disk takes many minutes of nothing else."
    ]
    part.keep(complete=True)


def _make(number: int) -> float:
    """Seconds of a whole tenant, committed."""
    started = time.perf_counter()
    create_tenant(schema_name=schema_of(number), name=f"Fleet {number}", status=TenantStatus.ACTIVE)
    return time.perf_counter() - started


def _clone(more: int = 0) -> float:
    """Seconds of a clone, taken back afterwards; with so many more migrations in the template."""
    with transaction.atomic():
        if more:
            with connection.cursor() as cursor:
                cursor.execute(
                    f"INSERT INTO {TEMPLATE}.django_migrations (app, name, applied) "  # noqa: S608
                    f"SELECT 'longer', n::text, now() FROM generate_series(1, {more}) n"
                )
            template = SchemaTemplate.objects.get()
            found = digests(TEMPLATE, ["django_migrations"])["django_migrations"]
            template.rows["django_migrations"] |= {"count": found.count, "digest": found.digest}
            template.save()
        seconds = timed(lambda: clone_into("fleet_probe"))
        transaction.set_rollback(True)
    return seconds


def _migrated() -> float:
    """Seconds of a schema that is made by every migration, taken away afterwards."""
    try:
        return timed(lambda: migrate("fleet_probe"))
    finally:
        drop_tenant("fleet_probe")


if __name__ == "__main__":
    prepare()
    main("--quick" in sys.argv, "--anew" in sys.argv)
