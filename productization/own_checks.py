"""Checks of the project's own pages and declarations: they read files, not the database."""

from __future__ import annotations

from pathlib import Path

from productization.documents.readme import readme_statement
from productization.github import RULESET, WORKFLOW, declared_checks, declared_ruleset, protection_of
from productization.proof.claims import claims_of, read_board
from productization.proof.evidence import Finding, State
from productization.proof.records import BOARD
from productization.proof.verify import Check

_NO_BOARD = Finding(State.MISSING, f"There is no {BOARD}: run manage.py render_docs.")


def own_checks(root: Path) -> dict[str, Check]:
    """Every such check by the name that evidence cites it by."""
    return {
        "protection_declared": lambda: protection_declared(root),
        "claims_match_board": lambda: claims_match_board(root),
        "statement_published": lambda: statement_published(root),
    }


def protection_declared(root: Path) -> Finding:
    """The ruleset requires exactly the jobs of the workflow."""
    try:
        jobs, required = declared_checks(root), protection_of(declared_ruleset(root)).contexts
    except ValueError as error:
        return Finding(State.MISSING, f"{error}.")
    if jobs != required:
        differing = ", ".join(sorted(jobs ^ required))
        return Finding(State.FAILED, f"{RULESET} and the jobs of {WORKFLOW} differ in: {differing}.")
    return Finding(State.VERIFIED, facts={"checks": sorted(jobs)})


def claims_match_board(root: Path) -> Finding:
    """No page says more of the product than the published board."""
    board = read_board(root)
    if board is None:
        return _NO_BOARD
    found = claims_of(root, board)
    if found:
        more = f" and {len(found) - 3} more" if len(found) > 3 else ""
        return Finding(State.FAILED, f"More than the board says: {'; '.join(found[:3])}{more}.")
    return Finding(State.VERIFIED)


def statement_published(root: Path) -> Finding:
    """README carries the board's statement, word for word."""
    board = read_board(root)
    if board is None:
        return _NO_BOARD
    said = readme_statement(root)
    if said is None:
        return Finding(State.MISSING, "README.md has no place for the statement: run manage.py render_docs.")
    if said != board.statement:
        return Finding(State.FAILED, "README.md says another statement than the board: run manage.py render_docs.")
    return Finding(State.VERIFIED)
