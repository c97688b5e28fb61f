"""Who may call what, over every address of the API; and what the API says of itself."""

from __future__ import annotations

import io
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from django.conf import settings
from django.contrib.staticfiles import finders
from django.core.management import call_command
from django.db import connection
from django.test import Client, RequestFactory
from django.urls import URLPattern, URLResolver, get_resolver
from django_tenants.utils import schema_context

from forecasting.models import ForecastPath
from forecasting.tests.api_helpers import get, key_of, viewer_key
from forecasting.tests.factories import make_candidate, make_pending_request, make_person, promote
from forecasting.tests.strategy_sample import make_cycle
from integrations.api.problems import problem_details
from ledger.errors import DomainError
from ledger.models import Run
from tenants.errors import RoleRequired, UnknownTenant
from tenants.models import Tenant
from tenants.roles import Role

# Addresses that anyone may open, and why; the test fails when one of them no longer exists.
OPEN = {
    "api-schema": "describes the API, the same for every tenant",
    "api-docs": "shows the schema to somebody who has only a key, which a browser cannot send",
    "api-nothing": "says that there is nothing",
}
READERS = tuple(Role)
# Addresses that take something in, and what each method answers a tenant admin who names nothing that exists.
# (Who may decide is in test_api_promotion: a tenant admin is no reviewer.)
WRITES = {
    "api-ingest": {"get": 405, "post": 404, "put": 405, "patch": 405, "delete": 405},
    "api-promotions": {"get": 200, "post": 400},
    "api-approve": {"get": 405, "post": 400},
    "api-reject": {"get": 405, "post": 400},
    "api-withdraw": {"get": 405, "post": 400},
}


def api_patterns() -> dict[str, URLPattern]:
    """Every named address under /api/."""

    def each(resolver: URLResolver) -> Iterator[URLPattern]:
        for entry in resolver.url_patterns:
            if isinstance(entry, URLResolver):
                yield from each(entry)
            else:
                yield entry

    root = get_resolver("config.urls_tenant")
    roots = [entry for entry in root.url_patterns if isinstance(entry, URLResolver) and str(entry.pattern) == "api/"]
    assert len(roots) == 1
    return {str(pattern.name): pattern for pattern in each(roots[0])}


def addresses() -> dict[str, str]:
    """A real address of the current tenant for each name."""
    run = Run.objects.create(kind="test.access", idempotency_key="access", scope="access")
    version = promote(make_candidate()).version
    asked = make_pending_request(make_candidate(seed=11, forecasts=False))
    make_cycle()
    path = ForecastPath.objects.filter(forecast_set__version=version).first()
    assert path is not None
    return {
        "api-schema": "/api/schema/",
        "api-docs": "/api/docs/",
        "api-nothing": "/api/v1/nothing/",
        "api-token": "/api/v1/token/",
        "api-forecasts": "/api/v1/forecasts/",
        "api-totals": "/api/v1/forecasts/totals/?level=store",
        "api-forecast": f"/api/v1/forecasts/{path.series_id}/",
        "api-explanation": f"/api/v1/forecasts/{path.series_id}/explanation/",
        "api-models": "/api/v1/models/",
        "api-model": f"/api/v1/models/{version.number}/",
        "api-runs": "/api/v1/runs/",
        "api-run": f"/api/v1/runs/{run.pk}/",
        "api-strategy": "/api/v1/strategy/",
        "api-incidents": "/api/v1/incidents/",
        "api-sync-health": "/api/v1/sync-health/",
        "api-promotions": "/api/v1/promotion-requests/",
        "api-promotion": f"/api/v1/promotion-requests/{asked.pk}/",
        "api-approve": f"/api/v1/promotion-requests/{asked.pk}/approve/",
        "api-reject": f"/api/v1/promotion-requests/{asked.pk}/reject/",
        "api-withdraw": f"/api/v1/promotion-requests/{asked.pk}/withdraw/",
        "api-champions": "/api/v1/champions/",
        "api-served": "/api/v1/served/",
        "api-gate-reports": "/api/v1/gate-reports/",
        "api-gate-report": f"/api/v1/gate-reports/{asked.gate_report_id}/",
        "api-gate-policy": "/api/v1/gate-policy/",
        "api-ingest": "/api/v1/ingest/nothing/",
    }


def test_matrix__every_address__answers_each_kind_of_caller_as_meant(alpha: Tenant, beta_tenant: Tenant) -> None:
    patterns, known = api_patterns(), addresses()
    assert set(patterns) == set(known), "an address of the API is missing here (or gone)"
    assert set(OPEN) <= set(patterns)
    keys = {role: key_of(make_person(f"a-{role}", role)) for role in READERS}
    nobody = make_person("nobody", Role.VIEWER)
    no_role = key_of(nobody)
    nobody.groups.clear()
    with schema_context("beta"):
        foreign = viewer_key()
    for name, address in known.items():
        if name in OPEN:
            expected = 404 if name == "api-nothing" else 200
            assert {get("alpha", address, key).status_code for key in (None, foreign, no_role)} == {expected}, name
            continue
        assert get("alpha", address).status_code == 401, name
        assert get("alpha", address, foreign).status_code == 401, name
        assert get("alpha", address, no_role).status_code == 403, name
        expected = WRITES.get(name, {}).get("get", 200)
        assert {get("alpha", address, key).status_code for key in keys.values()} == {expected}, name


def test_matrix__every_address__takes_in_only_what_it_is_for(alpha: Tenant) -> None:
    known = addresses()
    header = {"host": "alpha.localhost", "Authorization": f"Token {key_of(make_person('t', Role.TENANT_ADMIN))}"}
    client = Client()
    for name, address in known.items():
        for method in ("post", "put", "patch", "delete"):
            response = getattr(client, method)(address, headers=header)
            expected = 404 if name == "api-nothing" else WRITES.get(name, {}).get(method, 405)
            assert (name, method, response.status_code) == (name, method, expected)
            assert response["Content-Type"] == "application/problem+json"


def test_matrix__foreign_objects__are_404_as_if_they_did_not_exist(alpha: Tenant, beta_tenant: Tenant) -> None:
    key = viewer_key()
    with schema_context("beta"):
        with connection.cursor() as cursor:  # ids that beta has and alpha does not
            for table in ("forecasting_promotionrequest", "forecasting_gatereport"):
                cursor.execute("SELECT setval(pg_get_serial_sequence(%s, 'id'), 600000)", [table])
        theirs = addresses()
    for name in ("api-forecast", "api-explanation", "api-model", "api-run", "api-promotion", "api-gate-report"):
        response = get("alpha", theirs[name], key)
        assert (name, response.status_code, response.json()["code"]) == (name, 404, "not_found")


def test_session__logged_in_user__reads_without_a_token(alpha: Tenant, client_of: Any) -> None:
    promote(make_candidate())
    browser = client_of("alpha", make_person("vera", Role.VIEWER))
    assert browser.get("/api/v1/forecasts/").status_code == 200
    body = browser.get("/api/v1/token/").json()
    assert (body["user"], body["token"], body["expires_at"]) == ("vera", None, None)


def test_session__of_alpha__opens_nothing_on_beta(alpha: Tenant, beta_tenant: Tenant, client_of: Any) -> None:
    browser = client_of("alpha", make_person("vera", Role.VIEWER))
    cookie = browser.cookies[settings.SESSION_COOKIE_NAME].value
    stranger = Client(headers={"host": "beta.localhost"})
    stranger.cookies[settings.SESSION_COOKIE_NAME] = cookie
    assert stranger.get("/api/v1/models/").status_code == 401


def test_platform_host__has_no_tenant_api(alpha: Tenant) -> None:
    key = viewer_key()
    response = Client().get("/api/v1/forecasts/", headers={"host": "localhost", "Authorization": f"Token {key}"})
    assert response.status_code == 404


def test_anonymous__401__says_how_to_get_a_token(alpha: Tenant) -> None:
    response = get("alpha", "/api/v1/forecasts/?page_size=0")
    body = response.json()
    assert (response.status_code, body["code"]) == (401, "not_authenticated")
    assert "Authorization: Token KEY" in body["detail"]
    assert set(body) == {"type", "title", "status", "detail", "code", "errors"}
    assert (body["type"], body["title"]) == ("urn:forecourt:problem:not_authenticated", "Unauthorized")


def test_address_without_last_slash__is_redirected(alpha: Tenant) -> None:
    response = get("alpha", "/api/v1/forecasts?page_size=3")
    assert (response.status_code, response["Location"]) == (301, "/api/v1/forecasts/?page_size=3")


class _Refused(DomainError):
    code = "test_refused"


@pytest.mark.parametrize(
    ("error", "status", "code"),
    [
        (_Refused("Not today. Come back tomorrow."), 409, "test_refused"),
        (RoleRequired("ann", ("reviewer",)), 403, "role_required"),
        (UnknownTenant("x", []), 404, "unknown_tenant"),
    ],
)
def test_problem__domain_error__is_4xx_with_its_own_words(error: DomainError, status: int, code: str) -> None:
    response = problem_details(error, {})
    assert response is not None
    assert response.status_code == status
    assert code.encode() in response.content and str(error)[:20].encode() in response.content


def test_problem__crash__is_500_without_the_inside_and_is_logged(caplog: pytest.LogCaptureFixture) -> None:
    response = problem_details(ZeroDivisionError("secret inside"), {"request": RequestFactory().get("/api/v1/x/")})
    assert response is not None and response.status_code == 500
    assert b"internal_error" in response.content and b"secret inside" not in response.content
    assert "secret inside" in caplog.text


def test_schema__generated__is_valid_without_warnings_and_committed(tmp_path: Path) -> None:
    written = tmp_path / "openapi.yaml"
    call_command("spectacular", "--validate", "--fail-on-warn", "--file", str(written), stderr=io.StringIO())
    committed = settings.BASE_DIR / "docs" / "openapi.yaml"
    assert written.read_text() == committed.read_text(), (
        "write it anew: manage.py spectacular --validate --fail-on-warn --file docs/openapi.yaml"
    )


def test_schema__served__names_every_address_and_its_refusals(alpha: Tenant) -> None:
    schema = get("alpha", "/api/schema/?format=json").json()
    assert set(schema["paths"]) == {
        "/api/v1/forecasts/",
        "/api/v1/forecasts/totals/",
        "/api/v1/forecasts/{series}/",
        "/api/v1/forecasts/{series}/explanation/",
        "/api/v1/incidents/",
        "/api/v1/ingest/{source}/",
        "/api/v1/sync-health/",
        "/api/v1/models/",
        "/api/v1/models/{version}/",
        "/api/v1/runs/",
        "/api/v1/runs/{run_id}/",
        "/api/v1/promotion-requests/",
        "/api/v1/promotion-requests/{request_id}/",
        "/api/v1/promotion-requests/{request_id}/approve/",
        "/api/v1/promotion-requests/{request_id}/reject/",
        "/api/v1/promotion-requests/{request_id}/withdraw/",
        "/api/v1/champions/",
        "/api/v1/served/",
        "/api/v1/gate-reports/",
        "/api/v1/gate-reports/{report_id}/",
        "/api/v1/gate-policy/",
        "/api/v1/strategy/",
        "/api/v1/token/",
    }
    for path, operations in schema["paths"].items():
        for method, operation in operations.items():
            done = "200" if method == "get" else "202" if "ingest" in path else "201"
            done = "200" if path.endswith(("/approve/", "/reject/", "/withdraw/")) else done
            assert {done, "400", "401", "403", "404", "429"} <= set(operation["responses"])


def test_docs__page_script_and_style__name_no_other_host_and_exist(alpha: Tenant) -> None:
    page = get("alpha", "/api/docs/").content.decode()
    script = get("alpha", "/api/docs/?script").content.decode()
    local = re.findall(r'(?:src|href)="([^"]*)"', page)
    assert len(local) == 5 and not re.search(r"(?:https?:)?//[a-z]", page)
    assert not re.search(r"https?://", script) and '"validatorUrl": null' in script
    for address in local:
        if address.startswith("/static/"):
            assert finders.find(address.removeprefix("/static/")), address
    style = finders.find("drf_spectacular_sidecar/swagger-ui-dist/swagger-ui.css")
    assert isinstance(style, str)
    assert not re.search(r"url\(['\"]?https?:", Path(style).read_text()) and "@import" not in Path(style).read_text()
