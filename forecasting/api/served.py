"""What ``/api/v1/forecasts/`` answers now, as one hash: every page of every row, in the very bytes that are sent."""

from __future__ import annotations

import hashlib

from forecasting.api.rows import RowFilter, RowFormat, forecast_page
from forecasting.api.sets import CHAMPION, find_set
from ledger.api.errors import NotHere

_PAGE = 10_000


def served_sha256() -> str:
    """SHA-256 over the rows and the head facts of the champion's served set; empty where nothing serves."""
    try:
        served = find_set(version=CHAMPION, origin=None)
    except NotHere:
        return ""
    found, digest, after = served.found, hashlib.sha256(), None
    digest.update(repr((served.version, found.origin_date, found.horizon, found.published_at, served.since)).encode())
    while True:
        page = forecast_page(
            forecast_set_id=found.pk,
            version=served.version,
            origin=found.origin_date,
            chosen=RowFilter(after=after),
            size=_PAGE,
            row_format=RowFormat.JSON,
        )
        digest.update(page.text.encode())
        after = page.more_after
        if after is None:
            return digest.hexdigest()
