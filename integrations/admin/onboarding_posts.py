"""What every step reads of a post: who, from which revision; and how a refusal is put back into a form."""

from __future__ import annotations

from typing import Any

from django.http import HttpRequest

from integrations.draft_errors import AnswersRefused
from ledger.errors import DomainError


def person(request: HttpRequest) -> Any:
    """Who is logged in (the admin lets nobody else in)."""
    return request.user


def revision_of(request: HttpRequest) -> int:
    """The revision that the posted page was made from; 0, which is never current, where it is missing."""
    text = request.POST.get("revision", "")
    return int(text) if text.isdecimal() and len(text) < 10 else 0


def put_error(form: Any, error: DomainError) -> None:
    """Show a refusal at the field that it is about, or above the form."""
    fields = {"source": "title", "timezone": "time_zone"}
    if not isinstance(error, AnswersRefused):
        form.add_error(None, str(error))
        return
    for finding in error.findings:
        key = (finding.column or "").split(".")[0]
        name = fields.get(key, key)
        form.add_error(name if name in form.fields else None, f"{finding.message} {finding.fix}")
