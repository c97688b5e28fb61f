"""Columns whose cells have types of their own: a workbook's dates, numbers and texts may stand in one column.

A text file has only text, so its columns are plain strings. Excel and JSON say for each cell what it is; what they
say is kept, so that a real date is that date whatever `date_format` says, and a real number needs no decimal sign.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date, datetime
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

MOMENT = pa.timestamp("us")
MIXED = pa.struct([("number", pa.float64()), ("day", pa.date32()), ("moment", MOMENT), ("text", pa.string())])
"""At most one of the four is given; none is an empty cell."""


def typed_column(cells: Sequence[object]) -> pa.Array:
    """The arrow array of a column's cells: float, date, datetime, str, or None for an empty one.

    A column of one kind has that kind's type; one of several is a struct `MIXED`, which the converters know.
    """
    kinds: dict[str, list[Any]] = {}
    for index, cell in enumerate(cells):
        if cell is None:
            continue
        kind = (
            "text"
            if isinstance(cell, str)
            else "moment"
            if isinstance(cell, datetime)
            else "day"
            if isinstance(cell, date)
            else "number"
        )
        column = kinds.get(kind)
        if column is None:
            column = kinds[kind] = [None] * len(cells)
        column[index] = cell
    if len(kinds) <= 1:
        kind, values = next(iter(kinds.items()), ("text", [None] * len(cells)))
        return pa.array(values, MIXED.field(kind).type)
    arrays = [pa.array(kinds.get(entry.name, [None] * len(cells)), entry.type) for entry in MIXED]
    return pa.StructArray.from_arrays(arrays, fields=list(MIXED))


def is_mixed(array: pa.Array) -> bool:
    """Whether the column holds cells of several kinds."""
    return bool(array.type == MIXED)


def part(array: pa.StructArray, name: str) -> pa.Array:
    """One kind's cells of a mixed column; null where the cell is of another kind."""
    return array.field(name)


def flat_text(array: pa.Array) -> pa.Array:
    """A mixed column as text (ISO dates, whole numbers without a point); any other column as it is."""
    if not is_mixed(array):
        return array
    day = part(array, "day").cast(pa.string())
    moment = pc.strftime(part(array, "moment").cast(pa.timestamp("s"), safe=False), format="%Y-%m-%dT%H:%M:%S")
    return pc.coalesce(part(array, "text"), whole_floats_as_text(part(array, "number")), day, moment)


def whole_floats_as_text(array: pa.Array) -> pa.Array:
    """Identifiers that a program wrote as 1001.0 read 1001 again; an empty or broken figure is an empty cell."""
    values = pc.fill_null(array.cast(pa.float64()), np.nan).to_numpy(zero_copy_only=False)
    return pa.array([None if value != value else number_text(value) for value in values.tolist()], pa.string())


def number_text(value: float) -> str:
    """A number as a person would type it: no point on a whole one."""
    if value in (float("inf"), float("-inf")):
        return str(value)
    return str(int(value)) if value == int(value) else str(value)
