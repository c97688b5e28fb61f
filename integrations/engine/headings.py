"""Which source column becomes which canonical field in one file, and what its headings already give away."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime

from integrations.engine.chunks import MAX_COLUMNS
from integrations.engine.contract import DataContract
from integrations.engine.contract_model import CANONICAL_FIELDS, FileFormat, Role
from integrations.engine.findings import Finding, adapter, error, warning

REQUIRED = {
    Role.TRANSACTIONS: ("date", "store_id", "product_id", "quantity"),
    Role.PRODUCTS: ("product_id",),
    Role.STORES: ("store_id",),
    Role.COVARIATES: ("date",),
}
_WATCHED = {
    "currency": re.compile(r"(currency|curr|devise|w[aä]hrung|moneda|iso_?currency)(_?code)?", re.IGNORECASE),
    "tenant": re.compile(r"(tenant|mandant|company|client)(_?(id|code|name))?", re.IGNORECASE),
    "void": re.compile(
        r"(is_?)?(storno|storniert|void(ed)?|cancell?ed|annul(e|é|ee|ée|ato|iert)?|anulad[oa]|cancelad[oa]|geannuleerd|"
        r"iptal|anulowan[eoy]|gelöscht|deleted)([ _-]?(flag|kz|kennzeichen|yn|ja/nein))?",
        re.IGNORECASE,
    ),
}
_AMOUNT = re.compile(r"amount|value|revenue|turnover|umsatz|total|sales_?(usd|eur)", re.IGNORECASE)
_PRICE = re.compile(r"price|preis|prix", re.IGNORECASE)
_OPENING = re.compile(r"open|begin|start|anfang", re.IGNORECASE)
_CLOSING = re.compile(r"clos|end", re.IGNORECASE)
_DATE_STYLES = ("%Y-%m-%d", "%d.%m.%Y", "%m/%d/%Y", "%d/%m/%Y", "%Y%m%d", "%m-%d-%Y", "%Y-%m", "%b %Y", "%d %b %Y")


@dataclass(frozen=True, slots=True)
class ColumnPlan:
    """`columns`: canonical field to source column. `watched`: currency, tenant or cancelled-mark column
    that is not mapped."""

    columns: dict[str, str]
    watched: dict[str, str] = field(default_factory=dict)
    findings: tuple[Finding, ...] = ()


def fields_of(contract: DataContract, role: Role) -> tuple[str, ...]:
    """The canonical fields that a file of this role may bring."""
    extras = contract.extra_regressors
    if role is Role.TRANSACTIONS:
        return (*CANONICAL_FIELDS, *extras)
    if role is Role.COVARIATES:
        names = [name for name in contract.covariates.known_future if name != "category"]
        return ("date", "store_id", "product_id", *names)
    static = tuple(name for name in extras if name in contract.covariates.static)
    if role is Role.PRODUCTS:
        return ("product_id", "category", "unit_price", "unit_cost", *static)
    return ("store_id", *static)


def plan_columns(
    contract: DataContract, role: Role, headings: Sequence[str], nested: frozenset[str] = frozenset(), name: str = ""
) -> ColumnPlan:
    """Assign the headings of one file; the findings decide whether it can be read at all."""
    structural = _structure(contract, role, headings, name)
    if structural:
        return ColumnPlan({}, {}, structural)
    allowed = fields_of(contract, role)
    claims: dict[str, list[str]] = {}
    for heading in dict.fromkeys(headings):
        target = contract.mapping.get(heading)
        if target in allowed:
            claims.setdefault(target, []).append(heading)
    for target in allowed:  # a column that already has the canonical name needs no mapping
        if target in headings and target not in claims and target not in contract.mapping:
            claims[target] = [target]
    columns = {target: sources[0] for target, sources in claims.items()}
    findings = [
        adapter(
            "two_columns_one_field",
            f"{name}: the columns {' and '.join(sources)} both claim to be {target}.",
            column=sources[1],
            fix=f"Map only one of them to {target}; adding two columns up needs an adapter.",
        )
        for target, sources in claims.items()
        if len(sources) > 1
    ]
    repeated = {heading for heading, count in Counter(headings).items() if count > 1 and heading}
    findings += [_duplicate(heading, heading in columns.values(), name) for heading in sorted(repeated)]
    findings += [
        adapter(
            "nested_values",
            f"{name}: {source} holds lists or records inside its cells.",
            column=source,
            fix="Export one flat column per value.",
        )
        for source in columns.values()
        if source in nested
    ]
    findings += _missing(contract, role, headings, columns, name)
    watched = {} if role is not Role.TRANSACTIONS else _watched(headings, set(columns.values()) | nested)
    return ColumnPlan(columns, watched, tuple(findings))


def _structure(contract: DataContract, role: Role, headings: Sequence[str], name: str) -> tuple[Finding, ...]:
    """What makes the whole heading line unusable."""
    dates = [heading for heading in headings[:MAX_COLUMNS] if _is_date(heading)]
    if len(dates) >= 3:
        return (
            adapter(
                "wide_pivot",
                f"{name}: {len(dates)} headings are dates ({dates[0]}, {dates[1]}, …): one column per day.",
                column=dates[0],
                fix="Export one row per store, product and day, with the day in a column of its own.",
            ),
        )
    if len(headings) > MAX_COLUMNS:
        return (
            error(
                "too_many_columns",
                f"{name} has {len(headings):,} columns; {MAX_COLUMNS:,} is the limit.",
                fix="Export only the columns that the contract names.",
            ),
        )
    spec = contract.file_spec(role)
    if spec.format is FileFormat.CSV and len(headings) == 1:
        others = {sign: headings[0].count(sign) for sign in ",;\t|" if sign != spec.delimiter}
        sign = max(others, key=lambda key: others[key])
        if others[sign]:
            label = {"\t": "tab"}.get(sign, sign)
            return (
                error(
                    "wrong_delimiter",
                    f"{name}: the headings are separated by '{label}', the contract says '{spec.delimiter}'.",
                    fix=f"Set delimiter to '{label}' for this file.",
                ),
            )
    return ()


def _duplicate(heading: str, mapped: bool, name: str) -> Finding:
    message = f"{name}: the heading {heading} stands there more than once."
    if mapped:
        return error("duplicate_heading", message, column=heading, fix="Rename one of the columns, or leave it out.")
    return warning("duplicate_heading", message, column=heading, fix="It is not used, so nothing is lost.")


def _missing(
    contract: DataContract, role: Role, headings: Sequence[str], columns: dict[str, str], name: str
) -> list[Finding]:
    findings: list[Finding] = []
    for target in REQUIRED[role]:
        if target not in columns:
            findings.append(_missing_required(contract, target, headings, name))
    lost = [target for target in REQUIRED[role] if target not in columns]
    if "quantity" in lost:
        findings += _arithmetic(headings, name)
    if role is Role.COVARIATES and not lost and not set(columns) & set(contract.covariates.known_future):
        fix = "List the column under covariates.known_future, and map it in field_map."
        findings.append(error("no_regressor", f"{name} has none of the known-future columns.", fix=fix))
    return findings


def _missing_required(contract: DataContract, target: str, headings: Sequence[str], name: str) -> Finding:
    sources = [source for source, field_name in contract.mapping.items() if field_name == target]
    shown = ", ".join(headings[:12]) + (", …" if len(headings) > 12 else "")
    near = [heading for heading in headings if heading.lower() in {source.lower() for source in sources}]
    if near:
        fix = f"Write {near[0]} in field_map exactly as in the file."
    elif sources:
        fix = f"Export the column {' or '.join(sources)}, or map the column that holds it to {target}."
    else:
        fix = f"Map the column that holds it to {target} in field_map."
    said = f"the contract expects {' or '.join(sources)}" if sources else "the contract maps no column to it"
    return adapter(
        "missing_required_field",
        f"{name}: {target} has no column ({said}). The headings are: {shown}.",
        column=sources[0] if sources else target,
        fix=fix,
    )


def _arithmetic(headings: Sequence[str], name: str) -> list[Finding]:
    """Hints that the quantity could only be computed from two columns."""
    for first, second, formula in ((_AMOUNT, _PRICE, "/"), (_OPENING, _CLOSING, "-")):
        left = next((heading for heading in headings if first.search(heading)), None)
        right = next((heading for heading in headings if second.search(heading) and heading != left), None)
        if left and right:
            return [
                adapter(
                    "quantity_by_arithmetic",
                    f"{name}: the quantity seems to be only in the relation of {left} {formula} {right}.",
                    column=left,
                    fix="Export the number of units sold as a column; a contract does not calculate.",
                )
            ]
    return []


def _watched(headings: Sequence[str], used: set[str]) -> dict[str, str]:
    found = {}
    for kind, pattern in _WATCHED.items():
        heading = next((text for text in headings if text not in used and pattern.fullmatch(text)), None)
        if heading:
            found[kind] = heading
    return found


def _is_date(heading: str) -> bool:
    if not 6 <= len(heading) <= 12 or not any(sign.isdigit() for sign in heading):
        return False
    for style in _DATE_STYLES:
        try:
            year = datetime.strptime(heading, style).year
        except ValueError:
            continue
        if 1970 <= year <= 2100:
            return True
    return False
