"""From host to tenant."""

from __future__ import annotations

import zoneinfo
from collections.abc import Callable

from django.conf import settings
from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.utils import timezone
from django_tenants.middleware.main import TenantMainMiddleware
from django_tenants.utils import get_public_schema_name

from ledger.schema import connection
from tenants import probes
from tenants.models import Tenant
from tenants.services.links import site_url


class TenantMiddleware(TenantMainMiddleware):  # type: ignore[misc]  # the library has no type information
    """Opens the host's tenant. An unknown host is 404 and a suspended tenant's 403, each a plain page."""

    @staticmethod
    def hostname_from_request(request: HttpRequest) -> str:
        """The host without its port; capitals mean nothing in a host name."""
        return str(TenantMainMiddleware.hostname_from_request(request)).lower()

    def process_request(self, request: HttpRequest) -> HttpResponse | None:
        asked = probes.answer(request)
        if asked is not None:
            return asked
        response: HttpResponse | None = super().process_request(request)
        if response is not None:
            return response
        tenant: Tenant = connection.tenant
        if not tenant.is_serving:
            name = tenant.name
            connection.set_schema_to_public()
            return render(request, "tenants/suspended.html", {"tenant_name": name}, status=403)
        return None

    def no_tenant_found(self, request: HttpRequest, hostname: str) -> HttpResponse:
        context = {"host": hostname, "apply_url": site_url(settings.PLATFORM_HOST, "/apply/")}
        return render(request, "tenants/unknown_host.html", context, status=404)


class TenantTimezoneMiddleware:
    """Shows dates in the tenant's own time zone."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponse]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        tenant = getattr(request, "tenant", None)
        if tenant is None or tenant.schema_name == get_public_schema_name():
            return self.get_response(request)
        with timezone.override(zoneinfo.ZoneInfo(tenant.time_zone)):
            return self.get_response(request)
