"""Pages on which rejected rows are mended: as a form, by a sheet that was sent back, left out, and read again."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from django import forms
from django.contrib import messages
from django.http import HttpRequest, HttpResponseBase, HttpResponseRedirect

from integrations.admin.uploading import to_run
from integrations.engine.chunks import RAW_LIMIT
from integrations.engine.mend_sheet import SheetRow
from integrations.mending_errors import MendUnsupported, OriginalsGone
from integrations.models import IngestBatch, RejectedRow
from integrations.models.batch import RowState
from integrations.services.kept_files import drop_kept_files
from integrations.services.mending import (
    MendOutcome,
    leave_out_rows,
    mend_rows,
    mend_sheet,
    replay_batch,
    shown_cells,
)
from integrations.services.originals import Original, originals_of, root_of
from ledger.admin.base import BaseAdmin
from ledger.admin.forms import PlainForm, ReasonForm
from ledger.errors import DomainError
from ledger.uploads import refused_upload

ROWS_SHOWN = 50
_CELLS_SHOWN = 800  # a request has at most 1,000 fields


@dataclass
class ShownRow:
    """One row of the form: its place, the reason, its cells, and whether it may be mended here."""

    row: RejectedRow
    cells: list[tuple[str, str]]  # name of the input, value
    too_long: bool


@dataclass
class ShownFile:
    """The rows of one file, under its headings."""

    name: str
    headings: list[str]
    rows: list[ShownRow]


class SheetForm(PlainForm):
    """The mended download."""

    sheet = forms.FileField(
        label="Mended rows",
        help_text="The download with its cells mended, saved as CSV. Rows that you did not touch stay open.",
        error_messages={"required": "Choose the mended file first."},
    )


def mend_view(admin: BaseAdmin, request: HttpRequest, batch: IngestBatch) -> HttpResponseBase:
    """The first open rows with their cells as inputs; the buttons of the POST are told apart by ``action``."""
    root = root_of(batch)
    if root != batch:
        return HttpResponseRedirect(admin.url("mend", root.pk))
    problem = refused_upload(request)
    if request.method == "POST" and problem is None:
        try:
            done = _act(request, root)
        except DomainError as error:
            problem = str(error)
        else:
            if done is not None:
                return done(admin)
    fixed = _fixed(root)
    try:
        files = [] if fixed else _files(request, root)
    except DomainError as error:
        problem, files = str(error), []
    total = RejectedRow.objects.filter(batch_file__batch=root, state=RowState.OPEN).count()
    return admin.render_page(
        request,
        "forecourt/mend.html",
        title=f"Mend rejected rows of {root}",
        obj=root,
        status=422 if problem and request.method == "POST" else 200,
        batch=root,
        files=files,
        total=total,
        shown=sum(len(file.rows) for file in files),
        problem=problem,
        sheet_form=SheetForm(),
        reason=request.POST.get("reason", ""),
        is_kept=root.files.exclude(kept_path="").exists(),
        fixed=fixed,
    )


def _fixed(root: IngestBatch) -> str:
    """Why no row of the batch can be replaced one by one, where a file with open rows is of such a format."""
    originals = originals_of(root)
    names = RejectedRow.objects.filter(batch_file__batch=root, state=RowState.OPEN).values("batch_file__name")
    for name in names.distinct().values_list("batch_file__name", flat=True):
        try:
            if name in originals:
                originals[name].check_mendable()
        except MendUnsupported as error:
            return str(error)
        except OriginalsGone:
            continue  # the page says so by itself
    return ""


def _act(request: HttpRequest, root: IngestBatch) -> Callable[[BaseAdmin], HttpResponseBase] | None:
    """Do what the button says; how to go on (None: on the page, as typed). Raises the services' errors."""
    actor: Any = request.user
    action = request.POST.get("action", "mend")
    if action == "replay":
        receipt = replay_batch(batch_id=root.pk, actor=actor)
        return lambda admin: to_run(request, receipt, "The files are being read again.")
    if action.startswith("leave_out"):
        chosen = [int(text) for text in request.POST.getlist("row") if text.isdecimal() and len(text) < 18]
        if action == "leave_out_all":
            open_rows = RejectedRow.objects.filter(batch_file__batch=root, state=RowState.OPEN)
            chosen = list(open_rows.values_list("pk", flat=True))
        count = leave_out_rows(batch_id=root.pk, row_ids=chosen, reason=request.POST.get("reason", ""), actor=actor)
        if count:
            messages.success(request, f"{_counted(count)} left out. “Read again” loads the files without them.")
        else:
            messages.warning(request, "Tick the rows first.")
        return None  # cells that were typed and not saved yet stay
    if action == "sheet":
        form = SheetForm(request.POST, request.FILES)
        if not form.is_valid():
            messages.error(request, "Choose the mended file first.")
            return lambda admin: HttpResponseRedirect(admin.url("mend", root.pk))
        outcome = mend_sheet(batch_id=root.pk, stream=form.cleaned_data["sheet"], actor=actor)
    else:
        outcome = mend_rows(batch_id=root.pk, rows=_posted(request, root), actor=actor)
    return lambda admin: _told(admin, request, root, outcome)


def _counted(rows: int) -> str:
    return "1 row is" if rows == 1 else f"{rows:,} rows are"


def _told(admin: BaseAdmin, request: HttpRequest, root: IngestBatch, outcome: MendOutcome) -> HttpResponseBase:
    if outcome.receipt is not None and outcome.changed:
        return to_run(request, outcome.receipt, f"{_counted(outcome.changed)} mended; the files are being read again.")
    if outcome.receipt is not None:
        return to_run(request, outcome.receipt, "")
    before = f"{outcome.before:,} had been mended so before. " if outcome.before else ""
    messages.warning(request, f"No row was changed. {before}Mend a cell first; rows that stay as they are stay open.")
    return HttpResponseRedirect(admin.url("mend", root.pk))


def _posted(request: HttpRequest, root: IngestBatch) -> list[SheetRow]:
    ids = [int(text) for text in request.POST.getlist("shown") if text.isdecimal() and len(text) < 18]
    rows = RejectedRow.objects.filter(batch_file__batch=root, pk__in=ids[:ROWS_SHOWN]).select_related("batch_file")
    return [
        SheetRow(row.batch_file.name, row.line, tuple(request.POST.getlist(f"cell-{row.pk}")))
        for row in rows
        if len(row.raw) < RAW_LIMIT
    ]


def _files(request: HttpRequest, root: IngestBatch) -> list[ShownFile]:
    """The first open rows by file; what somebody had typed stands in its place again."""
    originals = originals_of(root)
    rows = RejectedRow.objects.filter(batch_file__batch=root, state=RowState.OPEN).select_related("batch_file")
    files: dict[str, ShownFile] = {}
    cells_left = _CELLS_SHOWN
    for row in rows.order_by("batch_file", "line")[:ROWS_SHOWN]:
        original = originals.get(row.batch_file.name)
        if original is None:
            continue
        shown = _shown(request, row, original)
        cells_left -= len(shown.cells) + 2
        if cells_left < 0 and files:
            break
        file = files.setdefault(row.batch_file.name, ShownFile(row.batch_file.name, list(original.headings), []))
        file.rows.append(shown)
    for file in files.values():
        width = max((len(row.cells) for row in file.rows), default=0)
        file.headings += [f"(cell {number + 1})" for number in range(len(file.headings), width)]
    return list(files.values())


def _shown(request: HttpRequest, row: RejectedRow, original: Original) -> ShownRow:
    too_long = len(row.raw) >= RAW_LIMIT
    text = row.mended_text or row.raw
    cells = [] if too_long else shown_cells(text, original)
    cells += [""] * (len(original.headings) - len(cells)) if cells and len(cells) > 1 else []
    typed = request.POST.getlist(f"cell-{row.pk}")
    values = typed if len(typed) == len(cells) else cells
    return ShownRow(row, [(f"cell-{row.pk}", value) for value in values], too_long)


def drop_view(admin: BaseAdmin, request: HttpRequest, batch: IngestBatch) -> HttpResponseBase:
    """Delete the originals of a batch: GET asks for the reason, POST does it."""
    form = ReasonForm(request.POST or None)
    if request.method == "POST" and form.is_valid():
        try:
            count = drop_kept_files(batch_id=batch.pk, reason=form.cleaned_data["reason"], actor=request.user)  # type: ignore[arg-type]  # logged in here
        except DomainError as error:
            form.add_error(None, str(error))
        else:
            messages.success(
                request, f"{'1 file is' if count == 1 else f'{count:,} files are'} deleted. Rows and hashes stay."
            )
            return admin.to_object(batch)
    return admin.render_page(
        request,
        "forecourt/form_page.html",
        title=f"Delete the original files of {batch}",
        obj=batch,
        form=form,
        lead="Its rejected rows can then not be mended here any more; mend the files themselves and upload them.",
        submit="Delete the files",
        danger=True,
        back=admin.url("change", batch.pk),
    )
