"""A contract that is being filled in, as a plain dict: its first answers, its gaps, and what a step may change.

Nothing here knows a database: the same body gives the same answers.
"""

from __future__ import annotations

import fnmatch
import json
import os.path
import re
import unicodedata
from collections.abc import Mapping, Sequence
from typing import Any

from integrations.engine.contract import ContractInvalid, DataContract, load_contract
from integrations.engine.findings import Finding
from integrations.models.draft import DraftStep

Body = dict[str, Any]

STEP_KEYS: dict[str, frozenset[str]] = {
    DraftStep.SOURCE: frozenset({"source", "source_type", "country_code", "currency", "timezone"}),
    DraftStep.SAMPLE: frozenset({"files"}),
    DraftStep.MAPPING: frozenset(
        {"field_map", "id_columns", "type_map", "date_format", "extra_regressors", "covariates", "unit_map"}
        | {"null_policy"}
    ),
    DraftStep.MEANING: frozenset(
        {"grain", "timezone_handling", "quantity_sign_policy", "quantity_uom", "unit_map", "id_normalization"}
        | {"null_policy", "dedupe_policy", "missing_days", "covariates", "dq_thresholds", "drift", "sla", "type_map"}
    ),
    DraftStep.CHECKS: frozenset(),
    DraftStep.ACTIVATE: frozenset(),
    DraftStep.LOAD: frozenset(),
}
"""The contract's keys that each step asks for."""
_STEP_OF_KEY = {
    "source": DraftStep.SOURCE, "source_type": DraftStep.SOURCE, "country_code": DraftStep.SOURCE,
    "currency": DraftStep.SOURCE, "timezone": DraftStep.SOURCE, "tenant": DraftStep.SOURCE,
    "files": DraftStep.SAMPLE,
    "field_map": DraftStep.MAPPING, "id_columns": DraftStep.MAPPING, "date_format": DraftStep.MAPPING,
    "extra_regressors": DraftStep.MAPPING,
}  # fmt: skip
_STEP_OF_CODE = {
    "file_missing": DraftStep.SAMPLE, "empty_file": DraftStep.SAMPLE, "no_rows": DraftStep.SAMPLE,
    "binary_file": DraftStep.SAMPLE, "not_utf8": DraftStep.SAMPLE, "wrong_delimiter": DraftStep.SAMPLE,
    "wide_pivot": DraftStep.SAMPLE, "nested_values": DraftStep.SAMPLE, "too_many_columns": DraftStep.SAMPLE,
    "min_quantity_parse_success": DraftStep.SAMPLE, "several_records_in_one_cell": DraftStep.SAMPLE,
    "several_companies": DraftStep.SAMPLE, "several_currencies": DraftStep.SAMPLE,
    "currency_differs": DraftStep.SOURCE,
    "missing_required_field": DraftStep.MAPPING, "two_columns_one_field": DraftStep.MAPPING,
    "duplicate_heading": DraftStep.MAPPING, "missing_column": DraftStep.MAPPING,
    "quantity_by_arithmetic": DraftStep.MAPPING, "no_regressor": DraftStep.MAPPING,
    "ambiguous_date": DraftStep.MAPPING, "min_date_parse_success": DraftStep.MAPPING,
    "too_many_ids": DraftStep.MAPPING, "cumulative_counter": DraftStep.MAPPING,
    "max_duplicate_rate": DraftStep.MEANING, "max_future_days": DraftStep.MEANING,
    "max_history_years": DraftStep.MEANING, "max_required_null_rate": DraftStep.MEANING,
    "weekly_dates_differ": DraftStep.MEANING, "reference_conflict": DraftStep.SAMPLE,
}  # fmt: skip
_PLACEHOLDERS: Body = {"files": {"transactions": {"pattern": "*"}}, "field_map": {}}
_LETTERS = str.maketrans({"ß": "ss", "ø": "o", "æ": "ae", "ł": "l", "đ": "d", "ı": "i"})


def step_of_finding(code: str, column: str | None = None) -> DraftStep:
    """Where a finding can be mended: the step that asks for it."""
    if code.startswith("contract_"):
        return _STEP_OF_KEY.get((column or "").split(".")[0], DraftStep.MEANING)
    if code.startswith("rejected_"):
        reason = code.removeprefix("rejected_")
        if reason in ("not_a_date", "ambiguous_date", "date_implausible"):
            return DraftStep.MAPPING
        return DraftStep.SAMPLE if reason in ("not_a_number", "wrong_number_of_cells") else DraftStep.MEANING
    return _STEP_OF_CODE.get(code, DraftStep.MEANING)


def first_body(*, tenant: str, source: str, source_type: str, country_code: str, currency: str, timezone: str) -> Body:
    """What the first step says."""
    return {
        "contract_version": "v1",
        "tenant": tenant,
        "source": source,
        "source_type": source_type,
        "country_code": country_code,
        "currency": currency,
        "timezone": timezone,
    }


def slug_of(title: str) -> str:
    """A plain name as a contract's source name: ``Kasse Süd (2024)`` becomes ``kasse-sud-2024``."""
    plain = unicodedata.normalize("NFKD", title.lower().translate(_LETTERS)).encode("ascii", "ignore").decode()
    slug = re.sub(r"[^a-z0-9]+", "-", plain).strip("-")
    slug = slug if not slug or slug[0].isalpha() else f"data-{slug}"
    return slug[:60].strip("-")


def pattern_for(names: Sequence[str]) -> str:
    """A file pattern that fits these names and their likely successors: ``sales_2017-05.csv`` gives ``sales_*.csv``."""
    stems, ends = zip(*(_split(name) for name in names), strict=True)
    end = ends[0] if len(set(ends)) == 1 else ""
    common = os.path.commonprefix(list(stems))  # noqa: RUF071  # names, not paths: character by character is meant
    common = re.sub(r"[0-9][0-9._ -]*$", "", common) or common
    pattern = re.sub(r"[^A-Za-z0-9_\- ]", "?", common)[:60] + "*" + end
    pattern = re.sub(r"\?{2,}", "*", pattern)
    return pattern if all(fnmatch.fnmatchcase(name, pattern) for name in names) else "*"


def _split(name: str) -> tuple[str, str]:
    found = re.fullmatch(r"(.+?)((?:\.[A-Za-z0-9]{1,8}){1,2})", name)
    if found is None:
        return name, ""
    stem, end = found[1], found[2]
    if end.count(".") == 2 and not end.lower().endswith(".gz"):  # sales.2017.csv: only the last part is the ending
        first, last = end[1:].split(".")
        stem, end = f"{stem}.{first}", f".{last}"
    return stem, end


def whole_contract(body: Mapping[str, Any]) -> tuple[DataContract | None, tuple[Finding, ...]]:
    """The contract that the body is, or what it still lacks."""
    try:
        return load_contract(json.dumps(dict(body))), ()
    except ContractInvalid as problem:
        return None, problem.findings


def trial_contract(body: Mapping[str, Any]) -> tuple[DataContract | None, tuple[Finding, ...]]:
    """The same with stand-ins for what later steps ask, so that a first look is possible."""
    return whole_contract({**_PLACEHOLDERS, **body})


def problems_of_step(body: Mapping[str, Any], step: str) -> tuple[Finding, ...]:
    """What is wrong with this step's answers; gaps that later steps fill are none."""
    keys = STEP_KEYS[step]
    contract, findings = trial_contract(body)
    if contract is not None:
        return ()
    return tuple(found for found in findings if (found.column or "").split(".")[0] in keys)


def mapping_of(body: Mapping[str, Any]) -> dict[str, str]:
    """Source column to canonical field, from both places that a contract may say it."""
    return {**body.get("field_map", {}), **body.get("id_columns", {})}


def with_mapping(
    body: Mapping[str, Any], mapping: Mapping[str, str], extras: Sequence[str], known: Mapping[str, str]
) -> Body:
    """The changes that a new mapping makes: keys that name a field which is no longer there lose it.

    ``known`` says when new regressors are known; a further one that it does not name is known only afterwards, until
    somebody says otherwise.
    """
    fields = set(mapping.values())
    covariates = {key: list(names) for key, names in (body.get("covariates") or {}).items()}
    for key in ("known_future", "historic_only", "static"):
        covariates[key] = [name for name in covariates.get(key, []) if name in fields]
    declared = {name for names in covariates.values() for name in names}
    for name, key in ({name: "historic_only" for name in extras} | dict(known)).items():
        if name not in declared:
            covariates[key].append(name)
    changes: Body = {
        "field_map": dict(mapping),
        "id_columns": {},
        "extra_regressors": list(extras),
        "covariates": covariates,
    }
    for key in ("type_map", "unit_map", "null_policy"):
        if body.get(key):
            changes[key] = {name: value for name, value in body[key].items() if name in fields}
    return changes
