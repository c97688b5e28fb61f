"""Documents are what their sources say: the same bytes each time, and any edited figure is found."""

from __future__ import annotations

import json
import re
import shutil
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path

import pytest
from django.core.management import call_command
from django.core.management.base import CommandError
from pytest_django import Settings

from forecasting.models import RollbackDrill
from forecasting.services.decision_log import Entry
from forecasting.services.effectiveness import Effectiveness
from integrations.services.runbook import runbook_text
from ledger.provenance import CLOSE, OPEN, body_of, framed
from productization.declared import declarations
from productization.documents import taking
from productization.documents.catalogue import DOCUMENTS, RENDERED
from productization.documents.rendering import drift, write_pages
from productization.documents.sources import BENCHMARKS, BRIEF, DECISIONS, DRILL, EFFECTIVENESS, keep
from productization.documents.tracker_text import verification_body
from productization.proof.board import board_body, standings
from productization.proof.evidence import Finding, State
from productization.proof.judge import Judge
from productization.proof.records import BOARD, VERIFICATION, read_records, write_json
from productization.proof.records import RENDERED as REGISTER
from productization.services.rendering import render_recorded
from productization.tests.tree import Tree, make_tree
from tenants.services.slo_text import slo_document

MADE = {"at": "2026-03-02T12:00:00+00:00", "revision": "abc", "runs": ["run-7"]}
LATER = "2026-04-01T00:00:00+00:00"


def _sources(root: Path, tree: Tree) -> None:
    judge = Judge(tree.ground())
    verdicts = [judge.verdict(item.id) for item in tree.declared.items]
    at = datetime(2026, 3, 1, 9, 30, tzinfo=UTC)
    entry = Entry(
        sequence=4, at=at, kind="strategy.decided", title="Strategy decided", subject="single_lightgbm", who="ann",
        asked_by="", reason="The simplest within the noise.", verdict="eligible", sentence="It costs 4.1% less.",
        currency="USD", gates=({"name": "total_cost", "passed": True, "champion": 2.5, "candidate": 2.25,
                                "threshold": 2.5, "reason": "less"},),
        costs={"total_cost": (2.5, 2.25)}, facts=(("Mode", "single"),), hashes=(("Spec", "ab12"),),
    )  # fmt: skip
    drill = RollbackDrill(
        outcome="passed", sentence="Noticed after 1 step.", days_to_detect=1, seconds_to_detect=0.9,
        seconds_to_restore=0.14, bit_identical=True, report={"series": 120, "horizon": 14, "origin": "2026-02-01"},
        report_sha256="cd34", started_at=at, finished_at=at, asked_by_name="system", reason="",
    )  # fmt: skip
    tenants = [
        {"schema": schema, "name": schema.title(), "tier": tier, "sources": ["File"], "formats": ["csv"],
         "rows_read": 1200, "rows_rejected": 3, "stores": 2, "products": 60, "series": 120, "days": 300,
         "demand": 36_000 * factor, "known_future": factor > 1, "champion": "v1 single_lightgbm", "candidate": "v2 x",
         "verdict": "eligible", "training_seconds": 12.5, "forecasts": 1680, "readiness": "warming"}
        for schema, tier, factor in (("small", "smb", 1), ("large", "enterprise", 5))
    ]  # fmt: skip
    bodies = {
        VERIFICATION: verification_body(verdicts, tree.declared, {}),
        BOARD: board_body(standings(judge)),
        EFFECTIVENESS: {
            "tenants": [
                asdict(
                    Effectiveness(
                        "small",
                        "Small",
                        absent={"evaluation": "none in 30 days", "gate": "never judged", "realised": "none"},
                    )
                )
            ]
        },
        DECISIONS: {"tenants": [{"schema": "small", "name": "Small", "entries": [asdict(entry)]}]},
        DRILL: {"tenant": "small", "drill": taking._drill(drill)},
        BRIEF: {"tenants": tenants},
    }
    for name, body in bodies.items():
        assert keep(root, name, body, MADE)
        assert not keep(root, name, body, {**MADE, "at": LATER})  # the same data: not a byte of it moves
    write_json(root / BENCHMARKS, {"figures": []})


@pytest.fixture(scope="module")
def rendered(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A project with every document, as render_docs leaves it."""
    root = tmp_path_factory.mktemp("documents")
    tree = make_tree(tmp_path_factory.mktemp("tree"), declarations())
    _sources(root, tree)
    for name in ("evaluation", "productization", "scaling", "onboarding"):
        (root / "docs").mkdir(exist_ok=True)
        (root / "docs" / f"{name}.md").write_text("# Page\n")
    (root / "README.md").write_text("# It\n<!-- readiness --><!-- /readiness -->\n")
    written = write_pages(root, now=MADE["at"], revision="abc")  # type: ignore[arg-type]  # a text
    assert len(written) == len(DOCUMENTS) + 1
    return root


@pytest.fixture
def copied(rendered: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(rendered, tmp_path / "copy"))


def _pages(root: Path) -> list[str]:
    return sorted(read_records(root).documents)


def test_documents__as_rendered__have_no_drift_and_say_what_they_were_made_from(rendered: Path) -> None:
    assert drift(rendered) == []
    assert len(_pages(rendered)) == 11
    for path in _pages(rendered):
        text = (rendered / path).read_text()
        assert "Made by `manage.py render_docs` at 2026-03-02T12:00:00+00:00, revision abc" in text, path
        assert ("declarations in the code" in text) or ("taken at 2026-03-02" in text), path


def test_documents__rendered_again_later__are_the_same_bytes(copied: Path) -> None:
    before = {path: (copied / path).read_bytes() for path in [*_pages(copied), REGISTER, "README.md"]}
    assert write_pages(copied, now=LATER, revision="def") == []
    assert {path: (copied / path).read_bytes() for path in before} == before


@pytest.mark.parametrize("pattern", RENDERED)
def test_documents__any_figure_edited__is_found_by_check(copied: Path, pattern: str) -> None:
    (path,) = (page for page in _pages(copied) if Path(page).match(pattern))
    text = (copied / path).read_text()
    body = body_of(text)
    at = [found.start() for found in re.finditer(r"\d", body)]
    assert at, "no figure to edit"
    for place in (at[0], at[len(at) // 2], at[-1]):
        edited = body[:place] + str((int(body[place]) + 1) % 10) + body[place + 1 :]
        (copied / path).write_text(framed(edited, ["x"]))
        assert any(line.startswith(path) for line in drift(copied)), (path, body[place - 20 : place + 20])
    (copied / path).write_text(text.replace("revision abc", "revision abd", 1))
    assert drift(copied) == [f"{path} was changed after it was rendered, or never recorded"]
    (copied / path).unlink()
    assert any(path in line or pattern in line for line in drift(copied))


@pytest.mark.parametrize("source", [VERIFICATION, BOARD, DECISIONS, DRILL, BRIEF])
def test_documents__figure_edited_in_what_they_are_made_from__is_found_by_check(copied: Path, source: str) -> None:
    text = (copied / source).read_text()
    edited = text.replace("1.", "2.").replace("120", "121").replace("of 13", "of 14").replace("2.25", "2.24")
    edited = edited.replace('"task": "Align', '"task": "Realign')
    assert edited != text
    (copied / source).write_text(edited)
    assert drift(copied) != []
    (copied / source).unlink()
    assert any("is missing" in line for line in drift(copied))


def test_documents__statement_or_a_page_that_claims_more__is_found_by_check(copied: Path) -> None:
    write_json(copied / BOARD, {**json.loads((copied / BOARD).read_text()), "statement": "Not ready."})
    write_pages(copied, now=LATER, revision="def")
    assert "Not ready." in (copied / "README.md").read_text()
    board = json.loads((copied / BOARD).read_text())
    board["capabilities"][0]["level"] = "partial"
    write_json(copied / BOARD, board)
    write_pages(copied, now=LATER, revision="def")
    (copied / "docs" / "scaling.md").write_text("It is production-ready.\n")
    (line,) = drift(copied)
    assert line == "claims more than the board: docs/scaling.md: “It is production-ready.”"


def test_documents__older_day_of_the_same_kind__is_replaced(copied: Path) -> None:
    old = copied / "docs" / "ROLLBACK_DRILL_REPORT_2026-01-01.md"
    old.write_text("# Old\n")
    newer = copied / "docs" / "ROLLBACK_DRILL_REPORT_2026-12-01.md"
    newer.write_text("# Made up\n")
    assert "docs/ROLLBACK_DRILL_REPORT_2026-12-01.md is of no source" in drift(copied)
    write_pages(copied, now=LATER, revision="def")
    assert not old.exists()
    assert not newer.exists()


def test_register__damaged__counts_as_nothing_recorded(copied: Path) -> None:
    for text in ("", "[]", '{"documents": []}', '{"documents": {"docs/x.md": {"sha": 1}}}'):
        (copied / REGISTER).write_text(text)
        assert read_records(copied).documents == {}
        assert drift(copied) != []


def test_provenance__put_in_and_taken_out__leaves_the_text() -> None:
    for text in (slo_document(), runbook_text(), "# One\n", f"# One\n\n{OPEN}\nrun x\n{CLOSE}\n\nText\n"):
        framed_text = framed(text, ["made"])
        assert "made" in framed_text
        assert body_of(framed_text) == body_of(text)


def test_tracker_page__rows_that_are_not_done__say_why(copied: Path, tmp_path: Path) -> None:
    tree = make_tree(tmp_path / "tree", declarations())
    tree.answers["branch_protection"] = Finding(State.BLOCKED, "There is no token.")
    judge = Judge(tree.ground())
    keep(
        copied,
        VERIFICATION,
        verification_body([judge.verdict(i.id) for i in tree.declared.items], tree.declared, {}),
        MADE,
    )
    keep(copied, BOARD, board_body(standings(judge)), MADE)
    write_pages(copied, now=LATER, revision="def")
    page = (copied / "docs" / "PRODUCTIZATION_TRACKER.md").read_text()
    assert "17 of 18 rows are done" in page
    assert "- **PZ-001** (`blocked`): There is no token." in page
    assert "12 of 13 capabilities are pilot validated" in (copied / "README.md").read_text()
    assert "There is no token." in (copied / "docs" / "RELEASE_READINESS.md").read_text()
    assert drift(copied) == []


def test_command__recorded__mends_what_was_edited_and_asks_no_database(copied: Path, settings: Settings) -> None:
    settings.BASE_DIR = copied
    before = (copied / "docs" / "RELEASE_READINESS.md").read_bytes()
    (copied / "docs" / "RELEASE_READINESS.md").write_text("# All is well\n")
    assert render_recorded() == ["docs/RELEASE_READINESS.md"]
    assert (copied / "docs" / "RELEASE_READINESS.md").read_bytes() == before
    assert drift(copied) == []


def test_command__check__ends_with_1_on_drift_and_asks_no_database(copied: Path, settings: Settings) -> None:
    settings.BASE_DIR = copied
    (copied / "docs" / "OPERATIONS_SLO.md").write_text("# Service levels\n")
    (copied / "docs" / "webhooks.md").write_text("# Webhooks\n")
    with pytest.raises(CommandError, match=r"docs/OPERATIONS_SLO.md is not what its sources say") as caught:
        call_command("render_docs", "--check")  # without the database fixture: a query would fail the test
    assert caught.value.returncode == 1
