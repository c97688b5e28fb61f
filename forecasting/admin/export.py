"""A list of the admin as CSV, with what a spreadsheet would run as a formula shown as text."""

from __future__ import annotations

import csv
import io
from collections.abc import Callable, Iterable, Sequence
from typing import Any

from django.http import HttpResponse

from integrations.engine.spreadsheet import plain_cell

Column = tuple[str, Callable[[Any], Any]]


def csv_response(name: str, columns: Sequence[Column], rows: Iterable[Any]) -> HttpResponse:
    """The rows as a file to keep; a value that is not known is an empty cell."""
    text = io.StringIO()
    writer = csv.writer(text)
    writer.writerow([title for title, _ in columns])
    writer.writerows([_cell(read(row)) for _, read in columns] for row in rows)
    headers = {"Content-Disposition": f'attachment; filename="{name}"', "Cache-Control": "no-store"}
    return HttpResponse(text.getvalue(), content_type="text/csv; charset=utf-8", headers=headers)


def _cell(value: Any) -> Any:
    if value is None:
        return ""
    return plain_cell(value) if isinstance(value, str) else value
