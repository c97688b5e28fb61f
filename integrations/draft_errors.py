"""Errors of an onboarding that is being filled in: each keeps what the person wrote and says what to do."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from integrations.engine.findings import Finding
from integrations.errors import IntegrationError, one_line


class DraftStale(IntegrationError):
    """Somebody saved the draft since this page was opened."""

    code = "draft_stale"

    def __init__(self, changed_by: str, changed_at: datetime, revision: int) -> None:
        self.changed_by, self.changed_at, self.revision = changed_by, changed_at, revision
        super().__init__(
            f"{changed_by} changed this draft in the meantime. Nothing was overwritten, and what you filled in stands "
            "below. Compare it with the newest state; saving again puts yours in its place."
        )


class DraftClosed(IntegrationError):
    """The draft was handed over or discarded and takes no more changes."""

    code = "draft_closed"

    def __init__(self, title: str, state: str) -> None:
        self.state = state
        super().__init__(f"{title} is {state.lower()} and cannot be changed any more. Start another one.")


class AnswersRefused(IntegrationError):
    """Answers of a step that a contract cannot hold; ``findings`` name each key and its fix."""

    code = "answers_refused"

    def __init__(self, findings: Sequence[Finding]) -> None:
        self.findings = tuple(findings)
        super().__init__(one_line(" ".join(f"{one.message} {one.fix}" for one in findings)))


class DraftIncomplete(IntegrationError):
    """The draft is no whole contract yet."""

    code = "draft_incomplete"

    def __init__(self, findings: Sequence[Finding]) -> None:
        self.findings = tuple(findings)
        super().__init__("Some answers are still missing, so there is nothing to check yet. See what they are below.")


class SampleMissing(IntegrationError):
    code = "sample_missing"

    def __init__(self) -> None:
        super().__init__("There is no sales file yet. Add one in the step “Sample”.")


class NotChecked(IntegrationError):
    """The sample did not pass, or was changed since."""

    code = "not_checked"

    def __init__(self) -> None:
        super().__init__("The sample has not passed the checks as it is now. Run the checks first.")
