"""Forms of the contract pages: activation with what it breaks, and import of a text."""

from __future__ import annotations

from typing import Any

from django import forms

from integrations.engine.changes import ContractChanges
from integrations.engine.contract_text import MAX_BYTES
from ledger.admin.forms import PlainForm, ReasonForm


class ActivateForm(ReasonForm):
    """Why a version comes into force and, where it breaks something, that the person has read what.

    ``confirmed`` carries the digest of the list that the person saw: a list that changed meanwhile is asked again.
    """

    confirmed = forms.CharField(widget=forms.HiddenInput, required=False, max_length=64)
    agree = forms.BooleanField(
        label="I have read what this breaks, and it is meant",
        error_messages={"required": "Read the list above and tick this, or cancel."},
    )

    def __init__(self, *args: Any, changes: ContractChanges | None, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        if changes is None or not changes.breaking:
            del self.fields["agree"], self.fields["confirmed"]
        else:
            self.fields["confirmed"].initial = changes.digest


class ImportForm(PlainForm):
    """A contract as a file or as pasted text; a file wins."""

    file = forms.FileField(
        label="File",
        required=False,
        help_text="YAML or JSON: a contract of Forecourt, or an Open Data Contract Standard document (v3).",
    )
    text = forms.CharField(
        label="Or paste it here",
        required=False,
        strip=False,
        widget=forms.Textarea(attrs={"rows": 18, "spellcheck": "false", "class": "fc-code"}),
    )

    def clean(self) -> dict[str, Any]:
        """The contract's bytes under ``content``; too much or nothing is an error, and pasted text stays."""
        cleaned: dict[str, Any] = super().clean() or {}
        uploaded = cleaned.get("file")
        if uploaded is not None:
            content = uploaded.read(MAX_BYTES + 1)
        else:
            content = cleaned.get("text", "").replace("\r\n", "\n").encode("utf-8", "surrogatepass")
        if not content.strip():
            raise forms.ValidationError("Choose a file, or paste the contract's text.")
        cleaned["content"] = content
        return cleaned
