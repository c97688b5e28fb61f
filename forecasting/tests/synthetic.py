"""A small tenant with a known shape: a weekly rhythm, a level per series, seeded noise, promotions that lift demand."""

from __future__ import annotations

import uuid
from datetime import date, timedelta

import numpy as np
import pyarrow as pa

from forecasting.engine.synthetic import RetailShape, retail
from forecasting.models import ModelVersion
from integrations.engine.contract import DataContract
from integrations.engine.pieces import Pieces
from integrations.models import Contract, Source
from integrations.models.source import ContractState, SourceState
from integrations.registry import LoadResult, demand_sink
from ledger.context import Listener
from ledger.execution import run_inline

FIRST = date(2017, 1, 2)
DAYS = 150
LAST = FIRST + timedelta(days=DAYS - 1)


def make_contract(**changes) -> DataContract:
    body = {
        "contract_version": "v1",
        "tenant": "alpha",
        "source": "pos",
        "source_type": "smb_csv",
        "country_code": "US",
        "currency": "USD",
        "files": {"transactions": {"pattern": "sales.csv"}},
        "field_map": {"d": "date", "s": "store_id", "p": "product_id", "q": "quantity", "u": "unit_price"},
        "covariates": {"static": ["category"]},
    }
    return DataContract.model_validate({**body, **changes})


def activate(contract: DataContract) -> Contract:
    source = Source.objects.create(name=contract.source, source_type="smb_csv", state=SourceState.ACTIVE)
    return Contract.objects.create(
        source=source, version=1, body=contract.model_dump(mode="json"), sha256="0" * 64, state=ContractState.ACTIVE
    )


def make_demand(
    *, stores: int = 2, products: int = 4, days: int = DAYS, first: date = FIRST, seed: int = 7, **extra
) -> pa.Table:
    """Canonical demand as ingest hands it over (plain strings instead of dictionaries are as good)."""
    rng = np.random.default_rng(seed)
    rows: dict[str, list] = {
        name: [] for name in ("store_id", "product_id", "date", "quantity", "unit_price", "unit_cost", "category")
    }
    for store in range(stores):
        for product in range(products):
            level = 20.0 + 8.0 * product + 5.0 * store
            day_of = np.arange(days)
            rhythm = 1.0 + 0.35 * np.sin(2 * np.pi * day_of / 7 + product) + 0.001 * day_of
            values = np.maximum(level * rhythm + rng.normal(0, 2.0, days), 0).round()
            rows["store_id"] += [f"S{store}"] * days
            rows["product_id"] += [f"P{product}"] * days
            rows["date"] += [first + timedelta(days=int(d)) for d in day_of]
            rows["quantity"] += values.tolist()
            rows["unit_price"] += [2.0 + product] * days
            rows["unit_cost"] += [1.0 + product / 2] * days
            rows["category"] += [f"C{product % 2}"] * days
    types = {"date": pa.date32(), "store_id": pa.string(), "product_id": pa.string(), "category": pa.string()}
    columns = {n: pa.array(v, types.get(n, pa.float64())) for n, v in rows.items()}
    columns |= {n: pa.array(v, pa.float64()) for n, v in extra.items()}
    return pa.table(columns)


def retail_demand(shape: RetailShape) -> pa.Table:
    """Canonical demand of a synthetic retail panel."""
    truth = retail(shape)
    rows = truth.rows().merge(truth.static, on="unique_id").drop(columns="unique_id")
    columns = {"ds": "date", "y": "quantity"}
    table = pa.Table.from_pandas(rows.rename(columns=columns), preserve_index=False)
    return table.set_column(table.column_names.index("date"), "date", table["date"].cast(pa.date32()))


def load(
    demand: pa.Table | Pieces,
    *,
    contract: DataContract | None = None,
    batch_id: int = 1,
    future=None,
    products=None,
    replaces: frozenset[int] = frozenset(),
    yields_to: frozenset[int] = frozenset(),
    takes_over: frozenset[int] | None = frozenset(),
) -> LoadResult:
    return demand_sink()(
        demand=demand if isinstance(demand, Pieces) else Pieces.of(demand),
        future=future,
        stores=None,
        products=products,
        contract=contract or make_contract(),
        batch_id=batch_id,
        replaces=replaces,
        yields_to=yields_to,
        takes_over=takes_over,
    )


def train(*, families=("seasonal_naive",), as_of=None, listener: Listener | None = None, **inputs) -> ModelVersion:
    """Train one version through the job, outside of a chain. listener: is told how far it is."""
    given = {"mode": "search", "families": list(families), **inputs}
    if as_of is not None:
        given["as_of"] = as_of.isoformat()
    run = run_inline(kind="forecasting.retrain", inputs=given, scope=uuid.uuid4().hex, listener=listener)
    return ModelVersion.objects.get(number=run.outputs["version"])
