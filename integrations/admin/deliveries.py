"""Deliveries as they came in: their place in the order, and what became of them."""

from __future__ import annotations

from typing import Any

from django.contrib import admin, messages
from django.contrib.admin import display
from django.core.exceptions import PermissionDenied
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponseBase, HttpResponseRedirect
from django.urls import reverse
from django.utils.safestring import SafeString

from integrations.models import Delivery
from integrations.models.delivery import DELIVERY_TRANSITIONS, DeliveryState
from integrations.models.drift import DriftState
from integrations.services.delivery_life import discard_delivery, held_before, live_before
from ledger.admin.base import ReadOnlyAdmin, View
from ledger.admin.forms import ReasonForm
from ledger.errors import DomainError
from ledger.models import Run
from ledger.sites import tenant_site
from ledger.templatetags.forecourt import badge, moment

_MANAGE = "integrations.change_source"


@admin.register(Delivery, site=tenant_site)
class DeliveryAdmin(ReadOnlyAdmin):
    """Every delivery, newest first."""

    list_display = ["label", "state_badge", "door", "received", "sender", "file_names", "note"]
    list_filter = ["state", "via", "source"]
    search_fields = ["source__name", "files__name", "idempotency_key", "received_by_name", "files__sha256"]
    search_help_text = "Source, file, key, hash or person"
    date_hierarchy = "received_at"
    page_template = "forecourt/delivery.html"
    empty_hint = "Nothing came in yet. Open a source and upload files, or “Bring in data” from a new one."

    def get_queryset(self, request: HttpRequest) -> QuerySet[Delivery]:
        found: QuerySet[Delivery] = (
            super().get_queryset(request).select_related("source", "batch__source").prefetch_related("files")
        )
        return found

    @display(description="Delivery", ordering="id")
    def label(self, delivery: Delivery) -> str:
        return f"#{delivery.pk} {delivery.source.name}"

    @display(description="State", ordering="state")
    def state_badge(self, delivery: Delivery) -> SafeString:
        return badge(delivery.state, delivery.get_state_display())

    @display(description="Came by", ordering="via")
    def door(self, delivery: Delivery) -> str:
        return delivery.get_via_display()

    @display(description="Received", ordering="received_at")
    def received(self, delivery: Delivery) -> str:
        return moment(delivery.received_at)

    @display(description="By", ordering="received_by_name")
    def sender(self, delivery: Delivery) -> str:
        return delivery.received_by_name

    @display(description="Files")
    def file_names(self, delivery: Delivery) -> str:
        names = [file.name for file in delivery.files.all()]
        return ", ".join(names[:3]) + (f" and {len(names) - 3} more" if len(names) > 3 else "")

    @display(description="What became of it")
    def note(self, delivery: Delivery) -> str:
        if delivery.repeated:
            return "Loaded before: nothing to do"
        return delivery.problem[:160] or (f"Batch {delivery.batch_id}" if delivery.batch_id else "–")

    def own_views(self) -> list[tuple[str, str, View]]:
        return [("<path:object_id>/discard/", "discard", self.discard_view)]

    def page_context(self, request: HttpRequest, obj: Delivery) -> dict[str, Any]:
        run = Run.objects.filter(pk__in=[obj.run_id]).first()
        is_live = run is not None and run.is_live
        return {
            "delivery": obj,
            "files": obj.files.all(),
            "run": run,
            "waits_for": live_before(obj) if is_live else None,
            "waits_behind": held_before(obj) if is_live else None,
            "item": obj.drift_items.first(),
            "may_discard": request.user.has_perm(_MANAGE)
            and not is_live
            and obj.state != DeliveryState.HELD
            and DeliveryState.DISCARDED in DELIVERY_TRANSITIONS[obj.state],
        }

    def discard_view(self, request: HttpRequest, object_id: str) -> HttpResponseBase:
        """Give a delivery up: GET asks for the reason, POST does it."""
        delivery: Delivery = self.object_or_404(request, object_id)
        if not request.user.has_perm(_MANAGE):
            raise PermissionDenied
        item = delivery.drift_items.filter(state=DriftState.OPEN).first()
        if item is not None:  # it is decided in the inbox, which says what changed
            return HttpResponseRedirect(reverse("admin:integrations_driftitem_discard", args=[item.pk]))
        held = delivery.state == DeliveryState.HELD  # what was held stays for as long as files are kept
        form = ReasonForm(request.POST or None)
        if request.method == "POST" and form.is_valid():
            try:
                discard_delivery(delivery_id=delivery.pk, reason=form.cleaned_data["reason"], actor=request.user)  # type: ignore[arg-type]  # logged in here
            except DomainError as error:
                form.add_error(None, str(error))
            else:
                messages.success(
                    request, f"Delivery {delivery.pk} is discarded{'' if held else '; its files are deleted'}."
                )
                return self.to_object(delivery)
        return self.render_page(
            request,
            "forecourt/form_page.html",
            title=f"Discard delivery {delivery.pk}",
            obj=delivery,
            form=form,
            lead="Its files are never read."
            if held
            else "Its files are deleted and never read. Names and hashes stay.",
            submit="Discard it",
            danger=True,
            back=self.url("change", delivery.pk),
        )
