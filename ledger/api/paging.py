"""Pages by key, not by number: each page starts after the last row of the one before, so none is skipped or repeated
when rows are added meanwhile, and the last page is as fast as the first."""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Callable, Sequence
from typing import Any

from rest_framework.request import Request
from rest_framework.utils.urls import replace_query_param

from ledger.api.errors import InvalidQuery
from ledger.api.params import Param

CURSOR = Param("cursor", "Where the next page starts: follow the `next` address of the page before.")


def encode(key: list[Any], *, filters: dict[str, Any]) -> str:
    """An opaque cursor of the last row's key, bound to the filters that it was made under."""
    body = json.dumps([_mark(filters), *key], default=str, separators=(",", ":"))
    return base64.urlsafe_b64encode(body.encode()).decode().rstrip("=")


def integer(part: Any) -> int:
    """Reader of a number that fits a database key."""
    if type(part) is not int or not 0 <= part < 2**63:
        raise ValueError
    return part


def decode(cursor: str, *, readers: Sequence[Callable[[Any], Any]], filters: dict[str, Any]) -> list[Any]:
    """The key in ``cursor``, one part for each of ``readers``. Raises ``InvalidQuery``.

    A cursor is no secret and no permission: whatever key is forged into it, the page is read with the same filters and
    inside the same schema as any other.
    """
    problem = "cursor is not one of ours; follow the `next` address of a page, or leave it out to start anew."
    try:
        if len(cursor) > 400:
            raise ValueError
        mark, *key = json.loads(base64.urlsafe_b64decode(cursor + "=" * (-len(cursor) % 4)))
        values = [read(part) for read, part in zip(readers, key, strict=True)]
    except (ValueError, TypeError, AttributeError, RecursionError):  # binascii's and JSON's errors are ValueErrors
        raise InvalidQuery([{"parameter": "cursor", "message": problem}]) from None
    if mark != _mark(filters):
        problem = "cursor belongs to other filters; leave it out to start anew with these."
        raise InvalidQuery([{"parameter": "cursor", "message": problem}])
    return values


def next_url(request: Request, cursor: str | None) -> str | None:
    """The address of the page after ``cursor``; ``None`` at the end."""
    return None if cursor is None else replace_query_param(request.build_absolute_uri(), "cursor", cursor)


def _mark(filters: dict[str, Any]) -> str:
    text = json.dumps(filters, sort_keys=True, default=str)
    return hashlib.sha256(text.encode()).hexdigest()[:8]
