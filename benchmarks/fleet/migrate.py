"""A migration of the fleet that has nothing to do, beside plain ``migrate_schemas`` on a sample of the same schemas."""

from __future__ import annotations

import statistics
import subprocess
import sys

from django.core.management import call_command  # after Django

from benchmarks.fleet import QUICK_TENANTS, TENANTS, schema_of
from benchmarks.parts import ROOT, Figure, Part
from benchmarks.place import prepare, timed
from tenants.fleet_state import customer_schemas, survey
from tenants.models import SchemaStanding
from tenants.services.fleet_migration import migrate_fleet

_SAMPLE = 20


def main(quick: bool) -> None:
    """Time the command in this process and as people call it, then the plain one."""
    count = QUICK_TENANTS if quick else TENANTS
    part = Part("migrate", "Migrating the fleet with nothing to do", quick=quick)
    names = customer_schemas()
    assert len(names) == count, f"{len(names)} tenants, not {count}: run the part provision first"
    fleet = survey(names)
    assert len(fleet.standing(SchemaStanding.AT_TARGET)) == count
    looks = [timed(lambda: survey(names)) for _ in range(3)]
    runs = [timed(lambda: migrate_fleet(say=lambda text: None)) for _ in range(3)]
    part.keep()
    command = [sys.executable, str(ROOT / "manage.py"), "migrate_fleet"]
    called = [timed(lambda: subprocess.run(command, check=True, stdout=subprocess.DEVNULL)) for _ in range(3)]
    sample = [schema_of(number) for number in range(0, count, max(1, count // _SAMPLE))][:_SAMPLE]
    plain = timed(lambda: [call_command("migrate_schemas", schema_name=name, verbosity=0) for name in sample])
    each = plain / len(sample)
    words = " ".join(f"{one:.1f}" for one in runs)
    part.figures = [
        Figure(f"seconds of a no-op migrate_fleet over {count:,} schemas", statistics.median(runs), 5.0,
               note=f"median of {words}; reading the states takes {statistics.median(looks):.1f} s of it"),
        Figure("the same as a command, with the start of Python and Django", statistics.median(called), None,
               note=" ".join(f"{one:.1f}" for one in called) + " s"),
        Figure(f"seconds of a no-op migrate_schemas over {count:,} schemas, reckoned", each * count, None,
               note=f"{each:.2f} s each over a sample of {len(sample)} schemas in this process"),
        Figure("migrate_schemas ÷ migrate_fleet", each * count / statistics.median(runs), None, "higher"),
    ]  # fmt: skip
    part.text = [
        "Every schema's migrations and the shape of its tables, columns, constraints, indexes, triggers and functions "
        "are read and compared; every tenant's state is written; nothing is trusted from an earlier look."
    ]
    part.keep(complete=True)


if __name__ == "__main__":
    prepare()
    main("--quick" in sys.argv)
