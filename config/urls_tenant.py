"""URLs of every tenant's host."""

from django.urls import include, path
from django.views.generic import RedirectView

from forecasting.api.urls import urlpatterns as forecasting_api
from integrations.api.urls import nothing_here
from integrations.api.urls import urlpatterns as shared_api
from ledger.api.urls import urlpatterns as ledger_api
from ledger.sites import tenant_site
from tenants import views

urlpatterns = [
    path("", RedirectView.as_view(pattern_name="admin:index")),
    path("admin/", tenant_site.urls),
    path("invitation/<str:token>/", views.invitation, name="invitation"),
    path("api/", include([*shared_api, path("v1/", include([*forecasting_api, *ledger_api])), *nothing_here])),
]
