"""A contract as a document of the Open Data Contract Standard (ODCS, bitol.io), and one of ours back again.

What the standard can say stands in its own words: the files and their columns, types, keys, required columns, null and
duplicate rates, and how old data may be. What it cannot say stands under `customProperties`, each name beginning with
`forecourt`, so that our export reads back exactly. Documents of others are read by `odcs_import`.
"""

from __future__ import annotations

import uuid
from collections.abc import Mapping
from typing import Any

from integrations.engine.contract import DataContract
from integrations.engine.contract_model import FLAG_FIELDS, NUMERIC_FIELDS, FileSpec, Role
from integrations.engine.findings import Finding
from integrations.engine.headings import REQUIRED, fields_of
from integrations.engine.odcs_import import import_foreign, refusals, validated

API_VERSION = "v3.1.0"
_SPACE = uuid.UUID("5f0c7c1e-3f0b-5a5e-9d52-6f1c9f3f7f11")
_FIELD, _LIST = "forecourtField", "forecourtList"
_SAID = frozenset(("contract_version", "tenant", "source", "files", "field_map", "id_columns", "sla"))
"""The keys that the standard's own words say; all others are custom properties."""
_KEY_ORDER = ("store_id", "product_id", "date")


def is_odcs(values: Mapping[str, Any]) -> bool:
    """Whether a parsed document says that it is one of the standard."""
    return values.get("kind") == "DataContract" or "apiVersion" in values


def to_odcs(contract: DataContract, *, version: int = 1, status: str = "draft") -> dict[str, Any]:
    """The contract as a document of the standard; `version` and `status` are those of the stored version."""
    body = contract.model_dump(mode="json")
    return {
        "apiVersion": API_VERSION,
        "kind": "DataContract",
        "id": str(uuid.uuid5(_SPACE, f"{contract.tenant}/{contract.source}")),
        "name": contract.source,
        "version": f"{version}.0.0",
        "status": status,
        "tenant": contract.tenant,
        "description": {
            "purpose": "Sales per store, product and day, for forecasting demand.",
            "limitations": "Read by Forecourt under the customProperties whose names begin with forecourt.",
        },
        "schema": [_object(contract, role, spec) for role, spec in contract.files.by_role().items()],
        "slaProperties": [{"property": "latency", "value": contract.sla.max_age_hours, "unit": "h"}],
        "customProperties": [
            {"property": _custom(key), "value": value} for key, value in body.items() if key not in _SAID
        ],
    }


def from_odcs(
    document: Mapping[str, Any], *, tenant: str, defaults: Mapping[str, Any] | None = None
) -> tuple[DataContract | None, tuple[Finding, ...]]:
    """The contract that a document says, or None, and a finding for everything that was dropped, guessed or missing.

    Our own export gives exactly the contract that it was made from. `tenant` and `defaults` (`country_code`,
    `currency`, `timezone`) stand in where a document of others does not say them. Servers, hosts and roles are never
    kept.
    """
    findings = refusals(document)
    if any(found.severity == "error" for found in findings):
        return None, findings
    custom = _custom_values(document)
    if _custom("source_type") not in custom:
        contract, more = import_foreign(document, tenant=tenant, defaults=defaults or {})
        return contract, (*findings, *more)
    try:
        body = _own_body(document, custom)
    except (KeyError, TypeError, ValueError, AttributeError):
        contract, more = import_foreign(document, tenant=tenant, defaults=defaults or {})
        return contract, (*findings, *more)
    contract, more = validated(body)
    return contract, (*findings, *more)


def _own_body(document: Mapping[str, Any], custom: Mapping[str, Any]) -> dict[str, Any]:
    """The body of a contract from an export of ours; raises when it was bent out of shape."""
    body: dict[str, Any] = {"contract_version": "v1", "tenant": document["tenant"], "source": document["name"]}
    body |= {key: custom[_custom(key)] for key in DataContract.model_fields if _custom(key) in custom}
    body["files"], body["field_map"], body["id_columns"] = {}, {}, {}
    for found in document["schema"]:
        properties = _properties(found)
        body["files"][found["name"]] = {**properties.get("forecourtFile", {}), "pattern": found["physicalName"]}
        for column in found.get("properties", ()):
            own = _properties(column)
            if _FIELD in own:
                for key in own.get(_LIST, "field_map").split("+"):
                    body[key][column["name"]] = own[_FIELD]
    ages = [found["value"] for found in document.get("slaProperties", ()) if found["property"] == "latency"]
    if ages:
        body["sla"] = {"max_age_hours": ages[0]}
    return body


def _object(contract: DataContract, role: Role, spec: FileSpec) -> dict[str, Any]:
    """One file role as a schema object. Columns that no role brings stand with the transactions, to be kept."""
    brought = {name for other in contract.files.by_role() for name in fields_of(contract, other)}
    here = set(fields_of(contract, role))
    columns = [
        _column(contract, role, column, target)
        for column, target in contract.mapping.items()
        if target in here or (role is Role.TRANSACTIONS and target not in brought)
    ]
    found: dict[str, Any] = {
        "name": role.value,
        "logicalType": "object",
        "physicalName": spec.pattern,
        "physicalType": f"{spec.format.value} file",
        "customProperties": [
            {"property": "forecourtFile", "value": spec.model_dump(mode="json", exclude={"pattern"})},
        ],
    }
    if columns:
        found["properties"] = columns
    if role is Role.TRANSACTIONS:
        found["dataGranularityDescription"] = f"Sales by store and product, {contract.grain.value}."
        found["quality"] = [_rate("duplicateValues", contract.max_duplicate_rate, "uniqueness")]
    return found


def _column(contract: DataContract, role: Role, column: str, target: str) -> dict[str, Any]:
    required = target in REQUIRED[role]
    listed = [key for key in ("field_map", "id_columns") if column in getattr(contract, key)]
    found: dict[str, Any] = {
        "name": column,
        "physicalName": column,
        "businessName": target,
        "logicalType": _logical_type(contract, target),
        "required": required,
        "customProperties": [
            {"property": _FIELD, "value": target},
            {"property": _LIST, "value": "+".join(listed)},
        ],
    }
    if role is Role.TRANSACTIONS and target in _KEY_ORDER:
        found |= {"primaryKey": True, "primaryKeyPosition": _KEY_ORDER.index(target) + 1}
    if role is Role.TRANSACTIONS and required:
        found["quality"] = [_rate("nullValues", contract.dq_thresholds.max_required_null_rate, "completeness")]
    return found


def _logical_type(contract: DataContract, target: str) -> str:
    kind = contract.type_map.get(target)
    if target == "date":
        return "date"
    if target in FLAG_FIELDS or kind == "bool":
        return "boolean"
    if kind == "int":
        return "integer"
    return "number" if target in NUMERIC_FIELDS or target in contract.extra_regressors else "string"


def _rate(metric: str, share: float, dimension: str) -> dict[str, Any]:
    return {
        "type": "library",
        "metric": metric,
        "dimension": dimension,
        "unit": "percent",
        "mustBeLessOrEqualTo": round(share * 100, 6),
    }


def _custom(key: str) -> str:
    return "forecourt" + "".join(part.capitalize() for part in key.split("_"))


def _properties(found: Mapping[str, Any]) -> dict[str, Any]:
    return {item["property"]: item["value"] for item in found.get("customProperties", ())}


def _custom_values(document: Mapping[str, Any]) -> dict[str, Any]:
    try:
        return _properties(document)
    except (KeyError, TypeError, AttributeError):
        return {}
