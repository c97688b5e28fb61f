"""The platform's front page over the whole fleet."""

from __future__ import annotations

import statistics
import sys

from django.db import connection, transaction
from django.test import Client
from django.test.utils import CaptureQueriesContext

from benchmarks.fleet import QUICK_TENANTS, TENANTS
from benchmarks.parts import Figure, Part
from benchmarks.place import prepare, timed
from tenants.fleet_state import customer_schemas

PAGES = (
    ("/admin/", "fleet page", 10.0, 500.0),
    ("/admin/tenants/schemastate/", "board of schemas", None, None),
)
PLUMBING = ("SET ", "BEGIN", "COMMIT", "SAVEPOINT", "RELEASE")


def main(quick: bool) -> None:
    """Ask for the page as an operator does, and for the board of schemas."""
    count = QUICK_TENANTS if quick else TENANTS
    from django.contrib.auth.models import User

    part = Part("page", "Fleet page", quick=quick)
    assert len(customer_schemas()) == count, "run the part provision first"
    client = Client(headers={"host": "localhost"})
    with transaction.atomic():
        client.force_login(User.objects.create_superuser("bench"))
        part.figures = [figure for page in PAGES for figure in _measured(client, count, *page)]
        transaction.set_rollback(True)  # with the person and their session
    part.text = ["Through the whole stack of middleware, signed in, the first fifty shown, rendered to the end."]
    part.keep(complete=True)


def _measured(client: Client, count: int, path: str, title: str, most: float | None, ms: float | None) -> list[Figure]:
    def ask() -> None:
        assert client.get(path).status_code == 200

    ask()
    with CaptureQueriesContext(connection) as asked:
        ask()
    queries = [
        query["sql"] for query in asked if not query["sql"].startswith(PLUMBING)
    ]  # the next request forgets them
    times = sorted(timed(ask) for _ in range(20))
    note = f"median of 20; fastest {times[0] * 1000:.0f}, slowest {times[-1] * 1000:.0f}"
    return [
        Figure(f"queries of the {title} with {count:,} tenants", float(len(queries)), most),
        Figure(f"milliseconds of the {title} with {count:,} tenants", statistics.median(times) * 1000, ms, note=note),
    ]


if __name__ == "__main__":
    prepare()
    main("--quick" in sys.argv)
