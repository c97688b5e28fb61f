"""What reading a batch gives: per-file counts, canonical tables, rejected rows."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import pyarrow as pa

from integrations.engine.contract import DataContract, Role
from integrations.engine.findings import Finding, Verdict
from integrations.engine.pieces import Pieces
from integrations.engine.rejected import RejectedRow

Progress = Callable[[int, int, str], None]  # (bytes done, bytes in total, message)


class ConservationBroken(AssertionError):
    """Rows went missing between reading and the result: a defect of ours, never of the file."""

    def __init__(self, name: str, read: int, loaded: int, merged: int, rejected: int) -> None:
        self.name, self.read, self.loaded, self.merged, self.rejected = name, read, loaded, merged, rejected
        super().__init__(
            f"{name}: {read} rows read, but {loaded} loaded + {merged} merged + {rejected} rejected. "
            "Nothing was loaded; please report this file as a defect."
        )


@dataclass(frozen=True, slots=True)
class FileResult:
    """The fate of one file's rows. Raises `ConservationBroken` unless every row read is accounted for."""

    role: Role
    name: str
    sha256: str
    bytes: int
    rows_read: int
    rows_loaded: int
    rows_merged: int
    rows_rejected: int

    def __post_init__(self) -> None:
        if self.rows_read != self.rows_loaded + self.rows_merged + self.rows_rejected:
            raise ConservationBroken(self.name, self.rows_read, self.rows_loaded, self.rows_merged, self.rows_rejected)


@dataclass(frozen=True, slots=True)
class BatchResult:
    """All of one batch.

    `pieces`: the demand, one row per store, product and day, sorted by them, in tables of bounded size. Columns:
    store_id, product_id (dictionary<int32, string>), date (date32), quantity (gross sales, double), returned_quantity
    (double), unit_price, unit_cost, on_hand_qty, on_order_qty, is_promotional, is_holiday (double, null = not given),
    category, transaction_type (dictionary, nullable), then each extra regressor (double).
    `future`: the covariates file, one row per (store_id, product_id, date) with the regressors as doubles; a null
    store_id or product_id means "all of them". None without that file.
    `stores`, `products`: one row per identifier with the file's mapped columns. None without that file.
    A verdict other than `passed` leaves every table empty and every row counted as rejected.
    """

    contract: DataContract
    verdict: Verdict
    findings: tuple[Finding, ...]
    metrics: Mapping[str, float | int | str | None]
    thresholds: Mapping[str, float]
    files: tuple[FileResult, ...]
    pieces: Pieces
    future: pa.Table | None
    stores: pa.Table | None
    products: pa.Table | None
    rejected: Sequence[RejectedRow]
    units: float
    returned_units: float
    lineage: Mapping[str, Any] = field(default_factory=dict)

    @property
    def demand(self) -> pa.Table:
        """The whole demand in memory: for small batches and for tests."""
        return self.pieces.table()

    def total(self, counter: str) -> int:
        """The sum of one of `rows_read`, `rows_loaded`, `rows_merged`, `rows_rejected` over all files."""
        return sum(int(getattr(result, counter)) for result in self.files)
