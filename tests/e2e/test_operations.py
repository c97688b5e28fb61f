"""The pages of whoever runs the system, in a real browser: incidents, drills, readiness; fleet, levels, migrations."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from playwright.sync_api import Page

from tests.e2e.conftest import LOOKS, Site, faults

pytestmark = pytest.mark.e2e

TENANT = "enterprise_like"
TENANT_PAGES = {
    "incidents": "/admin/integrations/incident/",
    "readiness": "/admin/forecasting/gatepolicy/readiness/",
    "policy": "/admin/forecasting/gatepolicy/1/change/",
    "chains": "/admin/forecasting/chain/",
    "chain": "/admin/ledger/run/",
    "shadow": "/admin/forecasting/shadowstanding/",
    "drills": "/admin/forecasting/rollbackdrill/",
    "drill start": "/admin/forecasting/rollbackdrill/start/",
    "decisions": "/admin/forecasting/decision/",
    "judgement": "/admin/forecasting/gatereport/1/change/",
    "roll back": "/admin/forecasting/championassignment/rollback/",
}
PLATFORM_PAGES = {
    "fleet": "/admin/",
    "tenants": "/admin/tenants/tenant/",
    "tenant": "/admin/tenants/tenant/2/change/",
    "levels": "/admin/tenants/slosample/",
    "dispatches": "/admin/tenants/dispatch/",
    "migrations": "/admin/tenants/schemastate/",
    "erasures": "/admin/tenants/erasurecertificate/",
    "erase": "/admin/tenants/tenant/2/erase/",
}


@pytest.mark.parametrize(("scheme", "width"), LOOKS)
@pytest.mark.parametrize(
    ("schema", "who", "pages"), [(TENANT, "admin", TENANT_PAGES), ("public", "operator", PLATFORM_PAGES)]
)
def test_operations__each_scheme_and_width__has_no_serious_accessibility_violation(
    site: Site,
    sign_in: Callable[..., Page],
    schema: str,
    who: str,
    pages: dict[str, str],
    scheme: str,
    width: int,
) -> None:
    page = sign_in(schema, who, color_scheme=scheme, viewport={"width": width, "height": 900})
    problems = []
    for name, path in pages.items():
        answer = page.goto(site.url(schema, path))
        assert answer is not None and answer.status == 200, f"{name}: {answer and answer.status}"
        problems += faults(page, f"operations-{name}-{scheme}-{width}")
    assert problems == []
