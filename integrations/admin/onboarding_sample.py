"""Step 2 of the onboarding: sample files, what was detected in them, and the contract as a file or text."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from django.conf import settings
from django.contrib import messages
from django.http import HttpRequest, HttpResponseBase, HttpResponseRedirect

from integrations.admin.onboarding_forms import ROLE_LABELS, ReadingForm
from integrations.admin.onboarding_frame import step_url
from integrations.admin.onboarding_posts import person, revision_of
from integrations.admin.onboarding_text import findings_of, take_contract
from integrations.draft_errors import AnswersRefused, DraftStale
from integrations.engine.contract_model import Role
from integrations.models import DraftFile, OnboardingDraft
from integrations.models.draft import DraftStep
from integrations.services.drafts import save_step
from integrations.services.drafts_dates import likely_formats
from integrations.services.drafts_files import attach_file, change_reading, remove_file
from ledger.errors import DomainError
from ledger.uploads import refused_upload

if TYPE_CHECKING:
    from integrations.admin.onboarding import OnboardingDraftAdmin

_CONTRACT_BYTES = 256 * 1024
_FORMATS = {"csv": "Text table (CSV)", "xlsx": "Excel workbook", "parquet": "Parquet file", "ndjson": "JSON lines"}
_SIGNS = {",": "commas", ";": "semicolons", "\t": "tabs", "|": "bars", " ": "spaces"}


def sample_view(admin: OnboardingDraftAdmin, request: HttpRequest, draft: OnboardingDraft) -> HttpResponseBase:
    """GET shows the files and how they are read; the buttons of the POST are told apart by ``action``."""
    closed = admin.refuse_closed(request, draft)
    if closed is not None:
        return closed
    too_large = refused_upload(request)
    if too_large is not None:
        return _show(admin, request, draft, problem=too_large, status=413)
    if request.method != "POST":
        return _show(admin, request, draft)
    action = request.POST.get("action", "")
    if action.startswith("remove-"):
        return _remove(admin, request, draft, action.removeprefix("remove-"))
    if action == "import":
        return _import_file(admin, request, draft)
    if action == "attach" or request.FILES.getlist("files"):
        return _attach(admin, request, draft)
    return _save(admin, request, draft)


def _attach(admin: OnboardingDraftAdmin, request: HttpRequest, draft: OnboardingDraft) -> HttpResponseBase:
    role = request.POST.get("role", Role.TRANSACTIONS.value)
    uploads = request.FILES.getlist("files")
    if not uploads or role not in ROLE_LABELS:
        return _show(admin, request, draft, problem="Choose a file first, then press “Add”.")
    problems = []
    for upload in uploads:
        try:
            row, replaced = attach_file(
                draft_id=draft.pk, name=upload.name or "", stream=upload, role=Role(role), actor=person(request)
            )
        except DomainError as error:
            problems.append(str(error))
        else:
            messages.success(request, f"{row.name} {'replaces the earlier one' if replaced else 'is here'}.")
    if problems:
        return _show(admin, request, draft, problem=" ".join(problems))
    if request.POST.get("action") == "leave":
        return HttpResponseRedirect(admin.url("changelist"))
    return HttpResponseRedirect(step_url(draft, DraftStep.SAMPLE))  # first see how it is read


def _remove(admin: OnboardingDraftAdmin, request: HttpRequest, draft: OnboardingDraft, pk: str) -> HttpResponseBase:
    try:
        remove_file(
            draft_id=draft.pk,
            revision=revision_of(request),
            file_id=int(pk) if pk.isdecimal() else 0,
            actor=person(request),
        )
    except DraftStale as error:
        return _show(admin, request, draft, stale=error)
    except DraftFile.DoesNotExist:
        messages.info(request, "That file was removed already.")
    except DomainError as error:
        return _show(admin, request, draft, problem=str(error))
    return HttpResponseRedirect(step_url(draft, DraftStep.SAMPLE))


def _save(admin: OnboardingDraftAdmin, request: HttpRequest, draft: OnboardingDraft) -> HttpResponseBase:
    boxes = reading_forms(draft, request.POST)
    if not all(form.is_valid() for form in boxes.values()):
        return _show(admin, request, draft, boxes=boxes)
    before = draft.body.get("files") or {}
    specs = {Role(role): {**before[role], **form.spec()} for role, form in boxes.items()}
    try:
        draft = change_reading(draft_id=draft.pk, revision=revision_of(request), specs=specs, actor=person(request))
        if request.POST.get("action") != "read":
            draft = save_step(
                draft_id=draft.pk,
                revision=draft.revision,
                step=DraftStep.SAMPLE,
                changes={},
                reached=admin.target(request, draft, DraftStep.SAMPLE),
                actor=person(request),
            )
    except DraftStale as error:
        return _show(admin, request, draft, boxes=boxes, stale=error)
    except AnswersRefused as error:
        for finding in error.findings:
            role = [*(finding.column or "").split("."), "", ""][1]
            name = (finding.column or "").rpartition(".")[2]
            form = boxes.get(role) or next(iter(boxes.values()))
            form.add_error(name if name in form.fields else None, f"{finding.message} {finding.fix}")
        return _show(admin, request, draft, boxes=boxes)
    except DomainError as error:
        return _show(admin, request, draft, boxes=boxes, problem=str(error))
    if request.POST.get("action") == "read":
        return HttpResponseRedirect(step_url(draft, DraftStep.SAMPLE))
    if request.POST.get("action", "next") == "next" and not _has_sales(draft):
        return _show(admin, request, draft, problem="Add a sales file first: the next step shows its columns.")
    return admin.onward(request, draft, DraftStep.SAMPLE)


def _has_sales(draft: OnboardingDraft) -> bool:
    return any(row.headings for row in draft.files.filter(role=Role.TRANSACTIONS))


def reading_forms(draft: OnboardingDraft, data: Any = None) -> dict[str, ReadingForm]:
    """One form a role that the draft declares, with what is in force as its start."""
    specs = draft.body.get("files") or {}
    sheets: dict[str, tuple[str, ...]] = {}
    for row in draft.files.all():
        sheets.setdefault(row.role, tuple(str(name) for name in row.found.get("sheets") or ()))
    forms_: dict[str, ReadingForm] = {}
    for role in ROLE_LABELS:
        spec = specs.get(role)
        if spec is None:
            continue
        initial = {key: "" if value is None else value for key, value in spec.items()}
        posted = data if data is not None and f"{role}-pattern" in data else None
        forms_[role] = ReadingForm(posted, prefix=role, initial=initial, sheets=sheets.get(role, ()))
        if data is not None and posted is None:  # its section was folded away: nothing of it changes
            forms_[role] = ReadingForm(
                {f"{role}-{key}": value for key, value in initial.items()},
                prefix=role,
                initial=initial,
                sheets=sheets.get(role, ()),
            )
    return forms_


def _show(
    admin: OnboardingDraftAdmin,
    request: HttpRequest,
    draft: OnboardingDraft,
    *,
    boxes: dict[str, ReadingForm] | None = None,
    problem: str = "",
    **more: Any,
) -> HttpResponseBase:
    draft.refresh_from_db()
    boxes = boxes if boxes is not None else reading_forms(draft)
    specs = draft.body.get("files") or {}
    files = [
        {
            "row": row,
            "role": ROLE_LABELS.get(row.role, row.role),
            "words": reading_words(row, specs.get(row.role) or {}),
        }
        for row in draft.files.all()
    ]
    return admin.page(
        request,
        draft,
        DraftStep.SAMPLE,
        "sample",
        title=draft.title,
        files=files,
        boxes=[
            {"role": role, "label": ROLE_LABELS[role], "form": form, "open": bool(form.is_bound and form.errors)}
            for role, form in boxes.items()
        ],
        roles=list(ROLE_LABELS.items()),
        problem=problem,
        has_sales=_has_sales(draft),
        limit_mb=settings.UPLOAD_MAX_BYTES // 2**20,
        **more,
    )


def reading_words(row: DraftFile, spec: dict[str, Any]) -> list[str]:
    """How a file is read, in sentences."""
    kind = str(spec.get("format", "csv"))
    words = [_FORMATS.get(kind, kind) + (", packed with gzip" if row.found.get("compressed") else "")]
    if kind == "csv":
        sign = str(spec.get("delimiter", ","))
        words.append(f"columns separated by {_SIGNS.get(sign, f'“{sign}”')}")
        words.append("decimals with a comma (1,50)" if spec.get("decimal") == "," else "decimals with a point (1.50)")
        if spec.get("thousands"):
            words.append(f"thousands with “{spec['thousands']}”")
        words.append(f"characters in {str(spec.get('encoding', 'utf-8')).upper()}")
    sheets = row.found.get("sheets") or []
    if kind == "xlsx" and sheets:
        words.append(f"sheet “{spec.get('sheet') or sheets[0]}” of {len(sheets)}")
    dates = likely_formats(row, spec)
    if dates:
        words.append(f"dates as {' or '.join(dates)}{': the next step asks which' if len(dates) > 1 else ''}")
    if row.headings:
        words.append(f"{len(row.headings)} columns")
    return words


def _import_file(admin: OnboardingDraftAdmin, request: HttpRequest, draft: OnboardingDraft) -> HttpResponseBase:
    upload = request.FILES.get("contract")
    if upload is None:
        return _show(admin, request, draft, problem="Choose a contract file first, then press “Take its answers”.")
    text = upload.read(_CONTRACT_BYTES + 1)
    try:
        draft = take_contract(request, draft, text, upload.name or "contract")
    except DraftStale as error:
        return _show(admin, request, draft, stale=error)
    except DomainError as error:
        return _show(admin, request, draft, problem=str(error), findings=findings_of(error))
    messages.success(request, f"Every answer is taken from {upload.name}. Look through the steps.")
    return HttpResponseRedirect(step_url(draft, DraftStep.SAMPLE))
