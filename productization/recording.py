"""Pytest plugin: keep what every test came to under ``build/``, with the code that it was of."""

from __future__ import annotations

import subprocess
from datetime import UTC, datetime
from pathlib import Path

import pytest

from productization.proof.hashing import code_fingerprint
from productization.proof.outcomes import WHERE, TestRecord, merged, read_record, write_record

_WORST = {"passed": 0, "skipped": 1, "failed": 2}


class OutcomeRecorder:
    """Collects the outcome of each test, the worst of its phases; writes once at the end."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.fingerprint = code_fingerprint(root)  # at the start: what is edited meanwhile was not tested
        self.outcomes: dict[str, str] = {}

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """One phase of one test ended; an expected failure counts as skipped: it proves nothing."""
        known = self.outcomes.get(report.nodeid, "passed")
        self.outcomes[report.nodeid] = max(known, report.outcome, key=lambda outcome: _WORST[outcome])

    def pytest_sessionfinish(self) -> None:
        """Write the record, over that of earlier runs of the same code."""
        if not self.outcomes:
            return
        now = datetime.now(UTC).isoformat(timespec="seconds")
        record = TestRecord(self.fingerprint, _revision(self.root), now, self.outcomes)
        path = self.root / WHERE
        try:
            old = read_record(path)
        except (OSError, ValueError):
            old = None
        write_record(path, merged(old, record))


@pytest.hookimpl
def pytest_configure(config: pytest.Config) -> None:
    """Record in the process that sees every report, not in the workers that run the tests."""
    if not hasattr(config, "workerinput") and not config.option.collectonly:
        config.pluginmanager.register(OutcomeRecorder(config.rootpath), "outcome-recorder")


def _revision(root: Path) -> str:
    git = ["git", "describe", "--always", "--abbrev=12", "--dirty"]
    try:
        done = subprocess.run(git, cwd=root, check=True, capture_output=True, text=True, timeout=20)  # noqa: S603
    except (OSError, subprocess.SubprocessError):
        return "unknown"
    return done.stdout.strip()
