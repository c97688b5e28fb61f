"""Days that an earlier reading of a delivery wrote, and its mended one no longer brings."""

from __future__ import annotations

import pyarrow as pa
from django.db import connection

from forecasting.services.bulk import copy_in


def note_days(*, keys: pa.Table) -> None:
    """Write down, until `drop_vanished`, days that the mended delivery brings: ``keys`` has series_id and date."""
    with connection.cursor() as cursor:
        cursor.execute("CREATE TEMP TABLE IF NOT EXISTS demand_keys (series_id bigint, date date) ON COMMIT DROP")
    copy_in(keys, "demand_keys", ["series_id", "date"])


def drop_vanished(*, replaces: frozenset[int]) -> int:
    """Delete the days that the batches of ``replaces`` wrote last and that were not noted; how many they were.

    A mended row can take a day away: under the policy `reject`, it may turn out to repeat a row that was loaded, and
    then neither counts.
    """
    with connection.cursor() as cursor:
        cursor.execute("ANALYZE demand_keys")
        cursor.execute(
            """
            DELETE FROM forecasting_demand d WHERE d.batch_id = ANY (%s) AND NOT EXISTS (
                SELECT FROM demand_keys k WHERE k.series_id = d.series_id AND k.date = d.date)
            """,
            [sorted(replaces)],
        )
        gone = int(cursor.rowcount)
        cursor.execute("DROP TABLE pg_temp.demand_keys")
    return gone
