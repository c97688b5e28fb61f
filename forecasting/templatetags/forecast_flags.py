"""Flags of a forecast on a page."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from django import template

from forecasting.engine import flags

register = template.Library()
register.filter("flag_label", flags.flag_label)
register.filter("flag_meanings", flags.flag_meanings)


@register.filter
def row_flag_meanings(rows: Sequence[dict[str, Any]]) -> list[tuple[str, str]]:
    """Label and meaning of the flags in a table's rows (each with its path)."""
    return flags.flag_meanings(flag for row in rows for flag in row["path"].flags)
