"""Steps that make the evidence: run in order, recorded with what they made, gone on with where they ended."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from django.core.management import get_commands
from django.core.management.base import BaseCommand

from productization.declared import Declarations, Evidence, Item, Step, declarations
from productization.errors import StepUnknown
from productization.models import CollectedStep, TestRun
from productization.proof.evidence import Kind, State
from productization.proof.records import read_records
from productization.proof.verify import Ground, look_at
from productization.services import collecting
from productization.services.collecting import cited_tests, collect, is_done
from productization.tests.tree import NOW

pytestmark = pytest.mark.django_db


def _step(name: str, *command: str, **more: object) -> Step:
    return Step.model_validate({"name": name, "title": name, "command": command, **more})


def _declared(*steps: Step) -> Declarations:
    piece = Evidence(kind=Kind.TEST, ref="tests/test_it.py::test_passes")
    item = Item(id="PZ-101", workstream="w", task="t", evidence=(piece,))
    return Declarations(items=(item,), capabilities=(), steps=steps)


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """A folder with some code that a step proves."""
    (tmp_path / "code.py").write_text("A = 1\n")
    (tmp_path / "docs").mkdir()
    return tmp_path


def _writes(project: Path, **more: object) -> Step:
    """A step that really writes a file: the tracker's own report."""
    out = project / "docs" / "report.json"
    return _step(
        "report", "verify_evidence_of_a_test", str(out), artifacts=["docs/report.json"], proves=["code.py"], **more
    )


@pytest.fixture
def said(monkeypatch: pytest.MonkeyPatch) -> list[list[str]]:
    """Stand-in for processes that would each cost seconds: writes the file that the command names, and notes it."""
    ran: list[list[str]] = []

    def process(argv: list[str], environment: dict[str, str], say: collecting.Say) -> tuple[int, str]:
        ran.append(argv[2:])
        if argv[2] == "verify_evidence_of_a_test":
            Path(argv[3]).write_text(json.dumps({"runs": len(ran)}))
        return (3, "it broke") if argv[2] == "breaks" else (0, "well")

    monkeypatch.setattr(collecting, "_process", process)
    known = {**get_commands(), "verify_evidence_of_a_test": "x", "breaks": "x", "idles": "x"}
    monkeypatch.setattr(collecting, "get_commands", lambda: known)
    monkeypatch.setattr("productization.services.collecting.connection.close", lambda: None)
    return ran


def _collect(project: Path, *steps: Step, **more: Any) -> dict[str, str]:
    done = collect(say=lambda text: None, declared=_declared(*steps), root=project, **more)
    return {one.step.name: one.outcome for one in done}


def _state(project: Path, step: Step) -> State:
    ground = Ground(project, NOW, _declared(step), read_records(project))
    return look_at(Evidence(kind=Kind.ARTIFACT, ref="docs/report.json"), ground).state


def test_collect__called_again__does_only_what_is_not_done(project: Path, said: list[list[str]]) -> None:
    step = _writes(project)
    assert _collect(project, step) == {"report": "made"}
    made = read_records(project).steps["report"]
    assert (list(made.files), list(made.code)) == (["docs/report.json"], ["code.py"])
    assert _state(project, step) is State.VERIFIED
    assert _collect(project, step) == {"report": "kept"}
    assert _collect(project, step, again=True) == {"report": "made"}
    assert len(said) == 2


@pytest.mark.parametrize("what", ["code", "altered", "gone", "command", "register"])
def test_collect__something_of_it_changed__does_it_again(project: Path, said: list[list[str]], what: str) -> None:
    step = _writes(project)
    _collect(project, step)
    report = project / "docs" / "report.json"
    if what == "code":
        (project / "code.py").write_text("A = 2\n")
    elif what == "altered":
        report.write_text("{}")
    elif what == "gone":
        report.unlink()
    elif what == "register":
        (project / "docs" / "productization_artifacts" / "manifest.json").write_text("{")
    else:
        step = step.model_copy(update={"command": (*step.command, "--more")})
    assert not is_done(step, project, _declared(step))
    assert _collect(project, step) == {"report": "made"}
    assert _state(project, step) is State.VERIFIED


def test_collect__step_fails_writes_nothing_or_is_not_there__the_others_go_on(
    project: Path, said: list[list[str]]
) -> None:
    steps = (
        _step("first", "breaks"), _step("second", "idles", needs=["first"]), _step("third", "not_yet_a_command"),
        _step("fourth", "idles", artifacts=["docs/nothing.json"]), _step("fifth", "idles", needs=["third"]),
        _writes(project),
    )  # fmt: skip
    wanted = {
        "first": "failed",
        "second": "waits",
        "third": "absent",
        "fourth": "failed",
        "fifth": "waits",
        "report": "made",
    }
    assert _collect(project, *steps) == wanted
    assert "did not write docs/nothing.json" in CollectedStep.objects.get(name="fourth").words
    assert list(read_records(project).steps) == ["report"]
    assert _collect(project, *steps)["report"] == "kept"


def test_collect__one_that_had_succeeded_fails__its_record_goes(project: Path, said: list[list[str]]) -> None:
    step = _writes(project)
    _collect(project, step)
    assert _collect(project, step.model_copy(update={"command": ("breaks",)})) == {"report": "failed"}
    assert read_records(project).steps == {}
    assert _state(project, step) is State.MISSING


def test_collect__unknown_step__is_wrong_usage_and_runs_nothing(project: Path, said: list[list[str]]) -> None:
    with pytest.raises(StepUnknown, match="Steps: report"):
        _collect(project, _writes(project), only=["reports"])
    assert said == []


def test_collect__tests__run_what_is_cited_and_there_and_count_one_by_one(project: Path, said: list[list[str]]) -> None:
    step = _step("tests", "pytest", "-q")
    assert _collect(project, step) == {"tests": "failed"}  # pytest wrote no record
    assert said == [["pytest", "-q"]]  # the cited test is not there: naming it would end all others
    (project / "tests").mkdir()
    (project / "tests" / "test_it.py").write_text("def test_passes(): pass\n")
    from productization.proof.hashing import code_fingerprint
    from productization.proof.outcomes import WHERE, TestRecord, write_record

    ref = "tests/test_it.py::test_passes"
    record = TestRecord(code_fingerprint(project), "abc", NOW.isoformat(), {ref: "passed"})
    write_record(project / WHERE, record)
    assert _collect(project, step) == {"tests": "made"}
    assert said[-1] == ["pytest", "-q", ref]
    assert _collect(project, step) == {"tests": "kept"}
    TestRun.objects.update(outcomes={ref: "failed"})
    assert _collect(project, step) == {"tests": "made"}


def test_steps__declared__make_every_artifact_that_is_cited_by_commands_in_order() -> None:
    declared = declarations()
    for item in declared.items:
        for piece in item.evidence:
            if piece.kind is Kind.ARTIFACT:
                assert declared.step_of(piece.ref) is not None, piece.ref
    seen: set[str] = set()
    for step in declared.steps:
        assert set(step.needs) <= seen, step.name
        seen.add(step.name)
    assert declared.steps[-1].command[0] == "pytest"
    assert len(cited_tests(declared)) == len(set(cited_tests(declared))) > 30


def test_commands__of_the_product__can_be_asked_for_help(capsys: pytest.CaptureFixture[str]) -> None:
    for step in declarations().steps:
        if step.command[0] in get_commands():
            from django.core.management import load_command_class

            app = get_commands()[step.command[0]]
            command = load_command_class(app, step.command[0]) if isinstance(app, str) else app
            assert isinstance(command, BaseCommand)
            parser = command.create_parser("manage.py", step.command[0])
            parser.parse_args(list(step.command[1:]))  # the options that a step gives are known
