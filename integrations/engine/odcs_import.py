"""Documents of the Open Data Contract Standard that others wrote: what of them can become a contract, and what cannot.

Nothing is dropped in silence: each part that has no place in a contract is a finding that names it, never its content.
"""

from __future__ import annotations

import json
import re
import unicodedata
from collections.abc import Mapping
from typing import Any

from integrations.engine.contract import ContractInvalid, DataContract, load_contract
from integrations.engine.contract_model import REQUIRED_FIELDS, FileFormat
from integrations.engine.findings import Finding, adapter, error, info, warning
from integrations.engine.suggest import suggest_columns

_UNDERSTOOD = frozenset(
    ("apiVersion", "kind", "id", "name", "version", "status", "tenant", "description", "schema", "slaProperties")
)
_DROPPED = {
    "servers": "A contract carries no host, no path and no credential: set the connection up at the source.",
    "team": "Who may do what is decided by roles here.",
    "roles": "Who may do what is decided by roles here.",
    "support": "A contract carries no address.",
    "price": "It says what the data costs, which nothing here needs.",
    "authoritativeDefinitions": "A contract carries no address.",
}
_HOURS = {
    "h": 1.0,
    "hr": 1.0,
    "hour": 1.0,
    "hours": 1.0,
    "d": 24.0,
    "day": 24.0,
    "days": 24.0,
    "m": 1 / 60,
    "min": 1 / 60,
}
_AGES = frozenset(("latency", "freshness", "frequency"))
_JDK = (
    ("yyyy", "%Y"), ("uuuu", "%Y"), ("yy", "%y"), ("MMM", "%b"), ("MM", "%m"), ("M", "%m"), ("dd", "%d"), ("d", "%d"),
    ("HH", "%H"), ("mm", "%M"), ("ss", "%S"), ("'T'", "T"),
)  # fmt: skip
_MAX_COLUMNS = 500


def refusals(document: Mapping[str, Any]) -> tuple[Finding, ...]:
    """What makes the document unusable as a whole, and the parts of it that are never kept."""
    version = str(document.get("apiVersion", ""))
    if not version.startswith("v3."):
        said = f"says apiVersion: {version[:20]}" if version else "says no apiVersion"
        message = f"The document {said}; version 3 of the standard is read here."
        return (error("odcs_version", message, column="apiVersion", fix="Convert it to v3 with the standard's tools."),)
    findings = []
    for key in document:
        if key in _UNDERSTOOD or key == "customProperties":
            continue
        why = _DROPPED.get(key, "A contract has no place for it.")
        findings.append(warning("odcs_dropped", f"{str(key)[:60]} is left out. {why}", column=str(key)[:60]))
    return tuple(findings)


def validated(body: Mapping[str, Any]) -> tuple[DataContract | None, tuple[Finding, ...]]:
    """The contract that the body is, or the findings that say what is wrong with it."""
    try:
        return load_contract(json.dumps(body)), ()
    except ContractInvalid as problem:
        return None, problem.findings
    except (TypeError, ValueError):
        return None, (
            error("odcs_unreadable", "The document cannot be read.", fix="Check it with the standard's tools."),
        )


def import_foreign(
    document: Mapping[str, Any], *, tenant: str, defaults: Mapping[str, Any]
) -> tuple[DataContract | None, tuple[Finding, ...]]:
    """A draft from a document of others: columns by suggestion, the rest by default, each named in a finding."""
    findings: list[Finding] = []
    chosen = _sales_object(document.get("schema"), findings)
    if chosen is None:
        fix = "Describe the sales file under schema, with its columns as properties."
        return None, (
            *findings,
            error("odcs_no_schema", "The document describes no columns.", column="schema", fix=fix),
        )
    columns = _columns(chosen, findings)
    suggested = suggest_columns(list(columns), [])
    field_map = {item.column: item.field for item in suggested if item.field}
    body: dict[str, Any] = {
        "contract_version": "v1",
        "tenant": tenant,
        "source": _slug(str(document.get("name") or document.get("id") or "")),
        "source_type": "smb_csv",
        "files": {"transactions": _file(chosen, findings)},
        "field_map": field_map,
        "type_map": _types(columns, field_map),
        "date_format": _date_format(columns, field_map, findings),
        **_rates(chosen, columns, findings),
        **_age(document, findings),
        **{key: value for key, value in defaults.items() if value},
    }
    _left_out(document, findings)
    for column, field in field_map.items():
        findings.append(info("odcs_suggested", f"{column} is taken as {field}. Check it.", column=column))
    missing = [field for field in REQUIRED_FIELDS if field not in field_map.values()]
    for field in missing:
        fix = "Name the column more plainly, or map it in a contract of our own format."
        findings.append(error("odcs_no_column", f"No column is clearly {field}.", column=field, fix=fix))
    for key in ("country_code", "currency"):
        if key not in body:
            fix = f"Add {key} to a contract of our own format, or import the first source that way."
            findings.append(error("odcs_missing", f"The document does not say {key}.", column=key, fix=fix))
    if any(found.severity == "error" for found in findings):
        return None, tuple(findings)
    contract, more = validated(body)
    return contract, (*findings, *more)


def _sales_object(schema: Any, findings: list[Finding]) -> Mapping[str, Any] | None:
    """The one object that most looks like sales; the others are named."""
    objects = [item for item in schema if isinstance(item, Mapping)] if isinstance(schema, list) else []
    objects = [item for item in objects[:50] if _list(item.get("properties"))]
    if not objects:
        return None

    def fields_found(item: Mapping[str, Any]) -> int:
        named = [_column_name(column) for column in _list(item.get("properties"))[:_MAX_COLUMNS]]
        return sum(found.field in REQUIRED_FIELDS for found in suggest_columns(named, []))

    chosen = max(objects, key=fields_found)
    for item in objects:
        if item is not chosen:
            name = str(item.get("name", "?"))[:60]
            findings.append(
                warning("odcs_dropped", f"The object {name} is left out: one is the sales file.", column=name)
            )
    return chosen


def _columns(chosen: Mapping[str, Any], findings: list[Finding]) -> dict[str, Mapping[str, Any]]:
    columns: dict[str, Mapping[str, Any]] = {}
    for column in _list(chosen.get("properties"))[:_MAX_COLUMNS]:
        name = _column_name(column)
        if column.get("logicalType") in ("object", "array"):
            fix = "Export one flat column per value."
            message = f"{name} holds lists or records, which no contract can express."
            findings.append(adapter("nested_values", message, column=name, fix=fix))
        elif name:
            columns[name] = column
    return columns


def _column_name(column: Mapping[str, Any]) -> str:
    return str(column.get("physicalName") or column.get("name") or "")[:200]


def _list(value: Any) -> list[Mapping[str, Any]]:
    return [item for item in value if isinstance(item, Mapping)] if isinstance(value, list) else []


def _file(chosen: Mapping[str, Any], findings: list[Finding]) -> dict[str, str]:
    named = str(chosen.get("physicalName") or chosen.get("name") or "")
    told = f"{chosen.get('physicalType', '')} {named}".lower()
    kind = next((item for item in FileFormat if item.value in told), None)
    if kind is None:
        findings.append(info("odcs_assumed", "The format of the file is not said; csv is assumed.", column="files"))
        kind = FileFormat.CSV
    plain = re.fullmatch(r"[A-Za-z0-9_.*?\[\]\- ]{1,120}", named) is not None and ".." not in named
    pattern = named if plain and "." in named else f"*.{kind.value}"
    if pattern != named:
        findings.append(info("odcs_assumed", f"No plain file name is said; {pattern} is assumed.", column="files"))
    return {"pattern": pattern, "format": kind.value}


def _types(columns: Mapping[str, Mapping[str, Any]], field_map: Mapping[str, str]) -> dict[str, str]:
    return {
        field: "int"
        for column, field in field_map.items()
        if columns[column].get("logicalType") == "integer" and field in ("quantity", "on_hand_qty", "on_order_qty")
    }


def _date_format(
    columns: Mapping[str, Mapping[str, Any]], field_map: Mapping[str, str], findings: list[Finding]
) -> str:
    column = next((column for column, field in field_map.items() if field == "date"), None)
    options = columns[column].get("logicalTypeOptions") if column else None
    written = options.get("format") if isinstance(options, Mapping) else None
    if not isinstance(written, str):
        return "iso8601"
    style, rest = "", written[:60]
    while rest:
        token = next(((jdk, ours) for jdk, ours in _JDK if rest.startswith(jdk)), None)
        if token is None and rest[0].isalpha():
            message = f"The date format {written[:30]} cannot be carried over; iso8601 is assumed."
            findings.append(warning("odcs_assumed", message, column="date_format", fix="Set date_format."))
            return "iso8601"
        style, rest = (style + token[1], rest[len(token[0]) :]) if token else (style + rest[0], rest[1:])
    return style


def _rates(
    chosen: Mapping[str, Any], columns: Mapping[str, Mapping[str, Any]], findings: list[Finding]
) -> dict[str, Any]:
    """Null and duplicate rates in percent; every other rule is named and left out."""
    found: dict[str, float] = {}
    keys = {"nullValues": "max_required_null_rate", "missingValues": "max_required_null_rate"}
    keys |= {"duplicateValues": "max_duplicate_rate", "duplicateCount": "max_duplicate_rate"}
    for place, holder in ((str(chosen.get("name", "")), chosen), *columns.items()):
        for rule in _list(holder.get("quality")):
            metric = str(rule.get("metric") or rule.get("rule") or rule.get("type") or "rule")[:40]
            limit = rule.get("mustBeLessOrEqualTo", rule.get("mustBeLessThan", rule.get("mustBe")))
            number = isinstance(limit, int | float) and not isinstance(limit, bool) and 0 <= limit <= 100
            if metric in keys and number and (rule.get("unit") == "percent" or limit == 0):
                share = float(limit) / 100
                found[keys[metric]] = min(share, found.get(keys[metric], 1.0))
            else:
                message = f"The rule {metric} of {place[:60]} is left out: a contract has no such check."
                findings.append(warning("odcs_dropped", message, column="quality"))
    return {"dq_thresholds": found} if found else {}


def _age(document: Mapping[str, Any], findings: list[Finding]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for item in _list(document.get("slaProperties")):
        name, value, unit = str(item.get("property", ""))[:60], item.get("value"), str(item.get("unit", "")).lower()
        plain = isinstance(value, int | float) and not isinstance(value, bool)
        if name in _AGES and plain and unit in _HOURS and "sla" not in found:
            found["sla"] = {"max_age_hours": float(value) * _HOURS[unit]}  # type: ignore[arg-type]  # a number, see above
        else:
            findings.append(warning("odcs_dropped", f"The agreement {name} is left out.", column="slaProperties"))
    return found


def _left_out(document: Mapping[str, Any], findings: list[Finding]) -> None:
    for item in _list(document.get("customProperties")):
        name = str(item.get("property", ""))[:60]
        findings.append(warning("odcs_dropped", f"The custom property {name} is left out.", column="customProperties"))


def _slug(text: str) -> str:
    plain = unicodedata.normalize("NFKD", text.lower()).encode("ascii", "ignore").decode()
    slug = re.sub(r"[^a-z0-9]+", "-", plain).strip("-")[:60]
    return slug if slug and slug[0].isalpha() else f"imported-{slug}".strip("-")
