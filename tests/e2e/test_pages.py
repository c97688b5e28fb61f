"""The pages as people see them: accessible, light and dark, wide and narrow; and a retraining through the worker."""

from __future__ import annotations

import re
from collections.abc import Callable

import pytest
from playwright.sync_api import Page, expect

from tests.e2e.conftest import LOOKS, Site, faults, shot

pytestmark = pytest.mark.e2e

A = "smb_tenant_a"
PAGES = {
    "front": "/admin/",
    "approvals": "/admin/forecasting/promotionrequest/",
    "versions": "/admin/forecasting/modelversion/",
    "version": "/admin/forecasting/modelversion/2/change/",
    "series": "/admin/forecasting/series/",
    "totals": "/admin/forecasting/forecastnodepath/",
    "reasons": "/admin/forecasting/series/1/explain/",
    "runs": "/admin/ledger/run/",
    "events": "/admin/ledger/auditevent/",
    "sources": "/admin/integrations/source/",
    "batches": "/admin/integrations/ingestbatch/",
    "deliveries": "/admin/integrations/delivery/",
    "rejected rows": "/admin/integrations/rejectedrow/",
}


@pytest.mark.parametrize(("scheme", "width"), LOOKS)
def test_pages__each_scheme_and_width__have_no_serious_accessibility_violation(
    site: Site, sign_in: Callable[..., Page], scheme: str, width: int
) -> None:
    page = sign_in(A, "analyst", color_scheme=scheme, viewport={"width": width, "height": 900})
    problems = []
    for name, path in PAGES.items():
        answer = page.goto(site.url(A, path))
        assert answer is not None
        assert answer.status == 200, name
        problems += faults(page, f"{name}-{scheme}-{width}")
    assert problems == []


def test_totals__front_page_to_a_store__bands_and_shares_are_shown(site: Site, sign_in: Callable[..., Page]) -> None:
    page = sign_in(A, "viewer")
    page.get_by_role("link", name="By store and category").click()
    page.get_by_role("link", name="All series").click()
    expect(page.get_by_text("The 80% band is that of the sum").first).to_be_visible()
    page.get_by_role("region", name="Stores").get_by_role("link").first.click()
    expect(page.get_by_role("region", name="Total").get_by_text("100.0%")).to_be_visible()
    assert faults(page, "total of a store") == []


def test_pages__platform_front__shows_the_fleet(site: Site, sign_in: Callable[..., Page]) -> None:
    page = sign_in("public", "operator")
    for name in ("Corner Market A", "Corner Market B", "Enterprise Grocer"):
        expect(page.get_by_text(name).first).to_be_visible()
    shot(page, "platform")


def test_pages__nothing_from_elsewhere__is_asked_for(site: Site, sign_in: Callable[..., Page]) -> None:
    page = sign_in(A, "viewer")
    asked: list[str] = []
    page.on("request", lambda request: asked.append(request.url))
    for path in [*PAGES.values(), "/api/docs/"]:
        page.goto(site.url(A, path))
        page.wait_for_load_state("networkidle")
    outside = [url for url in asked if not re.match(r"(http://smb-tenant-a\.localhost[:/]|data:|blob:)", url)]
    assert outside == []


def test_retrain__from_the_admin__runs_in_the_worker_with_progress(site: Site, sign_in: Callable[..., Page]) -> None:
    page = sign_in("smb_tenant_b", "analyst")
    page.goto(site.url("smb_tenant_b", "/admin/forecasting/modelversion/"))
    page.get_by_role("link", name=re.compile("Retrain")).first.click()
    page.wait_for_url("**/retrain/")
    if page.locator("textarea[name=reason], input[name=reason]").count():
        page.locator("textarea[name=reason], input[name=reason]").first.fill("A look at the newest data.")
    page.locator("main form button[type=submit], #content form button[type=submit]").last.click()
    page.wait_for_url(re.compile(r"/admin/ledger/run/"))
    expect(page.get_by_text(re.compile("Succeeded")).first).to_be_visible(timeout=120_000)
    shot(page, "run")
