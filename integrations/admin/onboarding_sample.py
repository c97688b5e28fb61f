"""Step 2 of the onboarding: sample files, what was detected in them, and the contract as a file or text."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import yaml
from django import forms
from django.conf import settings
from django.contrib import messages
from django.core.exceptions import PermissionDenied
from django.http import HttpRequest, HttpResponse, HttpResponseBase, HttpResponseRedirect

from integrations.admin.onboarding_forms import ROLE_LABELS, ReadingForm
from integrations.admin.onboarding_frame import step_url
from integrations.draft_errors import AnswersRefused, DraftStale
from integrations.engine.contract import ContractInvalid, DataContract, load_contract
from integrations.engine.contract_model import Role
from integrations.engine.findings import Finding
from integrations.errors import ContractUnusable
from integrations.models import DraftFile, OnboardingDraft
from integrations.models.draft import DraftStep
from integrations.services.drafts import import_contract, save_step
from integrations.services.drafts_body import step_of_finding
from integrations.services.drafts_files import attach_file, change_reading, remove_file
from ledger.admin.forms import PlainForm
from ledger.errors import DomainError
from ledger.uploads import refused_upload

if TYPE_CHECKING:
    from integrations.admin.onboarding import OnboardingDraftAdmin

_CONTRACT_BYTES = 256 * 1024
_REMARKS_SHOWN = 8
_FORMATS = {"csv": "Text table (CSV)", "xlsx": "Excel workbook", "parquet": "Parquet file", "ndjson": "JSON lines"}
_SIGNS = {",": "commas", ";": "semicolons", "\t": "tabs", "|": "bars", " ": "spaces"}


class TextForm(PlainForm):
    """A contract as text."""

    text = forms.CharField(
        label="The contract",
        widget=forms.Textarea(attrs={"rows": 28, "class": "fc-code", "spellcheck": "false"}),
        help_text="YAML or JSON, or an Open Data Contract Standard document. Unknown keys are errors.",
        error_messages={"required": "There is nothing to read. Paste a contract, or go back."},
    )


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
    from integrations.admin.onboarding import person

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
    return HttpResponseRedirect(step_url(draft, DraftStep.SAMPLE))


def _remove(admin: OnboardingDraftAdmin, request: HttpRequest, draft: OnboardingDraft, pk: str) -> HttpResponseBase:
    from integrations.admin.onboarding import person, revision_of

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
    from integrations.admin.onboarding import person, revision_of

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
    if row.headings:
        words.append(f"{len(row.headings)} columns")
    return words


# --- the contract as a file or text ----------------------------------------------------------------------------------
def read_any_contract(text: bytes, draft: OnboardingDraft) -> tuple[DataContract, tuple[Finding, ...]]:
    """A contract from YAML or JSON of ours, or from an Open Data Contract Standard document, and what to know of it.

    Raises ``ContractUnusable`` with one finding a key.
    """
    from integrations.engine.contract_text import ContractTextError, parse_contract_text

    try:
        values = parse_contract_text(text)
    except ContractTextError:
        values = {}
    if values.get("kind") == "DataContract" or "apiVersion" in values:
        return _from_odcs(values, draft)
    try:
        return load_contract(text), ()
    except ContractInvalid as problem:
        raise ContractUnusable(problem) from problem


def _from_odcs(values: dict[str, Any], draft: OnboardingDraft) -> tuple[DataContract, tuple[Finding, ...]]:
    from integrations.engine.odcs import from_odcs

    defaults = {key: draft.body[key] for key in ("country_code", "currency", "timezone") if draft.body.get(key)}
    contract, findings = from_odcs(values, tenant=draft.body["tenant"], defaults=defaults)
    if contract is None:
        raise ContractUnusable(ContractInvalid(tuple(findings)))
    return contract, findings


def _import_file(admin: OnboardingDraftAdmin, request: HttpRequest, draft: OnboardingDraft) -> HttpResponseBase:
    upload = request.FILES.get("contract")
    if upload is None:
        return _show(admin, request, draft, problem="Choose a contract file first, then press “Take its answers”.")
    text = upload.read(_CONTRACT_BYTES + 1)
    try:
        draft = _take(request, draft, text, upload.name or "contract")
    except DraftStale as error:
        return _show(admin, request, draft, stale=error)
    except DomainError as error:
        return _show(admin, request, draft, problem=str(error), findings=_findings(error))
    messages.success(request, f"Every answer is taken from {upload.name}. Look through the steps.")
    return HttpResponseRedirect(step_url(draft, DraftStep.SAMPLE))


def _take(request: HttpRequest, draft: OnboardingDraft, text: bytes, name: str) -> OnboardingDraft:
    from integrations.admin.onboarding import person, revision_of

    contract, remarks = read_any_contract(text, draft)
    draft = import_contract(
        draft_id=draft.pk, revision=revision_of(request), contract=contract, name=name, actor=person(request)
    )
    for remark in remarks[:_REMARKS_SHOWN]:
        messages.info(request, f"{remark.message} {remark.fix}".strip())
    return draft


def _findings(error: DomainError) -> list[dict[str, Any]]:
    return [
        {**found.as_dict(), "step": step_of_finding(found.code, found.column)}
        for found in getattr(error, "findings", ())
    ]


def text_view(admin: OnboardingDraftAdmin, request: HttpRequest, draft: OnboardingDraft) -> HttpResponseBase:
    """The contract as text: GET shows it, POST takes every answer from it."""
    closed = admin.refuse_closed(request, draft)
    if closed is not None:
        return closed
    form = TextForm(request.POST if request.method == "POST" else None, initial={"text": as_yaml(draft)})
    stale: DraftStale | None = None
    findings: list[dict[str, Any]] = []
    if request.method == "POST" and form.is_valid():
        try:
            draft = _take(request, draft, form.cleaned_data["text"].encode(), "text")
        except DraftStale as error:
            stale = error
        except DomainError as error:
            findings = _findings(error)
            form.add_error("text", "Nothing was changed yet." if findings else str(error))
        else:
            messages.success(request, "Every answer is taken from the text. The checks have to run again.")
            return HttpResponseRedirect(step_url(draft, DraftStep.CHECKS))
    return admin.page(
        request,
        draft,
        DraftStep.ACTIVATE,
        "text",
        title=draft.title,
        form=form,
        stale=stale,
        findings=findings,
        back=step_url(draft, DraftStep.ACTIVATE),
    )


def contract_view(admin: OnboardingDraftAdmin, request: HttpRequest, draft: OnboardingDraft) -> HttpResponseBase:
    """The contract as far as it is known, as a YAML file."""
    if not admin.has_view_permission(request, draft):
        raise PermissionDenied
    name = f"{draft.body.get('source') or 'contract'}.yaml"
    headers = {"Content-Disposition": f'attachment; filename="{name}"'}
    return HttpResponse(as_yaml(draft), content_type="application/yaml; charset=utf-8", headers=headers)


def as_yaml(draft: OnboardingDraft) -> str:
    """The draft's contract in YAML, with every default written out where it is whole."""
    from integrations.services.drafts_body import whole_contract

    contract, _ = whole_contract(draft.body)
    values = contract.model_dump(mode="json") if contract is not None else draft.body
    text: str = yaml.safe_dump(_without_gaps(values), sort_keys=False, allow_unicode=True)
    return text


def _without_gaps(values: Any) -> Any:
    """Without keys that say nothing: a person reads it."""
    if isinstance(values, dict):
        return {key: _without_gaps(value) for key, value in values.items() if value is not None}
    return values
