"""What a change of a contract breaks, in words, by key."""

from __future__ import annotations

from typing import Any

from pydantic import BaseModel

from integrations.engine.contract_model import Role

BREAKS: dict[str, str] = {
    "contract_version": "The contract is of another format, {new} instead of {old}.",
    "tenant": "The contract would belong to another tenant.",
    "source": "The contract would belong to another source.",
    "source_type": "The files would come in another way, {new} instead of {old}.",
    "grain": "Figures loaded so far are {old}, from now on {new}: the history would mix days and weeks, and forecasts "
    "would jump.",
    "timezone": "Days were those of {old}, from now on those of {new}: sales around midnight move to another day.",
    "timezone_handling": "The day of a sale with a time was found by {old}, from now on by {new}: sales near "
    "midnight move to another day, so days before and after do not compare.",
    "quantity_sign_policy": "Negative quantities followed {old}, from now on {new}: sales and returns so far were "
    "counted another way.",
    "country_code": "Holidays were those of {old}, from now on those of {new}: what was learnt of them no longer fits.",
    "currency": "Prices and costs loaded so far are in {old}, from now on in {new}: they cannot be compared.",
    "quantity_uom": "Quantities loaded so far were in {old}, from now on in {new}: forecasts would jump. If only the "
    "name was wrong, confirm.",
    "date_format": "Dates were read as {old}, from now on as {new}: files in the old format are refused, or their "
    "days are read another way.",
    "unit_map": "{field} so far: {old}; from now on: {new}. Figures before and after differ by that factor, and "
    "forecasts would jump.",
    "id_normalization": "{field} is written another way from now on: the same one may appear as two, and its history "
    "would break off.",
    "null_policy": "Empty cells of {field} {old}; from now on they {new}: figures before and after do not compare.",
    "dedupe_policy": "Several rows of one store, product and day followed {old}, from now on {new}: the same file "
    "gives other figures than before.",
    "missing_days": "A day without a row meant {old}, from now on {new}: the whole history is read another way, and "
    "forecasts would jump.",
    "covariates": "{name} was known as {old}, from now on as {new}: what was learnt with it no longer fits.",
    "extra_regressors": "{name} is no longer read: what was learnt with it no longer fits.",
    "drift.freeze": "Files with such a change are held for approval from now on; so far they went through another way.",
    "drift.discard": "What such a change brings is thrown away from now on.",
}
"""By key; `{old}` and `{new}` are the values."""

DRIFT_LOOSER = "Files with such a change go through without waiting."

FILE_BREAKS: dict[str, str] = {
    "pattern": "Files named like {old} are not found any more.",
    "format": "{old} files are refused from now on; {new} is expected.",
    "delimiter": "Files with cells separated by “{old}” cannot be read any more.",
    "decimal": "“{new}” marks the decimals instead of “{old}”: figures of files as before are refused or misread.",
    "thousands": "Figures with “{old}” between the thousands are read with “{new}” from now on, and may be refused.",
    "encoding": "Files in {old} are read as {new}: letters beyond a to z come out wrong or the file is refused.",
    "sheet": "The figures are taken from the sheet {new} instead of {old}.",
}
FILE_SAFE: dict[str, str] = {"columns": "Only what a change of columns is measured against; reading stays as it is."}

_REFERENCE = "From now on, rows that name a {0} which the {0}s file lacks are refused."
ROLE_ADDED: dict[Role, tuple[bool, str]] = {
    Role.TRANSACTIONS: (True, "The sales come from a file of their own."),
    Role.STORES: (True, _REFERENCE.format("store")),
    Role.PRODUCTS: (True, _REFERENCE.format("product")),
    Role.COVARIATES: (False, "Figures known ahead may come along; files without them are fine."),
}
ROLE_REMOVED: dict[Role, str] = {
    Role.TRANSACTIONS: "No file of sales is read any more.",
    Role.STORES: "Stores are not checked any more, and what the stores file says of them is not read.",
    Role.PRODUCTS: "Products are not checked any more, and what the products file says of them is not read.",
    Role.COVARIATES: "Figures known ahead are not read any more: forecasts lose them.",
}


def shown(value: Any) -> str | None:
    """A value as a person reads it; None for nothing."""
    if value is None or value in ((), [], {}):
        return None
    if isinstance(value, BaseModel):
        value = value.model_dump(mode="json", exclude_none=True, exclude_defaults=True)
    if isinstance(value, dict):
        return ", ".join(f"{key}: {shown(item)}" for key, item in value.items()) or None
    if isinstance(value, tuple | list):
        return ", ".join(str(shown(item)) for item in value)
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, float):
        return f"{value:g}"
    text = str(value)
    return {"\t": "tab", " ": "blank"}.get(text, text)
