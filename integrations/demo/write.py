"""Writes the source files of the three demo tenants: three schemas, as three different tills would export them.

What is real: every sale, price, product, store and promotion. What is made up: the names of districts, and in tenant
b a small share of returns, because the source has none (`RETURN_SHARE`, by a hash of the basket number).
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv as pacsv
import pyarrow.parquet as pq
from numpy.typing import NDArray

from integrations.demo.shape import deal, stores_by_volume, till_days, top_lines
from integrations.demo.source import LAST_DAY, promotion_batches, read_products, read_sales, week_of

SMB_LINES = 60
SMALL_STORE, LARGE_STORE = 1000, 3000  # pieces a year
ENTERPRISE_DISTRICTS = 20
ENTERPRISE_LINES = 9
LAST_SALE = {
    "smb_tenant_a": pd.Timestamp(2017, 11, 15),
    "smb_tenant_b": pd.Timestamp(2017, 11, 11),
    "enterprise_like": pd.Timestamp(2017, 10, 28),
}
"""Where each tenant's sales end: before Thanksgiving, which one year of data has no earlier example of."""
RETURN_SHARE = 0.01
Report = dict[str, dict[str, Any]]


def write_demo_files(out: Path) -> Report:
    """Write out/smb_tenant_a, out/smb_tenant_b and out/enterprise_like; the same bytes every time.

    Returns, by tenant, the rows of each file, the series, the first and last day, and the pieces sold and returned.
    Raises `DemoDataMissing`.
    """
    products = read_products()
    sales = read_sales(products)
    small = stores_by_volume(sales, SMALL_STORE)
    return {
        "smb_tenant_a": _write_a(out / "smb_tenant_a", sales, products, small[::2]),
        "smb_tenant_b": _write_b(out / "smb_tenant_b", sales, products, small[1::2]),
        "enterprise_like": _write_enterprise(
            out / "enterprise_like", sales, products, stores_by_volume(sales, LARGE_STORE)
        ),
    }


def _write_a(folder: Path, sales: pd.DataFrame, products: pd.DataFrame, stores: NDArray[np.int64]) -> dict[str, Any]:
    """Two districts of every other store × the top categories; dates and decimals as in the United States."""
    wanted = top_lines(sales, products.category, SMB_LINES)
    sold = _until(sales, "smb_tenant_a")
    rows = till_days(sold, products.category, wanted, deal(stores, 2), ["North", "South"])
    table = pa.table(
        {
            "sale_date": _dates(rows.day, "%m/%d/%Y"),
            "store": pa.array(rows.store),
            "sku": pa.array(rows.line),
            "qty": pa.array(rows.quantity.astype(np.int64)),
            "price": pa.array(rows.price),
        }
    )
    _write_csv(table, folder / "sales_2017.csv", ",")
    return _facts(rows, {"sales_2017.csv": len(rows)})


def _write_b(folder: Path, sales: pd.DataFrame, products: pd.DataFrame, stores: NDArray[np.int64]) -> dict[str, Any]:
    """Two districts of the other stores; semicolons, decimal comma, quantities in tens, returns as negative rows.

    The returns are the made-up part: each till line whose basket number hashes below `RETURN_SHARE` also comes back
    whole, as a row of its own on the same day. Sales themselves stay untouched.
    """
    wanted = top_lines(sales, products.category, SMB_LINES)
    districts, names = deal(stores, 2), ["Lakeside", "Riverside"]
    sold = _until(sales, "smb_tenant_b")
    rows = till_days(sold, products.category, wanted, districts, names)
    back = till_days(sold[_hashes_below(sold.basket, RETURN_SHARE)], products.category, wanted, districts, names)
    both = pd.concat([rows, back.assign(quantity=-back.quantity)], ignore_index=True)
    both = both.sort_values(["day", "till", "line"], kind="stable", ignore_index=True)
    table = pa.table(
        {
            "BusinessDate": _dates(both.day, "%m-%d-%Y"),
            "Outlet": pa.array(both.store),
            "ItemCode": pa.array(both.line),
            "QtyTens": _decimal_comma(both.quantity / 10),
            "UnitPrice": _decimal_comma(both.price),
        }
    )
    _write_csv(table, folder / "pos_export.csv", ";")
    return _facts(rows, {"pos_export.csv": len(both)}) | {"returned": float(back.quantity.sum())}


def _write_enterprise(
    folder: Path, sales: pd.DataFrame, products: pd.DataFrame, stores: NDArray[np.int64]
) -> dict[str, Any]:
    """Twenty districts × the largest lines (department and brand), as parquet, with stores, products and promotions.

    The promotion plan goes on after the last sale, to 2017-12-31: so what the tenant knows ahead of time is the plan
    that the source really has for those weeks.
    """
    lines = products.department + " - " + products.brand.fillna("National")
    wanted = top_lines(sales, lines, ENTERPRISE_LINES)
    districts = deal(stores, ENTERPRISE_DISTRICTS)
    names = [f"{101 + number}" for number in range(ENTERPRISE_DISTRICTS)]
    rows = till_days(_until(sales, "enterprise_like"), lines, wanted, districts, names)
    codes = {line: f"L{number:02d}" for number, line in enumerate(wanted, start=1)}
    counts = np.bincount(list(districts.values()), minlength=ENTERPRISE_DISTRICTS)
    share = _promoted_share(products, lines, wanted, districts, counts)
    tables = {
        "transactions.parquet": pa.table(
            {
                "business_date": pa.array(rows.day.dt.date),
                "district_no": pa.array(rows.store.astype(np.int32)),
                "line_code": pa.array(rows.line.map(codes)),
                "units_sold": pa.array(rows.quantity.astype(np.int32)),
                "avg_price_cents": pa.array((rows.price * 100).round().astype(np.int32)),
            }
        ),
        "stores.parquet": pa.table({"district_no": pa.array([int(name) for name in names], pa.int32())}).append_column(
            "till_count", pa.array(counts.astype(np.int32))
        ),
        "products.parquet": pa.table(
            {"line_code": list(codes.values()), "department": [line.split(" - ")[0] for line in wanted]}
        ),
        "promotions.parquet": _plan(share, names, list(codes.values())),
    }
    folder.mkdir(parents=True, exist_ok=True)
    for name, table in tables.items():
        pq.write_table(table, folder / name, compression="zstd")
    return _facts(rows, {name: table.num_rows for name, table in tables.items()})


def _promoted_share(
    products: pd.DataFrame, lines: pd.Series, wanted: list[str], districts: dict[int, int], counts: NDArray[np.int64]
) -> NDArray[np.float64]:
    """Share of a line's assortment on display or in the mailer, [district, line, week 0..53], averaged over stores."""
    line_of = np.full(int(products.product_id.max()) + 1, -1, np.int64)
    line_of[products.product_id.to_numpy()] = pd.Categorical(lines, categories=wanted).codes
    district_of = np.full(max(districts) + 1, -1, np.int64)
    district_of[list(districts)] = list(districts.values())
    shape = (len(counts), len(wanted), 54)
    promoted = np.zeros(np.prod(shape), np.int64)
    for product, store, week in promotion_batches():
        line = line_of[np.minimum(product, len(line_of) - 1)]
        district = district_of[np.minimum(store, len(district_of) - 1)]
        known = (line >= 0) & (district >= 0) & (product < len(line_of)) & (store < len(district_of))
        cell = (district[known] * shape[1] + line[known]) * shape[2] + week[known]
        promoted += np.bincount(cell, minlength=len(promoted))
    assortment = lines.value_counts().reindex(wanted).to_numpy(np.float64)
    return np.asarray(promoted.reshape(shape) / assortment[None, :, None] / counts[:, None, None])


def _plan(share: NDArray[np.float64], names: list[str], codes: list[str]) -> pa.Table:
    """The promotion plan by day. A week counts as promotional when its share is in the line's upper third so far:
    judged by the district's earlier weeks only (the first eight weeks by each other)."""
    days = pd.date_range("2017-01-01", LAST_DAY, freq="D")
    weeks = week_of(days)
    flags = np.zeros(share.shape, np.bool_)
    for week in range(1, share.shape[2]):
        past = share[:, :, 1 : max(week, 9)]
        flags[:, :, week] = share[:, :, week] > np.quantile(past, 2 / 3, axis=2)
    district, line, day = (part.ravel() for part in np.indices((len(names), len(codes), len(days))))
    week = weeks[day]
    return pa.table(
        {
            "business_date": pa.array(days.to_numpy().astype("datetime64[D]")[day]),
            "district_no": pa.array(np.array([int(name) for name in names], np.int32)[district]),
            "line_code": pa.array(np.array(codes, dtype=object)[line]),
            "on_promotion": pa.array(flags[district, line, week]),
            "promo_share": pa.array(share[district, line, week].round(6)),
        }
    )


def _until(sales: pd.DataFrame, tenant: str) -> pd.DataFrame:
    """The till lines up to the tenant's last sale."""
    return sales[sales.day <= LAST_SALE[tenant]]


def _hashes_below(baskets: pd.Series, share: float) -> NDArray[np.bool_]:
    """A steady pseudo-random share of the baskets (Knuth's multiplicative hash of the basket number)."""
    hashed = (baskets.to_numpy().astype(np.uint64) * np.uint64(2_654_435_761)) % np.uint64(2**32)
    return np.asarray(hashed < np.uint64(int(share * 2**32)))


def _dates(days: pd.Series, style: str) -> pa.Array:
    """Each day written once, then spread over the rows."""
    codes, distinct = pd.factorize(days)
    return pa.array(pd.DatetimeIndex(distinct).strftime(style)).take(pa.array(codes))


def _decimal_comma(values: pd.Series) -> pa.Array:
    return pc.replace_substring(pc.cast(pa.array(values.round(2)), pa.string()), ".", ",")


def _write_csv(table: pa.Table, path: Path, delimiter: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    style = pacsv.WriteOptions(include_header=False, delimiter=delimiter, quoting_style="none")
    with path.open("wb") as stream:
        stream.write((delimiter.join(table.column_names) + "\n").encode())
        pacsv.write_csv(table, stream, style)


def _facts(rows: pd.DataFrame, files: dict[str, int]) -> dict[str, Any]:
    return {
        "files": files,
        "rows": sum(files.values()),
        "series": int(rows.groupby(["store", "line"]).ngroups),
        "days": int(rows.day.nunique()),
        "first_day": rows.day.min().date().isoformat(),
        "last_day": rows.day.max().date().isoformat(),
        "sold": float(rows.quantity.sum()),
    }
