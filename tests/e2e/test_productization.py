"""Tracker, board and release as the platform's staff see them: accessible, light and dark, wide and narrow."""

from __future__ import annotations

import re
from collections.abc import Callable

import pytest
from playwright.sync_api import Page, expect

from tests.e2e.conftest import Site, faults

pytestmark = pytest.mark.e2e

ROOT = "/admin/productization"
PAGES = {
    "tracker": f"{ROOT}/trackeritem/",
    "tracker item": f"{ROOT}/trackeritem/1/change/",
    "block": f"{ROOT}/trackeritem/1/block/",
    "board": f"{ROOT}/trackeritem/board/",
    "releases": f"{ROOT}/release/",
    "prepare": f"{ROOT}/release/prepare/",
}


def test_tracker__operator__verifies_and_prepares_and_every_page_is_accessible(
    site: Site, sign_in: Callable[..., Page]
) -> None:
    page = sign_in("public", "operator")
    page.goto(site.url("public", PAGES["tracker"]))
    page.get_by_role("link", name="PZ-001", exact=True).click()
    page.get_by_role("button", name="Verify now").click()
    expect(page.get_by_text("PZ-001 is blocked.")).to_be_visible()
    expect(page.get_by_text(re.compile("FORECOURT_GITHUB_TOKEN")).first).to_be_visible()
    page.goto(site.url("public", PAGES["prepare"]))
    page.fill("input[name=version]", "1.0")
    page.fill("textarea[name=reason]", "A look at what a release would say.")
    page.get_by_role("button", name="Verify and prepare").click()
    expect(page.get_by_text("You prepared this.")).to_be_visible(timeout=30_000)
    release = page.url.removeprefix(site.url("public", ""))
    problems = []
    for scheme in ("light", "dark"):
        for width in (1280, 390):
            seen = sign_in("public", "operator", color_scheme=scheme, viewport={"width": width, "height": 900})
            for name, path in {**PAGES, "release": release}.items():
                answer = seen.goto(site.url("public", path))
                assert answer is not None
                assert answer.status == 200, name
                problems += faults(seen, f"productization {name}-{scheme}-{width}")
            seen.close()
    assert problems == []
