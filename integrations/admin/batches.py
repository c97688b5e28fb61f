"""Deliveries: where every row went, what the checks found, and the rows that were not taken."""

from __future__ import annotations

from collections import Counter
from typing import Any

from django.contrib import admin
from django.contrib.admin import display
from django.core.exceptions import PermissionDenied
from django.db.models import Count, QuerySet
from django.http import HttpRequest, HttpResponseBase, StreamingHttpResponse
from django.utils.safestring import SafeString

from integrations.admin.mending import drop_view, mend_view
from integrations.models import IngestBatch, RejectedRow
from integrations.models.batch import RowState
from integrations.services.mending_sheet import sheet_of
from integrations.services.originals import root_of
from ledger.admin.base import ReadOnlyAdmin, View
from ledger.sites import tenant_site
from ledger.templatetags.forecourt import badge, day, moment, num

_SHOWN_REJECTS = 20
_MANAGE = "integrations.change_source"


@admin.register(IngestBatch, site=tenant_site)
class IngestBatchAdmin(ReadOnlyAdmin):
    """What was received, loaded and rejected."""

    list_display = ["label", "state_badge", "received", "read", "loaded", "merged", "rejected", "until"]
    list_filter = ["state", "source"]
    search_fields = ["source__name", "fingerprint", "received_by_name", "files__name"]
    search_help_text = "Source, file, hash or person"
    date_hierarchy = "received_at"
    page_template = "forecourt/batch.html"
    empty_hint = "Nothing was read yet. Upload files on a source’s page, or “Bring in data” from a new one."

    def get_queryset(self, request: HttpRequest) -> QuerySet[IngestBatch]:
        batches: QuerySet[IngestBatch] = super().get_queryset(request).select_related("source", "contract__source")
        return batches

    @display(description="Batch", ordering="id")
    def label(self, batch: IngestBatch) -> str:
        return str(batch)

    @display(description="State", ordering="state")
    def state_badge(self, batch: IngestBatch) -> SafeString:
        return badge(batch.state, batch.get_state_display())

    @display(description="Received", ordering="received_at")
    def received(self, batch: IngestBatch) -> str:
        return moment(batch.received_at)

    @display(description="Rows read", ordering="rows_read")
    def read(self, batch: IngestBatch) -> str:
        return num(batch.rows_read)

    @display(description="Loaded", ordering="rows_loaded")
    def loaded(self, batch: IngestBatch) -> str:
        return num(batch.rows_loaded)

    @display(description="Merged", ordering="rows_merged")
    def merged(self, batch: IngestBatch) -> str:
        return num(batch.rows_merged)

    @display(description="Rejected", ordering="rows_rejected")
    def rejected(self, batch: IngestBatch) -> str:
        return num(batch.rows_rejected)

    @display(description="Data until", ordering="last_day")
    def until(self, batch: IngestBatch) -> str:
        return day(batch.last_day)

    def own_views(self) -> list[tuple[str, str, View]]:
        return [
            ("<path:object_id>/rejected.csv", "rejected", self.rejected_view),
            ("<path:object_id>/mend/", "mend", self.mend_view),
            ("<path:object_id>/drop-files/", "drop", self.drop_view),
        ]

    def page_context(self, request: HttpRequest, obj: IngestBatch) -> dict[str, Any]:
        rejected = list(_rejected(obj)[: _SHOWN_REJECTS + 1])
        report = obj.report or {}
        root = root_of(obj)
        states = Counter(
            {state: count for state, count in _rejected(obj).order_by().values_list("state").annotate(Count("pk"))}
        )
        may_manage = request.user.has_perm(_MANAGE)
        return {
            "batch": obj,
            "files": obj.files.all(),
            "rejected_rows": rejected[:_SHOWN_REJECTS],
            "more_rejected": len(rejected) > _SHOWN_REJECTS,
            "findings": report.get("findings", []),
            "metrics": _measured(report.get("metrics", {}), report.get("thresholds", {})),
            "verdict": report.get("verdict", ""),
            "root": root if root != obj else None,
            "open_rows": states[RowState.OPEN],
            "mended_rows": states[RowState.MENDED],
            "left_out_rows": states[RowState.LEFT_OUT],
            "may_manage": may_manage,
            "is_kept": may_manage and obj.files.exclude(kept_path="").exists(),
            "replays": obj.replays.order_by("pk"),
            "kept_days": report.get("kept_days", 0),
            "conserved": obj.rows_read == obj.rows_loaded + obj.rows_merged + obj.rows_rejected,
        }

    def rejected_view(self, request: HttpRequest, object_id: str) -> HttpResponseBase:
        """Every open row as a CSV that can be mended and sent back, streamed."""
        batch: IngestBatch = self.object_or_404(request, object_id)
        headers = {"Content-Disposition": f'attachment; filename="rejected-{batch.pk}.csv"'}
        return StreamingHttpResponse(sheet_of(batch), content_type="text/csv; charset=utf-8", headers=headers)

    def mend_view(self, request: HttpRequest, object_id: str) -> HttpResponseBase:
        """Mend rejected rows here or by a sheet, leave them out, read the files again."""
        batch: IngestBatch = self.object_or_404(request, object_id)
        if not request.user.has_perm(_MANAGE):
            raise PermissionDenied
        return mend_view(self, request, batch)

    def drop_view(self, request: HttpRequest, object_id: str) -> HttpResponseBase:
        """Delete the kept originals."""
        batch: IngestBatch = self.object_or_404(request, object_id)
        if not request.user.has_perm(_MANAGE):
            raise PermissionDenied
        return drop_view(self, request, batch)


def _rejected(batch: IngestBatch) -> QuerySet[RejectedRow]:
    return (
        RejectedRow.objects.filter(batch_file__batch=batch).select_related("batch_file").order_by("batch_file", "line")
    )


def _measured(metrics: Any, thresholds: Any) -> list[dict[str, Any]]:
    """Figures of the checks beside their limits, for those that are plain numbers."""
    if not isinstance(metrics, dict):
        return []
    limits = thresholds if isinstance(thresholds, dict) else {}
    return [
        {"name": name, "value": value, "limit": _limit(limits, name)}
        for name, value in sorted(metrics.items())
        if isinstance(value, int | float | str) and not isinstance(value, bool)
    ]


def _limit(limits: dict[str, Any], name: str) -> Any:
    return next((limits[key] for key in (name, f"max_{name}", f"min_{name}") if key in limits), None)
