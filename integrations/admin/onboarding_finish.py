"""Steps 6 and 7 of the onboarding: the contract comes into force, and the files become the first delivery."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from django import forms
from django.contrib import messages
from django.http import HttpRequest, HttpResponseBase, HttpResponseRedirect
from django.urls import reverse

from integrations.admin.onboarding_columns import FIELD_LABELS
from integrations.admin.onboarding_forms import ROLE_LABELS
from integrations.admin.onboarding_frame import step_url
from integrations.admin.onboarding_posts import person, revision_of
from integrations.admin.onboarding_text import as_yaml
from integrations.draft_errors import DraftStale
from integrations.models import Delivery, OnboardingDraft
from integrations.models.draft import DraftState, DraftStep
from integrations.services.drafts_body import mapping_of
from integrations.services.drafts_check import has_passed
from integrations.services.drafts_finish import activate_draft, is_activated, load_draft
from ledger.admin.forms import ReasonForm
from ledger.admin.runs import progress_of
from ledger.errors import DomainError
from ledger.models import Run
from ledger.uploads import refused_upload

if TYPE_CHECKING:
    from integrations.admin.onboarding import OnboardingDraftAdmin

_SENTENCES: dict[str, dict[str, str]] = {
    "quantity_sign_policy": {
        "non_negative": "A negative quantity is a mistake; such a row is left out and listed.",
        "allow_negative_returns": "A negative quantity is a return; returns are kept beside what was sold.",
        "clip_negative": "A negative quantity counts as zero.",
    },
    "dedupe_policy": {
        "sum": "Several rows of one store, product and day are added up.",
        "keep_last": "Of several rows of one store, product and day the last one counts.",
        "reject": "Several rows of one store, product and day are a mistake; all of them are left out and listed.",
    },
    "missing_days": {
        "zero": "A day without a row means that nothing was sold.",
        "closed": "A day without a row means that the store was closed.",
        "unknown": "A day without a row is unknown and left out.",
    },
    "grain": {"daily": "One row stands for a day.", "weekly": "One row stands for a week, which ends on its date."},
}


class ActivateForm(ReasonForm):
    """Why, and that what breaks is meant."""

    confirmed = forms.CharField(required=False, widget=forms.HiddenInput)


def activate_view(admin: OnboardingDraftAdmin, request: HttpRequest, draft: OnboardingDraft) -> HttpResponseBase:
    """GET shows the contract in words and as text; POST brings it into force."""
    closed = admin.refuse_closed(request, draft)
    if closed is not None:
        return closed
    initial = {"reason": "" if draft.source_id else "First contract of this source: its sample passed the checks."}
    form = ReasonForm(request.POST if request.method == "POST" else None, initial=initial)
    context: dict[str, Any] = {}
    if request.method == "POST" and form.is_valid():
        agreed = request.POST.get("digest", "") if request.POST.get("agree") == "yes" else ""
        try:
            row = activate_draft(
                draft_id=draft.pk,
                revision=revision_of(request),
                reason=form.cleaned_data["reason"],
                confirmed=agreed or None,
                actor=person(request),
            )
        except DraftStale as error:
            context["stale"] = error
        except DomainError as error:
            context["breaking"] = getattr(error, "changes", None)  # of BreakingChangeUnconfirmed
            if context["breaking"] is None:
                form.add_error(None, str(error))
            elif request.POST.get("digest"):
                form.add_error(None, "Nothing was changed yet. Tick the box below if that is meant.")
        else:
            messages.success(request, f"Version {row.version} of the contract of {row.source.name} is in force.")
            return HttpResponseRedirect(step_url(draft, DraftStep.LOAD))
    return admin.page(
        request,
        draft,
        DraftStep.ACTIVATE,
        "activate",
        title=draft.title,
        form=form,
        sentences=contract_words(draft.body),
        text=as_yaml(draft),
        may=has_passed(draft),
        in_force=is_activated(draft),
        **context,
    )


def contract_words(body: dict[str, Any]) -> list[str]:
    """The contract in sentences."""
    words = [
        f"The source is called “{body.get('source', '')}”. Its stores keep the time of {body.get('timezone', 'UTC')} "
        f"and the holidays of {body.get('country_code', '')}; prices are in {body.get('currency', '')}."
    ]
    for role, spec in (body.get("files") or {}).items():
        if spec:
            words.append(
                f"{ROLE_LABELS.get(role, role)}: files named {spec['pattern']}, as {spec.get('format', 'csv')}."
            )
    places = {name: place for place, name in enumerate(FIELD_LABELS)}
    mapping = sorted(mapping_of(body).items(), key=lambda pair: (places.get(pair[1], len(places)), pair[0]))
    for heading, target in mapping:
        rule = (body.get("unit_map") or {}).get(target) or {}
        factor = ""
        if rule.get("multiplier"):
            factor = f", multiplied by {rule['multiplier']:g}"
        elif rule.get("divide_by"):
            factor = f", divided by {rule['divide_by']:g}"
        words.append(
            f"The column “{heading}” is: {FIELD_LABELS.get(target, target.replace('_', ' ')).lower()}{factor}."
        )
    for key, texts in _SENTENCES.items():
        if body.get(key) in texts:
            words.append(texts[body[key]])
    return words


def load_view(admin: OnboardingDraftAdmin, request: HttpRequest, draft: OnboardingDraft) -> HttpResponseBase:
    """GET offers the sample as the first delivery, or shows how it goes; POST hands it over."""
    closed = admin.refuse_closed(request, draft)
    if closed is not None:
        return closed
    if draft.state == DraftState.DELIVERED:
        return _show_delivery(admin, request, draft)
    too_large = refused_upload(request)
    if too_large is not None or request.method != "POST":
        return _show_choice(admin, request, draft, problem=too_large or "", status=413 if too_large else 200)
    return _load(admin, request, draft)


def _load(admin: OnboardingDraftAdmin, request: HttpRequest, draft: OnboardingDraft) -> HttpResponseBase:
    chosen = [int(pk) for pk in request.POST.getlist("file") if pk.isdecimal()]
    more = [(upload.name or "", upload) for upload in request.FILES.getlist("files")]
    try:
        load_draft(draft_id=draft.pk, revision=revision_of(request), file_ids=chosen, more=more, actor=person(request))
    except DraftStale as error:
        return _show_choice(admin, request, draft, stale=error, chosen=chosen)
    except DomainError as error:
        return _show_choice(admin, request, draft, problem=str(error), chosen=chosen)
    return HttpResponseRedirect(step_url(draft, DraftStep.LOAD))


def _show_choice(
    admin: OnboardingDraftAdmin,
    request: HttpRequest,
    draft: OnboardingDraft,
    *,
    problem: str = "",
    chosen: list[int] | None = None,
    **more: Any,
) -> HttpResponseBase:
    rows = list(draft.files.all())
    files = [
        {"row": row, "label": ROLE_LABELS.get(row.role, row.role), "chosen": chosen is None or row.pk in chosen}
        for row in rows
    ]
    return admin.page(
        request,
        draft,
        DraftStep.LOAD,
        "load",
        title=draft.title,
        files=files,
        problem=problem,
        in_force=is_activated(draft),
        **more,
    )


def _show_delivery(admin: OnboardingDraftAdmin, request: HttpRequest, draft: OnboardingDraft) -> HttpResponseBase:
    """How the delivery goes, and what was loaded."""
    delivery = Delivery.objects.select_related("batch", "source").filter(pk=draft.delivery_id or 0).first()
    run = Run.objects.filter(pk=delivery.run_id).first() if delivery is not None and delivery.run_id else None
    batch = delivery.batch if delivery is not None else None
    report = batch.report if batch is not None else {}
    days = (
        (batch.last_day - batch.first_day).days + 1 if batch is not None and batch.first_day and batch.last_day else 0
    )
    return admin.page(
        request,
        draft,
        DraftStep.LOAD,
        "loaded",
        title=draft.title,
        delivery=delivery,
        run=run,
        progress=progress_of(run) if run is not None else None,
        running=run is not None and run.is_live,
        batch=batch,
        report=report,
        days=days,
        series=(report.get("metrics") or {}).get("series", 0),
        retrain=reverse("admin:forecasting_modelversion_retrain"),
    )
