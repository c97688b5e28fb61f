"""One job for every tenant of the fleet."""

from __future__ import annotations

import statistics
import sys

from django.db import connection  # after Django
from django.test.utils import CaptureQueriesContext

from benchmarks.fleet import QUICK_TENANTS, TENANTS
from benchmarks.parts import Figure, Part
from benchmarks.place import prepare, timed
from tenants.fleet_state import customer_schemas
from tenants.models import Dispatch, EntryOutcome
from tenants.services.dispatching import dispatch

KIND = "forecasting.accuracy"


def main(quick: bool) -> None:
    """Dispatch three times, taking the runs away between."""
    count = QUICK_TENANTS if quick else TENANTS
    part = Part("dispatch", "Dispatch", quick=quick)
    names = customer_schemas()
    assert len(names) == count, f"{len(names)} tenants, not {count}: run the part provision first"
    _clear(names)
    seconds = []
    for _ in range(3):
        seconds.append(timed(lambda: dispatch(kind=KIND)))
        made = Dispatch.objects.latest("pk")
        assert made.entries.filter(outcome=EntryOutcome.QUEUED).count() == count
        _clear(names)
        part.keep()
    with CaptureQueriesContext(connection) as asked:
        dispatch(kind=KIND)
    statements = len(asked) / count
    _clear(names)
    part.figures = [
        Figure(f"seconds to dispatch a job to {count:,} tenants", statistics.median(seconds), 3.0,
               note=f"median of {' '.join(f'{one:.1f}' for one in seconds)}; {statements:.1f} statements each"),
    ]  # fmt: skip
    part.text = [
        f"`{KIND}` in every tenant: a run with its audit event in the tenant's schema, a message for the workers, and "
        "the dispatch's entry, a hundred tenants to a transaction; where one of them has trouble they are taken one by "
        "one, so that its failure is its own."
    ]
    part.keep(complete=True)


def _clear(names: list[str]) -> None:
    with connection.cursor() as cursor:
        cursor.execute("DELETE FROM django_q_ormq")
        for name in names:
            cursor.execute(f"DELETE FROM {name}.ledger_run")  # noqa: S608


if __name__ == "__main__":
    prepare()
    main("--quick" in sys.argv)
