"""The table of docs/onboarding.md: every schema judged by the real reader. It fails when the document differs.

Write it anew: `.venv/bin/python -m integrations.engine.tests.test_onboarding_table`.
"""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path

from integrations.engine.tests.schemas import refused, representable
from integrations.engine.tests.schemas.model import Example
from integrations.engine.types import BatchResult

DOCUMENT = Path(__file__).parents[3] / "docs" / "onboarding.md"
BEGIN = "<!-- schemas: made by integrations/engine/tests/test_onboarding_table.py -->"
END = "<!-- end of schemas -->"


def judged(example: Example) -> BatchResult:
    with tempfile.TemporaryDirectory() as folder:
        return example.read(Path(folder))


def reasons(result: BatchResult) -> str:
    """The errors with what to do, or what the file became."""
    errors = [found for found in result.findings if found.severity == "error"]
    if not errors:
        remarks = " ".join(found.message for found in result.findings)
        returned = f", {result.returned_units:g} returned" if result.returned_units else ""
        days = result.demand.num_rows
        return f"{days} day{'s' * (days != 1)} of demand, {result.units:g} units{returned}. {remarks}".strip()
    return "<br>".join(f"`{found.code}` {found.message} {found.fix}" for found in errors)


def table() -> str:
    """The table between the markers."""
    lines = ["| schema | how it looks | verdict | what became of it, or why not and what to do |", "|---|---|---|---|"]
    for example in (*representable.EXAMPLES, *refused.EXAMPLES):
        result = judged(example)
        cells = (example.name, example.looks, f"`{result.verdict.value}`", reasons(result))
        lines.append("| " + " | ".join(cell.replace("|", "\\|").replace("\n", " ") for cell in cells) + " |")
    return "\n".join(lines)


def with_table(text: str) -> str:
    before, _, rest = text.partition(BEGIN)
    return f"{before}{BEGIN}\n{table()}\n{END}{rest.partition(END)[2]}"


def test_schemas__at_least_25_with_8_that_no_contract_can_express():
    verdicts = [judged(example).verdict.value for example in (*representable.EXAMPLES, *refused.EXAMPLES)]
    assert len(verdicts) >= 25
    assert verdicts[: len(representable.EXAMPLES)] == ["passed"] * len(representable.EXAMPLES)
    assert "passed" not in verdicts[len(representable.EXAMPLES) :]
    assert verdicts.count("requires_custom_adapter") >= 8


def test_onboarding_document__says_what_the_reader_says():
    text = DOCUMENT.read_text(encoding="utf-8")
    command = ".venv/bin/python -m integrations.engine.tests.test_onboarding_table"
    assert with_table(text) == text, f"Write the table anew: {command}"


if __name__ == "__main__":
    DOCUMENT.write_text(with_table(DOCUMENT.read_text(encoding="utf-8")), encoding="utf-8")
    sys.stdout.write(f"{DOCUMENT}\n")
