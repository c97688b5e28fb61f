"""When rows of demand came in: what a replay may see on which day.

A row names the batch that last wrote it, and a batch says when it was received; earlier values are not kept. So of a
row that was written late (first loaded then, or corrected) only this is known: it stands as it does since that day, and
what stood there before is lost. Rows of the tenant's first day of deliveries are its history, which counts as known in
time; so does a row that came within two days of its own, as the night's delivery does.
"""

from __future__ import annotations

from datetime import date

import pandas as pd
from django.db import connection

from tenants.selectors import current_tenant

GRACE_DAYS = 2
_LATE = """
    WITH came AS (
        SELECT id, (received_at AT TIME ZONE %(zone)s)::date AS day FROM integrations_ingestbatch WHERE state = 'loaded'
    )
    SELECT d.series_id, d.date, came.day FROM forecasting_demand d JOIN came ON came.id = d.batch_id
    WHERE d.date <= %(end)s::date AND came.day > d.date + %(grace)s::int AND came.day > (SELECT min(day) FROM came)
"""


def late_arrivals(end: date) -> pd.DataFrame:
    """unique_id, ds and arrived (days as datetime64[ns]) of the rows up to `end` that came in late."""
    zone = current_tenant().time_zone  # before the cursor is opened: it looks into another schema
    with connection.cursor() as cursor:
        cursor.execute(_LATE, {"zone": zone, "end": end.isoformat(), "grace": str(GRACE_DAYS)})
        rows = cursor.fetchall()
    frame = pd.DataFrame(rows, columns=["unique_id", "ds", "arrived"])
    days = {name: pd.to_datetime(frame[name]).astype("datetime64[ns]") for name in ("ds", "arrived")}
    return frame.assign(unique_id=frame["unique_id"].astype("int64"), **days)
