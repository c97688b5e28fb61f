"""Two versions side by side: which figures may be held against each other, and the page."""

from __future__ import annotations

import json
from datetime import timedelta

import pytest
from django.urls import reverse

from forecasting.models import ModelVersion
from forecasting.services.comparing import ScoreRow, compare_versions
from forecasting.tests.factories import (
    AS_OF,
    make_candidate,
    make_demand,
    make_person,
    make_report,
    make_series,
    score_set,
)
from forecasting.tests.promotion_state import tampered
from forecasting.tests.registry_pages import ClientOf, accuracy, page
from tenants.models import Tenant
from tenants.roles import Role


@pytest.mark.parametrize(
    ("name", "first", "second", "better"),
    [
        ("wape", 0.3, 0.2, "b"),
        ("fva", 0.1, 0.2, "b"),
        ("bias", -0.02, 0.05, "a"),
        ("bias", 0.02, -0.02, "same"),
        ("coverage80", 0.79, 0.86, "a"),
        ("coverage80", 0.95, 0.78, "b"),
        ("total_cost", 10.0, 10.0, "same"),
        ("wape", None, 0.2, ""),
    ],
)
def test_compare__score__is_better_by_its_own_direction(
    name: str, first: float | None, second: float | None, better: str
) -> None:
    row = ScoreRow(name, first, second)
    assert row.better == better
    assert row.difference == (None if first is None or second is None else second - first)


def test_compare__judged_against_each_other__takes_the_scores_of_the_same_rows(champion: ModelVersion) -> None:
    challenger = make_candidate()
    make_report(challenger, factor=0.9)
    for pair in ((champion, challenger), (challenger, champion)):
        table = compare_versions(*pair).scores[0]
        assert (table.basis, table.warning) == ("holdout", "")
        rows = {row.name: row for row in table.rows}
        winner = "b" if pair[1] is challenger else "a"
        assert rows["wape"].better == rows["total_cost"].better == winner


def test_compare__other_windows__warns_that_rows_differ(alpha: Tenant) -> None:
    first, second = make_candidate(), make_candidate(as_of=AS_OF + timedelta(days=7), horizon=7)
    for version, rows in ((first, "x"), (second, "y")):
        body = json.dumps({"scores": score_set(1.0).to_json(), "rows_sha256": rows})
        tampered("modelversion", f"evaluation = '{body}' WHERE id = {version.pk}")
        version.refresh_from_db()
    tables = {table.basis: table for table in compare_versions(first, second).scores}
    assert "own holdout" in tables["holdout"].warning
    assert "another horizon" in tables["backtest"].warning and "other training data" in tables["backtest"].warning
    second.evaluation["rows_sha256"] = "x"
    assert {t.basis: t.warning for t in compare_versions(first, second).scores}["holdout"] == ""


def test_compare__realised_on_shared_days__takes_the_pair(champion: ModelVersion) -> None:
    other = make_candidate()
    later = AS_OF + timedelta(days=20)
    accuracy(champion, origin=AS_OF, until=AS_OF + timedelta(days=7), wape=0.3)
    accuracy(champion, origin=AS_OF, until=later, wape=0.5)
    accuracy(other, origin=AS_OF, until=AS_OF + timedelta(days=7), wape=0.2)
    [table] = [one for one in compare_versions(champion, other).scores if one.basis == "realised"]
    assert table.warning == "" and {row.name: row.better for row in table.rows}["wape"] == "b"
    accuracy(other, origin=AS_OF, until=later, wape=0.2, rows=5)
    [table] = [one for one in compare_versions(champion, other).scores if one.basis == "realised"]
    assert "28 series-days against 5" in table.warning


def test_compare__page__shows_scores_differences_gates_and_both_forecasts(
    champion: ModelVersion, client_of: ClientOf
) -> None:
    make_demand(series=make_series(4), until=AS_OF + timedelta(days=3))
    challenger = make_candidate(horizon=7)
    make_report(challenger, factor=0.9)
    client = client_of("alpha", make_person("vera", Role.VIEWER))
    text = page(client, "modelversion_compare", a=champion.number, b=challenger.number)
    for part in ("Total demand forecast from", "Is its error in units no larger?", "families", "horizon", "−10.0%",
                 "Judged against each other", "Not the same rows: another horizon"):  # fmt: skip
        assert part in text, part


def test_compare__nothing_chosen__holds_the_champion_against_the_newest(
    champion: ModelVersion, client_of: ClientOf
) -> None:
    client = client_of("alpha", make_person("vera", Role.VIEWER))
    assert "only one version" in page(client, "modelversion_compare")
    newest = make_candidate()
    text = page(client, "modelversion_compare")
    assert f">{champion}</a> against" in text and f">{newest}</a>" in text
    assert "nothing can differ" in page(client, "modelversion_compare", a="v1", b="1")


@pytest.mark.parametrize("value", ["99", "-1", "abc", "1 or 1=1", "1.0", "²", "9" * 40])
def test_compare__version_that_is_not_there__is_404_and_says_so(
    champion: ModelVersion, client_of: ClientOf, value: str
) -> None:
    make_candidate()
    client = client_of("alpha", make_person("vera", Role.VIEWER))
    response = client.get(reverse("admin:forecasting_modelversion_compare"), {"a": value, "b": "1"})
    assert response.status_code == 404 and "There is no version" in response.content.decode()
