"""The last look before a batch is stored: no row and no unit may be missing."""

from __future__ import annotations

import math

import pyarrow.compute as pc

from integrations.engine.contract import Role
from integrations.engine.findings import Verdict
from integrations.engine.types import BatchResult, ConservationBroken


class UnitsBroken(AssertionError):
    """The canonical table does not hold the units that the report names: a defect of ours, never of the file."""

    def __init__(self, reported: float, held: float, what: str) -> None:
        self.reported, self.held, self.what = reported, held, what
        super().__init__(f"{what}: {reported} reported, {held} in the table. Nothing was loaded; please report this.")


def assert_conserved(result: BatchResult) -> None:
    """Count again, from the result itself: each file's rows, the canonical rows, and the units they hold.

    Raises ``ConservationBroken``, ``UnitsBroken``.
    """
    for found in result.files:
        counts = (found.rows_read, found.rows_loaded, found.rows_merged, found.rows_rejected)
        if min(counts) < 0 or counts[0] != sum(counts[1:]):
            raise ConservationBroken(found.name, *counts)
    if result.verdict is not Verdict.PASSED:
        return
    loaded = sum(found.rows_loaded for found in result.files if found.role is Role.TRANSACTIONS)
    if loaded != result.pieces.num_rows or loaded != sum(piece.num_rows for piece in result.pieces):
        raise UnitsBroken(loaded, result.pieces.num_rows, "Canonical rows")
    for column, reported in (("quantity", result.units), ("returned_quantity", result.returned_units)):
        held = math.fsum(pc.sum(piece.column(column)).as_py() or 0.0 for piece in result.pieces)
        # Both are sums of the same doubles, in another order.
        if not math.isclose(held, reported, rel_tol=1e-9, abs_tol=1e-6):
            raise UnitsBroken(reported, held, column)
