"""URLs of the platform host (public schema)."""

from django.urls import path
from django.views.generic import RedirectView

from ledger.sites import platform_site
from tenants import views

urlpatterns = [
    path("", RedirectView.as_view(pattern_name="admin:index")),
    path("admin/", platform_site.urls),
    path("apply/", views.apply, name="apply"),
    path("apply/sent/", views.applied, name="applied"),
    path("apply/check/", views.check_address, name="check_address"),
    path("apply/confirm/<str:token>/", views.confirm, name="confirm"),
]
