"""Sources: where data comes from, paused and resumed."""

from __future__ import annotations

from typing import Any

from django.contrib import admin, messages
from django.contrib.admin import display
from django.core.exceptions import PermissionDenied
from django.http import HttpRequest, HttpResponseBase
from django.urls import reverse
from django.utils.safestring import SafeString

from integrations.admin.uploading import upload_view
from integrations.models import SftpConnection, Source
from integrations.models.drift import DriftState
from integrations.models.source import SOURCE_TRANSITIONS, SourceState
from integrations.services.sources import pause_source, resume_source
from ledger.admin.base import ReadOnlyAdmin, View
from ledger.admin.forms import ReasonForm
from ledger.errors import DomainError
from ledger.sites import tenant_site
from ledger.templatetags.forecourt import ago, badge, day

_MANAGE = "integrations.change_source"
_HOW_TO_LOAD = (
    "A tenant admin presses “Bring in data”: a form in steps makes the source from a sample of its files, "
    "checks them, and loads them or says what to mend."
)


@admin.register(Source, site=tenant_site)
class SourceAdmin(ReadOnlyAdmin):
    """Where data comes from."""

    list_display = ["name", "type_label", "state_badge", "data_until_day", "last_sync"]
    list_filter = ["state", "source_type"]
    search_fields = ["name"]
    search_help_text = "Name"
    page_template = "forecourt/source.html"
    empty_hint = _HOW_TO_LOAD

    @display(description="Type", ordering="source_type")
    def type_label(self, source: Source) -> str:
        return source.get_source_type_display()

    @display(description="State", ordering="state")
    def state_badge(self, source: Source) -> SafeString:
        return badge(source.state)

    @display(description="Data until", ordering="data_until")
    def data_until_day(self, source: Source) -> str:
        return day(source.data_until)

    @display(description="Last sync", ordering="last_sync_at")
    def last_sync(self, source: Source) -> str:
        return ago(source.last_sync_at)

    def list_actions(self, request: HttpRequest) -> list[tuple[str, str]]:
        if not request.user.has_perm(_MANAGE):
            return []
        return [("Bring in data", reverse("admin:integrations_onboardingdraft_add"))]

    def own_views(self) -> list[tuple[str, str, View]]:
        return [
            ("<path:object_id>/state/", "state", self.state_view),
            ("<path:object_id>/upload/", "upload", self.upload_view),
        ]

    def page_context(self, request: HttpRequest, obj: Source) -> dict[str, Any]:
        may_manage = request.user.has_perm(_MANAGE)
        moves = (
            SOURCE_TRANSITIONS[obj.state] - {SourceState.ACTIVE}
            if obj.state == SourceState.DRAFT
            else (SOURCE_TRANSITIONS[obj.state])
        )
        return {
            "source": obj,
            "contracts": obj.contracts.all()[:20],
            "deliveries": obj.deliveries.prefetch_related("files")[:10],
            "may_upload": may_manage and obj.state != SourceState.PAUSED,
            "batches": obj.batches.select_related("contract")[:20],
            "connection": SftpConnection.objects.filter(source=obj).first(),
            "changed_columns": obj.drift_items.filter(state=DriftState.OPEN),
            "may_change": may_manage,
            "moves": [_VERBS[state] for state in moves] if may_manage else [],
        }

    def upload_view(self, request: HttpRequest, object_id: str) -> HttpResponseBase:
        """Upload files: GET asks for them, POST receives them."""
        source: Source = self.object_or_404(request, object_id)
        if not request.user.has_perm(_MANAGE):
            raise PermissionDenied
        return upload_view(self, request, source)

    def state_view(self, request: HttpRequest, object_id: str) -> HttpResponseBase:
        """Pause or resume: GET asks for the reason, POST does it."""
        source: Source = self.object_or_404(request, object_id)
        if not request.user.has_perm(_MANAGE):
            raise PermissionDenied
        pausing = source.state == SourceState.ACTIVE
        act = pause_source if pausing else resume_source
        form = ReasonForm(request.POST or None)
        if request.method == "POST" and form.is_valid():
            try:
                act(source_id=source.pk, reason=form.cleaned_data["reason"], actor=request.user)  # type: ignore[arg-type]  # logged in here
            except DomainError as error:
                form.add_error(None, str(error))
            else:
                messages.success(request, f"{source.name} is {'paused' if pausing else 'active'} now.")
                return self.to_object(source)
        return self.render_page(
            request,
            "forecourt/form_page.html",
            title=f"{'Pause' if pausing else 'Resume'} {source.name}",
            obj=source,
            form=form,
            lead="While it is paused, no file of this source is taken."
            if pausing
            else "Files of this source are taken again.",
            lines=["What was loaded stays, and forecasts go on from it."] if pausing else [],
            submit="Pause it" if pausing else "Resume it",
            danger=pausing,
            back=self.url("change", source.pk),
        )


_VERBS: dict[str, str] = {SourceState.PAUSED: "Pause", SourceState.ACTIVE: "Resume"}
