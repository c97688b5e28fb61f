"""Errors that only doors know: a query that cannot be read, an address with nothing behind it."""

from __future__ import annotations

from collections.abc import Sequence

from rest_framework.exceptions import APIException, NotFound


class InvalidQuery(APIException):
    """Query parameters that cannot be used; ``errors`` names each one with what is allowed."""

    status_code = 400
    default_code = "invalid_query"

    def __init__(self, errors: Sequence[dict[str, str]]) -> None:
        self.errors = list(errors)
        super().__init__(" ".join(error["message"] for error in self.errors))


class NotHere(NotFound):
    """There is no such object in this tenant, whether or not another tenant has one."""
