"""Texts of ours in a person's spreadsheet: a cell that would be run as a formula is shown as text instead."""

from __future__ import annotations

FORMULA_STARTS = ("=", "+", "-", "@", "\t", "\r", "\n", "＝", "＋", "－", "＠")
FORMULA_REGEX = "^[-=+@\t\r\n＝＋－＠]"
"""The same as a PostgreSQL regular expression, for exports that the database writes."""


def plain_cell(text: str) -> str:
    """The cell with an apostrophe in front if a spreadsheet would take it for a formula."""
    return f"'{text}" if text.startswith(FORMULA_STARTS) else text
