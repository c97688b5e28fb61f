"""Moments inside a cursor."""

from __future__ import annotations

import datetime as dt
from typing import Any


def read_moment(text: Any) -> dt.datetime:
    """Reader of a moment with its time zone; raises ``ValueError`` or ``TypeError``."""
    moment = dt.datetime.fromisoformat(text)
    if moment.tzinfo is None:
        raise ValueError("without a time zone")
    return moment
