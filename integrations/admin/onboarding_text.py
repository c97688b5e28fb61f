"""The contract of an onboarding as text: downloaded, edited by experts, taken from a file."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import yaml
from django import forms
from django.contrib import messages
from django.core.exceptions import PermissionDenied
from django.http import HttpRequest, HttpResponse, HttpResponseBase, HttpResponseRedirect

from integrations.admin.onboarding_frame import step_url
from integrations.admin.onboarding_posts import person, revision_of
from integrations.draft_errors import DraftStale
from integrations.engine.contract import ContractInvalid, DataContract, load_contract
from integrations.engine.findings import Finding
from integrations.errors import ContractUnusable
from integrations.models import OnboardingDraft
from integrations.models.draft import DraftStep
from integrations.services.drafts import import_contract
from integrations.services.drafts_body import step_of_finding, whole_contract
from ledger.admin.forms import PlainForm
from ledger.errors import DomainError

if TYPE_CHECKING:
    from integrations.admin.onboarding import OnboardingDraftAdmin

_REMARKS_SHOWN = 8


class TextForm(PlainForm):
    """A contract as text."""

    text = forms.CharField(
        label="The contract",
        widget=forms.Textarea(attrs={"rows": 28, "class": "fc-code", "spellcheck": "false"}),
        help_text="YAML or JSON, or an Open Data Contract Standard document. Unknown keys are errors.",
        error_messages={"required": "There is nothing to read. Paste a contract, or go back."},
    )


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


def take_contract(request: HttpRequest, draft: OnboardingDraft, text: bytes, name: str) -> OnboardingDraft:
    contract, remarks = read_any_contract(text, draft)
    draft = import_contract(
        draft_id=draft.pk, revision=revision_of(request), contract=contract, name=name, actor=person(request)
    )
    for remark in remarks[:_REMARKS_SHOWN]:
        messages.info(request, f"{remark.message} {remark.fix}".strip())
    return draft


def findings_of(error: DomainError) -> list[dict[str, Any]]:
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
            draft = take_contract(request, draft, form.cleaned_data["text"].encode(), "text")
        except DraftStale as error:
            stale = error
        except DomainError as error:
            findings = findings_of(error)
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
    contract, _ = whole_contract(draft.body)
    values = contract.model_dump(mode="json") if contract is not None else draft.body
    text: str = yaml.safe_dump(_without_gaps(values), sort_keys=False, allow_unicode=True)
    return text


def _without_gaps(values: Any) -> Any:
    """Without keys that say nothing: a person reads it."""
    if isinstance(values, dict):
        return {key: _without_gaps(value) for key, value in values.items() if value is not None}
    return values
