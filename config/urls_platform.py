"""URLs of the platform host (public schema)."""

from django.urls import path
from django.views.generic import RedirectView

from ledger.sites import platform_site

urlpatterns = [
    path("", RedirectView.as_view(pattern_name="admin:index")),
    path("admin/", platform_site.urls),
]
