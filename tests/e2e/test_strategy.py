"""A strategy cycle in the browser: started, watched, looked at, decided; light and dark, wide and narrow."""

from __future__ import annotations

import re
from collections.abc import Callable

import pytest
from playwright.sync_api import Page, expect

from tests.e2e.conftest import LOOKS, Site, faults, shot

pytestmark = pytest.mark.e2e

A = "smb_tenant_a"
LIST = "/admin/forecasting/strategycycle/"


@pytest.fixture(scope="module")
def cycle(site: Site) -> str:
    """The address of a cycle that a command has made."""
    made = site.manage("run_strategy_cycle", A, "--families", "seasonal_average", "--origins", "3")
    assert made.returncode == 0, made.stderr
    found = re.search(r"Proposed as cycle (\d+)", made.stdout)
    assert found is not None
    return f"{LIST}{found[1]}/change/"


@pytest.mark.parametrize(("scheme", "width"), LOOKS)
def test_strategy__each_scheme_and_width__has_no_serious_accessibility_violation(
    site: Site, cycle: str, sign_in: Callable[..., Page], scheme: str, width: int
) -> None:
    page = sign_in(A, "analyst", color_scheme=scheme, viewport={"width": width, "height": 900})
    problems = []
    pages = {
        "list": LIST,
        "page": cycle,
        "start": f"{LIST}start/",
        "decide": cycle.replace("/change/", "/decide/"),
        "train": cycle.replace("/change/", "/train/"),
    }
    for name, path in pages.items():
        answer = page.goto(site.url(A, path))
        assert answer is not None and answer.status == 200, name
        if name == "page":
            expect(page.locator("canvas[data-fc-chart=sweep-chart]")).to_be_visible()
            page.get_by_text("Show as a table").click()
            expect(page.locator("[data-fc-table=sweep-chart] tbody tr")).to_have_count(11)
            page.get_by_text("Every score and cost of this pair").click()
        problems += faults(page, f"strategy-{name}-{scheme}-{width}")
    assert problems == []


def test_strategy__started_in_the_browser__is_run_looked_at_and_decided(
    site: Site, sign_in: Callable[..., Page]
) -> None:
    page = sign_in("smb_tenant_b", "analyst")
    page.get_by_role("link", name="Strategy").first.click()
    expect(page.get_by_text("A strategy cycle answers")).to_be_visible()
    page.get_by_role("link", name="Run a strategy cycle").click()
    for box in page.locator("input[name=families]").all():
        box.set_checked(box.get_attribute("value") == "seasonal_average")
    page.fill("input[name=origins]", "2")
    page.get_by_role("button", name="Start").click()
    page.wait_for_url(re.compile(r"/admin/ledger/run/"))
    expect(page.get_by_text(re.compile("Succeeded")).first).to_be_visible(timeout=120_000)
    page.goto(site.url("smb_tenant_b", LIST))
    page.locator("#result_list a, table a").filter(has_text="data until").first.click()
    lead = page.locator(".fc-lead")
    expect(lead).to_contain_text(re.compile("One model|A mixture"))
    page.select_option("select[name=measure]", "stockout_miss_rate")
    page.get_by_role("button", name="Show", exact=True).click()
    expect(page.get_by_role("heading", name="The sweep: share of orders that fall short")).to_be_visible()
    page.get_by_role("link", name="Decide", exact=True).click()
    page.select_option("select[name=point]", "pair:seasonal_naive:seasonal_average:0.3")
    page.fill("textarea[name=reason]", "The last week counts a little")
    page.get_by_role("button", name="Record the decision").click()
    expect(page.get_by_text("Nothing that serves has changed")).to_be_visible()
    expect(page.get_by_role("cell", name="The last week counts a little")).to_be_visible()
    expect(page.get_by_role("link", name="Train what was decided")).to_be_visible()
    with page.expect_download() as download:
        page.get_by_role("link", name="model_strategy_cycle.svg").click()
    assert download.value.suggested_filename == "model_strategy_cycle.svg"
    shot(page, "strategy-decided")
    reader = sign_in("smb_tenant_b", "viewer")
    reader.goto(page.url)
    expect(reader.locator(".fc-lead")).to_be_visible()
    expect(reader.get_by_role("link", name=re.compile("Decide|Train what"))).to_have_count(0)
