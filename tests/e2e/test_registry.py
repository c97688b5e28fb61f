"""The registry in a real browser: a version's card and files, two side by side, and what served on a day."""

from __future__ import annotations

import re
from collections.abc import Callable

import pytest
from playwright.sync_api import Page, expect

from tests.e2e.conftest import LOOKS, Site, faults

pytestmark = pytest.mark.e2e

A = "smb_tenant_a"
PAGES = {
    "versions": "/admin/forecasting/modelversion/",
    "version card": "/admin/forecasting/modelversion/1/change/",
    "compare": "/admin/forecasting/modelversion/compare/",
    "served today": "/admin/forecasting/championassignment/served/",
    "served before": "/admin/forecasting/championassignment/served/?on=2017-11-10",
    "served bad date": "/admin/forecasting/championassignment/served/?on=tomorrow",
}


@pytest.mark.parametrize(("scheme", "width"), LOOKS)
def test_registry_pages__each_scheme_and_width__have_no_serious_accessibility_violation(
    site: Site, sign_in: Callable[..., Page], scheme: str, width: int
) -> None:
    page = sign_in(A, "analyst", color_scheme=scheme, viewport={"width": width, "height": 900})
    problems = []
    for name, path in PAGES.items():
        page.goto(site.url(A, path))
        problems += faults(page, f"{name}-{scheme}-{width}")
    assert problems == []


def test_compare__from_the_list__two_versions_are_chosen_and_held_side_by_side(
    site: Site, sign_in: Callable[..., Page]
) -> None:
    page = sign_in(A, "viewer")
    page.goto(site.url(A, PAGES["versions"]))
    expect(page.locator("svg.fc-spark").first).to_be_visible()
    page.get_by_role("link", name="Compare two").click()
    expect(page.get_by_role("region", name="Sealed holdout")).to_be_visible()
    expect(page.locator("canvas[data-fc-chart=compare-chart]")).to_be_visible()
    expect(page.get_by_text("Not the same rows").first).to_be_visible()  # other origins: nothing is called better
    first = page.get_by_label("First")
    page.get_by_label("Second").select_option(first.input_value())
    page.get_by_role("button", name="Compare").click()
    expect(page.get_by_text("nothing can differ")).to_be_visible()
    expect(page.get_by_text("Both are fits of the same spec.")).to_be_visible()


def test_served__today_and_a_day_before__say_who_served_and_what_was_forecast(
    site: Site, sign_in: Callable[..., Page]
) -> None:
    page = sign_in(A, "viewer")
    page.goto(site.url(A))
    page.get_by_role("link", name="What served on").click()
    expect(page.get_by_role("region", name="Who served").get_by_text("reviewer").first).to_be_visible()
    page.get_by_label("Day", exact=True).fill("2017-11-10")
    page.get_by_role("button", name="Show", exact=True).click()
    expect(page.get_by_text("Nothing served on 10 Nov 2017")).to_be_visible()
    expect(page.get_by_role("region", name="Forecasts for the day").get_by_role("row").nth(1)).to_be_visible()
    with page.expect_download() as started:
        page.get_by_role("link", name="All series (CSV)").click()
    lines = started.value.path().read_text(encoding="utf-8").splitlines()
    assert lines[0].startswith("store_id,product_id,origin_date") and len(lines) > 50
    assert all("2017-11-10" in line for line in lines[1:])


def test_version__verify_now_and_card__says_that_the_files_are_whole(site: Site, sign_in: Callable[..., Page]) -> None:
    page = sign_in(A, "analyst")
    page.goto(site.url(A, PAGES["version card"]))
    page.get_by_role("button", name="Verify now").click()
    expect(page.get_by_text(re.compile(r"Verified: all \d+ files"))).to_be_visible()
    expect(page.get_by_role("region", name="Timeline").get_by_text("Artifacts verified")).to_be_visible()
    with page.expect_download() as started:
        page.get_by_role("link", name="Markdown").click()
    text = started.value.path().read_text(encoding="utf-8")
    assert text.startswith("# Model card: v1") and "## Lineage" in text and "Batch " in text
