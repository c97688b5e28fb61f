"""URLs of every tenant's host."""

from django.urls import path
from django.views.generic import RedirectView

from ledger.sites import tenant_site

urlpatterns = [
    path("", RedirectView.as_view(pattern_name="admin:index")),
    path("admin/", tenant_site.urls),
]
