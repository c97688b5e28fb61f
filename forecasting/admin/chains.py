"""Training chains: how far each came, and what came of it. A chain's page is that of its first run."""

from __future__ import annotations

from typing import Any

from django.contrib import admin
from django.contrib.admin import display
from django.db.models import Q, QuerySet
from django.http import HttpRequest, HttpResponseBase
from django.utils.safestring import SafeString

from forecasting.models import Chain
from forecasting.models.chain import GATE_KIND
from forecasting.services.chain_steps import GUARD, REQUEST
from ledger.admin.base import ReadOnlyAdmin
from ledger.jobs import job_title
from ledger.models import Run, RunState
from ledger.sites import tenant_site
from ledger.templatetags.forecourt import UNKNOWN, badge, day, moment, span, words


class StateFilter(admin.SimpleListFilter):
    """State of the step that came last, which is the chain's."""

    title = "state"
    parameter_name = "state"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        return [(str(value), str(label)) for value, label in RunState.choices]

    def queryset(self, request: HttpRequest, queryset: QuerySet[Chain]) -> QuerySet[Chain]:
        return queryset.filter(Q(last_state=self.value())) if self.value() else queryset


@admin.register(Chain, site=tenant_site)
class ChainAdmin(ReadOnlyAdmin):
    """Every chain of retrain, forecast, accuracy, gate and request."""

    list_display = ["label", "state_badge", "step", "outcome", "asked_by", "queued", "took"]
    list_filter = [StateFilter]
    search_fields = ["requested_by_name", "scope", "last_error"]
    search_help_text = "Person, version or error"
    date_hierarchy = "queued_at"
    empty_hint = "No chain has run yet. An analyst presses “Retrain now” on the page of the versions."

    @display(description="Chain")
    def label(self, chain: Any) -> str:
        if chain.kind == GATE_KIND:
            return f"Judge {chain.scope}"
        return f"{words(chain.inputs.get('mode') or 'search')} as of {day(chain.inputs.get('as_of'))}"

    @display(description="State", ordering="last_state")
    def state_badge(self, chain: Any) -> SafeString:
        ended = chain.last_state == RunState.SUCCEEDED and chain.cancel_requested_at is not None
        return badge(RunState.CANCELLED if ended else chain.last_state)

    @display(description="Step", ordering="last_kind")
    def step(self, chain: Any) -> str:
        return job_title(chain.last_kind)

    @display(description="What came of it")
    def outcome(self, chain: Any) -> str:
        if chain.last_state != RunState.SUCCEEDED:
            return str(chain.last_error)[:160] or UNKNOWN
        out: dict[str, Any] = chain.last_outputs
        version = f"v{out['version']}: " if out.get("version") else ""
        if chain.last_kind == GATE_KIND:
            return f"{version}{words(out.get('verdict')).lower()}"
        if chain.last_kind == REQUEST:
            return version + ("approval was asked for" if out.get("request") else str(out.get("refused", "")))
        if chain.last_kind == GUARD:
            told = {"assigned": "it serves", "review": "a person decides", "held": "it does not serve"}
            return version + told.get(str((out.get("guard") or {}).get("outcome")), UNKNOWN)
        return version + "ended early"

    @display(description="Asked for by", ordering="requested_by_name")
    def asked_by(self, chain: Any) -> str:
        return str(chain.requested_by_name)

    @display(description="Queued", ordering="queued_at")
    def queued(self, chain: Any) -> str:
        return moment(chain.queued_at)

    @display(description="From start to end")
    def took(self, chain: Any) -> str:
        ended = chain.last_finished_at
        return span((ended - chain.first_queued_at).total_seconds()) if ended is not None else UNKNOWN

    def change_view(
        self, request: HttpRequest, object_id: str, form_url: str = "", extra_context: dict[str, Any] | None = None
    ) -> HttpResponseBase:
        """The first run's page shows the whole chain."""
        chain = self.object_or_404(request, object_id)
        page: HttpResponseBase = self.admin_site.get_model_admin(Run).change_view(request, str(chain.pk))
        return page
