"""What the figures of a sample mean: returns, repeated keys, days without a row, units. Each with a plain reason.

A sample is the start of a file, so these are proposals: the checks of the whole file follow, the person decides.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date

import numpy as np
import pyarrow as pa

from integrations.engine.contract_model import DedupePolicy, Grain, MissingDays, SignPolicy, TimezoneHandling
from integrations.engine.convert import Status
from integrations.engine.dates import EPOCH, DateParser
from integrations.engine.demand import RETURN_WORDS
from integrations.engine.name_match import split_words
from integrations.engine.profile import ColumnProfile, profile_column

_FORMATS = ("iso8601", "%d.%m.%Y", "%Y%m%d", "%Y/%m/%d", "%d.%m.%y", "%d/%m/%Y", "%m/%d/%Y", "%d-%m-%Y", "%m-%d-%Y")
_CENTS = """cent cents ct cts pence penny pennies rappen grosze kurus centimes centavos centesimi eurocent"""
_PACKS = """case cases karton kartons crate crates box boxes carton cartons pack packs dozen kiste kisten palette pallet
pallets gebinde colis cajas collo colli caixas doos koli"""
_CENT_WORDS, _PACK_WORDS = frozenset(_CENTS.split()), frozenset(_PACKS.split())
_OFFSET = re.compile(r"(?:Z|[+-]\d{2}:?\d{2})$")
_WEEKDAYS = ("Mondays", "Tuesdays", "Wednesdays", "Thursdays", "Fridays", "Saturdays", "Sundays")


@dataclass(frozen=True, slots=True)
class Choice:
    """A proposed value of a contract's key, how sure it is (0..1), and why."""

    key: str
    value: str
    confidence: float
    why: str


@dataclass(frozen=True, slots=True)
class UnitHint:
    """A field whose figures may be in another unit. `rule` is a `unit_map` entry, None where the factor is unknown."""

    field: str
    rule: dict[str, float] | None
    why: str


@dataclass(frozen=True, slots=True)
class Meaning:
    """All proposals for one sample. `return_words`: the transaction types that are read as returns."""

    sign_policy: Choice
    dedupe_policy: Choice
    missing_days: Choice
    grain: Choice
    timezone_handling: Choice
    return_words: tuple[str, ...] = ()
    units: tuple[UnitHint, ...] = ()


def suggest_meaning(
    headings: Sequence[str],
    rows: Sequence[Sequence[str | None]],
    mapping: Mapping[str, str],
    *,
    date_format: str | None = None,
) -> Meaning:
    """The likely meaning of a sample whose columns are `mapping` (column to field).

    `rows` are the first rows as text. Without `date_format`, the dates are read only where one format alone reads them.
    Nothing is raised for bad cells: what cannot be read says nothing.
    """
    sample = _Sample(headings, rows, mapping, date_format)
    sign, words = _signs(sample)
    return Meaning(
        sign_policy=sign,
        dedupe_policy=_duplicates(sample),
        missing_days=_missing_days(sample),
        grain=_grain(sample),
        timezone_handling=_handling(sample),
        return_words=words,
        units=tuple(_units(sample)),
    )


class _Sample:
    """The sample's mapped columns by field."""

    def __init__(
        self,
        headings: Sequence[str],
        rows: Sequence[Sequence[str | None]],
        mapping: Mapping[str, str],
        date_format: str | None,
    ) -> None:
        places = {heading: at for at, heading in reversed(list(enumerate(headings)))}
        self.rows = rows
        self.headings = {field: column for column, field in mapping.items() if column in places}
        self.cells = {field: [_cell(row, places[column]) for row in rows] for field, column in self.headings.items()}
        self.profiles = {field: profile_column(cells) for field, cells in self.cells.items()}
        self.days = _days(self.cells.get("date", []), date_format)

    def profile(self, field: str) -> ColumnProfile | None:
        found = self.profiles.get(field)
        return found if found is not None and found.filled else None

    def returned(self) -> list[bool]:
        """Which rows are returns, by sign or by word."""
        quantity = self.profile("quantity")
        negative = (quantity.numbers < 0).tolist() if quantity else [False] * len(self.rows)
        words = self.cells.get("transaction_type", [""] * len(self.rows))
        return [below or word.lower() in RETURN_WORDS for below, word in zip(negative, words, strict=True)]


def _cell(row: Sequence[str | None], place: int) -> str:
    return str(row[place] if place < len(row) and row[place] is not None else "").strip()


def _days(cells: Sequence[str], date_format: str | None) -> list[date | None]:
    """The day of every row; all None where the format is neither given nor clear."""
    if not any(cells):
        return [None] * len(cells)
    texts = pa.array(cells, pa.string())
    readings: list[list[date | None]] = []
    for style in (date_format,) if date_format else _FORMATS:
        days, status = DateParser(style, TimezoneHandling.SOURCE_LOCAL_DATE, "UTC").parse(texts)
        known = (status == Status.OK).tolist()
        if sum(known) >= 0.9 * sum(map(bool, cells)):
            readings.append(
                [
                    date.fromordinal(day + EPOCH) if good else None
                    for day, good in zip(days.tolist(), known, strict=True)
                ]
            )
    return readings[0] if len(readings) == 1 else [None] * len(cells)


def _signs(sample: _Sample) -> tuple[Choice, tuple[str, ...]]:
    key = "quantity_sign_policy"
    returns = SignPolicy.ALLOW_NEGATIVE_RETURNS.value
    types = Counter(cell for cell in sample.cells.get("transaction_type", []) if cell)
    words = tuple(word for word in types if word.lower() in RETURN_WORDS)
    quantity = sample.profile("quantity")
    if words:
        named = ", ".join(f"“{word}”" for word in words[:3])
        column = sample.headings["transaction_type"]
        return Choice(key, returns, 0.95, f"{column} says {named}: these rows are returns and are kept apart."), words
    if quantity and quantity.negative > 0:
        count = int(np.sum(quantity.numbers < 0))
        if quantity.negative > 0.5:
            why = (
                f"{count:,} of {quantity.filled:,} quantities are negative: sales seem to be booked as minus. Check it."
            )
            return Choice(key, returns, 0.4, why), ()
        why = f"{count:,} of {quantity.filled:,} quantities are negative: probably returns, kept apart from the sales."
        return Choice(key, returns, 0.85, why), ()
    why = "No quantity in the sample is negative, so a negative one would be a mistake and is left out."
    return Choice(key, SignPolicy.NON_NEGATIVE.value, 0.75, why), ()


def _duplicates(sample: _Sample) -> Choice:
    key = "dedupe_policy"
    needed = ("date", "store_id", "product_id")
    if any(sample.profile(field) is None for field in needed):
        return Choice(
            key, DedupePolicy.REJECT.value, 0.3, "Map date, store and product first: then repeated ones show."
        )
    days = [str(day) if day else text for day, text in zip(sample.days, sample.cells["date"], strict=True)]
    places = zip(sample.cells["store_id"], sample.cells["product_id"], days, sample.returned(), strict=True)
    keys = [place if all(place[:3]) else None for place in places]
    counts = Counter(place for place in keys if place is not None)
    repeated = sum(count - 1 for count in counts.values())
    if not repeated:
        why = "Each store, product and day stands there once in the sample; a second one would be a mistake."
        return Choice(key, DedupePolicy.REJECT.value, 0.7, why)
    twins = Counter(tuple(_cell(row, at) for at in range(len(row))) for row in sample.rows)
    same = sum(count - 1 for count in twins.values())
    if same >= 0.8 * repeated:
        why = f"{repeated:,} rows of the sample repeat another one in every cell: the export may hold rows twice."
        return Choice(key, DedupePolicy.REJECT.value, 0.5, why)
    why = f"{repeated:,} rows of the sample repeat a store, product and day with other figures: till lines that add up."
    return Choice(key, DedupePolicy.SUM.value, 0.9 if repeated > 0.02 * len(keys) else 0.7, why)


def _missing_days(sample: _Sample) -> Choice:
    key = "missing_days"
    zero, closed = MissingDays.ZERO.value, MissingDays.CLOSED.value
    days = sorted({day for day in sample.days if day is not None})
    plain = "Files of sales list what was sold, so a day without a row counts as no sale."
    if len(days) < 14 or _is_weekly(days):
        return Choice(key, zero, 0.6, plain)
    span = [date.fromordinal(at) for at in range(days[0].toordinal(), days[-1].toordinal() + 1)]
    absent = {day for day in span} - set(days)
    never = [name for at, name in enumerate(_WEEKDAYS) if not any(day.weekday() == at for day in days)]
    if absent and never and len(span) >= 21 and all(_WEEKDAYS[day.weekday()] in never for day in absent):
        return Choice(key, closed, 0.8, f"No sale is on {' or '.join(never)}: the shop seems to be closed then.")
    quantity = sample.profile("quantity")
    if quantity and quantity.zero > 0.05:
        why = (
            f"{quantity.zero:.0%} of the quantities are 0: days without a sale are written out, so others were closed."
        )
        return Choice(key, closed if absent else zero, 0.55, why)
    return Choice(key, zero, 0.7, plain)


def _is_weekly(days: Sequence[date]) -> bool:
    return len(days) >= 3 and len({day.weekday() for day in days}) == 1


def _grain(sample: _Sample) -> Choice:
    days = sorted({day for day in sample.days if day is not None})
    if _is_weekly(days):
        name = _WEEKDAYS[days[0].weekday()]
        return Choice("grain", Grain.WEEKLY.value, 0.85, f"All dates are {name}: one figure a week.")
    return Choice(
        "grain",
        Grain.DAILY.value,
        0.8 if len(days) >= 3 else 0.5,
        "The dates fall on different weekdays."
        if len(days) >= 3
        else "The sample has too few days to tell; most files are daily.",
    )


def _handling(sample: _Sample) -> Choice:
    key, found = "timezone_handling", sample.profile("date")
    local = TimezoneHandling.SOURCE_LOCAL_DATE.value
    if found is None or found.clocks < 0.5:
        return Choice(key, local, 0.9, "The dates have no time of day, so each is taken as written.")
    zoned = [cell for cell in found.top if _OFFSET.search(cell)]
    if zoned:
        value = TimezoneHandling.CONVERT_TO_PROFILE_TZ_DATE.value
        return Choice(
            key,
            value,
            0.75,
            f"The times name their offset, as in “{zoned[0]}”: each counts on the day it was at the shop.",
        )
    return Choice(key, local, 0.7, "The times name no time zone, so they are taken as the shop's own.")


def _units(sample: _Sample) -> list[UnitHint]:
    hints = []
    for field in ("unit_price", "unit_cost"):
        found = sample.profile(field)
        if found is None or found.numeric < 0.9:
            continue
        column = sample.headings[field]
        if _CENT_WORDS & set(split_words(column)):
            hints.append(UnitHint(field, {"divide_by": 100.0}, f"“{column}” says that the figures are cents."))
        elif found.whole > 0.99 and found.mean >= 100 and found.filled >= 5:
            why = f"All figures in “{column}” are whole and large ({found.low:g} to {found.high:g}): they may be cents."
            hints.append(UnitHint(field, {"divide_by": 100.0}, why))
    for field in ("quantity", "on_hand_qty", "on_order_qty"):
        packs = _PACK_WORDS & set(split_words(sample.headings.get(field, "")))
        if packs and sample.profile(field):
            why = f"“{sample.headings[field]}” seems to count packs: give the number of units in one, if all are alike."
            hints.append(UnitHint(field, None, why))
    return hints
