"""Take any one piece of evidence away, and exactly the rows that cite it fall back, with the reason."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from productization.declared import Declarations, Evidence, Item, declarations
from productization.proof.evidence import Finding, Kind, State, Status
from productization.proof.judge import Judge
from productization.proof.records import Records
from productization.tests.tree import NOW, Tree, artifact_files, cited, document_path, make_tree, rows_citing

DECLARED = declarations()
_PIECES = [piece for _, piece in cited(DECLARED)]


def _refs(kind: Kind) -> list[str]:
    return list(dict.fromkeys(piece.ref for piece in _PIECES if piece.kind is kind))


@pytest.fixture(scope="module")
def tree(tmp_path_factory: pytest.TempPathFactory) -> Tree:
    made = make_tree(tmp_path_factory.mktemp("project"), DECLARED)
    assert made.fallen() == set()
    return made


def _cites_file(file: str) -> set[str]:
    return rows_citing(
        DECLARED,
        lambda piece: (
            piece.kind is Kind.ARTIFACT
            and (piece.ref == file or (piece.ref.endswith("/") and file.startswith(piece.ref)))
        ),
    )


@pytest.mark.parametrize("file", artifact_files(DECLARED))
def test_artifact__deleted_or_altered__exactly_the_rows_that_cite_it_fall_back(tree: Tree, file: str) -> None:
    wanted = _cites_file(file)
    with tree.changed(file, None):
        assert tree.fallen() == wanted
        assert all(f"{file} is gone" in tree.reason(code) for code in wanted)
    with tree.changed(file, (tree.root / file).read_text().replace("1.25", "1.26")):
        assert tree.fallen() == wanted
        assert all("SHA-256 is another" in tree.reason(code) for code in wanted)
    assert tree.fallen() == set()


@pytest.mark.parametrize("node_id", _refs(Kind.TEST))
def test_named_test__failed_skipped_or_not_run__exactly_the_rows_that_cite_it_fall_back(
    tree: Tree, node_id: str
) -> None:
    wanted = rows_citing(DECLARED, lambda piece: piece.ref == node_id)
    for outcome in ("failed", "skipped", None):
        assert tree.with_outcome(node_id, outcome).fallen() == wanted
    one_of_many = tree.with_outcome(node_id, None).with_outcome(f"{node_id}[a]", "passed")
    assert one_of_many.fallen() == set()
    assert one_of_many.with_outcome(f"{node_id}[b]", "failed").fallen() == wanted


@pytest.mark.parametrize("node_id", _refs(Kind.TEST))
def test_named_test__renamed__its_rows_fall_back(tree: Tree, node_id: str) -> None:
    file, _, name = node_id.partition("::")
    text = (tree.root / file).read_text()
    with tree.changed(file, text.replace(f"def {name}(", f"def {name}_again(")):
        found = Judge(tree.ground()).finding(Evidence(kind=Kind.TEST, ref=node_id))
    assert (found.state, "renamed or removed" in found.reason) == (State.MISSING, True)


@pytest.mark.parametrize("ref", _refs(Kind.DOCUMENT))
def test_document__figure_edited_or_gone__exactly_the_rows_that_cite_it_fall_back(tree: Tree, ref: str) -> None:
    piece = Evidence(kind=Kind.DOCUMENT, ref=ref)
    path = document_path(piece)
    wanted = rows_citing(DECLARED, lambda one: one.ref == ref)
    with tree.changed(path, None):
        assert tree.fallen() == wanted
    if path not in tree.records.documents:
        return  # written by hand: only its sections and links are held
    with tree.changed(path, (tree.root / path).read_text().replace("1.25", "1.26")):
        assert tree.fallen() == wanted
        assert all("changed after it was rendered" in tree.reason(code) for code in wanted)


def _made_into(made: str, piece: Evidence) -> bool:
    """Whether a piece of evidence is that artifact, or lies in that folder."""
    return piece.ref.startswith(made)


@pytest.mark.parametrize(
    ("step", "path"), [(step.name, path) for step in DECLARED.steps if step.artifacts for path in step.proves]
)
def test_code__newer_than_what_it_made__exactly_the_rows_of_its_artifacts_are_stale(
    tree: Tree, step: str, path: str
) -> None:
    wanted = {
        code
        for one in DECLARED.steps
        if path in one.proves
        for made in one.artifacts
        for code in rows_citing(DECLARED, partial(_made_into, made))
    }
    file = path if path.endswith(".py") else f"{path}/code.py"
    tested = replace(tree)
    with tree.changed(file, "NAME = 'other'\n"):
        tested.tests = replace(tree.tests, fingerprint=tree.ground().fingerprint)  # its tests ran on it
        assert tested.fallen() == wanted, step
        assert all(f"older code than {path}" in tested.reason(code) for code in wanted)


@pytest.mark.parametrize("ref", _refs(Kind.LIVE) + _refs(Kind.EXTERNAL))
def test_check__says_no_or_cannot_be_asked__exactly_the_rows_that_cite_it_fall_back(tree: Tree, ref: str) -> None:
    wanted = rows_citing(DECLARED, lambda piece: piece.ref == ref)
    says_no = replace(tree, answers={ref: Finding(State.FAILED, "it is not so")})
    assert says_no.fallen() == wanted
    statuses = replace(tree, answers={ref: Finding(State.BLOCKED, "nobody answers")}).statuses()
    assert {code for code, status in statuses.items() if status is Status.BLOCKED} == wanted


def test_tests__of_other_code__do_not_count(tree: Tree) -> None:
    with tree.changed(_refs(Kind.TEST)[0].partition("::")[0], "def test_other(): pass\n"):
        assert tree.fallen() >= rows_citing(DECLARED, lambda piece: piece.kind is Kind.TEST)


def test_nothing_recorded__no_row_is_done_but_nothing_crashes(tree: Tree) -> None:
    bare = replace(tree.ground(), tests=None, records=Records(), checks={})
    judge = Judge(bare)
    found = {item.id: judge.verdict(item.id) for item in DECLARED.items}
    assert not [code for code, verdict in found.items() if verdict.status is Status.DONE]
    assert all(verdict.reason for verdict in found.values())


# --- kinds and bad input, on a row of one piece -----------------------------------------------------------------------


def _finding(tree: Tree, root: Path | None = None, **piece: Any) -> Finding:
    ground = tree.ground()
    return Judge(replace(ground, root=root or ground.root)).finding(Evidence.model_validate(piece))


def test_document__without_its_section_or_with_a_dead_link__fails_by_name(tree: Tree, tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    text = "# One\n\n```\n## Two\n```\n[gone](nowhere.md) [here](#one) [web](https://example.com/x) [up](#two)\n"
    page.write_text(text)
    found = _finding(tree, tmp_path, kind="document", ref="page.md", sections=["One", "Two"])
    assert (found.state, "no section “Two”" in found.reason) == (State.FAILED, True)
    found = _finding(tree, tmp_path, kind="document", ref="page.md", sections=["One"])
    assert (found.state, found.reason) == (State.FAILED, "Links in page.md lead nowhere: #two, nowhere.md.")
    page.write_bytes(b"\xff\xfe\x00 no text")
    assert _finding(tree, tmp_path, kind="document", ref="page.md").state is State.FAILED


def test_artifact__surplus_file_in_its_folder__is_altered(tree: Tree) -> None:
    folder = "docs/productization_artifacts/smb_tenant_a/"
    extra = tree.root / folder / "added.csv"
    extra.write_text("1")
    try:
        found = _finding(tree, kind="artifact", ref=folder)
    finally:
        extra.unlink()
    assert (found.state, "added.csv stands there" in found.reason) == (State.ALTERED, True)


def test_artifact__says_that_it_failed__does_not_count(tree: Tree) -> None:
    ref = "docs/productization_artifacts/staging_runtime_chain_validation.json"
    assert _finding(tree, kind="artifact", ref=ref, holds={"verdict": "passed"}).state is State.VERIFIED
    found = _finding(tree, kind="artifact", ref=ref, holds={"verdict": "other", "a.b": 1})
    assert (found.state, "verdict is not 'other', a.b is not 1" in found.reason) == (State.FAILED, True)


def test_evidence__older_than_its_days__is_stale(tree: Tree) -> None:
    ref = "docs/productization_artifacts/model_strategy_cycle.json"
    assert _finding(tree, kind="artifact", ref=ref, fresh_days=3).state is State.VERIFIED
    found = _finding(tree, kind="artifact", ref=ref, fresh_days=1)
    assert (found.state, "2 days old" in found.reason) == (State.STALE, True)
    later = replace(tree.ground(), now=NOW + timedelta(days=400))
    judge = Judge(later)
    fresh = rows_citing(DECLARED, lambda piece: piece.fresh_days is not None)
    assert {item.id for item in DECLARED.items if judge.verdict(item.id).status is not Status.DONE} == fresh


@pytest.mark.parametrize(
    ("piece", "words"),
    [
        ({"kind": "artifact", "ref": "docs/none.json"}, "never made. No step is declared"),
        ({"kind": "test", "ref": "no/such/test_file.py::test_x"}, "There is no file"),
        ({"kind": "test", "ref": "conftest.py"}, "There is no file"),
        ({"kind": "live", "ref": "weather"}, "There is no check 'weather'"),
        ({"kind": "item", "ref": "PZ-999"}, "There is no item PZ-999"),
        ({"kind": "document", "ref": "docs/NONE_*.md"}, "There is no docs/NONE_*.md"),
    ],
)
def test_evidence__of_nothing__is_missing(tree: Tree, piece: dict[str, str], words: str) -> None:
    found = Judge(tree.ground()).finding(Evidence.model_validate(piece))
    assert (found.state, words in found.reason) == (State.MISSING, True), found.reason


def _ring(*links: tuple[str, str]) -> Declarations:
    codes = dict.fromkeys(code for link in links for code in link)
    items = [
        Item(id=code, workstream="w", task="t",
             evidence=tuple(Evidence(kind=Kind.ITEM, ref=to) for start, to in links if start == code))
        for code in codes
    ]  # fmt: skip
    return Declarations(items=tuple(items), capabilities=(), steps=())


@pytest.mark.parametrize(
    "links", [[("PZ-101", "PZ-101")], [("PZ-101", "PZ-102"), ("PZ-102", "PZ-103"), ("PZ-103", "PZ-101")]]
)
@pytest.mark.parametrize("turn", [0, 1, 2])
def test_link__in_a_circle__every_row_of_it_falls_back_wherever_one_begins(
    tree: Tree, links: list[tuple[str, str]], turn: int
) -> None:
    declared = _ring(*links)
    judge = Judge(replace(tree.ground(), declared=declared))
    codes = [item.id for item in declared.items]
    for code in codes[turn % len(codes) :] + codes[: turn % len(codes)]:
        verdict = judge.verdict(code)
        assert verdict.status is Status.IN_PROGRESS
        assert "circle" in verdict.reason


def test_link__to_a_row__is_as_good_as_that_row(tree: Tree) -> None:
    made = make_linked()
    judge = Judge(replace(tree.ground(), declared=made))
    assert judge.verdict("PZ-101").status is Status.IN_PROGRESS
    assert "PZ-102 is open" in judge.verdict("PZ-101").reason
    held = Judge(replace(tree.ground(), declared=made), {"PZ-102": "Blocked by ann: no contract yet"})
    assert (held.verdict("PZ-101").status, "no contract yet" in held.verdict("PZ-101").reason) == (Status.BLOCKED, True)


def make_linked() -> Declarations:
    return _ring(("PZ-101", "PZ-102"))


@pytest.fixture(autouse=True)
def _left_as_it_was(tree: Tree) -> Iterator[None]:
    yield
    assert tree.fallen() == set()
