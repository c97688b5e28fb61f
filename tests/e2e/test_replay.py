"""An interactive replay in the browser: started, waited for, decided by another person, looked at day by day."""

from __future__ import annotations

import re
from collections.abc import Callable

import pytest
from playwright.sync_api import Page, expect

from tests.e2e.conftest import LOOKS, Site, faults, shot

pytestmark = pytest.mark.e2e

A, B = "smb_tenant_a", "enterprise_like"
LIST = "/admin/forecasting/replay/"
MOST_QUESTIONS = 6
"""On 5 August 2017 a first model of the demo's enterprise passed every gate, so a person is asked."""


@pytest.fixture(scope="module")
def replay(site: Site) -> str:
    """The address of a replay that a command has made."""
    made = site.manage("replay", A, "--holdout-days", "3", "--families", "seasonal_average", "--horizon", "7")
    assert made.returncode == 0, made.stderr
    found = re.search(r"Replay (\d+):", made.stderr)
    assert found is not None, made.stderr
    return f"{LIST}{found[1]}/change/"


@pytest.mark.parametrize(("scheme", "width"), LOOKS)
def test_replay__each_scheme_and_width__has_no_serious_accessibility_violation(
    site: Site, replay: str, sign_in: Callable[..., Page], scheme: str, width: int
) -> None:
    page = sign_in(A, "analyst", color_scheme=scheme, viewport={"width": width, "height": 900})
    problems = []
    pages = {"list": LIST, "page": replay, "start": f"{LIST}start/", "day": replay.replace("/change/", "/day/1/")}
    for name, path in pages.items():
        answer = page.goto(site.url(A, path))
        assert answer is not None and answer.status == 200, name
        if name == "page":
            expect(page.get_by_role("region", name="Timeline").locator("circle").first).to_be_visible()
        problems += faults(page, f"replay-{name}-{scheme}-{width}")
    assert problems == []


def test_replay__people_decide__another_person_answers_in_the_inbox_and_it_goes_on(
    site: Site, sign_in: Callable[..., Page]
) -> None:
    page = sign_in(B, "analyst")
    page.goto(site.url(B, LIST))
    page.get_by_role("link", name="Replay past days").click()
    page.get_by_label("Days to replay").fill("2")
    page.get_by_label("Last day").fill("2017-08-07")
    page.get_by_label("Who decides").select_option("interactive")
    page.get_by_label("Reason").fill("To see who decides")
    page.get_by_role("button", name="Start the replay").click()
    expect(page.get_by_role("heading", name=re.compile(r"^Replay \d+$"))).to_be_visible()
    address = page.url
    reviewer, answered = sign_in(B, "reviewer"), 0
    for _ in range(MOST_QUESTIONS):
        state = page.locator(".fc-badge", has_text=re.compile("Waits for a decision|Finished|Failed"))
        expect(state.first).to_be_visible(timeout=120_000)
        if state.first.inner_text() != "Waits for a decision":
            break
        page.get_by_role("link", name=re.compile("(Promotion|Orders) on")).first.click()
        expect(page.get_by_text("You started this replay")).to_be_visible()
        reviewer.goto(site.url(B, "/admin/forecasting/promotionrequest/"))
        inbox = reviewer.get_by_role("region", name="Questions of replays")
        expect(inbox.get_by_text("Replay", exact=True).first).to_be_visible()
        inbox.get_by_role("link").first.click()
        shot(reviewer, "replay-question")
        reviewer.get_by_label("Reason").fill("As I would have done")
        reviewer.get_by_role("button", name=re.compile("^(Approve|Order as proposed)$")).click()
        expect(reviewer.get_by_text("Decided. The replay goes on")).to_be_visible()
        answered += 1
        page.goto(address)
    assert answered >= 1, "nobody was asked"
    expect(page.locator(".fc-badge", has_text="Finished").first).to_be_visible(timeout=120_000)
    expect(page.get_by_role("heading", name="The worlds side by side")).to_be_visible()
    page.get_by_role("region", name="Days").get_by_role("link").nth(1).click()
    expect(page.get_by_text("What was known at the end of this day")).to_be_visible()
    shot(page, "replay-day-known")
