"""Where a higher app says how demand is stored: integrations reads and checks files, and never imports forecasting."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date
from typing import Protocol

import pyarrow as pa

from integrations.engine.contract import DataContract
from integrations.engine.pieces import Pieces
from integrations.errors import NoDemandSink


@dataclass(frozen=True, slots=True)
class LoadResult:
    """What a sink wrote: series-days inserted or changed, series touched, and the first and last day of the batch.

    `kept_days`: series-days of the batch that were left as they stood, because a batch that came later wrote them.
    """

    days_written: int
    series: int
    first_day: date | None
    last_day: date | None
    kept_days: int = 0


class DemandSink(Protocol):
    """Writes one batch of canonical demand, wholly, in the caller's transaction.

    `replaces` names the batches that this one is a second reading of (a mended delivery): then only days that are
    absent or were last written by one of those are written, so that what came in since is not undone.
    `yields_to` names batches of later deliveries that were faster (this one's run had failed and was resumed): their
    days stay. `takes_over` names the batches whose days become this batch's also where it brings the same values, since
    those batches may be read again (None: of any batch).
    """

    def __call__(
        self,
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
    ) -> LoadResult: ...


_SINKS: list[DemandSink] = []


def register_demand_sink(sink: DemandSink) -> None:
    """Make ``sink`` the one that ingest loads into; called from the owning app's ``ready()``. The last one stands."""
    _SINKS[:] = [sink]


def demand_sink() -> DemandSink:
    """The registered sink; raise ``NoDemandSink`` where no app registered one."""
    if not _SINKS:
        raise NoDemandSink()
    return _SINKS[0]
