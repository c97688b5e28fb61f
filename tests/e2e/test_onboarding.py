"""A tenant admin who has never seen the product brings in sales by the form alone, from nothing to loaded data."""

from __future__ import annotations

import json
import re
import secrets
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Page, expect

from tests.e2e.conftest import LOOKS, Site, faults, shot

pytestmark = pytest.mark.e2e

NEW = "corner_new"
DEMO = "smb_tenant_b"
FIGURES = (
    "rows_read", "rows_loaded", "rows_merged", "rows_rejected", "units", "returned_units", "days_written", "first_day",
    "last_day",
)  # fmt: skip
AMBIGUOUS = "date;shop;sku;qty\n03/04/2024;s1;apple;3\n05/06/2024;s1;apple;2\n"


@pytest.fixture(scope="module")
def newcomer(site: Site) -> Iterator[str]:
    """A tenant that holds nothing but one tenant admin, made as the platform makes it."""
    made = site.manage("create_tenant", NEW, "--name", "Corner Shop", "--status", "active")
    assert made.returncode == 0, made.stderr
    password = secrets.token_urlsafe(12)
    code = (
        "from django.contrib.auth.models import Group, User; from django_tenants.utils import schema_context\n"
        f"with schema_context('{NEW}'):\n"
        f"    user = User.objects.create_user('owner', password='{password}', is_staff=True)\n"
        "    user.groups.add(Group.objects.get(name='tenant_admin'))"
    )
    made = site.manage("shell", "--no-imports", "-c", code)
    assert made.returncode == 0, made.stderr
    site.logins[NEW] = {"owner": password}
    yield NEW


def _batch(site: Site, schema_name: str) -> dict[str, Any]:
    """The figures of the first loaded batch of a tenant, from the database."""
    fields = ", ".join(f"'{name}'" for name in FIGURES)
    code = (
        "import json; from django_tenants.utils import schema_context\n"
        "from django.core.serializers.json import DjangoJSONEncoder\n"
        "from integrations.models import IngestBatch; from forecasting.models import Series\n"
        f"with schema_context('{schema_name}'):\n"
        f"    found = IngestBatch.objects.filter(state='loaded').order_by('pk').values({fields}).first()\n"
        "    found['series'] = Series.objects.count()\n"
        "    print('BATCH', json.dumps(found, cls=DjangoJSONEncoder))"
    )
    answer = site.manage("shell", "--no-imports", "-c", code)
    found = re.search(r"^BATCH (.*)$", answer.stdout, re.M)
    assert found, answer.stderr
    values: dict[str, Any] = json.loads(found.group(1))
    return values


def _go_on(page: Page, name: str = "Save and go on") -> None:
    page.get_by_role("button", name=re.compile(name)).last.click()
    page.wait_for_load_state()


def _at_step(page: Page, label: str) -> None:
    expect(page.locator("[aria-current=step]")).to_contain_text(label)


def _begin(page: Page, site: Site, title: str, file: Path) -> None:
    """A new draft with its file, up to the columns."""
    page.goto(site.url(NEW, "/admin/integrations/onboardingdraft/add/"))
    page.get_by_label("What do you call this data?").fill(title)
    page.get_by_label("Country of the stores").select_option("US")
    _go_on(page)
    page.get_by_label("File, or several of the same kind").set_input_files(file)
    page.get_by_role("button", name="Add", exact=True).click()
    expect(page.get_by_text(f"{file.name} is here.")).to_be_visible()
    _go_on(page)
    _at_step(page, "Columns")


def test_onboarding__an_admin_who_never_saw_it__goes_from_the_empty_page_to_loaded_sales(
    site: Site, newcomer: str, sign_in: Callable[..., Page]
) -> None:
    page = sign_in(newcomer, "owner")
    expect(page.get_by_text("First, bring in your sales")).to_be_visible()
    shot(page, "onboarding-0-empty")
    page.locator("#content").get_by_role("link", name="Bring in data").click()

    _at_step(page, "Source")
    page.get_by_label("What do you call this data?").fill("Till export")
    page.get_by_label("Country of the stores").select_option(label="United States")
    page.get_by_label("Time zone of the stores").select_option("America/New_York")
    shot(page, "onboarding-1-source")
    _go_on(page)

    _at_step(page, "Sample")
    file = Path(site.env["FORECOURT_DATA_DIR"]) / "demo" / DEMO / "pos_export.csv"
    page.get_by_label("File, or several of the same kind").set_input_files(file)
    page.get_by_role("button", name="Add", exact=True).click()
    expect(page.get_by_text("columns separated by semicolons")).to_be_visible()
    expect(page.get_by_text("decimals with a comma")).to_be_visible()
    shot(page, "onboarding-2-sample")
    _go_on(page)

    _at_step(page, "Columns")
    for column, field in {
        "BusinessDate": "date", "Outlet": "store_id", "ItemCode": "product_id", "QtyTens": "quantity",
        "UnitPrice": "unit_price",
    }.items():  # fmt: skip
        expect(page.get_by_label(column)).to_have_value(field)
    expect(page.get_by_text("Date, store, product and quantity are all there.")).to_be_visible()
    expect(page.get_by_text("(month-day-year)")).to_be_visible()
    expect(page.get_by_role("cell", name="2017-01-01").first).to_be_visible()
    shot(page, "onboarding-3-columns")
    _go_on(page)

    _at_step(page, "Meaning")
    page.get_by_label("Multiply it by").first.check()
    page.get_by_label("Factor").first.fill("10")
    expect(page.get_by_label("Goods that came back")).to_be_checked()
    expect(page.get_by_label("Each is a sale: add them up")).to_be_checked()
    shot(page, "onboarding-4-meaning")
    _go_on(page)

    _at_step(page, "Checks")
    page.get_by_role("button", name="Check the whole sample").click()
    expect(page.get_by_text("The sample passed.")).to_be_visible(timeout=120_000)
    expect(page.get_by_text("every row is accounted for")).to_be_visible()
    shot(page, "onboarding-5-checks")
    _go_on(page, "It agrees, go on")

    _at_step(page, "Activate")
    expect(page.get_by_text("multiplied by 10")).to_be_visible()
    shot(page, "onboarding-6-activate")
    _go_on(page, "Put it in force")

    _at_step(page, "Load")
    shot(page, "onboarding-7-load")
    _go_on(page, "Load them")
    expect(page.locator("#loaded")).to_contain_text("Loaded: 315 days of 120 series", timeout=120_000)
    expect(page.locator("#loaded")).to_contain_text("from 1 Jan 2017 to 11 Nov 2017")
    expect(page.get_by_role("link", name="Train the first model")).to_be_visible()
    shot(page, "onboarding-8-loaded")

    assert _batch(site, newcomer) == _batch(site, DEMO), "the form loads what the command loads"


def test_onboarding__a_choice_changed__shows_its_rows_and_asks_for_ambiguous_dates(
    site: Site, newcomer: str, sign_in: Callable[..., Page], tmp_path: Path
) -> None:
    file = tmp_path / "shop.csv"
    file.write_text(AMBIGUOUS, encoding="utf-8")
    page = sign_in(newcomer, "owner")
    _begin(page, site, "Ambiguous", file)
    expect(page.get_by_text("03/04/2024 is 3 April 2024")).to_be_visible()
    expect(page.get_by_text("03/04/2024 is 4 March 2024")).to_be_visible()
    _go_on(page)
    expect(page.get_by_role("alert").filter(has_text="Say how the dates are meant")).to_be_visible()

    page.get_by_label("03/04/2024 is 3 April 2024").check()
    expect(page.get_by_role("cell", name="2024-04-03")).to_be_visible()
    page.get_by_label("qty").select_option("")
    expect(page.get_by_text("Still missing: Quantity sold.")).to_be_visible()
    page.get_by_label("qty").select_option("quantity")
    expect(page.get_by_text("Date, store, product and quantity are all there.")).to_be_visible()
    _go_on(page)
    _at_step(page, "Meaning")


def test_onboarding__saved_in_a_second_tab__tells_the_first_and_keeps_its_input(
    site: Site, newcomer: str, sign_in: Callable[..., Page], tmp_path: Path
) -> None:
    file = tmp_path / "two.csv"
    file.write_text(AMBIGUOUS, encoding="utf-8")
    first = sign_in(newcomer, "owner")
    _begin(first, site, "Two tabs", file)
    address = first.url.replace("/mapping/", "/source/")
    first.goto(address)
    second = first.context.new_page()
    second.goto(address)
    second.get_by_label("Currency of the prices").fill("CHF")
    _go_on(second)
    first.get_by_label("Currency of the prices").fill("GBP")
    _go_on(first)
    expect(first.get_by_role("alert").filter(has_text="owner changed this draft")).to_be_visible()
    expect(first.get_by_label("Currency of the prices")).to_have_value("GBP")
    _go_on(first)
    first.goto(address)
    expect(first.get_by_label("Currency of the prices")).to_have_value("GBP")

    first.goto(site.url(NEW, "/admin/integrations/onboardingdraft/"))
    row = first.get_by_role("row").filter(has_text="Two tabs")
    expect(row).to_contain_text("Sample")
    row.get_by_role("link").first.click()
    _at_step(first, "Sample")


@pytest.mark.parametrize(("scheme", "width"), LOOKS)
def test_onboarding__each_step_scheme_and_width__has_no_serious_accessibility_violation(
    site: Site, newcomer: str, sign_in: Callable[..., Page], tmp_path: Path, scheme: str, width: int
) -> None:
    file = tmp_path / "looks.csv"
    file.write_text(AMBIGUOUS + "13/06/2024;s1;pear;x\n", encoding="utf-8")
    page = sign_in(newcomer, "owner", color_scheme=scheme, viewport={"width": width, "height": 900})
    _begin(page, site, f"Looks {scheme} {width}", file)
    _go_on(page)
    _at_step(page, "Meaning")
    _go_on(page)
    page.get_by_role("button", name="Check the whole sample").click()
    expect(page.locator("#verdict")).to_contain_text("did not pass", timeout=120_000)
    expect(page.get_by_role("region", name="Rows that are left out")).to_contain_text("This is not a number")
    base = page.url.replace("checks/", "")
    problems = []
    steps = ["source", "sample", "mapping", "meaning", "checks", "activate", "text", "load", "discard"]
    for step in [*(f"{base}{name}/" for name in steps), site.url(NEW, "/admin/integrations/onboardingdraft/")]:
        answer = page.goto(step)
        assert answer is not None and answer.status == 200, step
        name = step.rstrip("/").rpartition("/")[2]
        problems += faults(page, f"onboarding-{name}-{scheme}-{width}")
    assert problems == []
