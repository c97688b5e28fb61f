"""Which sign of decimals the cells of a column speak for: 1.234,5 and 1,234.5 are the same figure, 1.234 may be two.

A contract that says one sign reads most cells of the other writing as no number at all. The danger is in those that
are a number under both: `1.234` is a little more than one, or more than a thousand.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

import pyarrow as pa
import pyarrow.compute as pc

from integrations.engine.mixed import is_mixed, part

CLEAR = 0.9
"""From this share of the cells on, a column holds something."""
MIN_CELLS = 20
"""Fewer cells are no evidence of what a column holds: some of them may be mistakes."""
_SHAPE = re.compile(r"[+-]?(\d*)((?:[.,]\d+)+)-?")
_PARTS = re.compile(r"([.,])(\d+)")
_TEXTS = 50_000  # different cells of one column that are looked at


@dataclass(frozen=True, slots=True)
class Signs:
    """Cells of a column: `own` can only be read with the contract's sign of decimals, `other` only with the other one;
    `unclear` ones are numbers under both, and another one under each. `cells`: all that are filled.
    """

    own: int = 0
    other: int = 0
    unclear: int = 0
    cells: int = 0

    @property
    def whole(self) -> bool:
        """Whether there are many figures, and none has such a sign."""
        return self.cells >= MIN_CELLS and not (self.own or self.other or self.unclear)

    @property
    def doubtful(self) -> bool:
        """Whether nothing says how the figures that can be read two ways are meant."""
        return self.unclear > 0 and not (self.own or self.other)

    def swapped(self, *, unclear: int) -> bool:
        """Whether the cells clearly speak for the other sign, and it matters: enough of them, or `unclear` ones of the
        file (its whole number) would be read as other figures.
        """
        clear = self.other > 0 and self.other >= CLEAR * (self.own + self.other)
        return clear and (unclear > 0 or self.other >= MIN_CELLS)


def signs_of(array: pa.Array, decimal: str) -> Signs:
    """What a column's cells speak for under a contract with `decimal`; native numbers speak for nothing."""
    if is_mixed(array):
        array = part(array, "text")
    if not (pa.types.is_string(array.type) or pa.types.is_large_string(array.type)):
        return Signs()
    own = other = unclear = cells = 0
    for item in pc.value_counts(array).slice(0, _TEXTS).to_pylist():
        text, count = (item["values"] or "").strip(), item["counts"]
        if not text:
            continue
        cells += count
        sign = _speaks_for(text)
        own += count * (sign == decimal)
        other += count * (sign in (".", ",") and sign != decimal)
        unclear += count * (sign == "?")
    return Signs(own, other, unclear, cells)


def _speaks_for(text: str) -> str:
    """The sign of decimals that this cell can only have, `?` where either could be meant, else nothing."""
    shaped = _SHAPE.fullmatch(text)
    if shaped is None:
        return ""
    before, parts = shaped[1], _PARTS.findall(shaped[2])
    last = parts[-1][0]
    opposite = "," if last == "." else "."
    groups = [sign for sign, _ in parts]
    if len(set(groups)) == 2:  # the later one, where it stands once
        return last if groups.count(last) == 1 else ""
    if not all(len(figures) == 3 for _, figures in parts) or before in ("", "0") or len(before) > 3:
        return last if len(parts) == 1 else ""
    return "?" if len(parts) == 1 else opposite
