"""A version's card, its timeline, and its files verified on demand."""

from __future__ import annotations

import json
from itertools import pairwise

import pytest
from django.core.files.base import ContentFile
from django.core.files.storage import default_storage
from django.urls import reverse

from forecasting import selectors_registry
from forecasting.models import ModelVersion
from forecasting.services import champions
from forecasting.services.model_card import model_card
from forecasting.services.model_card_text import card_markdown
from forecasting.services.verifying import verify_artifacts
from forecasting.tests.factories import (
    make_candidate,
    make_person,
    make_report,
    promote,
)
from forecasting.tests.promotion_state import tampered
from forecasting.tests.registry_pages import ClientOf, store
from integrations.models import Incident
from ledger.models import AuditEvent
from tenants.errors import RoleRequired
from tenants.models import Tenant
from tenants.roles import Role

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
