"""The doors to a rollback: the page, the command, and what the API says before and after."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from datetime import timedelta
from pathlib import Path

import pytest
from django.core.management import CommandError, call_command
from django.test import Client
from django.urls import reverse
from django_tenants.utils import schema_context

from forecasting import selectors
from forecasting.models import ChampionAssignment
from forecasting.services.rollback import rollback_champion
from forecasting.tests.api_helpers import get, viewer_key
from forecasting.tests.factories import AS_OF, make_demand, make_person, make_series, promote
from forecasting.tests.fitted import drop_files, make_fitted, stored_file
from ledger.models import Run, RunState
from tenants.models import Tenant
from tenants.roles import Role

ClientOf = Callable[..., Client]
REASON = "Its errors doubled since Monday"
PAGE = "admin:forecasting_championassignment_rollback"


@pytest.fixture
def two(alpha: Tenant) -> Iterator[tuple[ChampionAssignment, ChampionAssignment]]:
    """v1 served first, v2 serves now."""
    make_demand(series=make_series(4), days=40)
    first, second = (promote(make_fitted(seed=seed)) for seed in (1, 2))
    first.refresh_from_db()
    yield first, second
    for one in (first, second):
        drop_files(one.version)


def champion() -> int:
    found = selectors.current_champion()
    assert found is not None
    return found.version.number


def test_page__reviewer__sees_what_would_serve_and_puts_it_back(two, client_of: ClientOf) -> None:
    client = client_of("alpha", make_person("rita", Role.REVIEWER))
    assert reverse(PAGE) in client.get(reverse("admin:index")).content.decode()
    shown = client.get(reverse("admin:forecasting_modelversion_change", args=[two[0].version_id])).content.decode()
    assert f"{reverse(PAGE)}?to={two[0].pk}" in shown
    page = client.get(reverse(PAGE))
    assert page.context["form"].initial == {"to": two[0].pk, "expected": two[1].pk}
    assert "v2 serves now" in page.content.decode() and champion() == 2
    form = {"to": two[0].pk, "expected": two[1].pk}
    empty = client.post(reverse(PAGE), {**form, "reason": " "})
    assert empty.status_code == 200 and "Say why" in empty.content.decode() and champion() == 2
    done = client.post(reverse(PAGE), {**form, "reason": REASON}, follow=True)
    text = done.content.decode()
    assert champion() == 1 and "serves again" in text and "files, " in text and REASON in text
    again = client.post(reverse(PAGE), {**form, "reason": REASON})
    assert again.status_code == 409 and "is v1 now" in again.content.decode()


@pytest.mark.parametrize("role", [Role.ANALYST, Role.VIEWER])
def test_page__those_who_may_not__get_403_and_no_button(two, client_of: ClientOf, role: Role) -> None:
    client = client_of("alpha", make_person("other", role))
    assert client.post(reverse(PAGE), {"to": two[0].pk, "reason": REASON}).status_code == 403
    for url in (
        reverse("admin:index"),
        reverse("admin:forecasting_modelversion_change", args=[two[0].version_id]),
        reverse("admin:forecasting_championassignment_change", args=[two[0].pk]),
    ):
        assert reverse(PAGE) not in client.get(url).content.decode()
    assert champion() == 2


def test_page__damaged_file__says_which_and_keeps_what_was_typed(two, client_of: ClientOf) -> None:
    stored_file(two[0].version).write_bytes(b"{}")
    client = client_of("alpha", make_person("rita", Role.REVIEWER))
    answer = client.post(reverse(PAGE), {"to": two[0].pk, "expected": two[1].pk, "reason": REASON})
    assert answer.status_code == 409 and champion() == 2
    assert "serving/manifest.json of v1 is corrupt" in answer.content.decode() and REASON in answer.content.decode()


def test_page__assignment_that_is_not_here__is_404(two, beta_tenant: Tenant, client_of: ClientOf) -> None:
    with schema_context("beta"):
        theirs = promote().pk + 1000
    client = client_of("alpha", make_person("rita", Role.REVIEWER))
    assert client.get(f"{reverse(PAGE)}?to={theirs}").status_code == 404
    assert client.post(reverse(PAGE), {"to": theirs, "reason": REASON}).status_code == 404
    assert client.post(f"{reverse(PAGE)}?to={two[0].pk}", {"to": "x", "reason": REASON}).status_code == 200
    assert champion() == 2


def test_page__nothing_else_ever_served__says_so(alpha: Tenant, client_of: ClientOf) -> None:
    client = client_of("alpha", make_person("rita", Role.REVIEWER))
    assert "There is no champion" in client.get(reverse(PAGE)).content.decode()
    promote()
    assert "has ever served" in client.get(reverse(PAGE)).content.decode()
    assert reverse(PAGE) not in client.get(reverse("admin:index")).content.decode()


def test_api__after_a_rollback__serves_the_restored_forecasts_at_once_under_another_etag(two) -> None:
    make_demand(until=AS_OF + timedelta(days=3))
    key, address = viewer_key(), "/api/v1/forecasts/"
    before = get("alpha", address, key)
    assert (before.status_code, before.json()["model_version"]) == (200, 2)
    rollback_champion(actor=make_person("rita", Role.REVIEWER), reason=REASON, version=1)
    assert Run.objects.get(kind="forecasting.forecast").state == RunState.QUEUED, "newer ones are still to be made"
    sent = {"If_None_Match": before.headers["ETag"], "If_Modified_Since": before.headers["Last-Modified"]}
    after = get("alpha", address, key, **sent)
    assert after.status_code == 200 and after.headers["ETag"] != before.headers["ETag"]
    assert (after.json()["model_version"], after.json()["is_champion"]) == (1, True)
    assert after.json()["results"] != before.json()["results"]
    assert get("alpha", address, key, If_None_Match=after.headers["ETag"]).status_code == 304


# --- command ----------------------------------------------------------------------------------------------------------


def test_command__dry_run__verifies_and_changes_nothing(two, capsys, tmp_path: Path) -> None:
    out = tmp_path / "plan.json"
    call_command("rollback", "alpha", "--to", "v1", "--dry-run", "--json", str(out))
    assert "Nothing was changed" in capsys.readouterr().out and champion() == 2
    told = json.loads(out.read_text())
    assert (told["dry_run"], told["to"], told["displaces"]) == (True, 1, 2) and told["files"] > 4
    stored_file(two[0].version).unlink()
    with pytest.raises(CommandError, match="no file") as refused:
        call_command("rollback", "alpha", "--to", "v1", "--dry-run")
    assert refused.value.returncode == 1


def test_command__by_version_or_assignment__puts_it_back_and_says_how_fast(two, capsys, tmp_path: Path) -> None:
    out = tmp_path / "done.json"
    call_command("rollback", "alpha", "--to", "v1", "--reason", REASON, "--json", str(out))
    assert champion() == 1 and "in place of v2" in capsys.readouterr().out
    told = json.loads(out.read_text())
    assert told["seconds"]["total"] > 0 and told["forecast_origin"] == AS_OF.isoformat()
    now = ChampionAssignment.objects.get(to_at=None)
    assert now.assigned_by_name.endswith("(command line)") and now.reason == REASON
    rita = make_person("rita", Role.REVIEWER)
    call_command("rollback", "alpha", "--to", str(two[1].pk), "--reason", "It was the data", "--by", "rita")
    now = ChampionAssignment.objects.get(to_at=None)
    assert (now.version, now.assigned_by_name) == (two[1].version, rita.username)


@pytest.mark.parametrize(
    ("words", "status", "said"),
    [
        (["--to", "v1"], 1, "Say why"),
        (["--to", "v9", "--reason", "x1"], 2, "has not served"),
        (["--to", "2", "--reason", "x1", "--by", "nobody"], 2, "no user"),
        (["--to", "v1", "--reason", "x1", "--by", "an"], 1, "needs the role"),
        (["--to", "v2", "--reason", "x1"], 1, "already"),
        (["--to", "latest", "--reason", "x1"], 1, "neither a version"),  # from a shell it is 2
    ],
)
def test_command__refused__says_why_with_its_status(two, words: list[str], status: int, said: str) -> None:
    make_person("an", Role.ANALYST)
    with pytest.raises((CommandError, SystemExit), match=said) as refused:
        call_command("rollback", "alpha", *words)
    assert getattr(refused.value, "returncode", 2) == status and champion() == 2


def test_command__unknown_tenant__is_wrong_usage(db) -> None:
    with pytest.raises(CommandError, match="no tenant") as refused:
        call_command("rollback", "gamma", "--to", "v1", "--reason", "x")
    assert refused.value.returncode == 2
