"""The registry by REST."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from django_tenants.utils import schema_context

from forecasting.models import ModelVersion, VersionStatus
from forecasting.tests.api_helpers import get, viewer_key, walk
from forecasting.tests.factories import make_candidate, promote, score_set
from tenants.models import Tenant

LIST = "/api/v1/models/"


def test_list__versions__newest_first_with_champion_and_scores(alpha: Tenant) -> None:
    champion = promote(make_candidate()).version
    scores = score_set(0.9).to_json()
    other = make_candidate(family="seasonal_naive", forecasts=False, backtest={"scores": scores, "origins": []})
    rows = get("alpha", LIST, viewer_key()).json()["results"]
    assert [(row["version"], row["is_champion"]) for row in rows] == [(other.number, False), (champion.number, True)]
    assert rows[0]["scores"] == {"backtest": scores["overall"], "holdout": None}
    assert (rows[0]["spec"], rows[0]["spec_sha256"]) == (other.spec.label, other.spec.sha256)
    assert rows[0]["champion_since"] is None and rows[1]["champion_since"] is not None


def test_list__pages_and_filter__give_every_version_once(alpha: Tenant) -> None:
    made = [make_candidate(forecasts=False, seed=k).number for k in range(5)]
    ModelVersion.objects.filter(number=made[2]).update(status=VersionStatus.FAILED)
    key = viewer_key()
    assert [row["version"] for row in walk("alpha", f"{LIST}?page_size=2", key)] == made[::-1]
    assert [row["version"] for row in walk("alpha", f"{LIST}?status=failed", key)] == [made[2]]
    refused = get("alpha", f"{LIST}?status=best", key).json()
    assert "training, candidate, challenger, retired, failed" in refused["errors"][0]["message"]


@pytest.mark.parametrize("count", [1, 4])
def test_list__any_number_of_versions__takes_six_queries(
    alpha: Tenant, count: int, django_assert_num_queries: Callable[[int], Any]
) -> None:
    for seed in range(count):
        make_candidate(forecasts=False, seed=seed)
    key = viewer_key()
    get("alpha", LIST, key)
    with django_assert_num_queries(6):  # two search paths, tenant, token, roles, versions
        response = get("alpha", LIST, key)
    assert len(response.json()["results"]) == count
    assert get("alpha", LIST, key, if_none_match=response["ETag"]).status_code == 304


def test_detail__version__gives_windows_and_scores(
    alpha: Tenant, django_assert_num_queries: Callable[[int], Any]
) -> None:
    version = make_candidate(forecasts=False)
    key = viewer_key()
    get("alpha", LIST, key)
    with django_assert_num_queries(6):
        body = get("alpha", f"{LIST}{version.number}/", key).json()
    assert (body["version"], body["status"], body["mode"]) == (version.number, "candidate", "search")
    assert body["evaluation_window"] == version.evaluation_window and body["backtest"] == version.backtest


def test_detail__other_tenants_version__is_404(alpha: Tenant, beta_tenant: Tenant) -> None:
    with schema_context("beta"):
        made = [make_candidate(forecasts=False, seed=k).number for k in range(2)]
    make_candidate(forecasts=False)
    key = viewer_key()
    response = get("alpha", f"{LIST}{made[-1]}/", key)
    assert (response.status_code, response["Content-Type"]) == (404, "application/problem+json")
    assert "/api/v1/models/ lists" in response.json()["detail"]
    assert len(get("alpha", LIST, key).json()["results"]) == 1
