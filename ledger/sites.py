"""The two admin sites: one for the platform's staff (public schema), one in every tenant."""

from __future__ import annotations

from django.http import HttpRequest
from unfold.sites import UnfoldAdminSite


class PlatformAdminSite(UnfoldAdminSite):  # type: ignore[misc]  # the library has no type information
    """Admin of the public schema."""

    site_title = site_header = "Forecourt platform"
    index_title = "Fleet"
    index_template = "forecourt/fleet.html"


class TenantAdminSite(UnfoldAdminSite):  # type: ignore[misc]  # the library has no type information
    """Admin of one tenant's schema; anyone of the tenant who holds a role may enter."""

    settings_name = "UNFOLD_TENANT"
    site_title = site_header = "Forecourt"
    index_title = "Overview"
    index_template = "forecourt/overview.html"

    def has_permission(self, request: HttpRequest) -> bool:
        return bool(request.user.is_active and request.user.is_staff)


# Both answer to the URL namespace ``admin``: each lives in a URL conf of its own.
platform_site = PlatformAdminSite(name="admin")
tenant_site = TenantAdminSite(name="admin")
