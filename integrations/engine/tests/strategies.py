"""Whole contracts for property tests."""

from __future__ import annotations

from typing import Any

from hypothesis import strategies as st

from integrations.engine.contract import DataContract
from integrations.engine.tests.helpers import BASE

_HEADINGS = st.text(st.characters(codec="utf-8", exclude_categories=("Cc", "Cs")), min_size=1, max_size=12).filter(
    lambda text: "://" not in text
)
_RATES = st.floats(0, 1, allow_nan=False)
_SPECS = st.fixed_dictionaries(
    {"pattern": st.sampled_from(["sales*.csv", "a b-[0-9].txt", "*"])},
    optional={
        "format": st.sampled_from(["csv", "parquet", "ndjson", "xlsx"]),
        "delimiter": st.sampled_from([",", ";", "\t", "|"]),
        "encoding": st.sampled_from(["utf-8", "cp1252", "utf-16"]),
        "thousands": st.sampled_from([None, " ", "'"]),
        "decimal": st.sampled_from([".", ","]),
    },
)


@st.composite
def bodies(draw: st.DrawFn) -> dict[str, Any]:
    """The body of a valid contract, with about every key in use now and then."""
    fields = ["date", "store_id", "product_id", "quantity", "unit_price", "category", "is_promotional", "rain"]
    names = draw(st.lists(_HEADINGS, min_size=len(fields), max_size=len(fields), unique=True))
    mapped = dict(zip(names, fields, strict=True))
    ids = [name for name, field in mapped.items() if field in ("store_id", "product_id")]
    only_ids = draw(st.sets(st.sampled_from(ids)))
    body: dict[str, Any] = {
        **BASE,
        "field_map": {name: field for name, field in mapped.items() if name not in only_ids},
        "id_columns": {name: mapped[name] for name in draw(st.sets(st.sampled_from(ids))) | only_ids},
        "files": {"transactions": draw(_SPECS)},
        "extra_regressors": ["rain"],
        "covariates": {draw(st.sampled_from(["known_future", "historic_only", "static"])): ["rain"]},
        "dq_thresholds": {
            "max_required_null_rate": draw(_RATES),
            "max_duplicate_rate": draw(st.none() | _RATES),
            "max_future_days": draw(st.integers(0, 3660)),
        },
        "sla": {"max_age_hours": draw(st.floats(0.5, 8000))},
    }
    for role in ("stores", "products", "covariates"):
        if draw(st.booleans()):
            body["files"][role] = draw(_SPECS)
    choices: dict[str, st.SearchStrategy[Any]] = {
        "grain": st.sampled_from(["daily", "weekly"]),
        "timezone": st.sampled_from(["UTC", "Europe/Berlin", "America/New_York"]),
        "timezone_handling": st.sampled_from(["source_local_date", "utc_date"]),
        "quantity_sign_policy": st.sampled_from(["non_negative", "clip_negative"]),
        "currency": st.sampled_from(["USD", "EUR"]),
        "quantity_uom": st.sampled_from(["units", "cases"]),
        "date_format": st.sampled_from(["iso8601", "mixed", "%d.%m.%Y"]),
        "dedupe_policy": st.sampled_from(["sum", "reject"]),
        "missing_days": st.sampled_from(["zero", "closed"]),
        "unit_map": st.sampled_from([{}, {"unit_price": {"divide_by": 100}}, {"quantity": {"multiplier": 0.1}}]),
        "type_map": st.sampled_from([{}, {"quantity": "int"}, {"rain": "bool"}]),
        "id_normalization": st.sampled_from([{}, {"product_id": {"zero_pad": 6}}]),
        "null_policy": st.sampled_from([{}, {"unit_price": {"fill_value": 0}}, {"category": {"fill_value": "none"}}]),
        "drift": st.sampled_from([{}, {"new_column": "evolve"}]),
    }
    return body | draw(st.fixed_dictionaries({}, optional=choices))


def contracts() -> st.SearchStrategy[DataContract]:
    """Valid contracts."""
    return bodies().map(DataContract.model_validate)
