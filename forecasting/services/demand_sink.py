"""The sink that ingest loads into: canonical demand becomes series, demand and known-future rows, set by set."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
from django.db import connection, transaction
from psycopg import sql

from forecasting.services.bulk import copy_in
from integrations.engine.contract import DataContract
from integrations.registry import LoadResult

MEASURES = (
    "quantity", "returned_quantity", "unit_price", "unit_cost", "on_hand_qty", "on_order_qty", "is_promotional",
    "is_holiday",
)  # fmt: skip
_ANALYZE_FROM = 10_000


@transaction.atomic
def load_demand(
    *,
    demand: pa.Table,
    future: pa.Table | None,
    stores: pa.Table | None,
    products: pa.Table | None,
    contract: DataContract,
    batch_id: int,
) -> LoadResult:
    """Upsert a batch of canonical demand (one row per store, product and day) in the caller's transaction.

    A day that comes again replaces what stood there, and counts as written only where a value changed. A day whose
    stock ended at zero or below is marked as stocked out: its sales were capped. `future` rows without a store or a
    product hold for all of them; a more specific row wins. Idempotent.
    """
    written = 0
    keys = _SeriesKeys(demand)
    if len(keys.pairs):
        ids = _upsert_series(keys, stores, products)
        written = _upsert_demand(keys, ids, demand, contract.extra_regressors, batch_id)
    names = [n for n in contract.covariates.known_future if future is not None and n in future.column_names]
    if future is not None and future.num_rows and names:
        _upsert_future(future, names, batch_id)
    days = pc.min_max(demand["date"]).as_py() if demand.num_rows else {"min": None, "max": None}
    return LoadResult(days_written=written, series=len(keys.pairs), first_day=days["min"], last_day=days["max"])


class _SeriesKeys:
    """The distinct (store, product) pairs of a table, and the pair of each row."""

    def __init__(self, demand: pa.Table) -> None:
        store, product = _encoded(demand["store_id"]), _encoded(demand["product_id"])
        width = max(len(product.dictionary), 1)
        codes = store.indices.to_numpy(zero_copy_only=False).astype("int64") * width
        codes += product.indices.to_numpy(zero_copy_only=False)
        self.pairs, self.row = np.unique(codes, return_inverse=True)
        self.store = np.asarray(store.dictionary.to_pylist(), dtype=object)[self.pairs // width]
        self.product = np.asarray(product.dictionary.to_pylist(), dtype=object)[self.pairs % width]
        day = demand["date"].cast(pa.int32()).to_numpy()
        by = pd.Series(day).groupby(self.row)
        self.first, self.last = by.min().to_numpy(), by.max().to_numpy()
        self.category: list[str | None] = [None] * len(self.pairs)
        if "category" in demand.column_names and demand["category"].null_count < demand.num_rows:
            given = _encoded(demand["category"]).to_pandas().astype(object)
            last = given.groupby(self.row).last().reindex(range(len(self.pairs)))
            self.category = [v if isinstance(v, str) else None for v in last]


def _encoded(column: pa.ChunkedArray) -> pa.DictionaryArray:
    """One dictionary array, whatever the chunks were."""
    column = column if pa.types.is_dictionary(column.type) else column.dictionary_encode()
    merged = column.unify_dictionaries().combine_chunks()
    return merged.chunk(0) if isinstance(merged, pa.ChunkedArray) else merged


def _attributes(table: pa.Table | None, key: str) -> Mapping[str, dict[str, Any]]:
    """identifier -> its other columns, nulls left out."""
    if table is None or key not in table.column_names:
        return {}
    return {
        row[key]: {k: v for k, v in row.items() if k != key and v is not None}
        for row in table.to_pylist()
        if row[key] is not None
    }


def _upsert_series(keys: _SeriesKeys, stores: pa.Table | None, products: pa.Table | None) -> np.ndarray:
    """Insert or widen the series of the batch; their ids in the order of `keys.pairs`."""
    of_store, of_product = _attributes(stores, "store_id"), _attributes(products, "product_id")
    rows = []
    for store, product, category in zip(keys.store, keys.product, keys.category, strict=True):
        store_facts, product_facts = of_store.get(store, {}), of_product.get(product, {})
        named = category or product_facts.get("category") or ""
        rows.append((str(named)[:120], json.dumps(store_facts, default=str), json.dumps(product_facts, default=str)))
    category_of, store_json, product_json = (list(column) for column in zip(*rows, strict=True))
    epoch = np.datetime64("1970-01-01")
    days = [(epoch + end.astype("timedelta64[D]")).astype(object).tolist() for end in (keys.first, keys.last)]
    with connection.cursor() as cursor:
        # An empty category or attribute set says nothing, so it does not wipe out what is known.
        cursor.execute(
            """
            INSERT INTO forecasting_series AS s
                (store_id, product_id, category, store_attributes, product_attributes, first_day, last_day)
            SELECT * FROM unnest(%s::text[], %s::text[], %s::text[], %s::jsonb[], %s::jsonb[], %s::date[], %s::date[])
            ON CONFLICT (store_id, product_id) DO UPDATE SET
                category = COALESCE(NULLIF(excluded.category, ''), s.category),
                store_attributes = s.store_attributes || excluded.store_attributes,
                product_attributes = s.product_attributes || excluded.product_attributes,
                first_day = LEAST(s.first_day, excluded.first_day),
                last_day = GREATEST(s.last_day, excluded.last_day)
            RETURNING id, store_id, product_id
            """,
            [keys.store.tolist(), keys.product.tolist(), category_of, store_json, product_json, *days],
        )
        found = {(store, product): series for series, store, product in cursor.fetchall()}
    return np.asarray([found[pair] for pair in zip(keys.store, keys.product, strict=True)], dtype="int64")


def _upsert_demand(keys: _SeriesKeys, ids: np.ndarray, demand: pa.Table, extras: tuple[str, ...], batch_id: int) -> int:
    """Stage by COPY, then one set-based upsert; the number of series-days inserted or changed."""
    extras = tuple(name for name in extras if name in demand.column_names)
    staged = {"series_id": pa.array(ids[keys.row]), "date": demand["date"]}
    for name in (*MEASURES, *extras):
        staged[name] = (
            _numbers(demand[name]) if name in demand.column_names else pa.nulls(demand.num_rows, pa.float64())
        )
    staged["returned_quantity"] = pc.fill_null(staged["returned_quantity"], 0.0)
    names = list(MEASURES) + [f"extra_{i}" for i in range(len(extras))]
    numbers = sql.SQL(", ").join(sql.SQL("{} float8").format(sql.Identifier(name)) for name in names)
    pairs = [sql.SQL("{}, {}").format(sql.Literal(n), sql.Identifier(f"extra_{i}")) for i, n in enumerate(extras)]
    extra = sql.SQL("jsonb_strip_nulls(jsonb_build_object({}))").format(sql.SQL(", ").join(pairs))
    columns = sql.SQL(", ").join(map(sql.Identifier, (*MEASURES, "extra", "stocked_out")))
    new = sql.SQL(", ").join(
        sql.SQL("excluded.{}").format(sql.Identifier(n)) for n in (*MEASURES, "extra", "stocked_out")
    )
    old = sql.SQL(", ").join(sql.SQL("d.{}").format(sql.Identifier(n)) for n in (*MEASURES, "extra", "stocked_out"))
    with connection.cursor() as cursor:
        cursor.execute("DROP TABLE IF EXISTS pg_temp.demand_stage")
        cursor.execute(
            sql.SQL("CREATE TEMP TABLE demand_stage (series_id bigint, date date, {}) ON COMMIT DROP").format(numbers)
        )
        copy_in(pa.table(staged), "demand_stage", ["series_id", "date", *names])
        cursor.execute(
            sql.SQL(
                """
                INSERT INTO forecasting_demand AS d (series_id, date, {columns}, batch_id)
                SELECT series_id, date, {measures}, {extra}, COALESCE(on_hand_qty <= 0, false), %s FROM demand_stage
                ON CONFLICT (series_id, date) DO UPDATE SET ({columns}, batch_id) = ROW ({new}, excluded.batch_id)
                WHERE ({old}) IS DISTINCT FROM ({new})
                """
            ).format(
                columns=columns,
                measures=sql.SQL(", ").join(map(sql.Identifier, MEASURES)),
                extra=extra,
                new=new,
                old=old,
            ),
            [batch_id],
        )
        written = int(cursor.rowcount)
        cursor.execute("DROP TABLE pg_temp.demand_stage")
        if written >= _ANALYZE_FROM:
            cursor.execute("ANALYZE forecasting_demand")
    return written


def _numbers(column: pa.ChunkedArray) -> pa.ChunkedArray:
    """As doubles; what is not a finite number is null."""
    values = column.cast(pa.float64())
    return pc.if_else(pc.is_finite(values), values, pa.scalar(None, pa.float64()))


def _upsert_future(future: pa.Table, names: list[str], batch_id: int) -> None:
    """Known-future values; the general rows first, so that a specific one overrides them name by name."""
    staged = {n: future[n].cast(pa.string()) for n in ("store_id", "product_id")}
    staged["date"] = future["date"]
    staged |= {n: _numbers(future[n]) for n in names}
    columns = [f"value_{i}" for i in range(len(names))]
    numbers = sql.SQL(", ").join(sql.SQL("{} float8").format(sql.Identifier(name)) for name in columns)
    pairs = [sql.SQL("{}, {}").format(sql.Literal(n), sql.Identifier(c)) for n, c in zip(names, columns, strict=True)]
    upsert = sql.SQL(
        """
        INSERT INTO forecasting_knownfuture AS k (series_id, date, "values", batch_id)
        SELECT s.id, f.date, jsonb_strip_nulls(jsonb_build_object({pairs})), %s
        FROM future_stage f JOIN forecasting_series s ON {match}
        ON CONFLICT (series_id, date) DO UPDATE
            SET "values" = k."values" || excluded."values", batch_id = excluded.batch_id
        WHERE k."values" || excluded."values" <> k."values"
        """
    )
    matches = (
        "f.store_id IS NULL AND f.product_id IS NULL",
        "f.store_id IS NULL AND s.product_id = f.product_id",
        "f.product_id IS NULL AND s.store_id = f.store_id",
        "s.store_id = f.store_id AND s.product_id = f.product_id",
    )
    with connection.cursor() as cursor:
        cursor.execute("DROP TABLE IF EXISTS pg_temp.future_stage")
        cursor.execute(
            sql.SQL(
                "CREATE TEMP TABLE future_stage (store_id text, product_id text, date date, {}) ON COMMIT DROP"
            ).format(numbers)
        )
        written = copy_in(pa.table(staged), "future_stage", ["store_id", "product_id", "date", *columns])
        for match in matches:
            cursor.execute(upsert.format(pairs=sql.SQL(", ").join(pairs), match=sql.SQL(match)), [batch_id])
        cursor.execute("DROP TABLE pg_temp.future_stage")
        if written >= _ANALYZE_FROM:
            cursor.execute("ANALYZE forecasting_knownfuture")
