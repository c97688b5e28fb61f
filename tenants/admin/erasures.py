"""Certificates of what was erased, for the platform's staff."""

from __future__ import annotations

from typing import Any

from django.contrib import admin
from django.contrib.admin import display
from django.http import HttpRequest

from ledger.admin.base import ReadOnlyAdmin
from ledger.sites import platform_site
from ledger.templatetags.forecourt import moment
from tenants.models import ErasureCertificate


@admin.register(ErasureCertificate, site=platform_site)
class ErasureCertificateAdmin(ReadOnlyAdmin):
    """Deleted tenants."""

    list_display = ["schema_name", "tenant_name", "rows", "files", "requested_by_name", "when"]
    search_fields = ["schema_name", "tenant_name", "reason"]
    search_help_text = "Schema, name, or words of the reason"
    page_template = "forecourt/erasure.html"
    empty_hint = "No tenant was deleted yet."

    @display(description="Erased", ordering="erased_at")
    def when(self, certificate: ErasureCertificate) -> str:
        return moment(certificate.erased_at)

    def page_context(self, request: HttpRequest, obj: ErasureCertificate) -> dict[str, Any]:
        tables = sorted(obj.tables.items(), key=lambda one: (-one[1], one[0]))
        return {"certificate": obj, "tables": tables, "public_rows": sorted(obj.public_rows.items())}
