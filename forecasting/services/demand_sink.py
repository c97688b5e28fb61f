"""The sink that ingest loads into: canonical demand becomes series, demand and known-future rows, set by set."""

from __future__ import annotations

import json
from dataclasses import dataclass
from datetime import date

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from django.db import connection, transaction
from django.db.backends.utils import CursorWrapper
from numpy.typing import NDArray
from psycopg import sql

from forecasting.services.bulk import copy_in
from forecasting.services.demand_replay import drop_vanished, note_days
from forecasting.services.series_sink import PieceSeries, SeriesWriter
from integrations.engine.contract import DataContract
from integrations.engine.pieces import Pieces
from integrations.registry import LoadResult

MEASURES = (
    "quantity", "returned_quantity", "unit_price", "unit_cost", "on_hand_qty", "on_order_qty", "is_promotional",
    "is_holiday",
)  # fmt: skip
_COLUMNS = ("series_id", "date", *MEASURES, "extra", "stocked_out", "batch_id")
# What the table itself says where a column is not named (see the migrations).
_DEFAULTS: dict[str, object] = {name: None for name in MEASURES if name not in ("quantity", "returned_quantity")}
_DEFAULTS |= {"returned_quantity": 0.0, "extra": "{}", "stocked_out": False}
_ANALYZE_FROM = 10_000
_ANY_BATCH = 2**62  # no batch has a larger number


@dataclass(frozen=True, slots=True)
class _Turn:
    """Whose days a batch overwrites, leaves, and makes its own; see `load_demand`."""

    batch_id: int
    replaces: frozenset[int]
    yields_to: frozenset[int]
    takes_over: frozenset[int] | None

    @property
    def yields(self) -> bool:
        return bool(self.replaces or self.yields_to)

    @property
    def own(self) -> list[int]:
        return sorted({self.batch_id, *self.replaces})

    @property
    def since(self) -> int:
        """Batches after this one are later than the delivery."""
        return min(self.replaces, default=_ANY_BATCH)

    @property
    def stay(self) -> list[int]:
        return sorted(self.yields_to)

    @property
    def takes_all(self) -> bool:
        return self.takes_over is None

    @property
    def taken(self) -> list[int]:
        return sorted((self.takes_over or frozenset()) - self.replaces - {self.batch_id})


@transaction.atomic
def load_demand(
    *,
    demand: Pieces,
    future: pa.Table | None,
    stores: pa.Table | None,
    products: pa.Table | None,
    contract: DataContract,
    batch_id: int,
    replaces: frozenset[int] = frozenset(),
    yields_to: frozenset[int] = frozenset(),
    takes_over: frozenset[int] | None = frozenset(),
) -> LoadResult:
    """Upsert a batch of canonical demand (one row per store, product and day) in the caller's transaction.

    A day that comes again replaces what stood there, and counts as written only where a value changed. A day whose
    stock ended at zero or below is marked as stocked out: its sales were capped. `future` rows without a store or a
    product hold for all of them; a more specific row wins. Idempotent.

    With `replaces`, a day (known-future ones too) that another batch wrote since the first of those stays as it is, and
    attributes of a series are added, never changed: the delivery is older than what came in since. A day that those
    wrote and that is not in `demand` any more goes: the delivery is what should have come in their place.

    Days of the batches `yields_to` stay as they are, too. A day that one of `takes_over` wrote (None: any batch)
    becomes this batch's even where its values are the same, which does not count as written.
    """
    written = count = kept = 0
    days: list[date] = []
    series = SeriesWriter(stores=stores, products=products, yields=bool(replaces or yields_to))
    turn = _Turn(batch_id, replaces, yields_to, takes_over)
    for piece in demand:
        found = series.write(piece)
        count += found.count
        rows = _rows(piece, found, contract.extra_regressors, batch_id)
        of_piece = _write_demand(rows, found.stands, turn)
        if replaces:
            note_days(keys=rows.select(["series_id", "date"]))
        written, kept = written + of_piece[0], kept + of_piece[1]
        span = pc.min_max(piece["date"]).as_py()
        days += [span["min"], span["max"]]
    if replaces and demand.num_rows:
        written += drop_vanished(replaces=replaces)
    if written >= _ANALYZE_FROM:
        with connection.cursor() as cursor:
            cursor.execute("ANALYZE forecasting_demand")
    names = [n for n in contract.covariates.known_future if future is not None and n in future.column_names]
    if future is not None and future.num_rows and names:
        _upsert_future(future, names, turn)
    first, last = min(days, default=None), max(days, default=None)
    return LoadResult(days_written=written, series=count, first_day=first, last_day=last, kept_days=kept)


def _rows(demand: pa.Table, series: PieceSeries, extras: tuple[str, ...], batch_id: int) -> pa.Table:
    """The rows of `forecasting_demand` in the order of `_COLUMNS`; extra regressors as JSON by name."""
    count = demand.num_rows
    rows = {"series_id": pa.array(series.series_id), "date": demand["date"]}
    for name in MEASURES:
        rows[name] = _numbers(demand[name]) if name in demand.column_names else pa.nulls(count, pa.float64())
    rows["returned_quantity"] = pc.fill_null(rows["returned_quantity"], 0.0)
    rows["extra"] = _json(demand, [name for name in extras if name in demand.column_names])
    rows["stocked_out"] = pc.fill_null(pc.less_equal(rows["on_hand_qty"], 0.0), False)
    rows["batch_id"] = pa.repeat(pa.scalar(batch_id, pa.int64()), count)
    return pa.table(rows).select(_COLUMNS)


def _json(demand: pa.Table, names: list[str]) -> pa.Array | pa.ChunkedArray:
    """For each row a JSON object of these columns; a null is left out."""
    if not names:
        return pa.repeat(pa.scalar("{}"), demand.num_rows)
    pairs = [
        pc.binary_join_element_wise(f", {json.dumps(name)}: ", _numbers(demand[name]).cast(pa.string()), "")
        for name in names
    ]
    body = pc.binary_join_element_wise(*(pc.fill_null(pair, "") for pair in pairs), "")
    return pc.binary_join_element_wise("{", pc.utf8_slice_codeunits(body, 2), "}", "")


def _write_demand(rows: pa.Table, stands: NDArray[np.bool_], turn: _Turn) -> tuple[int, int]:
    """Write the rows; the number of series-days inserted or changed, and of those left to a later batch.

    Most batches bring days that are new: those go straight into the table by COPY. Only where days in the range of a
    series stood before does each row have to be compared. That the answer still holds while writing is due to the
    lock on the series (see `SeriesWriter`).
    """
    standing = pa.array(stands)
    fresh = rows if not stands.any() else rows.filter(pc.invert(standing))
    written = copy_in(fresh, "forecasting_demand", _COLUMNS, _DEFAULTS)
    kept = 0
    if stands.any():
        merged, kept = _merge_demand(rows.filter(standing), turn)
        written += merged
    return written, kept


def _merge_demand(rows: pa.Table, turn: _Turn) -> tuple[int, int]:
    """Stage by COPY, update the days that changed, insert those that are missing; how many they were, and the kept."""
    values = [name for name in _COLUMNS if name not in ("series_id", "date", "batch_id")]
    new = sql.SQL(", ").join(sql.SQL("n.{}").format(sql.Identifier(name)) for name in values)
    old = sql.SQL(", ").join(sql.SQL("d.{}").format(sql.Identifier(name)) for name in values)
    columns = sql.SQL(", ").join(map(sql.Identifier, values))
    with connection.cursor() as cursor:
        cursor.execute("DROP TABLE IF EXISTS pg_temp.demand_stage")
        cursor.execute("CREATE TEMP TABLE demand_stage (LIKE forecasting_demand) ON COMMIT DROP")
        copy_in(rows, "demand_stage", _COLUMNS)
        cursor.execute("ANALYZE demand_stage (series_id, date)")
        kept = _drop_kept(cursor, turn) if turn.yields else 0
        cursor.execute(
            sql.SQL(
                """
                UPDATE forecasting_demand d SET ({columns}, batch_id) = ROW ({new}, n.batch_id) FROM demand_stage n
                WHERE d.series_id = n.series_id AND d.date = n.date AND ({old}) IS DISTINCT FROM ({new})
                """
            ).format(columns=columns, new=new, old=old)
        )
        written = int(cursor.rowcount)
        if turn.takes_all or turn.taken:
            cursor.execute(
                """
                UPDATE forecasting_demand d SET batch_id = n.batch_id FROM demand_stage n
                WHERE d.series_id = n.series_id AND d.date = n.date AND d.batch_id <> n.batch_id
                    AND (%s OR d.batch_id = ANY (%s))
                """,
                [turn.takes_all, turn.taken],
            )
        cursor.execute(
            sql.SQL(
                """
                INSERT INTO forecasting_demand (series_id, date, {columns}, batch_id)
                SELECT n.series_id, n.date, {new}, n.batch_id FROM demand_stage n WHERE NOT EXISTS (
                    SELECT FROM forecasting_demand d WHERE d.series_id = n.series_id AND d.date = n.date)
                """
            ).format(columns=columns, new=new)
        )
        written += int(cursor.rowcount)
        cursor.execute("DROP TABLE pg_temp.demand_stage")
    return written, kept


def _drop_kept(cursor: CursorWrapper, turn: _Turn) -> int:
    """Take the staged days away that stay as a later delivery wrote them; how many they were."""
    cursor.execute(
        """
        DELETE FROM demand_stage n USING forecasting_demand d
        WHERE d.series_id = n.series_id AND d.date = n.date
            AND (d.batch_id = ANY (%s) OR d.batch_id <> ALL (%s) AND d.batch_id > %s)
        """,
        [turn.stay, turn.own, turn.since],
    )
    return int(cursor.rowcount)


def _numbers(column: pa.ChunkedArray) -> pa.ChunkedArray:
    """As doubles; what is not a finite number is null."""
    values = column.cast(pa.float64())
    return pc.if_else(pc.is_finite(values), values, pa.scalar(None, pa.float64()))


def _upsert_future(future: pa.Table, names: list[str], turn: _Turn) -> None:
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
        WHERE (k."values" || excluded."values" <> k."values" OR %s OR k.batch_id = ANY (%s))
            AND k.batch_id <> ALL (%s) AND (k.batch_id = ANY (%s) OR k.batch_id <= %s)
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
            cursor.execute(
                upsert.format(pairs=sql.SQL(", ").join(pairs), match=sql.SQL(match)),
                [turn.batch_id, turn.takes_all, turn.taken, turn.stay, turn.own, turn.since],
            )
        cursor.execute("DROP TABLE pg_temp.future_stage")
        if written >= _ANALYZE_FROM:
            cursor.execute("ANALYZE forecasting_knownfuture")
