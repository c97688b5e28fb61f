"""What a replay means for the rejected rows of the batch that it replays."""

from __future__ import annotations

from dataclasses import dataclass

from integrations.models import Delivery, IngestBatch, RejectedRow
from integrations.models.batch import BatchState, RowState

_AT_ONCE = 2000


class RowsBroken(AssertionError):
    """Open rows and rejected rows do not add up after a replay: a defect of ours. Nothing was loaded."""

    def __init__(self, name: str, is_open: int, rejected: int) -> None:
        self.name, self.is_open, self.rejected = name, is_open, rejected
        super().__init__(f"{name}: {is_open} rows open, {rejected} rejected by the replay. Please report this.")


@dataclass(frozen=True, slots=True)
class _Rejected:
    column: str
    reason: str
    raw: str


def settle_rows(*, delivery: Delivery, batch: IngestBatch) -> None:
    """Close the rows that the replay loaded, say why others were rejected again, and add those that are new.

    Call it in the transaction that stores the replay. After a replay that loaded, exactly the rows that it rejected are
    open. Raises ``RowsBroken``.
    """
    root = delivery.replaces
    if root is None:
        return
    passed = batch.state == BatchState.LOADED
    # The batch may have been loaded before from files of other names.
    by_hash = dict(delivery.files.values_list("sha256", "name"))
    counts = {by_hash.get(file.sha256, file.name): file.rows_rejected for file in batch.files.all()}
    found: dict[str, dict[int, _Rejected]] = {}
    for row in RejectedRow.objects.filter(batch_file__batch=batch).select_related("batch_file").iterator(_AT_ONCE):
        name = by_hash.get(row.batch_file.sha256, row.batch_file.name)
        found.setdefault(name, {})[row.line] = _Rejected(row.column, row.reason, row.raw)
    for file in root.files.all():
        rejected = found.get(file.name, {})
        listed_all = len(rejected) == counts.get(file.name, 0)
        changed: list[RejectedRow] = []
        # A row may have been left out after this replay was written down: it stays left out, for the next one.
        given_up = set(file.rejected.filter(state=RowState.LEFT_OUT).values_list("line", flat=True))
        known = set(given_up)
        for row in file.rejected.exclude(state=RowState.LEFT_OUT).iterator(chunk_size=_AT_ONCE):
            known.add(row.line)
            again = rejected.get(row.line)
            if again is not None and (passed or row.mended_text == again.raw):
                row.column, row.reason = again.column, again.reason
                row.state, row.mended_in = (RowState.OPEN, None) if passed else (row.state, row.mended_in)
                changed.append(row)
            elif again is None and passed and row.state == RowState.OPEN and (listed_all or row.mended_text):
                row.state, row.mended_in = RowState.MENDED, batch
                changed.append(row)
        RejectedRow.objects.bulk_update(changed, ["state", "mended_in", "column", "reason"], batch_size=_AT_ONCE)
        if not passed:
            continue
        RejectedRow.objects.bulk_create(
            (
                RejectedRow(
                    batch_file=file, line=line, column=new.column, reason=new.reason, raw=new.raw, found_in=batch
                )
                for line, new in rejected.items()
                if line not in known
            ),
            batch_size=_AT_ONCE,
        )
        is_open = file.rejected.filter(state=RowState.OPEN).count()
        still = len(rejected.keys() - given_up)
        if listed_all and is_open != still:
            raise RowsBroken(file.name, is_open, still)
