"""Loading canonical demand: what is written, what is left alone, what overrides what."""

from __future__ import annotations

from datetime import date

import pyarrow as pa

from forecasting.models import Demand, KnownFuture, Series
from forecasting.tests.synthetic import DAYS, FIRST, LAST, load, make_contract, make_demand
from integrations.engine.pieces import Pieces


def test_load__first_batch__series_and_days_are_written(alpha):
    result = load(make_demand())
    assert (result.days_written, result.series, result.first_day, result.last_day) == (8 * DAYS, 8, FIRST, LAST)
    series = Series.objects.get(store_id="S1", product_id="P1")
    assert (series.category, series.first_day, series.last_day) == ("C1", FIRST, LAST)
    row = Demand.objects.get(series=series, date=FIRST)
    assert (row.unit_price, row.unit_cost, row.returned_quantity, row.batch_id) == (3.0, 1.5, 0.0, 1)
    assert row.on_hand_qty is None and row.stocked_out is False and row.extra == {}


def test_load__same_batch_again__nothing_is_written(alpha):
    load(make_demand())
    assert load(make_demand(), batch_id=2).days_written == 0
    assert set(Demand.objects.values_list("batch_id", flat=True)) == {1}


def test_load__correction__only_changed_days_name_the_new_batch(alpha):
    demand = make_demand(stores=1, products=1)
    load(demand)
    quantities = demand["quantity"].to_pylist()
    quantities[3] = 999.0
    corrected = demand.set_column(demand.column_names.index("quantity"), "quantity", pa.array(quantities))
    assert load(corrected, batch_id=2).days_written == 1
    changed = Demand.objects.get(batch_id=2)
    assert (changed.quantity, changed.date) == (999.0, date(2017, 1, 5))


def test_load__dictionary_columns_in_chunks__same_rows_as_plain_strings(alpha):
    plain = make_demand(days=10)
    coded = pa.concat_tables([plain.slice(40), plain.slice(0, 40)])
    for name in ("store_id", "product_id", "category"):
        chunks = [chunk.dictionary_encode() for chunk in coded[name].chunks]
        coded = coded.set_column(coded.column_names.index(name), name, pa.chunked_array(chunks))
    load(coded)
    assert load(plain, batch_id=2).days_written == 0
    assert Series.objects.count() == 8


def test_load__extra_regressor_and_stock__kept_by_name_and_stockout_is_marked(alpha):
    contract = make_contract(
        extra_regressors=["open"],
        field_map={"d": "date", "s": "store_id", "p": "product_id", "q": "quantity", "o": "open", "h": "on_hand_qty"},
        covariates={"historic_only": ["open"]},
    )
    demand = make_demand(stores=1, products=1, days=3, open=[1.0, None, 0.0], on_hand_qty=[5.0, 0.0, None])
    load(demand, contract=contract)
    rows = list(Demand.objects.order_by("date").values_list("extra", "stocked_out"))
    assert rows == [({"open": 1.0}, False), ({}, True), ({"open": 0.0}, False)]


def test_load__not_a_number__is_null_and_never_nan(alpha):
    demand = make_demand(stores=1, products=1, days=2)
    prices = pa.array([float("nan"), float("inf")], pa.float64())
    load(demand.set_column(demand.column_names.index("unit_price"), "unit_price", prices))
    assert set(Demand.objects.values_list("unit_price", flat=True)) == {None}


def test_load__text_with_quotes_and_commas__comes_back_unchanged(alpha):
    demand = make_demand(stores=1, products=1, days=1)
    name = 'Großmarkt, "Süd" \\N\n=1+1'
    demand = demand.set_column(demand.column_names.index("store_id"), "store_id", pa.array([name]))
    load(demand)
    assert Series.objects.get().store_id == name


def test_load__future_rows__specific_overrides_general(alpha):
    contract = make_contract(
        field_map={"d": "date", "s": "store_id", "p": "product_id", "q": "quantity", "a": "is_promotional"},
        covariates={"known_future": ["is_promotional"]},
    )
    day = date(2017, 6, 1)
    future = pa.table(
        {
            "store_id": pa.array([None, "S0", "S0"], pa.string()),
            "product_id": pa.array([None, None, "P0"], pa.string()),
            "date": pa.array([day] * 3, pa.date32()),
            "is_promotional": pa.array([0.0, 0.5, 1.0]),
        }
    )
    load(make_demand(products=2, days=5), contract=contract, future=future)
    found = KnownFuture.objects.order_by("series__store_id", "series__product_id")
    values = [(k.series.store_id, k.series.product_id, k.values["is_promotional"]) for k in found]
    assert values == [("S0", "P0", 1.0), ("S0", "P1", 0.5), ("S1", "P0", 0.0), ("S1", "P1", 0.0)]


def test_load__products_file__attributes_are_kept_and_never_wiped(alpha):
    products = pa.table({"product_id": ["P0"], "brand": ["Own"], "category": ["Fruit"]})
    load(make_demand(stores=1, products=1, days=2), products=products)
    load(make_demand(stores=1, products=1, days=3), batch_id=2)
    series = Series.objects.get()
    assert series.product_attributes == {"brand": "Own", "category": "Fruit"}


def test_load__no_rows__writes_nothing(alpha):
    result = load(make_demand().slice(0, 0))
    assert (result.days_written, result.series, result.first_day) == (0, 0, None)


def scaled(demand: pa.Table, factor: float) -> pa.Table:
    """The same days, each quantity times `factor`."""
    quantity = pa.array([factor * value for value in demand["quantity"].to_pylist()])
    return demand.set_column(demand.column_names.index("quantity"), "quantity", quantity)


def test_load__mended_delivery_read_again__days_that_came_in_since_stay_and_are_counted(alpha):
    first = make_demand(stores=1, products=1, days=10)
    load(first.slice(0, 6))
    load(scaled(first.slice(4, 3), 2), batch_id=2)
    result = load(scaled(first, 3), batch_id=3, replaces=frozenset({1}))
    assert (result.days_written, result.kept_days) == (7, 3)
    wrote = list(Demand.objects.order_by("date").values_list("batch_id", flat=True))
    assert wrote == [3] * 4 + [2] * 3 + [3] * 3
    kept = list(Demand.objects.filter(batch_id=2).order_by("date").values_list("quantity", flat=True))
    assert kept == [2 * value for value in first["quantity"].to_pylist()[4:7]]


def test_load__mended_delivery_of_several_batches__days_of_each_are_overwritten(alpha):
    days = make_demand(stores=1, products=2, days=4)
    load(days.slice(0, 4))
    load(days.slice(4), batch_id=2)
    result = load(scaled(days, 2), batch_id=3, replaces=frozenset({1, 2}))
    assert (result.days_written, result.kept_days) == (8, 0)


def test_load__mended_delivery_without_later_ones__nothing_is_kept_back(alpha):
    days = make_demand(stores=1, products=1, days=4)
    load(days)
    again = load(days, batch_id=2, replaces=frozenset({1}))
    assert (again.days_written, again.kept_days) == (0, 0)
    assert load(scaled(days, 2), batch_id=2).kept_days == 0


def test_load__mended_delivery__newer_attributes_and_planned_values_stay(alpha):
    contract = make_contract(
        field_map={"d": "date", "s": "store_id", "p": "product_id", "q": "quantity", "a": "is_promotional"},
        covariates={"known_future": ["is_promotional"]},
    )
    days = make_demand(stores=1, products=1, days=4).drop_columns(["category"])
    dates = pa.array([date(2017, 6, 1), date(2017, 6, 2)], pa.date32())

    def future(*values: float) -> pa.Table:
        none = pa.nulls(len(values), pa.string())
        columns = {"store_id": none, "product_id": none, "date": dates.slice(0, len(values))}
        return pa.table({**columns, "is_promotional": pa.array(values)})

    def products(**attributes: str) -> pa.Table:
        return pa.table({"product_id": ["P0"], **{name: [value] for name, value in attributes.items()}})

    load(days, contract=contract, future=future(0.1, 0.1), products=products(brand="Old", category="Old"))
    load(days, contract=contract, batch_id=2, future=future(0.2), products=products(brand="New", category="New"))
    mended = products(brand="Mended", category="Mended", pack="6")
    load(
        days,
        contract=contract,
        batch_id=3,
        future=future(0.3, 0.3),
        products=mended,
        replaces=frozenset({1}),
    )
    series = Series.objects.get()
    assert series.category == "New"
    assert series.product_attributes == {"brand": "New", "category": "New", "pack": "6"}
    planned = KnownFuture.objects.order_by("date").values_list("values__is_promotional", "batch_id")
    assert list(planned) == [(0.2, 2), (0.3, 3)]


def in_pieces(*tables: pa.Table) -> Pieces:
    pieces = Pieces(tables[0].schema)
    for table in tables:
        pieces.append(table)
    return pieces


def test_load__in_pieces_cut_within_a_store__equals_one_table(alpha):
    whole = make_demand(stores=2, products=3, days=10)
    result = load(in_pieces(whole.slice(0, 20), whole.slice(20, 30), whole.slice(50)))
    assert (result.days_written, result.series) == (60, 6)
    assert (result.first_day, result.last_day) == (FIRST, date(2017, 1, 11))
    again = load(whole, batch_id=2)
    assert (again.days_written, Series.objects.count()) == (0, 6)
    names = [series.pk for series in Series.objects.order_by("store_id", "product_id")]
    assert names == sorted(names)


def test_load__new_products_of_known_and_of_new_stores_in_pieces__each_series_is_once(alpha):
    load(make_demand(stores=1, products=2, days=5))
    grown = make_demand(stores=3, products=3, days=5)
    result = load(in_pieces(grown.slice(0, 25), grown.slice(25)), batch_id=2)
    assert (result.days_written, result.series, Series.objects.count()) == (45 - 10, 9, 9)
    assert Demand.objects.filter(batch_id=1).count() == 10


def test_load__mended_delivery_in_pieces__only_days_that_no_piece_brings_go(alpha):
    whole = make_demand(stores=1, products=2, days=4)
    load(whole)
    result = load(in_pieces(whole.slice(0, 4), whole.slice(4, 3)), batch_id=2, replaces=frozenset({1}))
    assert (result.days_written, result.kept_days, Demand.objects.count()) == (1, 0, 7)


def test_load__values_that_the_table_gives_itself__are_the_same_as_written_ones(alpha):
    contract = make_contract(
        field_map={"d": "date", "s": "store_id", "p": "product_id", "q": "quantity", "h": "on_hand_qty"}
    )
    load(make_demand(stores=1, products=1, days=2, on_hand_qty=[None, None]), contract=contract)
    mixed = make_demand(stores=2, products=1, days=2, on_hand_qty=[None, None, None, 0.0])
    load(mixed, contract=contract, batch_id=2)
    rows = Demand.objects.order_by("series_id", "date").values_list(
        "returned_quantity", "on_hand_qty", "stocked_out", "extra", "batch_id"
    )
    assert list(rows) == [(0.0, None, False, {}, 1)] * 2 + [(0.0, None, False, {}, 2), (0.0, 0.0, True, {}, 2)]
