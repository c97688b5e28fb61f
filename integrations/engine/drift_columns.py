"""What the columns of a file hold: each heading with the kind of nearly all of its first cells."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import islice
from pathlib import Path

import pyarrow as pa

from integrations.engine.chunks import FileProblem
from integrations.engine.contract import DataContract
from integrations.engine.contract_model import FLAG_FIELDS, ID_FIELDS, TEXT_FIELDS, ColumnKind, FileSpec, Role
from integrations.engine.headings import fields_of
from integrations.engine.number_signs import CLEAR, MIN_CELLS, Signs, signs_of
from integrations.engine.profile import profile_column
from integrations.engine.sources import open_source

SAMPLE_ROWS = 5000
BLOCKS = 2  # a last line without its line end comes in a block of its own
Columns = dict[str, str]  # heading to kind: a ColumnKind or one of those below
UNCLEAR = "unclear"
"""Too few cells, or too many kinds of them, to say what a column holds."""
WHOLE = "whole"
"""Numbers, all written without a sign of decimals or of thousands."""
SWAPPED = "swapped"
"""Numbers written with the sign of decimals that the contract does not say."""
DOUBTFUL = "doubtful"
"""Numbers of which some could be read two ways, and nothing says which way."""


def observe_columns(path: Path, contract: DataContract, role: Role) -> Columns:
    """Each heading of a file with what nearly all of its first rows hold; reads the first two blocks only.

    A file that cannot be read has no columns: reading it says why.
    """
    spec = contract.files.by_role()[role]
    try:
        with open_source(path, spec) as opened:
            headings = [heading for heading in dict.fromkeys(opened.source.headings) if heading]
            flat = [heading for heading in headings if heading not in opened.source.nested]
            arrays = _joined([chunk.columns for chunk in islice(opened.source.chunks(flat), BLOCKS)])
            kinds = {heading: _kind(arrays.get(heading)) for heading in headings}
    except FileProblem:
        return {}
    numbers = [
        name for name, read_as in reading(contract, role, kinds).items() if name in arrays and is_number(read_as)
    ]
    return {**kinds, **_written({name: signs_of(arrays[name], spec.decimal) for name in numbers}, kinds)}


def _joined(blocks: list[Mapping[str, pa.Array]]) -> dict[str, pa.Array]:
    """The blocks' columns as one; a column that a workbook types differently further down is its first block's."""
    return {
        name: pa.concat_arrays([block[name] for block in blocks])
        if all(block[name].type == array.type for block in blocks)
        else array
        for name, array in (blocks[0].items() if blocks else ())
    }


def _written(signs: Mapping[str, Signs], kinds: Columns) -> Columns:
    """How the numbers are written, where that says more than that they are numbers."""
    unclear = sum(found.unclear for found in signs.values())
    told: Columns = {}
    for name, found in signs.items():
        if found.swapped(unclear=unclear):
            told[name] = SWAPPED
        elif found.doubtful and kinds[name] in (ColumnKind.NUMBER, UNCLEAR):
            told[name] = DOUBTFUL
        elif found.whole and kinds[name] == ColumnKind.NUMBER:
            told[name] = WHOLE
    return told


def first_rows(path: Path, spec: FileSpec, limit: int) -> tuple[list[str], list[list[str]]]:
    """The headings and the first rows of a file as text, for a person to look at; empty where it cannot be read."""
    try:
        with open_source(path, spec) as opened:
            headings = [name for name in dict.fromkeys(opened.source.headings) if name not in opened.source.nested]
            arrays = _joined([chunk.columns for chunk in islice(opened.source.chunks(headings), BLOCKS)])
            if not arrays:
                return headings, []
            columns = [_texts(arrays[name], limit) for name in headings]
            return headings, [list(row) for row in zip(*columns, strict=True)]
    except FileProblem:
        return [], []


def _texts(array: pa.Array, limit: int) -> list[str]:
    return ["" if cell is None else str(cell)[:200] for cell in array.slice(0, limit).to_pylist()]


def _kind(array: pa.Array | None) -> str:
    if array is None:
        return ColumnKind.EMPTY
    kind = array.type
    if array.null_count == len(array):
        return ColumnKind.EMPTY
    if pa.types.is_boolean(kind):
        return ColumnKind.FLAG
    if pa.types.is_temporal(kind):
        return ColumnKind.DATE
    profile = profile_column(_texts(array, SAMPLE_ROWS))
    if not profile.filled:
        return ColumnKind.EMPTY
    if pa.types.is_integer(kind) or pa.types.is_floating(kind):
        return ColumnKind.FLAG if profile.flags else ColumnKind.NUMBER
    if profile.filled < MIN_CELLS:
        return UNCLEAR
    if profile.flags:
        return ColumnKind.FLAG
    if profile.dates >= CLEAR:
        return ColumnKind.DATE
    if profile.numeric >= CLEAR:
        return ColumnKind.NUMBER
    return ColumnKind.TEXT if max(profile.dates, profile.numeric) <= 1 - CLEAR else UNCLEAR


def reading(contract: DataContract, role: Role, columns: Mapping[str, str]) -> dict[str, str]:
    """Column to the field that is read from it, as the plan of the columns assigns them."""
    allowed = fields_of(contract, role)
    found = {column: contract.mapping[column] for column in columns if contract.mapping.get(column) in allowed}
    claimed = set(found.values())
    for name in allowed:
        if name in columns and name not in claimed and name not in contract.mapping:
            found[name] = name
    return found


def is_number(field: str) -> bool:
    """Whether a field holds figures, further regressors among them."""
    return field not in (*ID_FIELDS, *TEXT_FIELDS, *FLAG_FIELDS, "date")
