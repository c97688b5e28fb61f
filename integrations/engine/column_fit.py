"""How well a column's cells agree with what its heading says: a factor between 0 (impossible) and 1, and why."""

from __future__ import annotations

from dataclasses import dataclass

from integrations.engine.demand import RETURN_WORDS
from integrations.engine.profile import ColumnProfile

_SALES = """sale sales sold s v verkauf vente venta vendita venda verkoop sprzedaz sprzedaż satis satış pos normal
purchase buy"""
_SALE_WORDS = frozenset(_SALES.split())
_RETURN_WORDS = RETURN_WORDS | {"void", "exchange"}


@dataclass(frozen=True, slots=True)
class Fit:
    """`factor` weighs the name's likeness; `why` is what the cells show, as the end of a sentence."""

    factor: float
    why: str


@dataclass(frozen=True, slots=True)
class Facts:
    """What other columns say about one: that it is a product of two, or a factor of such a product."""

    product_of: tuple[str, str] | None = None
    factor: bool = False
    sample_rows: int = 0


def fit(kind: str, found: ColumnProfile, facts: Facts) -> Fit:
    """The fit of a column to a field or look-alike."""
    if not found.filled:
        return Fit(0.7, "the sample has no value in it")
    if kind == "date":
        return _date(found)
    if kind == "quantity":
        return _quantity(found, facts)
    if kind in ("unit_price", "unit_cost"):
        return _price(found, facts)
    if kind in ("on_hand_qty", "on_order_qty"):
        return _stock(found)
    if kind in ("store_id", "product_id"):
        return _identifier(kind, found)
    if kind in ("is_promotional", "is_holiday"):
        return _flag(found)
    if kind == "category":
        return _category(found)
    if kind == "transaction_type":
        return _transaction_type(found)
    return _decoy(kind, found, facts)


def speaks_of_returns(found: ColumnProfile) -> bool:
    """Whether the cells are words for sales and returns."""
    words = {text.lower() for text in found.top}
    return 2 <= found.distinct <= 8 and bool(words & _RETURN_WORDS) and bool(words & _SALE_WORDS)


def _date(found: ColumnProfile) -> Fit:
    if found.dates >= 0.9:
        return Fit(1.0, "the cells are dates with a time" if found.clocks > 0.5 else "the cells are dates")
    if found.dates >= 0.5:
        return Fit(0.75, f"{found.dates:.0%} of the cells are dates")
    return Fit(0.04, "the cells are no dates that can be read")


def _quantity(found: ColumnProfile, facts: Facts) -> Fit:
    if found.dates >= 0.9 or found.numeric < 0.6:
        return Fit(0.03, "the cells are no numbers")
    if found.running:
        return Fit(0.1, "it counts the rows")
    if facts.product_of:
        return Fit(0.12, f"every cell is {facts.product_of[0]} × {facts.product_of[1]}, an amount of money")
    if found.money:
        return Fit(0.1, "the cells carry a currency sign")
    if found.ean >= 0.5 or found.leading_zero > 0.1 or found.high > 1e7:
        return Fit(0.05, "the cells are identifiers")
    if found.flags and found.distinct == 2 and found.zero > 0:
        return Fit(0.6, "the cells are only 0 and 1")
    if found.whole < 0.6 and found.cents >= 0.8:
        return Fit(0.42, "the cells have two decimals, as money has")
    if found.unique > 0.95 and found.filled >= 20 and found.mean > 1000:
        return Fit(0.35, "every cell is another large number")
    if found.whole < 0.9:
        return Fit(0.9, "the cells are numbers with decimals, such as weights")
    return Fit(0.85 if found.mean > 500 else 1.0, "the cells are whole numbers")


def _price(found: ColumnProfile, facts: Facts) -> Fit:
    if found.dates >= 0.9 or found.numeric < 0.6:
        return Fit(0.03, "the cells are no numbers")
    if facts.product_of:
        return Fit(0.15, f"every cell is {facts.product_of[0]} × {facts.product_of[1]}, an amount of money")
    if found.running or found.ean >= 0.5:
        return Fit(0.05, "the cells are running or code numbers")
    if found.flags and found.distinct == 2:
        return Fit(0.2, "the cells are only two values")
    if found.negative > 0.2:
        return Fit(0.5, "many cells are negative")
    if found.whole > 0.98:
        return Fit(0.8, "the cells are whole numbers, perhaps cents")
    return Fit(
        1.0, "the cells are numbers with decimals" if found.cents < 0.5 else "the cells have two decimals, as money has"
    )


def _stock(found: ColumnProfile) -> Fit:
    if found.dates >= 0.9 or found.numeric < 0.6:
        return Fit(0.03, "the cells are no numbers")
    if found.running:
        return Fit(0.1, "it counts the rows")
    if found.flags and found.distinct == 2:
        return Fit(0.35, "the cells are only two values")
    return Fit(0.5 if found.cents > 0.8 and found.whole < 0.6 else 1.0, "the cells are numbers")


def _identifier(kind: str, found: ColumnProfile) -> Fit:
    if found.dates >= 0.9:
        return Fit(0.03, "the cells are dates")
    if found.numeric > 0.9 and (found.whole < 0.9 or found.negative > 0.02):
        return Fit(0.04, "the cells are figures, not identifiers")
    if found.running and found.filled >= 5:
        return Fit(0.3, "it counts the rows")
    if kind == "product_id":
        if found.ean >= 0.8:
            return Fit(1.0, "the cells are barcodes with the right check digit")
        if found.flags:
            return Fit(0.35, "the cells are only yes or no")
        if found.letters > 0.9 and found.spaces > 0.3:
            return Fit(0.85, "the cells are names")
        return Fit(1.0, "the cells are identifiers")
    if found.filled >= 20 and found.unique > 0.9:
        return Fit(0.35, "nearly every row has another value")
    return Fit(0.8 if found.ean >= 0.8 else 1.0, f"the sample has {found.distinct} of them")


def _flag(found: ColumnProfile) -> Fit:
    if found.flags:
        return Fit(1.0, "the cells are yes or no")
    return Fit(0.1, "the cells are not yes or no")


def _category(found: ColumnProfile) -> Fit:
    if found.dates >= 0.9 or (found.numeric > 0.9 and found.whole < 0.9):
        return Fit(0.04, "the cells are dates or figures")
    if found.filled >= 20 and found.unique > 0.9:
        return Fit(0.4, "nearly every row has another value")
    return Fit(1.0, f"the sample has {found.distinct} different values")


def _transaction_type(found: ColumnProfile) -> Fit:
    if speaks_of_returns(found):
        return Fit(1.0, "the cells say which rows are sales and which are returns")
    if found.flags or found.distinct > 12 or (found.numeric > 0.9 and found.whole < 1):
        return Fit(0.15, "the cells do not say what kind of transaction it is")
    return Fit(0.8 if found.letters > 0.5 else 0.6, f"the sample has {found.distinct} different values")


def _decoy(kind: str, found: ColumnProfile, facts: Facts) -> Fit:
    if kind == "amount":
        if facts.product_of:
            return Fit(1.0, f"every cell is {facts.product_of[0]} × {facts.product_of[1]}")
        return Fit(0.1 if found.numeric < 0.6 else 1.0, "")
    if kind == "time":
        return Fit(0.4 if found.dates >= 0.9 else 1.0, "")
    if kind == "calendar":
        return Fit(0.3 if found.dates >= 0.9 else 1.0, "")
    if kind == "other_date":
        return Fit(1.0 if found.dates >= 0.5 else 0.3, "")
    if kind in ("product_name", "store_name", "person"):
        return Fit(1.0 if found.letters >= 0.5 else 0.5, "")
    if kind in ("discount", "tax", "margin") and found.numeric < 0.6:
        return Fit(0.3, "")
    return Fit(1.0, "")
