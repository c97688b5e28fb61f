"""What the manifest keeps of a version's origin: batches, contracts, the data's facts, the code, what it follows."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path

import pytest
from django.test import override_settings

from forecasting.engine.types import TrainingWindow, canonical_json
from forecasting.models import Demand
from forecasting.services import code_facts, lineage
from forecasting.services.data_profile import DataProfile, active_profile
from forecasting.tests.factories import AS_OF, make_candidate, make_demand, make_series
from forecasting.tests.synthetic import make_contract
from integrations.engine.contract import contract_sha256
from integrations.models import Contract, IngestBatch, Source
from tenants.models import Tenant

WINDOW = TrainingWindow.refit(AS_OF - timedelta(days=119), AS_OF)


def make_batch(version: int = 1, state: str = "active") -> IngestBatch:
    """A loaded batch under a contract version of the source "pos"."""
    source, _ = Source.objects.get_or_create(name="pos", defaults={"source_type": "smb_csv", "state": "active"})
    body = make_contract(currency="EUR" if version > 1 else "USD")
    contract = Contract.objects.create(
        source=source, version=version, body=body.model_dump(mode="json"), sha256=contract_sha256(body), state=state
    )
    return IngestBatch.objects.create(
        source=source, contract=contract, fingerprint=f"{version}" * 64, state="loaded", rows_read=1, rows_loaded=1
    )


def test_lineage__two_batches_wrote_the_days__each_is_named_with_what_is_left_of_it(alpha: Tenant) -> None:
    old, new = make_batch(1, "superseded"), make_batch(2)
    series = make_demand(series=make_series(4))
    Demand.objects.update(batch_id=old.pk)
    Demand.objects.filter(series=series[0], date__gt=AS_OF - timedelta(days=10)).update(batch_id=new.pk)
    Demand.objects.filter(series=series[1], date=AS_OF).update(stocked_out=True, unit_cost=None)
    found = lineage.data_lineage(WINDOW, active_profile())
    assert [(row["batch"], row["rows"], row["source"], row["contract"]) for row in found["batches"]] == [
        (new.pk, 10, "pos", 2),
        (old.pk, 470, "pos", 1),
    ]
    assert found["batches"][0]["first_day"] == (AS_OF - timedelta(days=9)).isoformat()
    assert [(row["version"], row["in_force"], row["wrote_days"]) for row in found["contracts"]] == [
        (1, False, True),
        (2, True, True),
    ]
    data = found["data"]
    assert (data["rows"], data["series"], data["stores"], data["products"]) == (480, 4, 2, 2)
    assert (data["stocked_out"], data["priced"], data["costed"]) == (1, 480, 479)
    assert (data["first_day"], data["last_day"]) == (WINDOW.train_start.isoformat(), AS_OF.isoformat())
    canonical_json(found)  # it is what a manifest may hold


def test_lineage__days_after_the_window__are_not_counted(alpha: Tenant) -> None:
    make_demand(series=make_series(2), days=60)
    whole = lineage.data_lineage(WINDOW, active_profile())
    Demand.objects.filter(date=AS_OF).update(date=AS_OF + timedelta(days=1))
    assert lineage.data_lineage(WINDOW, active_profile())["data"]["rows"] == whole["data"]["rows"] - 2


def test_lineage__young_series__are_counted_as_short_history(alpha: Tenant) -> None:
    make_demand(series=make_series(4), days=120)
    young = make_demand(series=make_series(6)[4:], days=20)
    assert len(young) == 2
    data = lineage.data_lineage(WINDOW, active_profile())["data"]
    assert (data["short_history"], data["under_a_year"], data["series"]) == (2, 6, 6)


def test_lineage__batch_that_is_not_there__says_that_it_is_not_known(alpha: Tenant) -> None:
    make_demand(series=make_series(1), days=30)
    [row] = lineage.data_lineage(WINDOW, DataProfile())["batches"]
    assert (row["batch"], row["known"], row["rows"]) == (1, False, 30) and "contract" not in row


def test_lineage__more_batches_than_are_listed__sums_up_the_oldest(
    alpha: Tenant, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lineage, "BATCHES_LISTED", 2)
    series = make_demand(series=make_series(1), days=30)
    for back in range(5):
        Demand.objects.filter(series=series[0], date=AS_OF - timedelta(days=back)).update(batch_id=10 - back)
    found = lineage.data_lineage(WINDOW, DataProfile())
    assert [row["batch"] for row in found["batches"]] == [10, 9]
    assert found["earlier_batches"] == {"batches": 4, "rows": 28} and found["data"]["rows"] == 30


def test_lineage__country_decides__whether_there_are_holidays(alpha: Tenant) -> None:
    make_demand(series=make_series(1), days=120)
    for country, any_known in (("US", True), (None, False), ("ZZ", False)):
        data = lineage.data_lineage(WINDOW, DataProfile(country=country))["data"]
        assert (data["country"], data["holidays"] > 0) == (country, any_known)


def test_lineage__refresh_or_search__names_the_champion_and_the_decision(alpha: Tenant) -> None:
    parent = make_candidate()
    made = lineage.lineage_of({}, classes={1: "smooth", 2: "smooth", 3: "lumpy"}, parent=parent,
                              inputs={"decision": 7, "reason": "Weekly"})  # fmt: skip
    assert made["classes"] == {"lumpy": 1, "smooth": 2} and made["reason"] == "Weekly"
    assert made["follows"] == {
        "champion": {"version": parent.number, "spec_sha256": parent.spec.sha256},
        "strategy_decision": 7,
    }
    assert set(made["code"]) == {"package", "revision", "engine_sha256", "python"}
    first = lineage.lineage_of({}, classes={}, parent=None, inputs={})
    assert first["follows"] == {"champion": None, "strategy_decision": None}


COMMIT = "0123456789abcdef0123456789abcdef01234567"


def _git(folder: Path, head: str) -> Path:
    (folder / ".git").mkdir()
    (folder / ".git" / "HEAD").write_text(head)
    return folder


def test_revision__branch_packed_detached_or_worktree__is_read_without_git(tmp_path: Path) -> None:
    for name in "abcd":
        (tmp_path / name).mkdir()
    loose = _git(tmp_path / "a", "ref: refs/heads/main\n")
    (loose / ".git" / "refs" / "heads").mkdir(parents=True)
    (loose / ".git" / "refs" / "heads" / "main").write_text(f"{COMMIT}\n")
    assert code_facts.checked_out(loose) == COMMIT
    packed = _git(tmp_path / "b", "ref: refs/heads/main")
    (packed / ".git" / "packed-refs").write_text(f"# pack-refs\n{COMMIT} refs/heads/main\n")
    assert code_facts.checked_out(packed) == COMMIT
    assert code_facts.checked_out(_git(tmp_path / "c", COMMIT)) == COMMIT
    own = loose / ".git" / "worktrees" / "x"
    own.mkdir(parents=True)
    (own / "HEAD").write_text("ref: refs/heads/main\n")
    (own / "commondir").write_text("../..\n")
    (tmp_path / "d" / ".git").write_text(f"gitdir: {own}\n")
    assert code_facts.checked_out(tmp_path / "d") == COMMIT


@pytest.mark.parametrize("head", ["", "ref: refs/heads/gone", "not a commit", "\xff"])
def test_revision__nothing_readable__is_none(tmp_path: Path, head: str) -> None:
    (tmp_path / ".git").mkdir()
    (tmp_path / ".git" / "HEAD").write_bytes(head.encode("latin-1"))
    assert code_facts.checked_out(tmp_path) is None
    assert code_facts.checked_out(tmp_path / "nowhere") is None


def test_revision__setting__comes_first(tmp_path: Path) -> None:
    with override_settings(CODE_REVISION="release-7", BASE_DIR=tmp_path):
        assert code_facts.revision() == "release-7"
    with override_settings(CODE_REVISION="", BASE_DIR=tmp_path):
        assert code_facts.revision() is None


def test_engine_sha256__another_line__is_another_hash(tmp_path: Path) -> None:
    (tmp_path / "a.py").write_text("x = 1\n")
    before = code_facts.engine_sha256(tmp_path)
    (tmp_path / "a.py").write_text("x = 2\n")
    assert code_facts.engine_sha256(tmp_path) != before
    assert code_facts.engine_sha256() == code_facts.engine_sha256()
