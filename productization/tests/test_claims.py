"""No page may say more of the product than its board."""

from __future__ import annotations

from functools import partial
from pathlib import Path

import pytest

from productization.declared import Capability, Declarations, Evidence, Item
from productization.documents.readme import readme_statement, with_statement
from productization.own_checks import claims_match_board, statement_published
from productization.proof.board import board_body, standings, statement
from productization.proof.claims import claims_of, read_board
from productization.proof.evidence import Finding, Kind, State
from productization.proof.judge import Judge, Level
from productization.proof.records import BOARD, write_json
from productization.proof.verify import Ground
from productization.tests.tree import NOW


def _row(key: str, level: str) -> dict[str, str]:
    return {"id": key, "title": key.replace("_", " ").capitalize(), "level": level}


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """A project whose board says: rollback is proven, replay is partial, release control is blocked."""
    rows = [_row("rollback", "pilot_validated"), _row("replay", "partial"), _row("release_control", "blocked")]
    write_json(tmp_path / BOARD, {"statement": "It is ready for a pilot.", "capabilities": rows})
    (tmp_path / "README.md").write_text("# It\n\n<!-- readiness -->\nIt is ready for a pilot.\n<!-- /readiness -->\n")
    return tmp_path


@pytest.mark.parametrize(
    "claim",
    [
        "Forecourt is production-ready.",
        "A **production ready** system for retailers",
        "| replay | pilot_validated |",
        "Replay is `implemented` since March.",
        "Release control: pilot-validated.",
        "Battle-tested and fast.",
        "The replay is fully implemented.",
    ],
)
def test_claims__page_says_more_than_the_board__is_named(project: Path, claim: str) -> None:
    (project / "docs" / "more").mkdir(parents=True)
    (project / "docs" / "more" / "page.md").write_text(f"# Page\n\nAll is well. {claim} More text.\n")
    board = read_board(project)
    assert board is not None
    (found,) = claims_of(project, board)
    assert found.startswith("docs/more/page.md: ")
    finding = claims_match_board(project)
    assert (finding.state, "docs/more/page.md" in finding.reason) == (State.FAILED, True)


@pytest.mark.parametrize(
    "text",
    [
        "Forecourt is not production-ready.",
        "Before it is production-ready, somebody signs.",
        "Rollback is pilot_validated, and Rollback is `implemented`.",
        "Replay is `partial`. Release control is `blocked`.",
        "The gate is implemented in one place.",
        "A run that is blocked waits. `blocked` is a state of a row.",
    ],
)
def test_claims__page_says_what_the_board_says_or_less__are_let_be(project: Path, text: str) -> None:
    (project / "README.md").write_text(text)
    assert claims_match_board(project).state is State.VERIFIED


def test_statement__edited_in_readme__is_told(project: Path) -> None:
    assert statement_published(project).state is State.VERIFIED
    readme = project / "README.md"
    readme.write_text(readme.read_text().replace("a pilot", "anything"))
    assert statement_published(project).state is State.FAILED
    readme.write_text("# It\n")
    assert statement_published(project).state is State.MISSING
    (project / BOARD).write_text("{}")
    assert statement_published(project).state is claims_match_board(project).state is State.MISSING


def test_readme__statement_written__stands_between_its_marks_alone() -> None:
    text = "# It\n<!-- readiness -->old<!-- /readiness -->\nrest\n"
    fresh = with_statement(text, "New.")
    assert fresh == "# It\n<!-- readiness -->\nNew.\n<!-- /readiness -->\nrest\n"
    assert with_statement(fresh, "New.") == fresh
    assert with_statement("no marks", "New.") == "no marks"


def test_readme__none__has_no_statement(tmp_path: Path) -> None:
    assert readme_statement(tmp_path) is None


# --- the board --------------------------------------------------------------------------------------------------------


def _judge(built: list[State], pilot: list[State]) -> Judge:
    """A capability whose own evidence and pilot rows are in these states."""
    answers = {f"b{n}": state for n, state in enumerate(built)} | {f"p{n}": state for n, state in enumerate(pilot)}
    evidence = {name: Evidence(kind=Kind.LIVE, ref=name) for name in answers}
    rows = [Item(id=f"PZ-00{n}", workstream="w", task="t", evidence=(evidence[f"p{n}"],)) for n in range(len(pilot))]
    capability = Capability(
        id="replay", title="Replay", what="w", built=tuple(evidence[f"b{n}"] for n in range(len(built))),
        pilot=tuple(row.id for row in rows),
    )  # fmt: skip
    declared = Declarations(items=tuple(rows), capabilities=(capability,), steps=())
    checks = {name: partial(Finding, state, "so it is.") for name, state in answers.items()}
    return Judge(Ground(Path(), NOW, declared, checks=checks))


V, F, B = State.VERIFIED, State.FAILED, State.BLOCKED


@pytest.mark.parametrize(
    ("built", "pilot", "level", "says"),
    [
        ([V, V], [V, V], Level.PILOT_VALIDATED, "is production-ready: all 1"),
        ([V, V], [V, F], Level.IMPLEMENTED, "0 of 1 capabilities are pilot validated; “Replay” is implemented"),
        ([V], [], Level.IMPLEMENTED, "ready for a supervised pilot, not production-ready"),
        ([V, F], [V], Level.PARTIAL, "not ready for a pilot"),
        ([F], [], Level.PARTIAL, "“Replay” is partial"),
        ([V], [B], Level.BLOCKED, "“Replay” is blocked"),
        ([B], [V], Level.BLOCKED, "not production-ready"),
    ],
)
def test_board__evidence__gives_the_level_and_the_statement(
    built: list[State], pilot: list[State], level: Level, says: str
) -> None:
    found = standings(_judge(built, pilot))
    assert [one.level for one in found] == [level]
    assert says in statement(found)
    assert board_body(found)["capabilities"][0]["level"] == level.value


def test_board__pilot_row_that_is_not_declared__is_not_proven() -> None:
    judge = _judge([V], [])
    capability = judge.ground.declared.capabilities[0].model_copy(update={"pilot": ("PZ-404",)})
    standing = judge.standing(capability)
    assert (standing.level, "PZ-404" in standing.reason) == (Level.IMPLEMENTED, True)
