"""What the sampled cells of a column look like: dates, numbers, flags, identifiers, running numbers.

The sign of decimals is not known yet when a sample is looked at, so a column's numbers are read both ways and the
column as a whole decides.
"""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from integrations.engine.convert import NULL_WORDS

MAX_PAIRS = 24
"""Of how many number columns products are looked for: all pairs are tried."""
_YES_NO = (
    "0 1 0.0 1.0 true false t f yes no y n ja nein j oui non o si sí sim não nao s tak nie evet hayır hayir on off x"
)
_FLAG_WORDS = frozenset(_YES_NO.split())
_MONTHS = (
    r"jan|feb|m[aä]r|apr|mai|may|jun|jul|aug|sep|okt|oct|nov|dez|dec|déc|fév|avr|ene|abr|ago|dic|fev|set|out|mei|mrt"
)
_CLOCK = r"(?:[T ]+\d{1,2}:\d{2}(?::\d{2}(?:[.,]\d+)?)?(?: ?[AaPp][Mm])?(?:Z|[+-]\d{2}:?\d{2})?)?"
_DATE = re.compile(
    rf"(?:(?:19|20)\d{{2}}[-/.](?:0?[1-9]|1[0-2])[-/.](?:0?[1-9]|[12]\d|3[01])"
    rf"|(?:0?[1-9]|[12]\d|3[01])[-/.](?:0?[1-9]|[12]\d|3[01])[-/.](?:(?:19|20)\d{{2}}|\d{{2}})"
    rf"|(?:19|20)\d{{2}}(?:0[1-9]|1[0-2])(?:0[1-9]|[12]\d|3[01])"
    rf"|(?:0?[1-9]|[12]\d|3[01])[-. ]*(?:{_MONTHS})[a-zéû]*[-., ]*(?:19|20)?\d{{2}}"
    rf"|(?:{_MONTHS})[a-zéû]*[-. ]+(?:0?[1-9]|[12]\d|3[01])[, -]+(?:19|20)\d{{2}}){_CLOCK}",
    re.IGNORECASE,
)
_HAS_CLOCK = re.compile(r"\d[T ]+\d{1,2}:\d{2}")
_TIME = re.compile(r"\d{1,2}:\d{2}(?::\d{2})?(?: ?[AaPp][Mm])?")
_NUMBER = re.compile(r"[+-]?(?:\d[\d.,' \u00a0]*|[.,]\d+)(?:[eE][+-]?\d{1,3})?-?")
_MONEY = re.compile(r"^[€$£¥₺]\s*|\s*(?:[€$£¥₺]|zł|TL|EUR|USD|GBP|CHF|PLN|TRY)$")
_GROUPED = re.compile(r"[+-]?\d{1,3}(?:[.,' \u00a0]\d{3})+")


@dataclass(frozen=True, slots=True)
class ColumnProfile:
    """A column in figures. Shares are of the filled cells, between 0 and 1.

    `numbers` has one value per sampled row, NaN where the cell is no number. `whole`: share of numbers without
    decimals; `cents`: share written with exactly two decimals; `running`: each number is one more than the one before;
    `money`: cells carry a currency sign; `ean`: share that are EAN-8/12/13/14 numbers with the right check digit.
    """

    filled: int
    empty: float
    distinct: int
    top: tuple[str, ...]
    dates: float
    clocks: float
    times: float
    numeric: float
    whole: float
    cents: float
    negative: float
    zero: float
    low: float
    high: float
    mean: float
    ean: float
    flags: bool
    running: bool
    money: bool
    letters: float
    spaces: float
    width: float
    leading_zero: float
    numbers: NDArray[np.float64]

    @property
    def unique(self) -> float:
        """Distinct cells as a share of the filled ones."""
        return self.distinct / self.filled if self.filled else 0.0


def profile_column(cells: Sequence[str | None]) -> ColumnProfile:
    """The profile of one column's sampled cells, in row order."""
    texts = ["" if cell is None else str(cell)[:200].strip() for cell in cells]
    filled = [text for text in texts if text not in NULL_WORDS]
    counts = Counter(filled)
    size = len(filled)
    numbers, grouped_by = _numbers(texts)
    known = numbers[~np.isnan(numbers)]
    dates = _share(counts, lambda text: bool(_DATE.fullmatch(text)), size)
    lowered = {text.lower() for text in counts}
    return ColumnProfile(
        filled=size,
        empty=1 - size / len(texts) if texts else 1.0,
        distinct=len(counts),
        top=tuple(text for text, _ in counts.most_common(12)),
        dates=dates,
        clocks=_share(counts, lambda text: bool(_HAS_CLOCK.search(text)), size) if dates else 0.0,
        times=_share(counts, lambda text: bool(_TIME.fullmatch(text)), size),
        numeric=len(known) / size if size else 0.0,
        whole=float(np.mean(known == np.floor(known))) if len(known) else 0.0,
        cents=_share(counts, lambda text: _two_decimals(text, grouped_by), size),
        negative=float(np.mean(known < 0)) if len(known) else 0.0,
        zero=float(np.mean(known == 0)) if len(known) else 0.0,
        low=float(known.min()) if len(known) else math.nan,
        high=float(known.max()) if len(known) else math.nan,
        mean=float(known.mean()) if len(known) else math.nan,
        ean=_share(counts, is_ean, size),
        flags=0 < len(lowered) <= 3 and lowered <= _FLAG_WORDS,
        running=bool(len(known) >= 5 and len(known) == size and (np.diff(known) == 1).all()),
        money=_share(counts, lambda text: bool(_MONEY.search(text)) and any(map(str.isdigit, text)), size) > 0.5,
        letters=_share(counts, lambda text: any(map(str.isalpha, text)), size),
        spaces=_share(counts, lambda text: " " in text, size),
        width=sum(len(text) * count for text, count in counts.items()) / size if size else 0.0,
        leading_zero=_share(counts, lambda text: len(text) > 1 and text[0] == "0" and text.isdigit(), size),
        numbers=numbers,
    )


def profile_columns(headings: Sequence[str], rows: Sequence[Sequence[str | None]]) -> list[ColumnProfile]:
    """One profile per heading; a row that is too short counts as empty there."""
    return [
        profile_column([row[place] if place < len(row) else None for row in rows]) for place in range(len(headings))
    ]


def is_ean(text: str) -> bool:
    """Whether the text is an EAN-8, UPC-A (12), EAN-13 or GTIN-14 with the right check digit."""
    if len(text) not in (8, 12, 13, 14) or not (text.isascii() and text.isdigit()):
        return False
    total = sum(int(sign) * (3 if place % 2 == 0 else 1) for place, sign in enumerate(reversed(text[:-1])))
    return (10 - total % 10) % 10 == int(text[-1])


def products_of(profiles: Sequence[ColumnProfile]) -> dict[int, tuple[int, int]]:
    """Columns whose every cell is the product of two others: `{amount: (factor, factor)}` by column number.

    So revenue shows itself, whatever it is called. A factor that is always 1 says nothing and is not taken; the
    product of rounded figures may be off by a cent per unit.
    """
    numeric = [at for at, found in enumerate(profiles) if found.numeric >= 0.9 and found.filled >= 5][:MAX_PAIRS]
    found: dict[int, tuple[int, int]] = {}
    for target in numeric:
        amounts = profiles[target].numbers
        for left, first in enumerate(numeric):
            for second in numeric[left + 1 :]:
                if target in (first, second) or target in found:
                    continue
                if _is_product(amounts, profiles[first].numbers, profiles[second].numbers):
                    found[target] = (first, second)
    return found


def _is_product(amounts: NDArray[np.float64], left: NDArray[np.float64], right: NDArray[np.float64]) -> bool:
    telling = ~np.isnan(amounts + left + right) & (np.abs(left) != 1) & (np.abs(right) != 1) & (left * right != 0)
    if np.count_nonzero(telling) < 4 or len(np.unique(amounts[telling])) < 3:
        return False
    wanted = (left * right)[telling]
    off = np.abs(amounts[telling] - wanted)
    slack = 0.006 * (1 + np.minimum(np.abs(left[telling]), np.abs(right[telling])))
    return bool(np.mean(off <= slack) >= 0.95)


def _share(counts: Counter[str], test: Callable[[str], bool], size: int) -> float:
    return sum(count for text, count in counts.items() if test(text)) / size if size else 0.0


def _two_decimals(text: str, decimal: str) -> bool:
    text = _MONEY.sub("", text)
    place = text.rfind(decimal)
    return place >= 0 and len(text) - place == 3 and text[place + 1 :].isdigit() and bool(_NUMBER.fullmatch(text))


def _numbers(texts: Sequence[str]) -> tuple[NDArray[np.float64], str]:
    """The cells as numbers, and the column's sign of decimals."""
    cleaned = [_MONEY.sub("", text).strip() for text in texts]
    shaped = [text for text in cleaned if _NUMBER.fullmatch(text)]
    decimal = _decimal_sign(shaped)
    other = "," if decimal == "." else "."
    cache: dict[str, float] = {}
    for text in set(shaped):
        cache[text] = _number(text, decimal, other)
    return np.array([cache.get(text, math.nan) for text in cleaned], np.float64), decimal


def _decimal_sign(texts: Sequence[str]) -> str:
    """The later of two signs is the decimal one; a lone sign that always has three digits behind it groups."""
    commas = points = 0
    for text in set(texts):
        comma, point = text.rfind(","), text.rfind(".")
        if comma >= 0 and point >= 0:
            commas, points = commas + 5 * (comma > point), points + 5 * (point > comma)
        elif comma >= 0 and not _GROUPED.fullmatch(text):
            commas += text.count(",") == 1
        elif point >= 0 and (not _GROUPED.fullmatch(text) or text.startswith("0.")):
            points += text.count(".") == 1
        elif comma >= 0 and text.count(",") > 1:
            points += 1
        elif point >= 0 and text.count(".") > 1:
            commas += 1
    return "," if commas > points else "."


def _number(text: str, decimal: str, other: str) -> float:
    if text.endswith("-"):  # as SAP writes a negative figure
        text = "-" + text[:-1]
    for sign in (other, "'", " ", "\u00a0"):
        text = text.replace(sign, "")
    try:
        value = float(text.replace(decimal, "."))
    except ValueError:
        return math.nan
    return value if math.isfinite(value) else math.nan
