"""The download of a batch's rejected rows in the form that can be mended and sent back."""

from __future__ import annotations

from collections.abc import Iterator

from integrations.engine.mend_sheet import SheetRow, write_sheet
from integrations.models import IngestBatch, RejectedRow
from integrations.models.batch import RowState
from integrations.services.mending import shown_cells
from integrations.services.originals import Original, originals_of, root_of


def sheet_of(batch: IngestBatch) -> Iterator[str]:
    """The batch's open rows as the text of a CSV, file by file, streamed; a replay gives those of its root."""
    root = root_of(batch)
    originals = originals_of(root)
    open_rows = RejectedRow.objects.filter(batch_file__batch=root, state=RowState.OPEN)
    names = open_rows.values_list("batch_file__name", flat=True).order_by("batch_file__name").distinct()
    yield from write_sheet(
        (originals[name].headings, _rows(originals[name])) for name in list(names) if name in originals
    )


def _rows(original: Original) -> Iterator[tuple[SheetRow, str]]:
    rows = original.file.rejected.filter(state=RowState.OPEN).order_by("line")
    for row in rows.iterator(chunk_size=2000):
        cells = shown_cells(row.mended_text or row.raw, original)
        reason = f"{row.column}: {row.reason}" if row.column else row.reason
        yield SheetRow(original.file.name, row.line, tuple(cells)), reason
