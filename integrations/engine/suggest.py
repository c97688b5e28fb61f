"""Which column is what: a suggestion for every heading, from its name and from the cells below it.

A suggestion is never a guess: below `THRESHOLD` the column is left to the person. The confidence is measured on
`tests/heading_sets.py`: of suggestions with 0.9, about nine in ten were right, or more.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from integrations.engine.chunks import MAX_COLUMNS
from integrations.engine.column_fit import Facts, Fit, fit, speaks_of_returns
from integrations.engine.contract_model import CANONICAL_FIELDS, REQUIRED_FIELDS, Role
from integrations.engine.lookalikes import DECOYS
from integrations.engine.meaning import Choice, Meaning, UnitHint, suggest_meaning
from integrations.engine.name_match import NameMatch, match_name
from integrations.engine.profile import ColumnProfile, products_of, profile_columns

__all__ = ["THRESHOLD", "Choice", "Meaning", "Suggestion", "UnitHint", "suggest_columns", "suggest_meaning"]

THRESHOLD = 0.6
"""Less is no suggestion."""
_CALIBRATED = ((0.0, 0.25, 0.45, 0.6, 0.8, 1.0), (0.0, 0.4, 0.7, 0.85, 0.92, 0.98))
"""Score to the share of such suggestions that were right, rounded down for the rare ones."""
SAMPLE_ROWS = 200
_LABELS = {
    "date": "the day of the sale",
    "store_id": "the store",
    "product_id": "the product",
    "quantity": "the quantity sold",
    "unit_price": "the price of one unit",
    "unit_cost": "the cost of one unit",
    "on_hand_qty": "the stock on hand",
    "on_order_qty": "the quantity on order",
    "is_promotional": "whether there was a promotion",
    "is_holiday": "whether it was a holiday",
    "category": "the product's category",
    "transaction_type": "sale or return",
}
_BY_ROLE: dict[Role, tuple[str, ...]] = {
    Role.TRANSACTIONS: CANONICAL_FIELDS,
    Role.PRODUCTS: ("product_id", "category", "unit_price", "unit_cost"),
    Role.STORES: ("store_id",),
    Role.COVARIATES: ("date", "store_id", "product_id", "unit_price", "is_promotional", "is_holiday"),
}
_STANDS_IN = {"product_id": "product_name", "store_id": "store_name"}
"""A name serves as the identifier where the file has nothing better."""


@dataclass(frozen=True, slots=True)
class Suggestion:
    """What one column probably is. `field` is None where nothing is probable enough; `why` says it in a sentence."""

    column: str
    field: str | None
    confidence: float
    why: str


@dataclass(frozen=True, slots=True)
class _Claim:
    """One column as one class: the name's likeness times the cells' fit."""

    score: float
    match: NameMatch | None
    fit: Fit


@dataclass(slots=True)
class _Column:
    heading: str
    profile: ColumnProfile
    facts: Facts
    claims: dict[str, _Claim]


def suggest_columns(
    headings: Sequence[str], rows: Sequence[Sequence[str | None]], *, role: Role = Role.TRANSACTIONS
) -> tuple[Suggestion, ...]:
    """A suggestion per column, in their order; each field at most once.

    `rows` are the first rows as text; only `SAMPLE_ROWS` of them are looked at. With no rows, the headings alone
    decide, with less confidence. Fields are given to columns so that the sum of the scores is greatest: a column that
    could be two things leaves the field to the one that could be nothing else.
    """
    if len(headings) > MAX_COLUMNS:
        return tuple(Suggestion(heading, None, 0.0, "The file has too many columns.") for heading in headings)
    rows = rows[:SAMPLE_ROWS]
    columns = _columns(headings, rows)
    fields = _BY_ROLE[role]
    chosen = _assign(columns, fields)
    _stand_ins(columns, fields, chosen)
    repeated = {heading for heading, count in Counter(headings).items() if count > 1}
    return tuple(
        _suggestion(column, chosen.get(at), columns, heading in repeated)
        for at, (heading, column) in enumerate(zip(headings, columns, strict=True))
    )


def _columns(headings: Sequence[str], rows: Sequence[Sequence[str | None]]) -> list[_Column]:
    profiles = profile_columns(headings, rows)
    products = products_of(profiles)
    factors = {at for pair in products.values() for at in pair}
    columns = []
    for at, (heading, profile) in enumerate(zip(headings, profiles, strict=True)):
        pair = products.get(at)
        facts = Facts((headings[pair[0]], headings[pair[1]]) if pair else None, at in factors, len(rows))
        columns.append(_Column(heading, profile, facts, _claims(heading, profile, facts)))
    _claims_by_value(columns)
    return columns


def _claims(heading: str, profile: ColumnProfile, facts: Facts) -> dict[str, _Claim]:
    claims = {}
    for kind, match in match_name(heading).items():
        found = fit(kind, profile, facts)
        claims[kind] = _Claim(match.strength * found.factor, match, found)
    return claims


def _claims_by_value(columns: list[_Column]) -> None:
    """What the cells alone say, for columns whose heading says little."""
    silent = [column for column in columns if column.profile.filled >= 3 and _best(column) < 0.4]
    dated = [column for column in columns if column.profile.dates >= 0.95]
    for column in silent:
        profile = column.profile
        if profile.dates >= 0.95 and len(dated) == 1:
            column.claims["date"] = _Claim(0.62, None, Fit(1.0, "it is the only column with dates"))
        elif profile.ean >= 0.9 and profile.filled >= 5:
            column.claims["product_id"] = _Claim(
                0.66, None, Fit(1.0, "the cells are barcodes with the right check digit")
            )
        elif speaks_of_returns(profile):
            found = Fit(1.0, "the cells say which rows are sales and which are returns")
            column.claims["transaction_type"] = _Claim(0.6, None, found)
        elif column.facts.product_of:
            left, right = column.facts.product_of
            column.claims["amount"] = _Claim(0.9, None, Fit(1.0, f"every cell is {left} × {right}"))
        elif column.facts.factor and profile.whole > 0.98:
            column.claims["quantity"] = _Claim(
                0.6, None, Fit(1.0, "whole numbers that, times a price, give the amount")
            )
        elif column.facts.factor and profile.cents > 0.5:
            column.claims["unit_price"] = _Claim(0.6, None, Fit(1.0, "times the quantity it gives the amount"))
        elif profile.running:
            column.claims["document"] = _Claim(0.9, None, Fit(1.0, "it counts the rows"))


def _best(column: _Column, but: str | None = None) -> float:
    return max((claim.score for kind, claim in column.claims.items() if kind != but), default=0.0)


def _assign(columns: list[_Column], fields: tuple[str, ...]) -> dict[int, str]:
    """Column number to field, each at most once, with the greatest sum; a likelier look-alike blocks a field."""
    scores = np.zeros((len(columns), len(fields)))
    for at, column in enumerate(columns):
        blocked = max((claim.score for kind, claim in column.claims.items() if kind in DECOYS), default=0.0)
        for to, field in enumerate(fields):
            claim = column.claims.get(field)
            if claim is not None and claim.score >= 0.3 and claim.score >= blocked:
                # The required fields come first; a little more for the earlier of two columns that are equally good.
                scores[at, to] = claim.score + (0.15 if field in REQUIRED_FIELDS else 0) - 1e-6 * at
    from scipy.optimize import linear_sum_assignment  # half a second, for those who suggest alone

    places = linear_sum_assignment(scores, maximize=True)
    return {int(at): fields[int(to)] for at, to in zip(*places, strict=True) if scores[at, to] > 0}


def _stand_ins(columns: list[_Column], fields: tuple[str, ...], chosen: dict[int, str]) -> None:
    """A name or description as the identifier, where no other column is one."""
    for field, decoy in _STANDS_IN.items():
        if field not in fields or field in chosen.values():
            continue
        for at, column in enumerate(columns):
            claim = column.claims.get(field)
            if at not in chosen and claim is not None and claim.score >= 0.3 and decoy in column.claims:
                chosen[at] = field
                break


def _suggestion(column: _Column, field: str | None, columns: list[_Column], repeated: bool) -> Suggestion:
    if repeated or not column.heading.strip():
        what = "There are several columns of this name" if repeated and column.heading.strip() else "It has no heading"
        return Suggestion(column.heading, None, 0.0, f"{what}: give each a name of its own to use it.")
    if field is None:
        return Suggestion(column.heading, None, 0.0, _why_not(column))
    confidence = _confidence(column, field, columns)
    if confidence < THRESHOLD:
        why = f"It might be {_LABELS[field]}, but {_doubt(column, field)}. Choose it if it is."
        return Suggestion(column.heading, None, confidence, why)
    return Suggestion(column.heading, field, confidence, _why(column, field))


def _confidence(column: _Column, field: str, columns: list[_Column]) -> float:
    """The score, less for every rival: another meaning of this column, or another column for this field."""
    score = column.claims[field].score
    other_meaning = _best(column, but=field)
    other_column = max(
        (rival.claims[field].score for rival in columns if rival is not column and field in rival.claims), default=0.0
    )
    for rival, weight in ((other_meaning, 0.35), (other_column, 0.3)):
        score *= 1 - weight * min(rival / score, 1.0) ** 4
    return round(float(np.interp(score, *_CALIBRATED)), 3)


def _why(column: _Column, field: str) -> str:
    claim = column.claims[field]
    seen = claim.fit.why
    if claim.match is None:
        return f"The heading does not say it, but {seen}: this looks like {_LABELS[field]}."
    return f"{_sounds(column.heading, claim.match)}, and {seen}: this looks like {_LABELS[field]}."


def _sounds(heading: str, match: NameMatch) -> str:
    tongue = f" ({match.language})" if match.language not in ("", "English") else ""
    if match.exact:
        return f"“{heading}” is a usual name{tongue}"
    return f"“{heading}” is like “{match.word}”{tongue}"


def _doubt(column: _Column, field: str) -> str:
    claim = column.claims[field]
    if claim.fit.factor < 0.7:
        return claim.fit.why
    return (
        "the heading is not clear enough"
        if claim.match is None or not claim.match.exact
        else "another reading is as likely"
    )


def _why_not(column: _Column) -> str:
    if not column.claims:
        return "The heading is not known, and the cells do not show what it is."
    kind = max(column.claims, key=lambda name: column.claims[name].score)
    claim = column.claims[kind]
    if kind in DECOYS and claim.score >= 0.4:
        seen = f": {claim.fit.why}" if claim.fit.why else ""
        return f"It looks like {DECOYS[kind][0]}{seen}. Nothing needs it."
    if kind in _LABELS and claim.score >= 0.3:
        return f"It might be {_LABELS[kind]}, but another column is likelier."
    if kind in _LABELS:
        return f"By its name it might be {_LABELS[kind]}, but {claim.fit.why}."
    return "The heading is not known well enough, and the cells do not show what it is."
