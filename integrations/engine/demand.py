"""The transactions' way to demand: signs, returns, references, duplicates, and the canonical table."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from integrations.engine.aggregate import (
    DAY_BITS,
    PRODUCT_BITS,
    SERIES_SHIFT,
    Accumulator,
    Rule,
    pack_keys,
    reduce_groups,
    unpack_keys,
)
from integrations.engine.contract import DataContract
from integrations.engine.contract_model import FLAG_FIELDS, TEXT_FIELDS, DedupePolicy, SignPolicy
from integrations.engine.convert import TextCodes
from integrations.engine.pieces import PIECE_ROWS, Pieces
from integrations.engine.rows import RowReader, Typed
from integrations.engine.spill import Columns, Part, joined

RETURN_WORDS = frozenset(
    (
        "return",
        "returns",
        "returned",
        "refund",
        "refunded",
        "credit",
        "r",
        "ret",
        "retoure",
        "retour",
        "rückgabe",
        "devolucion",
        "devolución",
        "devolução",
        "storno",
        "gutschrift",
        "avoir",
        "remboursement",
        "reso",
        "rimborso",
        "zwrot",
        "iade",
    )
)
_PRICES = ("unit_price", "unit_cost")
_STOCKS = ("on_hand_qty", "on_order_qty")
Books = dict[str, TextCodes]


class DemandBuilder:
    """Takes checked chunks of transactions and gives one row per store, product and day.

    After `finish`: `repeated` rows had the key of an earlier one, `loaded` counts the canonical rows that each file (by
    its number) has brought, `stores`, `products` and `series` what they hold.
    """

    def __init__(self, contract: DataContract, fields: frozenset[str], books: Books) -> None:
        self._contract, self._fields, self._books = contract, fields, books
        self._numbers = tuple(n for n in (*_PRICES, *_STOCKS, *FLAG_FIELDS, *contract.extra_regressors) if n in fields)
        self._texts = tuple(name for name in TEXT_FIELDS if name in fields)
        self._rules = self._make_rules()
        self._sum = Accumulator(self._rules)
        self.known_stores: int | None = None
        self.known_products: int | None = None
        self.row_days: dict[int, int] = {}
        self.repeated = self.stores = self.products = self.series = 0
        self.loaded = np.zeros(1, np.int64)
        self._repeated_keys = np.zeros(0, np.int64)

    def _make_rules(self) -> dict[str, Rule]:
        rules = {"quantity": Rule("sum"), "returned_quantity": Rule("sum")}
        for name in self._numbers:
            if name in _STOCKS:
                rules[name] = Rule("last_known")
            elif name in FLAG_FIELDS:
                rules[name] = Rule("max")
            else:
                rules |= {f"{name}:{part}": Rule("sum") for part in ("weighted", "weight", "plain", "count")}
        rules |= {name: Rule("last_known") for name in self._texts}
        last = self._contract.dedupe_policy is DedupePolicy.KEEP_LAST
        if last:
            rules = {name: Rule("last") for name in rules}
        return {**rules, "rows": Rule("sum"), "file": Rule("last" if last else "first")}

    def check(self, reader: RowReader, typed: Typed, sources: dict[str, str]) -> NDArray[np.bool_]:
        """Flag rows by reference and sign; give the mask of the rows that are returns."""
        for name, known, reason in (
            ("store_id", self.known_stores, "unknown_store"),
            ("product_id", self.known_products, "unknown_product"),
        ):
            if known is not None:
                reader.flag(typed, typed.codes[name] >= known, sources[name], reason)
        quantity = typed.numbers["quantity"]
        with np.errstate(invalid="ignore"):
            negative = quantity < 0
        returned = self._return_rows(typed)
        policy = self._contract.quantity_sign_policy
        if policy is SignPolicy.NON_NEGATIVE:
            reader.flag(typed, negative, sources["quantity"], "negative_quantity")
            column = sources.get("transaction_type", sources["quantity"])
            reader.flag(typed, returned & ~negative, column, "return_not_allowed")
            return np.zeros(typed.rows, np.bool_)
        if policy is SignPolicy.CLIP_NEGATIVE:
            typed.numbers["quantity"] = np.where(negative | returned, 0.0, quantity)
            return np.zeros(typed.rows, np.bool_)
        typed.numbers["quantity"] = np.abs(quantity)
        return negative | returned

    def _return_rows(self, typed: Typed) -> NDArray[np.bool_]:
        codes = typed.codes.get("transaction_type")
        if codes is None:
            return np.zeros(typed.rows, np.bool_)
        texts = self._books["transaction_type"].texts()
        lookup = np.array([text.lower() in RETURN_WORDS for text in texts] + [False])
        return np.asarray(lookup[codes])

    def keys(self, typed: Typed, good: NDArray[np.bool_], returns: NDArray[np.bool_]) -> NDArray[np.int64]:
        """The packed keys of the sound rows."""
        if typed.days is None:  # the plan has made sure of a date column
            raise AssertionError("transactions without days")
        stores, products = typed.codes["store_id"], typed.codes["product_id"]
        if good.all():
            return pack_keys(stores, products, typed.days, returns)
        return pack_keys(stores[good], products[good], typed.days[good], returns[good])

    def add(self, typed: Typed, good: NDArray[np.bool_], returns: NDArray[np.bool_], file: int) -> None:
        """Take the sound rows of a chunk."""
        keys = self.keys(typed, good, returns)
        if not len(keys):
            return
        days = (keys >> 1) & 0xFFFF
        for day, count in enumerate(np.bincount(days)):
            if count:
                self.row_days[day] = self.row_days.get(day, 0) + int(count)
        every = bool(good.all())

        def pick(values: NDArray[np.float64]) -> NDArray[np.float64]:
            return values if every else values[good]

        returned = returns if every else returns[good]
        quantity = pick(typed.numbers["quantity"])
        sold = np.where(returned, 0.0, quantity) if returned.any() else quantity
        columns: Columns = {"quantity": sold, "returned_quantity": quantity - sold}
        empty = np.full(len(keys), np.nan)
        for name in self._numbers:
            values = pick(typed.numbers[name]) if name in typed.numbers else empty
            if name in _STOCKS or name in FLAG_FIELDS:
                columns[name] = values
                continue
            known = ~np.isnan(values)
            plain = np.where(known, values, 0.0)
            weight = np.where(known, sold if name in _PRICES else 1.0, 0.0)
            columns[f"{name}:weighted"] = plain * weight
            columns[f"{name}:weight"] = weight
            columns[f"{name}:plain"] = plain
            columns[f"{name}:count"] = known.astype(np.float64)
        for name in self._texts:
            codes = typed.codes.get(name)
            columns[name] = np.full(len(keys), -1, np.int32) if codes is None else codes if every else codes[good]
        columns["rows"] = np.ones(len(keys), np.int64)
        columns["file"] = np.full(len(keys), file, np.int16)
        self._sum.add(keys, columns)

    def repeats(self, typed: Typed, good: NDArray[np.bool_], returns: NDArray[np.bool_]) -> NDArray[np.bool_]:
        """Which of the sound rows have a key that occurs more than once; only after `finish` under policy reject."""
        known = self._repeated_keys
        keys = self._rank(self.keys(typed, good, returns))
        if not len(known):
            return np.zeros(len(keys), np.bool_)
        return np.asarray(known[np.minimum(np.searchsorted(known, keys), len(known) - 1)] == keys)

    @property
    def drops(self) -> bool:
        """Whether rows are left out because their key occurs more than once."""
        return bool(len(self._repeated_keys))

    def finish(self) -> Pieces:
        """The canonical demand. Sets `repeated`, `loaded` and the counts; under policy reject repeated keys go."""
        drop = self._contract.dedupe_policy is DedupePolicy.REJECT
        self._ranks = _Ranks(self._books["store_id"], self._books["product_id"])
        pieces = Pieces(demand_schema(self._contract))
        dropped: list[NDArray[np.int64]] = []
        for part in _cut(self._merged(drop, dropped)):
            pieces.append(self._table(part))
        self._repeated_keys = np.concatenate(dropped) if dropped else np.zeros(0, np.int64)
        self.stores, self.products = self._ranks.found()
        return pieces

    def _merged(self, drop: bool, dropped: list[NDArray[np.int64]]) -> Iterator[Part]:
        """Sales and returns of a day together, in the final order."""
        both = {name: Rule("last_known") if name in self._texts else rule for name, rule in self._rules.items()}
        both |= {name: Rule("sum") for name in self._rules if ":" in name or name.endswith("quantity")}
        both |= {name: Rule("last_known") for name in _STOCKS} | {name: Rule("max") for name in FLAG_FIELDS}
        for keys, columns in self._sum.sorted_parts(self._rank):
            rows = np.asarray(columns["rows"], np.int64)
            self.repeated += int(rows.sum()) - len(keys)
            if drop and bool((rows > 1).any()):
                once = rows == 1
                dropped.append(keys[~once])
                keys, columns = keys[once], {name: values[once] for name, values in columns.items()}
            if not len(keys):
                continue
            days, columns = reduce_groups(keys >> 1, columns, both)
            brought = np.bincount(np.asarray(columns.pop("file")).astype(np.int64), minlength=len(self.loaded))
            brought[: len(self.loaded)] += self.loaded
            self.loaded = brought
            self.series += int(np.count_nonzero(np.diff(days >> DAY_BITS))) + 1  # no series is in two parts
            yield days, {name: values for name, values in columns.items() if name != "rows"}

    def _rank(self, keys: NDArray[np.int64]) -> NDArray[np.int64]:
        return self._ranks.keys(keys)

    def _table(self, part: Part) -> pa.Table:
        keys, columns = part
        stores, products, days, _ = unpack_keys(keys << 1)
        count = len(keys)
        arrays: dict[str, pa.Array] = {
            "store_id": _dictionary(stores, self._ranks.stores.texts),
            "product_id": _dictionary(products, self._ranks.products.texts),
            "date": pa.array(days.astype(np.int32)).cast(pa.date32()),
            "quantity": pa.array(columns["quantity"]),
            "returned_quantity": pa.array(columns["returned_quantity"]),
        }
        self._ranks.mark(stores, products)
        for name in self._numbers:
            arrays[name] = pa.array(_value(columns, name), from_pandas=True)
        for name in self._texts:
            arrays[name] = _dictionary(np.asarray(columns[name]).astype(np.int64), self._books[name].texts())
        schema = demand_schema(self._contract)
        empty = {kind: pa.nulls(count, kind) for kind in {entry.type for entry in schema}}  # shared: they are large
        return pa.table(
            [arrays[entry.name] if entry.name in arrays else empty[entry.type] for entry in schema], schema=schema
        )


def _cut(parts: Iterator[Part]) -> Iterator[Part]:
    """The same rows in parts of at least `PIECE_ROWS` (but for the last), cut between series, however they came."""
    held: list[Part] = []
    rows = 0
    for part in parts:
        held.append(part)
        rows += len(part[0])
        if rows < PIECE_ROWS:
            continue
        keys, columns = joined(held)
        series = keys >> DAY_BITS
        start = 0
        while len(keys) - start >= PIECE_ROWS:
            end = int(np.searchsorted(series, series[start + PIECE_ROWS - 1], side="right"))
            yield keys[start:end], {name: values[start:end] for name, values in columns.items()}
            start = end
        held = [(keys[start:].copy(), {name: values[start:].copy() for name, values in columns.items()})]
        rows = len(keys) - start
    if rows:
        yield joined(held)


class _Ranked:
    """The texts of a book in their order, the rank of each code among them, and which of them occur."""

    def __init__(self, book: TextCodes) -> None:
        texts = book.texts()
        order = sorted(range(len(texts)), key=texts.__getitem__)
        self.of_code = np.empty(len(texts), np.int64)
        self.of_code[order] = np.arange(len(texts))
        self.texts = [texts[index] for index in order]
        self.occurs = np.zeros(len(texts), np.bool_)


class _Ranks:
    """Keys by the order of the texts instead of the order in which they were first seen."""

    def __init__(self, stores: TextCodes, products: TextCodes) -> None:
        self.stores, self.products = _Ranked(stores), _Ranked(products)

    def keys(self, keys: NDArray[np.int64]) -> NDArray[np.int64]:
        """The keys renamed."""
        stores, products, _, _ = unpack_keys(keys)
        ranked = self.stores.of_code[stores] << PRODUCT_BITS | self.products.of_code[products]
        return ranked << SERIES_SHIFT | keys & ((1 << SERIES_SHIFT) - 1)

    def mark(self, stores: NDArray[np.int64], products: NDArray[np.int64]) -> None:
        """These ranks occur."""
        self.stores.occurs[stores] = True
        self.products.occurs[products] = True

    def found(self) -> tuple[int, int]:
        """How many stores and products occur."""
        return int(self.stores.occurs.sum()), int(self.products.occurs.sum())


def _value(columns: Columns, name: str) -> NDArray[np.float64]:
    """Prices are means weighted by the units sold (a plain mean on a day without sales), regressors plain means."""
    if name in columns:
        return np.asarray(columns[name], np.float64)
    weighted, weight, plain, count = (
        np.asarray(columns[f"{name}:{part}"], np.float64) for part in ("weighted", "weight", "plain", "count")
    )
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.where(weight > 0, weighted / weight, plain / count)


def _dictionary(codes: NDArray[np.int64], texts: list[str]) -> pa.DictionaryArray:
    """Codes with their texts; -1 is null. Only texts that occur are kept."""
    occurs = np.zeros(len(texts) + 1, np.bool_)
    occurs[codes] = True
    used = np.flatnonzero(occurs[:-1])
    lookup = np.full(len(texts) + 1, -1, np.int32)
    lookup[used] = np.arange(len(used))
    indices = lookup[codes]
    words = pa.array([texts[code] for code in used.tolist()], pa.string())
    return pa.DictionaryArray.from_arrays(pa.array(indices, mask=indices < 0), words)


def demand_schema(contract: DataContract) -> pa.Schema:
    """The canonical columns in their order; extra regressors last."""
    text = pa.dictionary(pa.int32(), pa.string())
    numbers = (*_PRICES, *_STOCKS, *FLAG_FIELDS)
    return pa.schema(
        [("store_id", text), ("product_id", text), ("date", pa.date32())]
        + [("quantity", pa.float64()), ("returned_quantity", pa.float64())]
        + [(name, pa.float64()) for name in numbers]
        + [(name, text) for name in TEXT_FIELDS]
        + [(name, pa.float64()) for name in contract.extra_regressors]
    )


def empty_demand(contract: DataContract) -> pa.Table:
    """No demand, with the right columns."""
    return demand_schema(contract).empty_table()
