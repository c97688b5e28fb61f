"""The series of a batch: found or made, set by set, while no other load writes any."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from django.db import connection
from numpy.typing import NDArray
from psycopg import sql

from forecasting.services.bulk import copy_in, copy_out

_CATEGORY_LENGTH = 120
# What the table itself says where a column is not named (see the migrations).
_DEFAULTS = {"category": "", "store_attributes": "{}", "product_attributes": "{}"}
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
class PieceSeries:
    """The series of a piece: how many, and for each row its series' id and whether days in its range stood before."""

    count: int
    series_id: NDArray[np.int64]
    stands: NDArray[np.bool_]


class SeriesWriter:
    """Inserts or widens the series of a batch, piece by piece, in the caller's transaction.

    Made, it locks the table of series against other writers until the transaction ends: of two loads the second waits
    here for the first, and whoever is past this point is alone in writing series and their days. What the batch says
    about a series overrides what was known of it, or with `yields` only adds to it.
    """

    def __init__(self, *, stores: pa.Table | None, products: pa.Table | None, yields: bool = False) -> None:
        self._stores, self._products = stores, products
        self._old, self._new = ("excluded", "s") if yields else ("s", "excluded")
        self._had_series: dict[str, bool] = {}
        with connection.cursor() as cursor:
            cursor.execute("LOCK TABLE forecasting_series IN SHARE ROW EXCLUSIVE MODE")

    def write(self, demand: pa.Table) -> PieceSeries:
        """The series of a piece of canonical demand (at least one row, no series of an earlier piece)."""
        staged, row = _staged(demand, self._stores, self._products)
        known = self._of_known_stores(staged)
        ids, stands = np.empty(len(known), np.int64), np.zeros(len(known), np.bool_)
        if not known.all():
            ids[~known] = _insert(staged if not known.any() else staged.filter(pa.array(~known)))
        if known.any():
            ids[known], stands[known] = self._upsert(staged.filter(pa.array(known)))
        return PieceSeries(len(ids), ids[row], stands[row])

    def _of_known_stores(self, staged: pa.Table) -> NDArray[np.bool_]:
        """For each series whether its store had any before this batch; all series of another are new."""
        stores = staged["store_id"].combine_chunks().dictionary_encode()
        names = stores.dictionary.to_pylist()
        asked = [name for name in names if name not in self._had_series]
        with connection.cursor() as cursor:
            cursor.execute(
                # In the order of the key and the first only, so that each name is one probe of the key's index.
                "SELECT name FROM unnest(%s::text[]) AS name, LATERAL (SELECT FROM forecasting_series"
                " WHERE store_id = name ORDER BY store_id, product_id LIMIT 1) AS found",
                [asked],
            )
            had = {name for (name,) in cursor.fetchall()}
        self._had_series |= {name: name in had for name in asked}
        had_series = np.array([self._had_series[name] for name in names], np.bool_)
        return np.asarray(had_series[stores.indices.to_numpy()])

    def _upsert(self, staged: pa.Table) -> tuple[NDArray[np.int64], NDArray[np.bool_]]:
        """Through a staging table: series that may be there."""
        staged = staged.append_column("n", pa.array(np.arange(staged.num_rows, dtype="int32")))
        names = sql.SQL(", ").join(sql.SQL("{} {}").format(sql.Identifier(n), sql.SQL(t)) for n, t in _STAGED.items())
        with connection.cursor() as cursor:
            cursor.execute("DROP TABLE IF EXISTS pg_temp.series_stage")
            cursor.execute(sql.SQL("CREATE TEMP TABLE series_stage ({}) ON COMMIT DROP").format(names))
            copy_in(staged.select(list(_STAGED)), "series_stage", list(_STAGED))
            cursor.execute("ANALYZE series_stage (n, store_id, product_id)")
            # An empty category or attribute set says nothing, so it does not wipe out what is known.
            cursor.execute(_UPSERT.format(old=sql.Identifier(self._old), new=sql.Identifier(self._new)))
            found = copy_out(_FOUND, {"n": pa.int32(), "id": pa.int64(), "stands": pa.bool_()})
            cursor.execute("DROP TABLE pg_temp.series_stage")
        order = np.argsort(found["n"].to_numpy())
        return found["id"].to_numpy()[order], found["stands"].to_numpy()[order]


def _insert(staged: pa.Table) -> NDArray[np.int64]:
    """Series that are certainly new, straight into the table; their ids in the order of the rows."""
    numbers = sql.SQL(
        """
        SELECT nextval(named.numbers) AS id FROM generate_series(1, {}),
            (SELECT pg_get_serial_sequence('forecasting_series', 'id')::regclass AS numbers OFFSET 0) AS named
        """
    ).format(sql.Literal(staged.num_rows))
    ids = copy_out(numbers, {"id": pa.int64()})["id"].combine_chunks()
    staged = staged.append_column("id", ids)
    copy_in(staged, "forecasting_series", ["id", *(n for n in _STAGED if n != "n")], _DEFAULTS)
    return np.asarray(ids.to_numpy(), np.int64)


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
    days = demand["date"].cast(pa.int32()).to_numpy()
    order = np.argsort(codes, kind="stable")
    ordered = codes[order]
    first = np.concatenate((np.ones(1, np.bool_), ordered[1:] != ordered[:-1]))
    row = np.empty(len(codes), np.int64)
    row[order] = np.cumsum(first) - 1
    starts = np.flatnonzero(first)
    pairs, days = ordered[starts], days[order]
    of_store, of_product = pa.array(pairs // width), pa.array(pairs % width)
    store_facts = _facts(store.dictionary, stores, "store_id")
    product_facts = _facts(product.dictionary, products, "product_id")
    listed = pa.array([str(facts.get("category", "")) for facts in product_facts], pa.string()).take(of_product)
    columns = {
        "store_id": store.dictionary.cast(pa.string()).take(of_store),
        "product_id": product.dictionary.cast(pa.string()).take(of_product),
        "category": pc.utf8_slice_codeunits(_categories(demand, row, listed), 0, _CATEGORY_LENGTH),
        "store_attributes": _as_json(store_facts).take(of_store),
        "product_attributes": _as_json(product_facts).take(of_product),
        "first_day": pa.array(np.minimum.reduceat(days, starts)).cast(pa.date32()),
        "last_day": pa.array(np.maximum.reduceat(days, starts)).cast(pa.date32()),
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
        for row in table.filter(pc.is_in(table[key], identifiers.cast(pa.string()))).to_pylist()
        if row[key] is not None
    }
    return [known.get(identifier, {}) for identifier in identifiers.to_pylist()]


def _as_json(facts: list[Mapping[str, Any]]) -> pa.Array:
    return pa.array([json.dumps(each, default=str) if each else "{}" for each in facts], pa.string())
