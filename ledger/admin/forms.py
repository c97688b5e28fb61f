"""Plain forms with labels, help and errors that a screen reader finds; rendered by ``forecourt/form.html``."""

from __future__ import annotations

from typing import Any

from django import forms


class PlainForm(forms.Form):
    """A form whose fields are rendered by ours; errors are tied to their field."""

    required_css_class = "is-required"
    use_required_attribute = True


class ReasonForm(PlainForm):
    """Why somebody does something that is kept."""

    reason = forms.CharField(
        label="Reason",
        max_length=2000,
        widget=forms.Textarea(attrs={"rows": 4}),
        help_text="Kept with the decision and shown to everyone who looks at it later.",
        error_messages={"required": "Say why: the reason is kept with the decision."},
    )

    def __init__(self, *args: Any, help_text: str | None = None, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        if help_text is not None:
            self.fields["reason"].help_text = help_text
