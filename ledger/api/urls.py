"""URLs of the ledger's API, under ``/api/v1/``."""

from django.urls import path

from ledger.api.runs import RunDetailView, RunListView

urlpatterns = [
    path("runs/", RunListView.as_view(), name="api-runs"),
    path("runs/<uuid:run_id>/", RunDetailView.as_view(), name="api-run"),
]
