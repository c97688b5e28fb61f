"""Every document that `render_docs` makes, and how: a function of declarations in the code and of kept sources."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from forecasting.services import drill_report
from forecasting.services.decision_text import log_markdown, strategy_markdown
from forecasting.services.effectiveness import Effectiveness
from forecasting.services.effectiveness_text import markdown
from integrations.services.runbook import runbook_text
from productization.documents.board_text import board_markdown, release_markdown
from productization.documents.brief_text import brief_markdown
from productization.documents.sources import BENCHMARKS, BRIEF, DECISIONS, DRILL, EFFECTIVENESS, read_source
from productization.documents.taking import drill_of, entry_of
from productization.documents.tracker_text import index_markdown, tracker_markdown
from productization.proof.records import BOARD, VERIFICATION
from tenants.services.slo_text import slo_document

STRATEGY = "strategy.decided"
Bodies = dict[str, dict[str, Any]]


@dataclass(frozen=True, slots=True)
class Document:
    """One kind of document. pattern: its file, with `*` where a day stands in the name. sources: the records that it
    is made from (none: declarations in the code). render: those records to (file, text)."""

    pattern: str
    sources: tuple[str, ...]
    render: Callable[[Bodies], Sequence[tuple[str, str]]]


def _one(path: str, text: Callable[..., str], *sources: str) -> Document:
    return Document(path, sources, lambda bodies: [(path, text(*(bodies[name] for name in sources)))])


def _effectiveness(bodies: Bodies) -> list[tuple[str, str]]:
    tenants = [Effectiveness(**one) for one in bodies[EFFECTIVENESS]["tenants"]]
    return [("docs/ML_EFFECTIVENESS_REPORT.md", markdown(tenants, bodies[BENCHMARKS]["figures"], []))]


def _decisions(bodies: Bodies) -> list[tuple[str, str]]:
    logs = [(one["name"], [entry_of(entry) for entry in one["entries"]]) for one in bodies[DECISIONS]["tenants"]]
    return [("docs/PRODUCTION_DECISION_LOG.md", log_markdown(logs))]


def _strategy(bodies: Bodies) -> list[tuple[str, str]]:
    """The newest day on which a strategy was decided."""
    logs = [(one["name"], [entry_of(entry) for entry in one["entries"]]) for one in bodies[DECISIONS]["tenants"]]
    chosen = [(name, [entry for entry in log if entry.kind == STRATEGY]) for name, log in logs]
    days = sorted({f"{entry.at:%Y-%m-%d}" for _, log in chosen for entry in log})
    if not days:
        return []
    of_day = [(name, [entry for entry in log if f"{entry.at:%Y-%m-%d}" == days[-1]]) for name, log in chosen]
    text = strategy_markdown(days[-1], [(name, log) for name, log in of_day if log])
    return [(f"docs/MODEL_STRATEGY_DECISION_{days[-1]}.md", text)]


def _drill(bodies: Bodies) -> list[tuple[str, str]]:
    drill = drill_of(bodies[DRILL]["drill"])
    return [(f"docs/{drill_report.file_name(drill)}", drill_report.markdown(drill, bodies[DRILL]["tenant"]))]


DOCUMENTS: tuple[Document, ...] = (
    _one("docs/PRODUCTIZATION_TRACKER.md", tracker_markdown, VERIFICATION),
    _one("docs/PRODUCTIZATION_EVIDENCE_INDEX.md", index_markdown, VERIFICATION),
    _one("docs/PRODUCTION_READINESS_BOARD.md", board_markdown, BOARD),
    _one("docs/RELEASE_READINESS.md", release_markdown, BOARD, VERIFICATION),
    _one("docs/OPERATIONS_SLO.md", slo_document),
    _one("docs/INTEGRATION_INCIDENT_RUNBOOK.md", runbook_text),
    Document("docs/ML_EFFECTIVENESS_REPORT.md", (EFFECTIVENESS, BENCHMARKS), _effectiveness),
    Document("docs/PRODUCTION_DECISION_LOG.md", (DECISIONS,), _decisions),
    _one("docs/ENTERPRISE_VS_SMB_ARCHITECTURE_BRIEF.md", brief_markdown, BRIEF),
    Document("docs/ROLLBACK_DRILL_REPORT_*.md", (DRILL,), _drill),
    Document("docs/MODEL_STRATEGY_DECISION_*.md", (DECISIONS,), _strategy),
)
RENDERED = tuple(document.pattern for document in DOCUMENTS)


def bodies_of(document: Document, root: Path) -> Bodies | None:
    """What a document is made from; None where a source is not there."""
    found = {name: read_source(root, name) for name in document.sources}
    return None if None in found.values() else {name: body for name, body in found.items() if body is not None}
