"""Query parameters, declared once: they parse strictly, and the OpenAPI description is made from them."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

from django.http import QueryDict
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import OpenApiParameter

from ledger.api.errors import InvalidQuery

_MOST_VALUES = 200


@dataclass(frozen=True)
class Param:
    """One parameter. ``parse`` turns its text into a value; its ``ValueError`` says what is allowed."""

    name: str
    description: str
    parse: Callable[[str], Any] = str
    many: bool = False
    default: Any = None
    openapi_type: Any = OpenApiTypes.STR
    enum: Callable[[], Iterable[str]] | None = None

    def read(self, texts: list[str]) -> Any:
        """The value of this parameter's texts, the default where there are none; raise ``ValueError``."""
        if not texts:
            return [] if self.many else self.default
        if any("\x00" in text for text in texts):
            raise ValueError("must not contain NUL characters")
        if self.many:
            if len(texts) > _MOST_VALUES:
                raise ValueError(f"may be given at most {_MOST_VALUES} times")
            return [self.parse(text) for text in texts]
        if len(texts) > 1:
            raise ValueError("is given more than once")
        return self.parse(texts[0])


class Query:
    """The parameters that one address knows."""

    def __init__(self, *params: Param) -> None:
        self.params = params
        self.names = frozenset(param.name for param in params)

    def parse(self, given: QueryDict) -> dict[str, Any]:
        """Values by name; raise ``InvalidQuery`` with one entry for each parameter that is unknown or wrong."""
        known = ", ".join(sorted(self.names)) or "none"
        errors = [
            {"parameter": name[:80], "message": f"There is no parameter {name[:80]!r} here. Known: {known}."}
            for name in given
            if name not in self.names
        ]
        values: dict[str, Any] = {}
        for param in self.params:
            try:
                values[param.name] = param.read(given.getlist(param.name))
            except ValueError as error:
                errors.append({"parameter": param.name, "message": f"{param.name} {error}."})
        if errors:
            raise InvalidQuery(errors)
        return values

    def openapi(self) -> list[OpenApiParameter]:
        """The same parameters for the schema."""
        return [
            OpenApiParameter(
                name=param.name,
                description=param.description,
                type=param.openapi_type,
                many=param.many,
                default=param.default,
                enum=list(param.enum()) if param.enum else None,
            )
            for param in self.params
        ]


def whole_number(least: int, most: int) -> Callable[[str], int]:
    """Parser of a whole number within bounds."""

    def parse(text: str) -> int:
        if not (text.isascii() and text.isdecimal() and len(text) <= 18 and least <= int(text) <= most):
            raise ValueError(f"must be a whole number from {least:,} to {most:,}, not {text[:40]!r}")
        return int(text)

    return parse


def day(text: str) -> dt.date:
    """Parser of an ISO date."""
    try:
        if len(text) != 10:
            raise ValueError
        return dt.date.fromisoformat(text)
    except ValueError:
        raise ValueError(f"must be a date like 2026-01-31 (year, month, day), not {text[:40]!r}") from None


def one_of(allowed: Callable[[], Iterable[str]]) -> Callable[[str], str]:
    """Parser of a word out of a list that is asked for when it is needed."""

    def parse(text: str) -> str:
        words = list(allowed())
        if text not in words:
            raise ValueError(f"must be one of {', '.join(words)}, not {text[:80]!r}")
        return text

    return parse


def page_size(*, default: int, most: int) -> Param:
    """The parameter ``page_size``."""
    return Param(
        "page_size",
        f"Rows a page, 1 to {most:,}.",
        whole_number(1, most),
        default=default,
        openapi_type=OpenApiTypes.INT,
    )
