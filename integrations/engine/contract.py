"""Data contracts: the model with its rules between keys, reading from text, fingerprint and JSON Schema."""

from __future__ import annotations

import hashlib
import json
from typing import Any, Self

from pydantic import ValidationError, model_validator

from integrations.engine.contract_model import (
    CANONICAL_FIELDS,
    FLAG_FIELDS,
    NUMERIC_FIELDS,
    ContractBase,
    DedupePolicy,
    FileSpec,
    NullRule,
    Role,
    Thresholds,
)
from integrations.engine.contract_text import ContractTextError, parse_contract_text
from integrations.engine.findings import Finding, error

__all__ = [
    "ContractInvalid",
    "DataContract",
    "Role",
    "contract_json_schema",
    "contract_sha256",
    "load_contract",
]

_LATER_KEYS = ("sheet", "columns")
_FIXED_TYPES: dict[str, tuple[str, ...]] = {
    "date": ("date",),
    "store_id": ("str",),
    "product_id": ("str",),
    "category": ("str",),
}
_FIXED_TYPES |= {"transaction_type": ("str",)} | {name: ("bool", "int", "float") for name in FLAG_FIELDS}


class ContractInvalid(ValueError):
    """The text is no contract. `findings` name each key and its fix."""

    def __init__(self, findings: tuple[Finding, ...]) -> None:
        self.findings = findings
        lines = [f"{found.column or 'contract'}: {found.message} {found.fix}".strip() for found in findings]
        super().__init__("The contract cannot be used. " + " | ".join(lines))


class DataContract(ContractBase):
    """A whole, consistent contract."""

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        known = {*CANONICAL_FIELDS, *self.extra_regressors}
        for key, names in (
            ("extra_regressors", self.extra_regressors),
            ("covariates", self.covariates.declared()),
        ):
            twice = sorted({name for name in names if names.count(name) > 1})
            if twice:
                raise ValueError(f"{key}: {', '.join(twice)} is listed twice")
        self._check_names(known)
        self._check_maps()
        self._check_fills()
        return self

    def _check_names(self, known: set[str]) -> None:
        for name in self.extra_regressors:
            if name in CANONICAL_FIELDS or name == "returned_quantity":
                raise ValueError(f"extra_regressors: {name} is a canonical field, leave it out")
            if name not in self.covariates.declared():
                raise ValueError(f"extra_regressors: list {name} under covariates, too, to say when it is known")
        for key, names in (
            ("field_map", self.field_map.values()),
            ("type_map", self.type_map),
            ("unit_map", self.unit_map),
            ("null_policy", self.null_policy),
            ("covariates", self.covariates.declared()),
        ):
            unknown = sorted(set(names) - known)
            if unknown:
                raise ValueError(
                    f"{key}: {', '.join(unknown)} is no canonical field; use one of {', '.join(CANONICAL_FIELDS)}, "
                    "or list it under extra_regressors"
                )
        not_a_regressor = {*ContractBase.model_fields["dedupe_keys"].default, "quantity", "transaction_type"}
        wrong = sorted(not_a_regressor & set(self.covariates.declared()))
        if wrong:
            raise ValueError(f"covariates: {', '.join(wrong)} cannot be a regressor, take it out of the lists")

    def _check_maps(self) -> None:
        for source, target in self.id_columns.items():
            if self.field_map.get(source, target) != target:
                raise ValueError(f"id_columns: {source} is {target} here and {self.field_map[source]} in field_map")
        for name, kind in self.type_map.items():
            allowed: tuple[str, ...] = _FIXED_TYPES.get(name, ("float", "int"))
            if name in self.extra_regressors:
                allowed = ("float", "int", "bool")
            if kind not in allowed:
                raise ValueError(f"type_map: {name} must be {' or '.join(allowed)}, not {kind}")
        for name in self.unit_map:
            if name not in NUMERIC_FIELDS and name not in self.extra_regressors:
                raise ValueError(f"unit_map: {name} is not a number, so it has no unit")

    def _check_fills(self) -> None:
        for name, rule in self.null_policy.items():
            if name in ("date", "store_id", "product_id"):
                raise ValueError(f"null_policy: {name} identifies the row and cannot be filled in")
            is_text = name in ("category", "transaction_type")
            if is_text != isinstance(rule.fill_value, str):
                raise ValueError(f"null_policy: {name} needs a {'text' if is_text else 'number'} as fill_value")

    @property
    def mapping(self) -> dict[str, str]:
        """Source column to canonical field, from `field_map` and `id_columns` together."""
        return {**self.field_map, **self.id_columns}

    @property
    def max_duplicate_rate(self) -> float:
        """The threshold in force: repeated keys are the normal case of `sum` unless the contract says otherwise."""
        if self.dq_thresholds.max_duplicate_rate is not None:
            return self.dq_thresholds.max_duplicate_rate
        return 1.0 if self.dedupe_policy is DedupePolicy.SUM else 0.01

    def thresholds(self) -> dict[str, float]:
        """Every threshold with the value in force."""
        return {**self.dq_thresholds.model_dump(), "max_duplicate_rate": self.max_duplicate_rate}

    def fill_for(self, name: str) -> float | str | None:
        """The value that stands in for an empty cell of this field, or None."""
        rule: NullRule | None = self.null_policy.get(name)
        return None if rule is None else rule.fill_value

    def file_spec(self, role: Role) -> FileSpec:
        """The declaration of one role's file. Raises KeyError when the contract has none."""
        return self.files.by_role()[role]


def load_contract(text: str | bytes) -> DataContract:
    """The contract written in YAML or JSON text. Raises `ContractInvalid` with one finding per key."""
    try:
        return DataContract.model_validate(parse_contract_text(text))
    except ContractTextError as problem:
        raise ContractInvalid((error("contract_unreadable", problem.message, fix=problem.fix),)) from problem
    except ValidationError as problem:
        raise ContractInvalid(tuple(_finding(detail) for detail in problem.errors())) from problem


def contract_sha256(contract: DataContract) -> str:
    """SHA-256 of the contract's canonical JSON: defaults written out, keys sorted, so their order does not matter.

    A key of a file that came later and says nothing is left out, so that known contracts keep their fingerprint.
    """
    values = contract.model_dump(mode="json")
    for spec in values["files"].values():
        for key in [key for key in _LATER_KEYS if spec is not None and not spec.get(key)]:
            spec.pop(key, None)
    canonical = json.dumps(values, sort_keys=True, separators=(",", ":"), ensure_ascii=True)
    return hashlib.sha256(canonical.encode()).hexdigest()


def contract_json_schema() -> dict[str, Any]:
    """The JSON Schema of a contract, as published under docs/schemas."""
    schema = DataContract.model_json_schema()
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", **schema, "title": "Forecourt data contract v1"}


_PATTERNS = {
    "country_code": ("This is not a country: two capital letters are needed.", "Write it as in US or DE."),
    "currency": ("This is not a currency: three capital letters are needed.", "Write it as in USD or EUR."),
}
_FIXES = {
    "missing": "Add this key.",
    "extra_forbidden": "Take it out, or check its spelling: a contract has only the keys in docs/data-contracts.md.",
}


def _finding(detail: Any) -> Finding:
    """One pydantic error as a finding that names the key and the fix."""
    key = ".".join(str(part) for part in detail["loc"] if part != "[key]") or None
    kind, message = detail["type"], str(detail["msg"])
    if kind == "value_error":
        message = message.removeprefix("Value error, ")
        if key is None and ": " in message:  # rules between keys name the key themselves
            key, message = message.split(": ", 1)
    if kind == "missing":
        message = "This key is missing."
    elif kind == "extra_forbidden":
        message = "This key is not part of a contract."
    elif isinstance(detail.get("input"), bool) and kind in ("string_type", "enum", "literal_error"):
        message += " (a bare word such as true is no text: put it in quotes)"
    elif kind == "string_pattern_mismatch" and key in _PATTERNS:
        message, fix = _PATTERNS[key]
        return error("contract_" + kind, message, column=key, fix=fix)
    if message[-1] not in ".!?)":
        message += "."  # the fix follows as a sentence of its own
    limits = Thresholds.model_fields
    fix = _FIXES.get(kind, "Change this value" + (" to a share from 0 to 1." if key and key[14:] in limits else "."))
    return error("contract_" + kind, message, column=key, fix=fix)
