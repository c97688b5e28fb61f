"""The smaller files: products, stores and known-future covariates. One row per identifier or key; the last one wins."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from integrations.engine.contract_model import TEXT_FIELDS, Role
from integrations.engine.convert import TextCodes
from integrations.engine.rows import Typed

KEYS = {
    Role.PRODUCTS: ("product_id",),
    Role.STORES: ("store_id",),
    Role.COVARIATES: ("store_id", "product_id", "date"),
}


class ReferenceBuilder:
    """Collects the sound rows of one role's files."""

    def __init__(self, role: Role, books: dict[str, TextCodes]) -> None:
        self._role, self._books = role, books
        self._parts: list[dict[str, NDArray[np.generic]]] = []

    def add(self, typed: Typed, good: NDArray[np.bool_], file: int) -> None:
        """Take the sound rows of a chunk."""
        count = int(np.count_nonzero(good))
        part: dict[str, NDArray[np.generic]] = {name: codes[good] for name, codes in typed.codes.items()}
        part |= {name: values[good] for name, values in typed.numbers.items()}
        if typed.days is not None:
            part["date"] = typed.days[good]
        part["file"] = np.full(count, file, np.int16)
        self._parts.append(part)

    def finish(self) -> tuple[pa.Table, NDArray[np.int64], int]:
        """The table sorted by its key, the rows each file has brought, and how many repeated rows differed."""
        names = list(dict.fromkeys(name for part in self._parts for name in part if name != "file"))
        keys = [name for name in KEYS[self._role] if name in names]
        columns = {name: np.concatenate([_or_empty(part, name) for part in self._parts]) for name in names}
        files = np.concatenate([np.asarray(part["file"]) for part in self._parts] or [np.zeros(0, np.int16)])
        order = np.lexsort([columns[name] for name in reversed(keys)]) if keys else np.arange(len(files))
        same = np.ones(max(len(order) - 1, 0), np.bool_)
        equal = same.copy()
        for name in names:
            values = columns[name][order]
            pairs = (values[1:] == values[:-1]) | ((values[1:] != values[1:]) & (values[:-1] != values[:-1]))
            if name in keys:
                same &= pairs
            else:
                equal &= pairs
        last = order[np.append(~same, True)[: len(order)]]
        conflicts = int(np.count_nonzero(same & ~equal))
        arrays = {
            name: self._array(name, columns[name][last]) for name in (*keys, *(n for n in names if n not in keys))
        }
        loaded = np.bincount(files[last].astype(np.int64)) if len(last) else np.zeros(1, np.int64)
        table = pa.table(arrays)
        for name in KEYS[self._role]:
            if name not in names:  # not in the file: holds for all of them
                table = table.append_column(name, pa.nulls(table.num_rows, _key_type(name)))
        return table.sort_by([(name, "ascending") for name in keys]) if keys else table, loaded, conflicts

    def _array(self, name: str, values: NDArray[np.generic]) -> pa.Array:
        if name == "date":
            return pa.array(values.astype(np.int32)).cast(pa.date32())
        if name in self._books and (name in TEXT_FIELDS or name.endswith("_id")):
            words = np.array([*self._books[name].texts(), None], dtype=object)
            return pa.array(words[values.astype(np.int64)], pa.string())
        return pa.array(values.astype(np.float64), from_pandas=True)


def _key_type(name: str) -> pa.DataType:
    return pa.date32() if name == "date" else pa.string()


def _or_empty(part: dict[str, NDArray[np.generic]], name: str) -> NDArray[np.generic]:
    """A file without this column has it empty."""
    if name in part:
        return part[name]
    count = len(part["file"])
    return np.full(count, -1, np.int32) if name in TEXT_FIELDS or name.endswith("_id") else np.full(count, np.nan)
