"""Runs by REST."""

from __future__ import annotations

import uuid
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from django.utils import timezone
from django_tenants.utils import schema_context

from forecasting.tests.api_helpers import get, viewer_key, walk
from ledger.context import RunContext
from ledger.jobs import all_kinds, job
from ledger.models import Run
from tenants.models import Tenant

LIST = "/api/v1/runs/"


@job("test.api", title="Test of the API")
def _body(ctx: RunContext) -> dict[str, Any]:
    return {}


def make_run(**fields: Any) -> Run:
    made = {"kind": "test.api", "idempotency_key": uuid.uuid4().hex, "scope": uuid.uuid4().hex, **fields}
    return Run.objects.create(**made)


def test_list__runs__newest_first_with_progress(alpha: Tenant) -> None:
    now = timezone.now()
    older = make_run(queued_at=now - timedelta(hours=1), state="succeeded")
    newer = make_run(
        state="running", progress_done=3, progress_total=4, progress_message="series", parent=older, started_at=now
    )
    rows = get("alpha", LIST, viewer_key()).json()["results"]
    assert [row["id"] for row in rows] == [str(newer.pk), str(older.pk)]
    assert rows[0]["progress"] == {"done": 3, "total": 4, "percent": 75, "message": "series"}
    assert (rows[0]["title"], rows[0]["state"], rows[0]["parent"]) == ("Test of the API", "running", str(older.pk))
    assert "inputs" not in rows[0]


def test_list__pages__every_run_comes_once_also_when_queued_at_one_time(alpha: Tenant) -> None:
    now = timezone.now()
    made = {str(make_run(queued_at=now - timedelta(seconds=k // 3)).pk) for k in range(8)}
    rows = walk("alpha", f"{LIST}?page_size=2", viewer_key())
    assert len(rows) == 8 and {row["id"] for row in rows} == made


def test_list__filtered__gives_those_of_the_kind_and_state(alpha: Tenant) -> None:
    failed = make_run(state="failed", error="It broke.", error_code="crash")
    make_run()
    make_run(kind="test.other", state="failed")
    key = viewer_key()
    rows = get("alpha", f"{LIST}?kind=test.api&state=failed", key).json()["results"]
    assert [(row["id"], row["error_code"]) for row in rows] == [(str(failed.pk), "crash")]


@pytest.mark.parametrize(
    ("query", "message"),
    [
        ("state=done", "queued, running, succeeded, failed, cancelled, lost"),
        ("kind=no.such", "must be one of"),
        ("page_size=501", "from 1 to 500"),
        ("cursor=WyJ4IiwgMSwgMl0", "leave it out"),
        ("format=csv", "format"),
    ],
)
def test_list__bad_value__is_refused_naming_what_is_allowed(alpha: Tenant, query: str, message: str) -> None:
    response = get("alpha", f"{LIST}?{query}", viewer_key())
    assert (response.status_code, response.json()["code"]) == (400, "invalid_query")
    assert message in response.json()["errors"][0]["message"]


def test_list__unknown_kind__names_the_registered_ones(alpha: Tenant) -> None:
    detail = get("alpha", f"{LIST}?kind=no.such", viewer_key()).json()["detail"]
    assert all(kind.kind in detail for kind in all_kinds())


@pytest.mark.parametrize("count", [1, 6])
def test_list__any_number_of_runs__takes_six_queries(
    alpha: Tenant, count: int, django_assert_num_queries: Callable[[int], Any]
) -> None:
    for _ in range(count):
        make_run()
    key = viewer_key()
    get("alpha", LIST, key)
    with django_assert_num_queries(6):  # two search paths, tenant, token, roles, runs
        assert len(get("alpha", LIST, key).json()["results"]) == count


def test_detail__run__gives_inputs_outputs_error_and_children(
    alpha: Tenant, django_assert_num_queries: Callable[[int], Any]
) -> None:
    run = make_run(state="failed", inputs={"a": 1}, outputs={"b": [2]}, error="It broke.", error_code="crash")
    child = make_run(parent=run)
    key = viewer_key()
    get("alpha", LIST, key)
    with django_assert_num_queries(7):  # two search paths, tenant, token, roles, run, children
        body = get("alpha", f"{LIST}{run.pk}/", key).json()
    assert (body["inputs"], body["outputs"], body["error"]) == ({"a": 1}, {"b": [2]}, "It broke.")
    assert body["children"] == [str(child.pk)]


def test_detail__run_of_another_tenant__is_404(alpha: Tenant, beta_tenant: Tenant) -> None:
    with schema_context("beta"):
        theirs = make_run()
    key = viewer_key()
    response = get("alpha", f"{LIST}{theirs.pk}/", key)
    assert (response.status_code, response.json()["code"]) == (404, "not_found")
    assert get("alpha", LIST, key).json()["results"] == []
    assert get("alpha", f"{LIST}{uuid.uuid4()}/", key).status_code == 404
