"""One chunk of a file to typed columns: what is wrong with a row, and which rows are sound."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from integrations.engine.chunks import Chunk
from integrations.engine.contract import DataContract
from integrations.engine.contract_model import (
    FLAG_FIELDS,
    ID_FIELDS,
    TEXT_FIELDS,
    FileSpec,
    IdRule,
    UnitRule,
)
from integrations.engine.convert import Column, Status, TextCodes, flags, numbers, whole_numbers
from integrations.engine.dates import DateParser
from integrations.engine.headings import ColumnPlan
from integrations.engine.mixed import flat_text
from integrations.engine.rejected import RejectedRow, RejectedRows

MAX_REJECTED = 200_000
MAX_EXAMPLES = 200
REASONS = {
    "wrong_number_of_cells": "The row has more or fewer cells than the headings.",
    "not_json": "The line is not one JSON object with plain values.",
    "missing_value": "A cell that is needed is empty.",
    "not_a_date": "This is not a date in the contract's format.",
    "ambiguous_date": "Day and month could be swapped: name the format in the contract.",
    "date_implausible": "The date lies before 1970 or after 2100.",
    "not_a_number": "This is not a number in the contract's format.",
    "number_out_of_range": "The number is infinite or absurdly large.",
    "not_whole": "The contract asks for a whole number.",
    "not_true_or_false": "This is neither true nor false.",
    "not_an_id": "The identifier is too long or has unprintable signs.",
    "negative_quantity": "The contract allows no negative quantity.",
    "return_not_allowed": "The row is a return, and the contract allows none.",
    "unknown_store": "The store is not in the stores file.",
    "unknown_product": "The product is not in the products file.",
    "duplicate_key": "Another row has the same store, product and date.",
}
_NUMBER_REASON = {
    Status.BAD: "not_a_number",
    Status.OUT_OF_RANGE: "number_out_of_range",
    Status.NOT_WHOLE: "not_whole",
}
_DATE_REASON = {
    Status.BAD: "not_a_date",
    Status.OUT_OF_RANGE: "date_implausible",
    Status.AMBIGUOUS: "ambiguous_date",
}


@dataclass(slots=True)
class Tally:
    """What was counted over a whole file. `reasons` counts cells by (column, reason), whatever else the row had;
    `rejected` keeps the first `MAX_REJECTED` rejected rows; `examples` some texts that were no number or date."""

    read: int = 0
    good: int = 0
    ragged: int = 0
    ragged_reason: str = "wrong_number_of_cells"
    empty: Counter[str] = field(default_factory=Counter)
    reasons: Counter[tuple[str, str]] = field(default_factory=Counter)
    rejected: RejectedRows = field(default_factory=RejectedRows)
    rejected_count: int = 0
    examples: dict[str, list[str]] = field(default_factory=dict)
    watched: dict[str, set[str]] = field(default_factory=dict)

    def bad(self, column: str, *reasons: str) -> int:
        """How many rows had one of these reasons in this column."""
        return sum(self.reasons[column, reason] for reason in reasons)


@dataclass(slots=True)
class Typed:
    """A chunk's columns: `days` and `codes` (by id or text field) as integers, `numbers` as doubles; NaN is empty."""

    rows: int
    days: NDArray[np.int32] | None = None
    codes: dict[str, NDArray[np.int32]] = field(default_factory=dict)
    numbers: dict[str, NDArray[np.float64]] = field(default_factory=dict)
    bad: NDArray[np.bool_] = field(default_factory=lambda: np.zeros(0, np.bool_))
    why: list[tuple[NDArray[np.int64], str, str]] = field(default_factory=list)


class RowReader:
    """Converts the chunks of one file. `books` hold the codes of ids and texts over all files of the batch."""

    def __init__(
        self,
        contract: DataContract,
        spec: FileSpec,
        plan: ColumnPlan,
        required: tuple[str, ...],
        books: dict[str, TextCodes],
        name: str,
    ) -> None:
        self._contract, self._spec, self._plan, self._required = contract, spec, plan, required
        self._books, self._name = books, name
        self._dates = DateParser(contract.date_format, contract.timezone_handling, contract.timezone)
        self.tally = Tally()

    def wanted(self) -> list[str]:
        """The source columns to read."""
        return list(dict.fromkeys((*self._plan.columns.values(), *self._plan.watched.values())))

    def typed(self, chunk: Chunk) -> Typed:
        """The chunk's columns with each row that cannot be used flagged; nothing is recorded yet."""
        typed = Typed(chunk.rows, bad=np.zeros(chunk.rows, np.bool_))
        self.tally.read += chunk.rows + len(chunk.ragged)
        for name, source in self._plan.columns.items():
            cells = chunk.columns[source]
            if name == "date":
                typed.days = self._read_dates(typed, cells, source)
            elif name in ID_FIELDS:
                typed.codes[name] = self._read_ids(typed, cells, name, source)
            elif name in TEXT_FIELDS:
                typed.codes[name] = self._read_texts(cells, name)
            else:
                typed.numbers[name] = self._read_numbers(typed, cells, name, source)
        for kind, source in self._plan.watched.items():
            seen = self.tally.watched.setdefault(kind, set())
            if len(seen) < 50:
                seen.update(str(text).strip() for text in flat_text(chunk.columns[source]).unique().to_pylist() if text)
        return typed

    def flag(self, typed: Typed, mask: NDArray[np.bool_], column: str, reason: str) -> None:
        """Mark rows as not usable for this reason; a row keeps its first reason, each is counted."""
        count = int(np.count_nonzero(mask))
        if not count:
            return
        self.tally.reasons[column, reason] += count
        typed.why.append((np.flatnonzero(mask & ~typed.bad), column, reason))
        typed.bad |= mask

    def settle(self, chunk: Chunk, typed: Typed) -> NDArray[np.bool_]:
        """Record the chunk's rejected rows, and give the mask of the rows that are sound."""
        tally = self.tally
        tally.ragged += len(chunk.ragged)
        tally.ragged_reason = chunk.ragged_reason
        tally.rejected_count += len(chunk.ragged) + int(np.count_nonzero(typed.bad))
        room = MAX_REJECTED - len(tally.rejected)
        rows = [
            RejectedRow(self._name, place.line, "", chunk.ragged_reason, place.raw) for place in chunk.ragged[:room]
        ]
        for indices, column, reason in typed.why:
            if len(indices) and room > len(rows):
                places = chunk.locate(indices[: room - len(rows)])
                rows += [RejectedRow(self._name, place.line, column, reason, place.raw) for place in places]
        tally.rejected.extend(sorted(rows, key=lambda row: row.line))
        good = ~typed.bad
        tally.good += int(np.count_nonzero(good))
        return good

    def _read_dates(self, typed: Typed, cells: pa.Array, source: str) -> NDArray[np.int32]:
        days, status = self._dates.parse(cells)
        self._flag_empty(typed, status == Status.EMPTY, "date", source)
        self._flag_status(typed, cells, status, source, _DATE_REASON)
        return days

    def _read_ids(self, typed: Typed, cells: pa.Array, name: str, source: str) -> NDArray[np.int32]:
        codes = self._books[name].encode(cells)
        if codes.size and codes.min() < 0:
            self._flag_empty(typed, codes == -1, name, source)
            self.flag(typed, codes == -2, source, "not_an_id")
        return codes

    def _read_texts(self, cells: pa.Array, name: str) -> NDArray[np.int32]:
        book = self._books[name]
        codes = book.encode(cells)
        fill = self._contract.fill_for(name)
        if fill is not None:
            codes = np.where(codes < 0, book.encode(pa.array([fill]))[0], codes)
        return np.maximum(codes, -1)

    def _read_numbers(self, typed: Typed, cells: pa.Array, name: str, source: str) -> NDArray[np.float64]:
        column, reasons = self._column(cells, name)
        fill = self._contract.fill_for(name)
        if column.status.any():
            empty = column.status == Status.EMPTY
            if fill is not None:
                column.values[empty] = fill
            else:
                self._flag_empty(typed, empty, name, source)
            self._flag_status(typed, cells, column.status, source, reasons)
        rule: UnitRule | None = self._contract.unit_map.get(name)
        return column.values if rule is None else np.asarray(rule.apply(column.values))

    def _column(self, cells: pa.Array, name: str) -> tuple[Column, dict[Status, str]]:
        kind = self._contract.type_map.get(name, "bool" if name in FLAG_FIELDS else "float")
        if kind == "bool" or name in FLAG_FIELDS:
            return flags(cells), {Status.BAD: "not_true_or_false"}
        column = numbers(cells, self._spec.decimal, self._spec.thousands)
        return (whole_numbers(column) if kind == "int" else column), _NUMBER_REASON

    def _flag_empty(self, typed: Typed, empty: NDArray[np.bool_], name: str, source: str) -> None:
        self.tally.empty[name] += int(np.count_nonzero(empty))
        if name in self._required:
            self.flag(typed, empty, source, "missing_value")

    def _flag_status(
        self, typed: Typed, cells: pa.Array, status: NDArray[np.int8], source: str, reasons: dict[Status, str]
    ) -> None:
        if not status.any():
            return
        for state, reason in reasons.items():
            mask = status == state
            self.flag(typed, mask, source, reason)
            examples = self.tally.examples.setdefault(source, [])
            if len(examples) < MAX_EXAMPLES and mask.any():
                some = flat_text(cells).take(pa.array(np.flatnonzero(mask)[: MAX_EXAMPLES - len(examples)]))
                examples += [str(cell)[:80] for cell in some.to_pylist()]


def id_rule(contract: DataContract, name: str) -> IdRule:
    """The contract's rule for an identifier, or plain trimming."""
    found: IdRule | None = contract.id_normalization.get(name)  # type: ignore[call-overload]  # keys are a Literal
    return found or IdRule()
