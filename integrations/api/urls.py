"""URLs of the API that hold for the whole of it, under ``/api/``. The schema and its page show no tenant's data."""

from django.urls import path, re_path
from drf_spectacular.views import SpectacularAPIView

from integrations.api import openapi  # noqa: F401  # describes the token to the schema
from integrations.api.health import IncidentsView, SyncHealthView
from integrations.api.ingest import IngestView
from integrations.api.views import CallerView, DocsView, NothingHereView

urlpatterns = [
    path("schema/", SpectacularAPIView.as_view(authentication_classes=[]), name="api-schema"),
    path("docs/", DocsView.as_view(), name="api-docs"),
    path("v1/ingest/<slug:source>/", IngestView.as_view(), name="api-ingest"),
    path("v1/incidents/", IncidentsView.as_view(), name="api-incidents"),
    path("v1/sync-health/", SyncHealthView.as_view(), name="api-sync-health"),
    path("v1/token/", CallerView.as_view(), name="api-token"),
]
# After all others. An address without its last slash is redirected by Django, as everywhere.
nothing_here = [re_path(r"^(?:.*/)?$", NothingHereView.as_view(), name="api-nothing")]
