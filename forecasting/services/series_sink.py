"""The series of a batch: found or made in one statement, and held against other loads until the batch commits."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
from django.db import connection
from numpy.typing import NDArray
from psycopg import sql

from forecasting.services.bulk import copy_in, copy_out

_CATEGORY_LENGTH = 120
_STAGED = {
    "n": "int",
    "store_id": "text",
    "product_id": "text",
    "category": "text",
    "store_attributes": "jsonb",
    "product_attributes": "jsonb",
    "first_day": "date",
    "last_day": "date",
}


@dataclass(frozen=True, slots=True)
class BatchSeries:
    """The series of a batch: how many, and for each row its series' id and whether days in its range stood before."""

    count: int
    series_id: NDArray[np.int64]
    stands: NDArray[np.bool_]


def write_series(
    *, demand: pa.Table, stores: pa.Table | None, products: pa.Table | None, yields: bool = False
) -> BatchSeries:
    """Insert or widen the series of canonical `demand` (at least one row) in the caller's transaction.

    What the batch says about a series overrides what was known of it, or with `yields` only adds to it.

    Their rows stay locked until it ends, also where nothing about them changed. So of two loads that share a series
    the second waits here for the first, and whoever is past this point is alone in writing the days of its series.
    """
    staged, row = _staged(demand, stores, products)
    names = sql.SQL(", ").join(sql.SQL("{} {}").format(sql.Identifier(n), sql.SQL(t)) for n, t in _STAGED.items())
    with connection.cursor() as cursor:
        cursor.execute("DROP TABLE IF EXISTS pg_temp.series_stage")
        cursor.execute(sql.SQL("CREATE TEMP TABLE series_stage ({}) ON COMMIT DROP").format(names))
        copy_in(staged, "series_stage", list(_STAGED))
        cursor.execute("ANALYZE series_stage (n, store_id, product_id)")
        # In one order, so that two loads never wait for each other. An empty category or attribute set says nothing, so
        # it does not wipe out what is known.
        old, new = ("excluded", "s") if yields else ("s", "excluded")
        cursor.execute(_UPSERT.format(old=sql.Identifier(old), new=sql.Identifier(new)))
        found = copy_out(_FOUND, {"n": pa.int32(), "id": pa.int64(), "stands": pa.bool_()})
        cursor.execute("DROP TABLE pg_temp.series_stage")
    order = np.argsort(found["n"].to_numpy())
    ids, stands = found["id"].to_numpy()[order], found["stands"].to_numpy()[order]
    return BatchSeries(len(ids), ids[row], stands[row])


_UPSERT = sql.SQL(
    """
    INSERT INTO forecasting_series AS s
        (store_id, product_id, category, store_attributes, product_attributes, first_day, last_day)
    SELECT store_id, product_id, category, store_attributes, product_attributes, first_day, last_day
    FROM series_stage ORDER BY store_id COLLATE "C", product_id COLLATE "C"
    ON CONFLICT (store_id, product_id) DO UPDATE SET
        category = COALESCE(NULLIF({new}.category, ''), {old}.category),
        store_attributes = {old}.store_attributes || {new}.store_attributes,
        product_attributes = {old}.product_attributes || {new}.product_attributes,
        first_day = LEAST(s.first_day, excluded.first_day),
        last_day = GREATEST(s.last_day, excluded.last_day)
    WHERE (s.category, s.store_attributes, s.product_attributes, s.first_day, s.last_day) IS DISTINCT FROM
        (COALESCE(NULLIF({new}.category, ''), {old}.category), {old}.store_attributes || {new}.store_attributes,
            {old}.product_attributes || {new}.product_attributes, LEAST(s.first_day, excluded.first_day),
            GREATEST(s.last_day, excluded.last_day))
    """
)
# The limit keeps this one probe of the key's index for each series, whatever else the table holds.
_FOUND = sql.SQL(
    """
    SELECT g.n, s.id, d.one IS NOT NULL AS stands
    FROM series_stage g JOIN forecasting_series s ON s.store_id = g.store_id AND s.product_id = g.product_id
    LEFT JOIN LATERAL (
        SELECT 1 AS one FROM forecasting_demand d
        WHERE d.series_id = s.id AND d.date BETWEEN g.first_day AND g.last_day LIMIT 1
    ) d ON true
    """
)


def _staged(demand: pa.Table, stores: pa.Table | None, products: pa.Table | None) -> tuple[pa.Table, NDArray[np.int64]]:
    """One row for each distinct (store, product) pair, and the pair that each row of `demand` belongs to."""
    store, product = _encoded(demand["store_id"]), _encoded(demand["product_id"])
    width = max(len(product.dictionary), 1)
    codes = store.indices.to_numpy(zero_copy_only=False).astype("int64") * width
    codes += product.indices.to_numpy(zero_copy_only=False)
    pairs, row = np.unique(codes, return_inverse=True)
    of_store, of_product = pa.array(pairs // width), pa.array(pairs % width)
    by = pd.Series(demand["date"].cast(pa.int32()).to_numpy()).groupby(row)
    store_facts = _facts(store.dictionary, stores, "store_id")
    product_facts = _facts(product.dictionary, products, "product_id")
    listed = pa.array([str(facts.get("category", "")) for facts in product_facts], pa.string()).take(of_product)
    columns = {
        "n": pa.array(np.arange(len(pairs), dtype="int32")),
        "store_id": store.dictionary.cast(pa.string()).take(of_store),
        "product_id": product.dictionary.cast(pa.string()).take(of_product),
        "category": pc.utf8_slice_codeunits(_categories(demand, row, listed), 0, _CATEGORY_LENGTH),
        "store_attributes": _as_json(store_facts).take(of_store),
        "product_attributes": _as_json(product_facts).take(of_product),
        "first_day": pa.array(by.min().to_numpy().astype("int32")).cast(pa.date32()),
        "last_day": pa.array(by.max().to_numpy().astype("int32")).cast(pa.date32()),
    }
    return pa.table(columns), row


def _categories(demand: pa.Table, row: NDArray[np.int64], listed: pa.Array) -> pa.Array:
    """The last category that a pair's rows name; else the one that the products file lists; else the empty text."""
    if "category" not in demand.column_names or demand["category"].null_count == demand.num_rows:
        return listed
    given = _encoded(demand["category"])
    named = np.flatnonzero(given.is_valid().to_numpy(zero_copy_only=False))
    last = np.full(len(listed), -1, dtype="int64")
    last[row[named]] = given.indices.take(pa.array(named)).to_numpy()  # of equal positions the last assignment stays
    found = given.dictionary.cast(pa.string()).take(pa.array(last, mask=last < 0))
    return pc.if_else(pc.fill_null(pc.not_equal(found, ""), False), found, listed)


def _encoded(column: pa.ChunkedArray) -> pa.DictionaryArray:
    """One dictionary array, whatever the chunks were."""
    column = column if pa.types.is_dictionary(column.type) else column.dictionary_encode()
    merged = column.unify_dictionaries().combine_chunks()
    return merged.chunk(0) if isinstance(merged, pa.ChunkedArray) else merged


def _facts(identifiers: pa.Array, table: pa.Table | None, key: str) -> list[Mapping[str, Any]]:
    """For each identifier its other columns in the reference file; what is empty or not a number is left out."""
    if table is None or key not in table.column_names:
        return [{}] * len(identifiers)
    known = {
        row[key]: {k: v for k, v in row.items() if k != key and v is not None and v == v}  # NaN is not itself
        for row in table.to_pylist()
        if row[key] is not None
    }
    return [known.get(identifier, {}) for identifier in identifiers.to_pylist()]


def _as_json(facts: list[Mapping[str, Any]]) -> pa.Array:
    return pa.array([json.dumps(each, default=str) if each else "{}" for each in facts], pa.string())
