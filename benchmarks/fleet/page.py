"""The platform's front page over the whole fleet."""

from __future__ import annotations

import statistics
import sys

from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext

from benchmarks.fleet import QUICK_TENANTS, TENANTS
from benchmarks.parts import Figure, Part
from benchmarks.place import prepare, timed
from tenants.fleet_state import customer_schemas


def main(quick: bool) -> None:
    """Ask for the page as an operator does, and for the board of schemas."""
    count = QUICK_TENANTS if quick else TENANTS
    from django.contrib.auth.models import User

    part = Part("page", "Fleet page", quick=quick)
    assert len(customer_schemas()) == count, "run the part provision first"
    User.objects.filter(username="bench").delete()
    client = Client(headers={"host": "localhost"})
    client.force_login(User.objects.create_superuser("bench"))
    part.figures = []
    for path, title, aims in (
        ("/admin/", "fleet page", (10.0, 500.0)),
        ("/admin/tenants/schemastate/", "board of schemas", (None, None)),
    ):

        def ask(address: str = path) -> None:
            assert client.get(address).status_code == 200

        ask()
        with CaptureQueriesContext(connection) as asked:
            ask()
        times = sorted(timed(ask) for _ in range(20))
        note = f"median of 20; fastest {times[0] * 1000:.0f}, slowest {times[-1] * 1000:.0f}"
        part.figures += [
            Figure(f"queries of the {title} with {count:,} tenants", float(len(asked)), aims[0]),
            Figure(f"milliseconds of the {title} with {count:,} tenants", statistics.median(times) * 1000, aims[1],
                   note=note),
        ]  # fmt: skip
    part.text = ["Through the whole stack of middleware, signed in, the first fifty shown, rendered to the end."]
    User.objects.filter(username="bench").delete()
    part.keep(complete=True)


if __name__ == "__main__":
    prepare()
    main("--quick" in sys.argv)
