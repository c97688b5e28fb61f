"""Bring in data: the onboarding's form in steps, its drafts, and what each step's buttons do."""

from __future__ import annotations

from typing import Any

from django.contrib import admin, messages
from django.contrib.admin import display
from django.core.exceptions import PermissionDenied
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponseBase, HttpResponseRedirect
from django.urls import reverse
from django.utils.safestring import SafeString

from integrations.admin import (
    onboarding_checks,
    onboarding_finish,
    onboarding_mapping,
    onboarding_meaning,
    onboarding_sample,
    onboarding_text,
)
from integrations.admin.onboarding_forms import SourceForm, answers_of_body, first_answers
from integrations.admin.onboarding_frame import after, before, done_steps, frame, reachable, step_url
from integrations.admin.onboarding_posts import person, put_error, revision_of
from integrations.draft_errors import DraftClosed, DraftStale
from integrations.models import OnboardingDraft, Source
from integrations.models.draft import DraftState, DraftStep
from integrations.services.drafts import create_draft, create_draft_from_source, discard_draft, save_step
from integrations.services.drafts_body import slug_of
from ledger.admin.base import BaseAdmin, View
from ledger.admin.forms import PlainForm, ReasonForm
from ledger.errors import DomainError
from ledger.sites import tenant_site
from ledger.templatetags.forecourt import ago, badge
from tenants.selectors import current_tenant

MANAGE = "integrations.change_source"


@admin.register(OnboardingDraft, site=tenant_site)
class OnboardingDraftAdmin(BaseAdmin):
    """Onboardings: those that are still being filled in, and what became of the others. For tenant admins."""

    list_display = ["title", "state_badge", "at_step", "age", "last_by", "begun_by"]
    list_filter = ["state"]
    search_fields = ["title", "created_by_name", "changed_by_name"]
    search_help_text = "Name or person"
    ordering = ["-changed_at"]
    actions = None
    empty_hint = "Nothing was begun yet. Press “Bring in data”: seven short steps lead from a file to loaded sales."

    # --- who may: a tenant admin, and nobody else ----------------------------------------------------------------
    def has_module_permission(self, request: HttpRequest) -> bool:
        return bool(request.user.has_perm(MANAGE))

    def has_view_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return bool(request.user.has_perm(MANAGE))

    def has_add_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return bool(request.user.has_perm(MANAGE))

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    # --- the list ------------------------------------------------------------------------------------------------
    def get_queryset(self, request: HttpRequest) -> QuerySet[OnboardingDraft]:
        drafts: QuerySet[OnboardingDraft] = super().get_queryset(request)
        return drafts.select_related("source", "contract__source")

    def list_actions(self, request: HttpRequest) -> list[tuple[str, str]]:
        return [("Bring in data", self.url("add"))]

    def changelist_view(self, request: HttpRequest, extra_context: dict[str, Any] | None = None) -> HttpResponseBase:
        # The button says what it does; the theme's plus sign beside it would lead to the same page.
        return super().changelist_view(request, {"has_add_permission": False, **(extra_context or {})})

    @display(description="State", ordering="state")
    def state_badge(self, draft: OnboardingDraft) -> SafeString:
        tones = {DraftState.OPEN: "info", DraftState.DELIVERED: "good"}
        return badge(draft.state, draft.get_state_display(), tones.get(DraftState(draft.state), "plain"))

    @display(description="Goes on at", ordering="step")
    def at_step(self, draft: OnboardingDraft) -> str:
        return draft.get_step_display() if draft.is_open else "–"

    @display(description="Last changed", ordering="changed_at")
    def age(self, draft: OnboardingDraft) -> str:
        return ago(draft.changed_at)

    @display(description="Changed by", ordering="changed_by_name")
    def last_by(self, draft: OnboardingDraft) -> str:
        return draft.changed_by_name

    @display(description="Begun by", ordering="created_by_name")
    def begun_by(self, draft: OnboardingDraft) -> str:
        return draft.created_by_name

    # --- pages ---------------------------------------------------------------------------------------------------
    def own_views(self) -> list[tuple[str, str, View]]:
        return [
            ("<path:object_id>/source/", "source", self.source_view),
            ("<path:object_id>/sample/", "sample", self.sample_view),
            ("<path:object_id>/mapping/", "mapping", self.mapping_view),
            ("<path:object_id>/preview/", "preview", self.preview_view),
            ("<path:object_id>/meaning/", "meaning", self.meaning_view),
            ("<path:object_id>/checks/", "checks", self.checks_view),
            ("<path:object_id>/rejected.csv", "rejected", self.rejected_view),
            ("<path:object_id>/activate/", "activate", self.activate_view),
            ("<path:object_id>/contract.yaml", "contract", self.contract_view),
            ("<path:object_id>/text/", "text", self.text_view),
            ("<path:object_id>/load/", "load", self.load_view),
            ("<path:object_id>/discard/", "discard", self.discard_view),
        ]

    def change_view(
        self, request: HttpRequest, object_id: str, form_url: str = "", extra_context: dict[str, Any] | None = None
    ) -> HttpResponseBase:
        """Go on where the draft is."""
        draft: OnboardingDraft = self.object_or_404(request, object_id)
        step = draft.step if draft.is_open else DraftStep.LOAD
        if draft.state == DraftState.DISCARDED:
            return self.page(request, draft, DraftStep.SOURCE, "ended", title=draft.title)
        allowed = reachable(draft, done_steps(draft))
        if draft.is_open and list(DraftStep).index(DraftStep(step)) > list(DraftStep).index(allowed):
            step = allowed
        view: View = getattr(self, f"{DraftStep(step).value}_view")
        return view(request, object_id)

    def add_view(
        self, request: HttpRequest, form_url: str = "", extra_context: dict[str, Any] | None = None
    ) -> HttpResponseBase:
        """Begin: GET asks the first questions (or, with ``source``, whether to change that source's contract)."""
        if not self.has_add_permission(request):
            raise PermissionDenied
        source_id = request.GET.get("source", "")
        if source_id.isdecimal():
            return self._from_source(request, int(source_id))
        form = SourceForm(request.POST if request.method == "POST" else None, initial=first_answers(current_tenant()))
        if request.method == "POST" and form.is_valid():
            data = form.cleaned_data
            try:
                draft = create_draft(
                    title=data["title"],
                    source_type=data["source_type"],
                    country_code=data["country_code"],
                    currency=data["currency"],
                    time_zone=data["time_zone"],
                    actor=person(request),
                )
            except DomainError as error:
                put_error(form, error)
            else:
                return HttpResponseRedirect(step_url(draft, DraftStep.SAMPLE))
        return self.page(request, None, DraftStep.SOURCE, "source", title="Bring in data", form=form)

    def _from_source(self, request: HttpRequest, source_id: int) -> HttpResponseBase:
        source = Source.objects.filter(pk=source_id).first()
        if source is None:
            messages.error(request, "There is no such source here.")
            return HttpResponseRedirect(self.url("changelist"))
        if request.method == "POST":
            try:
                draft = create_draft_from_source(source_id=source.pk, actor=person(request))
            except DomainError as error:
                messages.error(request, str(error))
                return HttpResponseRedirect(self.url("changelist"))
            return HttpResponseRedirect(step_url(draft, DraftStep.SAMPLE))
        return self.render_page(
            request,
            "forecourt/form_page.html",
            title=f"Change the contract of {source.name}",
            form=PlainForm(),
            lead="A draft is begun in which every answer is filled in from the version in force.",
            lines=["Files go on to be read under the version in force until the changed one is activated."],
            submit="Begin",
            back=reverse("admin:integrations_source_change", args=[source.pk]),
        )

    def source_view(self, request: HttpRequest, object_id: str) -> HttpResponseBase:
        """Step 1: what the data is."""
        draft: OnboardingDraft = self.object_or_404(request, object_id)
        bound = draft.source_id is not None
        initial = answers_of_body(draft.title, draft.body)
        posted = request.POST if request.method == "POST" else None
        form = SourceForm(posted, initial=initial, bound_to_source=bound)
        stale: DraftStale | None = None
        if posted is not None and form.is_valid():
            changes = form.changes()
            if not bound and draft.contract_id is None:
                changes["source"] = slug_of(form.cleaned_data["title"])
            try:
                draft = save_step(
                    draft_id=draft.pk,
                    revision=revision_of(request),
                    step=DraftStep.SOURCE,
                    changes=changes,
                    title=form.cleaned_data["title"],
                    reached=self.target(request, draft, DraftStep.SOURCE),
                    actor=person(request),
                )
            except DraftStale as error:
                stale = error
            except DomainError as error:
                put_error(form, error)
            else:
                return self.onward(request, draft, DraftStep.SOURCE)
        return self.page(request, draft, DraftStep.SOURCE, "source", title=draft.title, form=form, stale=stale)

    def sample_view(self, request: HttpRequest, object_id: str) -> HttpResponseBase:
        """Step 2: files, and how they are written."""
        return onboarding_sample.sample_view(self, request, self.object_or_404(request, object_id))

    def mapping_view(self, request: HttpRequest, object_id: str) -> HttpResponseBase:
        """Step 3: which column is what."""
        return onboarding_mapping.mapping_view(self, request, self.object_or_404(request, object_id))

    def preview_view(self, request: HttpRequest, object_id: str) -> HttpResponseBase:
        """The first rows as canonical: of the form that is posted, or of the draft as it is saved. Changes nothing."""
        return onboarding_mapping.preview_view(self, request, self.object_or_404(request, object_id))

    def meaning_view(self, request: HttpRequest, object_id: str) -> HttpResponseBase:
        """Step 4: what the figures stand for."""
        return onboarding_meaning.meaning_view(self, request, self.object_or_404(request, object_id))

    def checks_view(self, request: HttpRequest, object_id: str) -> HttpResponseBase:
        """Step 5: the whole sample through the reader."""
        return onboarding_checks.checks_view(self, request, self.object_or_404(request, object_id))

    def rejected_view(self, request: HttpRequest, object_id: str) -> HttpResponseBase:
        """The rows that the last check would leave out."""
        return onboarding_checks.rejected_view(self, request, self.object_or_404(request, object_id))

    def activate_view(self, request: HttpRequest, object_id: str) -> HttpResponseBase:
        """Step 6: the contract comes into force."""
        return onboarding_finish.activate_view(self, request, self.object_or_404(request, object_id))

    def contract_view(self, request: HttpRequest, object_id: str) -> HttpResponseBase:
        """The contract as far as it is known, as a YAML file."""
        return onboarding_text.contract_view(self, request, self.object_or_404(request, object_id))

    def text_view(self, request: HttpRequest, object_id: str) -> HttpResponseBase:
        """The contract as text, for experts."""
        return onboarding_text.text_view(self, request, self.object_or_404(request, object_id))

    def load_view(self, request: HttpRequest, object_id: str) -> HttpResponseBase:
        """Step 7: the files become a delivery."""
        return onboarding_finish.load_view(self, request, self.object_or_404(request, object_id))

    def discard_view(self, request: HttpRequest, object_id: str) -> HttpResponseBase:
        """End the draft: GET asks why, POST does it."""
        draft: OnboardingDraft = self.object_or_404(request, object_id)
        form = ReasonForm(request.POST or None, help_text="Kept with the draft.")
        if request.method == "POST" and form.is_valid():
            try:
                discard_draft(
                    draft_id=draft.pk,
                    revision=draft.revision,
                    reason=form.cleaned_data["reason"],
                    actor=person(request),
                )
            except DomainError as error:
                form.add_error(None, str(error))
            else:
                messages.success(request, f"{draft.title} is discarded. Nothing was loaded by it.")
                return HttpResponseRedirect(self.url("changelist"))
        return self.render_page(
            request,
            "forecourt/form_page.html",
            title=f"Discard {draft.title}",
            obj=draft,
            form=form,
            lead="The draft is closed and its sample files are deleted.",
            lines=["Nothing that was loaded before changes."],
            submit="Discard it",
            danger=True,
            back=self.url("change", draft.pk),
        )

    # --- what every step shares ----------------------------------------------------------------------------------
    def page(
        self,
        request: HttpRequest,
        draft: OnboardingDraft | None,
        step: str,
        template: str,
        *,
        title: str,
        stale: DraftStale | None = None,
        status: int = 200,
        **context: Any,
    ) -> HttpResponseBase:
        """One step inside the frame. After a stale post it carries the newest revision: saving again is meant then."""
        shown = {**frame(draft, step), "stale": stale, "can_edit": draft is None or draft.is_open, **context}
        if stale is not None:
            shown["revision"] = stale.revision
        template = f"forecourt/onboarding/{template}.html"
        return self.render_page(
            request, template, title=title, obj=draft, status=409 if stale is not None else status, **shown
        )

    def target(self, request: HttpRequest, draft: OnboardingDraft, step: str) -> str | None:
        """The step that the pressed button leads to; None where the person stays or leaves."""
        action = request.POST.get("action", "next")
        if action == "back":
            return (before(step) or DraftStep(step)).value
        return (after(step) or DraftStep(step)).value if action.startswith("next") else step

    def onward(self, request: HttpRequest, draft: OnboardingDraft, step: str) -> HttpResponseRedirect:
        """Go where the pressed button leads, after the answers were saved."""
        if request.POST.get("action") == "leave":
            messages.success(request, f"{draft.title} is kept. Go on with it whenever you like.")
            return HttpResponseRedirect(self.url("changelist"))
        return HttpResponseRedirect(step_url(draft, self.target(request, draft, step) or step))

    def refuse_closed(self, request: HttpRequest, draft: OnboardingDraft) -> HttpResponseRedirect | None:
        """Send a person who posts to a closed draft to what became of it."""
        if request.method != "POST" or draft.is_open:
            return None
        messages.error(request, str(DraftClosed(draft.title, draft.get_state_display())))
        return HttpResponseRedirect(self.url("change", draft.pk))
