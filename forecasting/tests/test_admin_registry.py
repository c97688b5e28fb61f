"""The registry's pages: the list with its figures and trends, a version's card and timeline, two side by side."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Callable
from datetime import date, timedelta
from itertools import pairwise
from typing import Any

import pytest
from django.core.files.base import ContentFile
from django.core.files.storage import default_storage
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.urls import reverse

from forecasting import selectors_registry
from forecasting.admin.sparkline import sparkline
from forecasting.engine.types import sha256_text
from forecasting.models import AccuracyRecord, ForecastSet, ModelArtifact, ModelVersion
from forecasting.services import champions
from forecasting.services.comparing import ScoreRow, compare_versions
from forecasting.services.model_card import model_card
from forecasting.services.model_card_text import card_markdown
from forecasting.services.verifying import verify_artifacts
from forecasting.tests.factories import (
    AS_OF,
    make_candidate,
    make_demand,
    make_forecasts,
    make_pending_request,
    make_person,
    make_report,
    make_series,
    promote,
    score_set,
)
from forecasting.tests.promotion_state import tampered
from integrations.models import Incident
from ledger.models import AuditEvent
from tenants.errors import RoleRequired
from tenants.models import Tenant
from tenants.roles import Role

ClientOf = Callable[..., Client]
LIST = "admin:forecasting_modelversion_changelist"


@pytest.fixture
def champion(alpha: Tenant) -> ModelVersion:
    return promote(make_candidate(family="seasonal_naive")).version


def accuracy(version: ModelVersion, *, origin: date, until: date, wape: float, rows: int = 28) -> AccuracyRecord:
    """A realised record of a set of that origin (made where it is missing)."""
    made = ForecastSet.objects.filter(version=version, origin_date=origin).first() or make_forecasts(
        version, origin=origin
    )
    return AccuracyRecord.objects.create(
        version=version, forecast_set=made, actuals_until=until, days=7, rows=rows, wape=wape, wape_naive=0.4,
        coverage80=0.8, scores=score_set(wape / 0.34).to_json(),
    )  # fmt: skip


def page(client: Client, name: str, *args: Any, **query: Any) -> str:
    response = client.get(reverse(f"admin:forecasting_{name}", args=args), query)
    assert response.status_code == 200, response.status_code
    return response.content.decode()


# --- list -------------------------------------------------------------------------------------------------------------


def test_list__versions_with_scores__names_what_each_figure_is_of(champion: ModelVersion, client_of: ClientOf) -> None:
    challenger = make_candidate()
    make_report(challenger, factor=0.9)
    accuracy(champion, origin=AS_OF, until=AS_OF + timedelta(days=7), wape=0.31)
    [first, second] = selectors_registry.listed_versions(ModelVersion.objects.order_by("number"))
    assert (first.is_champion, first.ever_served, first.backtest_wape, first.realised_wape) == (True, True, 0.34, 0.31)
    assert first.champion_since is not None and first.cost_change is None
    assert (second.is_champion, second.holdout_wape, second.realised_wape) == (False, None, None)
    assert second.cost_change == pytest.approx(-0.1)
    text = page(client_of("alpha", make_person("vera", Role.VIEWER)), "modelversion_changelist")
    for head in ("Backtest WAPE", "Holdout WAPE", "Cost against champion (holdout)", "Realised WAPE", "WAPE by week"):
        assert head in text
    assert "-10.0%" in text and "31.0%" in text and "fc-spark" in text


def test_list__any_number_of_rows__takes_ten_queries_of_the_registry_at_most(
    champion: ModelVersion, client_of: ClientOf
) -> None:
    client = client_of("alpha", make_person("vera", Role.VIEWER))
    counts = []
    for _ in range(2):
        for _ in range(3):
            made = make_candidate()
            make_report(made)
            for week in range(3):
                accuracy(made, origin=AS_OF + timedelta(days=7 * week), until=AS_OF + timedelta(days=60), wape=0.3)
        page(client, "modelversion_changelist")  # what is cached is warm
        with CaptureQueriesContext(connection) as queries:
            page(client, "modelversion_changelist")
        told = [query["sql"] for query in queries.captured_queries]
        counts.append((len(told), sum("forecasting_" in query for query in told)))
    assert counts[0] == counts[1], "the number of queries grows with the rows"
    whole, own = counts[0]
    assert own <= 10 and whole <= 20, "\n".join(query[:200] for query in told)  # beside: session, rights, sidebar


@pytest.mark.parametrize(("chosen", "numbers"), [("now", [2]), ("past", [1]), ("never", [3])])
def test_list__filter_by_service__shows_those(
    champion: ModelVersion, client_of: ClientOf, chosen: str, numbers: list[int]
) -> None:
    promote(make_candidate())
    make_candidate(seed=3)
    client = client_of("alpha", make_person("vera", Role.VIEWER))
    rows = list(csv.DictReader(io.StringIO(page(client, "modelversion_export", service=chosen))))
    assert [int(row["version"]) for row in rows] == numbers
    shown = page(client, "modelversion_changelist", service=chosen)
    address = reverse("admin:forecasting_modelversion_change", args=[ModelVersion.objects.get(number=numbers[0]).pk])
    assert address in shown


def test_export__searched_list__holds_the_same_rows_and_runs_no_formula(alpha: Tenant, client_of: ClientOf) -> None:
    make_candidate()
    wanted = make_candidate(created_by=make_person("=cmd", Role.ANALYST))
    client = client_of("alpha", make_person("vera", Role.VIEWER))
    response = client.get(reverse("admin:forecasting_modelversion_export"), {"q": "=cmd"})
    assert response["Content-Type"] == "text/csv; charset=utf-8"
    [row] = csv.DictReader(io.StringIO(response.content.decode()))
    assert (row["version"], row["asked_for_by"]) == (str(wanted.number), "'=cmd")
    assert row["backtest_wape"] == "0.34" and row["realised_wape"] == ""


@pytest.mark.parametrize("query", ["?e=1", "?spec__nothing=1", "?created_at__year=abc", "?service=nonsense", "?o=99"])
def test_export__bad_query__is_no_server_error(alpha: Tenant, client_of: ClientOf, query: str) -> None:
    make_candidate()
    client = client_of("alpha", make_person("vera", Role.VIEWER))
    assert client.get(reverse("admin:forecasting_modelversion_export") + query).status_code in (200, 302, 400)


# --- trend ------------------------------------------------------------------------------------------------------------


def test_trend__realised_in_two_weeks__comes_before_holdout_and_backtest(champion: ModelVersion) -> None:
    judged = make_candidate()
    make_report(judged)
    fresh = make_candidate(seed=9)
    for week, wape in enumerate((0.3, 0.5, 0.4)):
        accuracy(champion, origin=AS_OF + timedelta(days=7 * week), until=AS_OF + timedelta(days=60), wape=wape)
    found = selectors_registry.trends_of([champion.pk, judged.pk, fresh.pk])
    assert found[champion.pk].basis == "realised" and found[champion.pk].values == (0.3, 0.5, 0.4)
    assert (found[judged.pk].basis, len(found[judged.pk].values)) == ("holdout", 4)
    assert (found[fresh.pk].basis, found[fresh.pk].values) == ("backtest", (0.34, 0.34))


def test_trend__one_forecast_measured_again__counts_once_with_its_newest_figure(champion: ModelVersion) -> None:
    for until, wape in ((3, 0.9), (9, 0.2)):
        accuracy(champion, origin=AS_OF, until=AS_OF + timedelta(days=until), wape=wape)
    accuracy(champion, origin=AS_OF + timedelta(days=7), until=AS_OF + timedelta(days=9), wape=0.3)
    assert selectors_registry.trends_of([champion.pk])[champion.pk].values == (0.2, 0.3)


@pytest.mark.parametrize(("values", "moves"), [([1.0, 2.0, 3.0], 1), ([1.0, None, 2.0], 2), ([0.5, 0.5], 1)])
def test_sparkline__values__is_drawn_with_its_words(values: list[float | None], moves: int) -> None:
    drawn = sparkline(values, 'v1 <"&')
    assert drawn.count("M") == moves and "NaN" not in drawn
    assert 'role="img"' in drawn and "v1 &lt;&quot;&amp;" in drawn


@pytest.mark.parametrize("values", [[], [1.0], [None, 1.0]])
def test_sparkline__less_than_two_values__is_nothing(values: list[float | None]) -> None:
    assert sparkline(values, "x") == ""


# --- card -------------------------------------------------------------------------------------------------------------


def test_card__version__tells_features_in_words_and_the_limits_of_what_is_stored(champion: ModelVersion) -> None:
    version = make_candidate()
    make_report(version, factor=1.2)
    notes, backtest = (
        [{"family": "lightgbm", "reason": "too short", "series": 3}],
        {"scores": {
            "overall": {"wape": {"value": 0.3, "n": 500}, "fva": {"value": -0.1, "n": 500}, "bias": {"value": 0.08},
                        "coverage80": {"value": 0.65, "n": 500}},
            "by_class": {"lumpy": {"wape": {"value": 0.9, "n": 50}, "coverage80": {"value": 0.95, "n": 50}}},
            "by_week": {"1": {"wape": {"value": 0.2}}, "2": {"wape": {"value": 0.4}}},
        }},
    )  # fmt: skip
    tampered(
        "modelversion", f"notes = '{json.dumps(notes)}', backtest = '{json.dumps(backtest)}' WHERE id = {version.pk}"
    )
    card = model_card(ModelVersion.objects.get(pk=version.pk))
    limits = "\n".join(card["limits"])
    for part in ("did not pass: ", "does not beat the last season repeated", "error on lumpy demand is 90.0%",
                 "20.0% in the first week ahead, 40.0%", "leans high", "too narrow for all series together",
                 "it held 65.0%",
                 "too wide for lumpy demand: it held 95.0% of the actuals on the backtest (on 50 forecasts only)",
                 "lightgbm declined 3 series (too short)", "not recorded with it", "has met its actuals"):  # fmt: skip
        assert part in limits, part
    words = {one["name"]: one["meaning"] for one in card["features"][0]["features"]}
    assert words == {"lag7": "Sales 1 week before", "weekday": "Day of the week", "store_id": "Store"}
    assert card["judgement"]["verdict"] == "blocked" and card["scores"]["realised"] is None


LINEAGE = {
    "data": {"rows": 1000, "series": 10, "stores": 2, "products": 5, "categories": 1, "short_history": 2,
             "under_a_year": 10, "first_day": "2025-12-02", "last_day": "2026-03-31", "stocked_out": 50, "priced": 1000,
             "costed": 400, "grain": "D", "missing_days": "zero", "country": None, "holidays": 0,
             "regressors": {"known_future": [], "historic_only": [], "static": ["category"]}},
    "batches": [{"batch": 9, "rows": 1000, "first_day": "2025-12-02", "last_day": "2026-03-31", "known": True,
                 "source": "pos|x", "contract": 2, "fingerprint": "f", "received_at": "2026-04-01T05:00:00+00:00"}],
    "earlier_batches": {"batches": 0, "rows": 0},
    "contracts": [{"source": "pos|x", "version": 2, "sha256": "a" * 64, "in_force": True, "wrote_days": True}],
    "classes": {"smooth": 8, "lumpy": 2},
    "code": {"package": "0.1.0", "revision": "abc", "engine_sha256": "e" * 64, "python": "3.12.0"},
    "follows": {"champion": {"version": 1, "spec_sha256": "b" * 64}, "strategy_decision": None},
    "reason": "New | data <b>",
}  # fmt: skip


def with_lineage() -> ModelVersion:
    """An unsaved twin of a candidate whose manifest holds a lineage (a registered manifest cannot be changed)."""
    version = make_candidate()
    version.manifest = {**version.manifest, "lineage": LINEAGE}
    return version


def test_card__lineage__gives_data_limits_and_is_in_the_files(alpha: Tenant) -> None:
    card = model_card(with_lineage())
    limits = "\n".join(card["limits"])
    for part in ("2 of 10 series had less than 28 days", "No series has a full year", "the contract names no country",
                 "No plan (promotions, prices)", "5.0% of its days were sold out", "cost is known on 40%"):  # fmt: skip
        assert part in limits, part
    assert "10 series of 2 stores (pos|x), for 14 days after the newest data" in card["intended_use"]
    text = card_markdown(json.loads(json.dumps(card)))
    assert "| Series, stores, products | 10, 2, 5 |" in text and "Contract pos\\|x v2" in text
    assert "revision abc" in text and "lightgbm 4.6.0" in text and "&lt;b>" in text
    assert "| `lag7` |" in text and "## Scores: Sealed holdout\nNot scored." in text


def test_card_download__both_formats__are_files_of_the_same_card(champion: ModelVersion, client_of: ClientOf) -> None:
    client = client_of("alpha", make_person("vera", Role.VIEWER))
    url = reverse("admin:forecasting_modelversion_card", args=[champion.pk])
    as_json = client.get(url, {"format": "json"})
    assert as_json.json()["model"]["version"] == 1 and "model_card_v1.json" in as_json["Content-Disposition"]
    text = client.get(url)
    assert text.content.decode().startswith("# Model card: v1") and "model_card_v1.md" in text["Content-Disposition"]


# --- timeline ---------------------------------------------------------------------------------------------------------


def test_timeline__trained_asked_approved_and_displaced__tells_it_in_order(champion: ModelVersion) -> None:
    second = promote(make_candidate()).version
    story = selectors_registry.timeline_of(champion)
    assert {one.what for one in story} == {
        "forecast.first", "promotion.requested", "promotion.approved", "champion.promotion", "champion.followed"
    }  # fmt: skip
    assert story[0].what == "champion.followed" and second.label in story[0].detail
    assert all(a.at >= b.at for a, b in pairwise(story))


def test_timeline__rolled_back__says_so_and_names_the_person(champion: ModelVersion) -> None:
    second = promote(make_candidate()).version
    boss = make_person("boss", Role.REVIEWER)
    champions.assign(version=champion, kind="rollback", reason="It oversold", actor=boss)
    story = selectors_registry.timeline_of(second)
    assert (story[0].what, story[0].who) == ("champion.rolled_back", "boss")
    again = selectors_registry.timeline_of(champion)
    assert again[0].what == "champion.rollback" and "It oversold" in again[0].detail


# --- verify -----------------------------------------------------------------------------------------------------------


def store(version: ModelVersion, content: bytes = b"0123456789") -> ModelArtifact:
    """A version with one stored file whose bytes are those that the registry knows."""
    path = default_storage.save(f"models/test/{version.number}/model.txt", ContentFile(content))
    return ModelArtifact.objects.create(
        version=version, role="serving", name="model.txt", path=path, sha256=sha256_text(content.decode()), bytes=10
    )


def test_verify__whole_altered_and_missing_file__is_told_and_recorded(alpha: Tenant, client_of: ClientOf) -> None:
    version = make_candidate()
    artifact = store(version)
    client = client_of("alpha", make_person("anna", Role.ANALYST))
    url = reverse("admin:forecasting_modelversion_verify", args=[version.pk])
    assert "are what was registered" in client.post(url, follow=True).content.decode()
    assert not Incident.objects.exists()
    default_storage.delete(artifact.path)
    default_storage.save(artifact.path, ContentFile(b"0123456780"))
    answer = client.post(url, follow=True).content.decode()
    assert "1 of 3 files are not what was registered" in answer and "serving/model.txt: changed: 10 bytes" in answer
    default_storage.delete(artifact.path)
    assert "serving/model.txt: no file" in client.post(url, follow=True).content.decode()
    events = AuditEvent.objects.filter(event="artifacts.verified", subject_id=str(version.pk)).order_by("sequence")
    assert [event.data["good"] for event in events] == [True, False, False]
    assert {event.actor_name for event in events} == {"anna"}
    incident = Incident.objects.get(trigger="artifact_corrupt")
    assert (incident.subject, incident.state, incident.occurrences) == (version.label, "open", 2)
    assert incident.facts["file"] == "model.txt" and incident.facts["found"] == "no file"


def test_verify__get__reads_and_records_nothing(alpha: Tenant, client_of: ClientOf) -> None:
    version = make_candidate()
    client = client_of("alpha", make_person("anna", Role.ANALYST))
    url = reverse("admin:forecasting_modelversion_verify", args=[version.pk])
    assert client.get(url).status_code == 302
    assert not AuditEvent.objects.filter(event="artifacts.verified").exists()


def test_verify__viewer__is_refused_by_page_and_service(alpha: Tenant, client_of: ClientOf) -> None:
    version, vera = make_candidate(), make_person("vera", Role.VIEWER)
    url = reverse("admin:forecasting_modelversion_verify", args=[version.pk])
    assert client_of("alpha", vera).post(url).status_code == 403
    with pytest.raises(RoleRequired):
        verify_artifacts(version=version, actor=vera)


def test_verify__no_files__does_not_call_it_good(alpha: Tenant, client_of: ClientOf) -> None:
    version = make_candidate()
    version.artifacts.all().delete()
    client = client_of("alpha", make_person("anna", Role.ANALYST))
    url = reverse("admin:forecasting_modelversion_verify", args=[version.pk])
    assert "no files" in client.post(url, follow=True).content.decode()
    assert AuditEvent.objects.get(event="artifacts.verified").data["good"] is False


# --- compare ----------------------------------------------------------------------------------------------------------


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


# --- the page ---------------------------------------------------------------------------------------------------------


def test_version_page__champion_with_everything__opens_with_a_bounded_number_of_queries(
    champion: ModelVersion, client_of: ClientOf
) -> None:
    version = make_candidate()
    store(version)
    make_pending_request(version)
    accuracy(version, origin=AS_OF, until=AS_OF + timedelta(days=7), wape=0.3)
    client = client_of("alpha", make_person("anna", Role.ANALYST))
    with CaptureQueriesContext(connection) as queries:
        text = page(client, "modelversion_change", version.pk)
    assert len(queries) <= 40
    for part in ("Intended use", "Limits", "Lineage", "Timeline", "Verify now", "Promotion requested", "Compare"):
        assert part in text, part
    viewer = page(client_of("alpha", make_person("vera", Role.VIEWER)), "modelversion_change", version.pk)
    assert "Verify now</button>" not in viewer
