"""From the public form to a tenant's own front page, with the mails between, in a real browser."""

from __future__ import annotations

import email
import re
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page, expect

from tests.e2e.conftest import Site, faults, shot

pytestmark = pytest.mark.e2e

ADDRESS, MAIL = "corner-bakery", "ann@bakery.example"
SECRET = "a rather long passphrase 7"


def _link(site: Site, kind: str) -> str:
    """The link of that kind in the newest mail file, once the worker has written it."""
    folder = Path(site.env["FORECOURT_DATA_DIR"]) / "mail"
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        for path in sorted(folder.glob("*.log"), reverse=True):
            message = email.message_from_bytes(path.read_bytes())
            body = message.get_payload(decode=True)
            assert isinstance(body, bytes)
            found = re.search(rf"^http\S*/{kind}/\S+$", body.decode(), re.M)
            if found and message["To"] == MAIL:
                return found.group()
        time.sleep(0.3)
    raise AssertionError(f"no mail with a link to {kind} came")


def _inspect(page: Page, name: str) -> list[str]:
    """Look at the page light and dark, wide and narrow; returns what axe finds serious, and sideways scrolling."""
    problems = []
    for scheme in ("light", "dark"):
        # As the theme's switch does; a reload would lose what a form's answer shows.
        page.evaluate("dark => document.documentElement.classList.toggle('dark', dark)", scheme == "dark")
        for width in (1280, 390):
            page.set_viewport_size({"width": width, "height": 900})
            problems += faults(page, f"{name}-{scheme}-{width}")
    page.evaluate("document.documentElement.classList.remove('dark')")
    page.set_viewport_size({"width": 1280, "height": 900})
    return problems


def test_application__from_the_form_to_the_own_front_page(
    site: Site, browser: Browser, sign_in: Callable[..., Page]
) -> None:
    problems = []
    applicant = browser.new_context(viewport={"width": 1280, "height": 900}).new_page()
    applicant.goto(site.url("public", "/admin/login/"))
    applicant.get_by_role("link", name=re.compile("Apply for a site")).click()
    applicant.get_by_label("Business name").press_sequentially("Corner Bakery")
    expect(applicant.get_by_label("Address", exact=True)).to_have_value(ADDRESS)
    expect(applicant.locator("#fc-address")).to_contain_text(f"{ADDRESS}.localhost is free")
    applicant.get_by_label("Country").select_option("DE")
    expect(applicant.get_by_label("Time zone")).to_have_value("Europe/Berlin")
    expect(applicant.get_by_label("Currency")).to_have_value("EUR")
    applicant.get_by_label("Your name").fill("Ann Example")
    applicant.get_by_label("What do you sell").fill("Bread and cakes, in two shops.")
    applicant.get_by_role("button", name="Send the application").click()
    expect(applicant.get_by_role("alert").first).to_be_visible()  # without an e-mail address; nothing written is lost
    expect(applicant.get_by_label("Your name")).to_have_value("Ann Example")
    problems += _inspect(applicant, "apply")
    applicant.get_by_label("Your e-mail address").fill(MAIL)
    shot(applicant, "apply-again")
    applicant.get_by_role("button", name="Send the application").click()
    expect(applicant.get_by_role("heading", name="Look into your mail")).to_be_visible()
    problems += _inspect(applicant, "applied")

    applicant.goto(_link(site, "confirm"))
    problems += _inspect(applicant, "confirm")
    applicant.get_by_role("button", name="Confirm my e-mail address").click()
    expect(applicant.get_by_role("heading", name="Thank you")).to_be_visible()

    operator = sign_in("public", "operator")
    operator.get_by_role("link", name=re.compile("Applications")).first.click()
    operator.get_by_role("link", name="Corner Bakery").click()
    problems += _inspect(operator, "application")
    operator.get_by_role("link", name="Approve").click()
    operator.get_by_label("Reason").fill("A real shop; I called them.")
    problems += _inspect(operator, "approve")
    operator.get_by_role("button", name="Approve and set up").click()
    # The page follows the job by itself.
    expect(operator.get_by_text("Set up", exact=True).first).to_be_visible(timeout=90_000)
    shot(operator, "application-done")

    link = _link(site, "invitation")
    assert link.startswith(f"http://{ADDRESS}.localhost:")
    applicant.goto(link)
    problems += _inspect(applicant, "invitation")
    for secret in ("12345678", SECRET):
        applicant.get_by_label("New password", exact=True).fill(secret)
        applicant.get_by_label(re.compile("confirmation")).fill(secret)
        applicant.get_by_role("button", name="Set the password and enter").click()
        if secret != SECRET:
            expect(applicant.get_by_role("alert").first).to_be_visible()
    applicant.wait_for_url("**/admin/")
    expect(applicant.get_by_text("Corner Bakery").first).to_be_visible()
    expect(applicant.locator(".fc-empty").first).to_be_visible()
    shot(applicant, "own-front-page")

    again = browser.new_context().new_page()
    answer = again.goto(link)
    assert answer is not None and answer.status == 410
    problems += _inspect(again, "dead-link")
    assert problems == []
