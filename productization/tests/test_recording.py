"""What the plugin keeps of a run of the tests."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from config.conf import BASE_DIR
from productization.proof.hashing import GONE, changed_paths, code_fingerprint, code_hashes
from productization.proof.outcomes import WHERE, TestRecord, merged, read_record

_TESTS = """
import pytest

@pytest.mark.parametrize("n", [1, 2])
def test_passes(n): pass

def test_fails(): assert 0

@pytest.mark.skip
def test_is_skipped(): pass

@pytest.fixture
def broken(): raise RuntimeError

def test_is_never_begun(broken): pass

@pytest.mark.xfail
def test_is_expected_to_fail(): assert 0
"""


def _run(folder: Path, *options: str) -> None:
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:django", "-p", "no:cacheprovider",
               "-p", "productization.recording", "--rootdir", str(folder), *options]  # fmt: skip
    environment = {**os.environ, "PYTHONPATH": str(BASE_DIR), "PYTEST_ADDOPTS": "", "PYTHONDONTWRITEBYTECODE": "1"}
    subprocess.run(command, cwd=folder, env=environment, capture_output=True, timeout=300, check=False)


def test_plugin__run_of_every_kind__keeps_the_worst_phase_of_each(tmp_path: Path) -> None:
    (tmp_path / "tests").mkdir()
    (tmp_path / "pytest.ini").write_text("[pytest]\n")
    (tmp_path / "tests" / "test_it.py").write_text(_TESTS)
    _run(tmp_path)
    record = read_record(tmp_path / WHERE)
    assert {name.rpartition("::")[2]: outcome for name, outcome in record.outcomes.items()} == {
        "test_passes[1]": "passed", "test_passes[2]": "passed", "test_fails": "failed", "test_is_skipped": "skipped",
        "test_is_never_begun": "failed", "test_is_expected_to_fail": "skipped",
    }  # fmt: skip
    assert record.fingerprint == code_fingerprint(tmp_path)
    _run(tmp_path, "tests/test_it.py::test_passes[1]")
    assert len(read_record(tmp_path / WHERE).outcomes) == 6  # of the same code: the others stay known
    (tmp_path / "tests" / "test_it.py").write_text(_TESTS + "\n# changed\n")
    _run(tmp_path, "tests/test_it.py::test_passes[1]")
    assert list(read_record(tmp_path / WHERE).outcomes.values()) == ["passed"]


def test_record__of_a_test_with_parameters__is_all_of_its_cases() -> None:
    record = TestRecord("f", "r", "e", {"a::x[1]": "passed", "a::x[2]": "failed", "a::xy": "passed"})
    assert record.of("a::x") == {"a::x[1]": "passed", "a::x[2]": "failed"}
    assert record.of("a::xy") == {"a::xy": "passed"}
    assert record.of("a::z") == {}
    assert merged(None, record) is record


@pytest.mark.parametrize("name", ["README.md", "docs/page.md", "notes.txt"])
def test_fingerprint__of_other_pages__is_the_same(tmp_path: Path, name: str) -> None:
    (tmp_path / "config").mkdir()
    (tmp_path / "config" / "a.py").write_text("A = 1\n")
    before = code_fingerprint(tmp_path)
    (tmp_path / name).parent.mkdir(exist_ok=True)
    (tmp_path / name).write_text("text")
    assert code_fingerprint(tmp_path) == before
    (tmp_path / "config" / "a.py").rename(tmp_path / "config" / "b.py")
    assert code_fingerprint(tmp_path) != before


def test_code_hashes__tests_do_not_count_and_what_is_gone_is_told(tmp_path: Path) -> None:
    (tmp_path / "app" / "tests").mkdir(parents=True)
    (tmp_path / "app" / "a.py").write_text("A = 1\n")
    made_from = code_hashes(tmp_path, ["app", "app/a.py", "none.py"])
    assert made_from["none.py"] == GONE
    (tmp_path / "app" / "tests" / "test_a.py").write_text("def test_a(): pass\n")
    assert changed_paths(tmp_path, made_from) == []
    (tmp_path / "none.py").write_text("")
    (tmp_path / "app" / "a.py").write_text("A = 2\n")
    assert changed_paths(tmp_path, made_from) == ["app", "app/a.py", "none.py"]
