"""Countries, and which of them keep a time zone: prefilled answers, never a decision."""

from __future__ import annotations

import importlib.resources
from functools import cache


@cache
def countries() -> tuple[tuple[str, str], ...]:
    """ISO 3166 codes with their English names, by name."""
    rows = (line.split("\t") for line in _lines("iso3166.tab"))
    return tuple(sorted(((row[0], row[1]) for row in rows if len(row) > 1), key=lambda pair: pair[1]))


@cache
def _zones() -> dict[str, str]:
    rows = (line.split("\t") for line in _lines("zone.tab"))
    return {row[2]: row[0] for row in rows if len(row) > 2}


def country_of_zone(time_zone: str) -> str:
    """The code of the country that keeps this time zone; empty where none or several do."""
    return _zones().get(time_zone, "")


def _lines(name: str) -> list[str]:
    text = (importlib.resources.files("tzdata") / "zoneinfo" / name).read_text(encoding="utf-8")
    return [line for line in text.splitlines() if line and not line.startswith("#")]
