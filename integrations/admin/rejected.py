"""Rejected rows: found by reason, column or file, with what became of each."""

from __future__ import annotations

from typing import Any

from django.contrib import admin
from django.contrib.admin import display
from django.core.exceptions import PermissionDenied
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponseBase
from django.utils.safestring import SafeString

from integrations.models import RejectedRow
from integrations.services.mending import take_back_rows
from ledger.admin.base import ReadOnlyAdmin, View, attempt
from ledger.sites import tenant_site
from ledger.templatetags.forecourt import badge

_MANAGE = "integrations.change_source"


@admin.register(RejectedRow, site=tenant_site)
class RejectedRowAdmin(ReadOnlyAdmin):
    """Every row that was not taken."""

    list_display = ["place", "state_badge", "column", "reason", "as_it_stood", "batch_label"]
    list_filter = ["state", "reason", "column", "batch_file__batch__source"]
    search_fields = ["raw", "column", "reason", "batch_file__name"]
    search_help_text = "Text of the row, column, reason or file"
    show_full_result_count = False
    page_template = "forecourt/rejected_row.html"
    empty_hint = "No row was rejected. Rows that cannot be loaded are kept here with the reason."

    def get_queryset(self, request: HttpRequest) -> QuerySet[RejectedRow]:
        rows: QuerySet[RejectedRow] = (
            super().get_queryset(request).select_related("batch_file__batch__source", "mended_in__source")
        )
        return rows

    def lookup_allowed(self, lookup: str, value: Any, request: HttpRequest | None = None) -> bool:
        return lookup == "batch_file__batch__id__exact" or super().lookup_allowed(lookup, value, request)

    @display(description="Row", ordering="id")
    def place(self, row: RejectedRow) -> str:
        return f"{row.batch_file.name}:{row.line}"

    @display(description="State", ordering="state")
    def state_badge(self, row: RejectedRow) -> SafeString:
        return badge(row.state, row.get_state_display())

    @display(description="As it stood")
    def as_it_stood(self, row: RejectedRow) -> str:
        return row.raw[:120]

    @display(description="Batch", ordering="batch_file__batch")
    def batch_label(self, row: RejectedRow) -> str:
        return str(row.batch_file.batch)

    def own_views(self) -> list[tuple[str, str, View]]:
        return [("<path:object_id>/take-back/", "take_back", self.take_back_view)]

    def page_context(self, request: HttpRequest, obj: RejectedRow) -> dict[str, Any]:
        return {"row": obj, "batch": obj.batch_file.batch, "may_manage": request.user.has_perm(_MANAGE)}

    def take_back_view(self, request: HttpRequest, object_id: str) -> HttpResponseBase:
        """Open a row again that was left out; GET shows the row."""
        row: RejectedRow = self.object_or_404(request, object_id)
        if not request.user.has_perm(_MANAGE):
            raise PermissionDenied
        if request.method == "POST":
            attempt(
                request,
                lambda: take_back_rows(batch_id=row.batch_file.batch_id, row_ids=[row.pk], actor=request.user),  # type: ignore[arg-type]  # logged in here
                done="The row is open again.",
            )
        return self.to_object(row)
