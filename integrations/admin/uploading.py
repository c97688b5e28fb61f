"""The upload form of a source: files for each role, or any files whose names say what they are for."""

from __future__ import annotations

from typing import Any

from django import forms
from django.contrib import messages
from django.http import HttpRequest, HttpResponseBase, HttpResponseRedirect
from django.urls import reverse

from integrations.engine.contract_model import Role
from integrations.models import Source
from integrations.services.deliveries import Receipt, Upload, Via, patterns_of, receive
from ledger.admin.base import BaseAdmin
from ledger.admin.forms import PlainForm
from ledger.errors import DomainError
from ledger.uploads import refused_upload

ROLE_WORDS = {
    Role.TRANSACTIONS: "Sales",
    Role.PRODUCTS: "Products",
    Role.STORES: "Stores",
    Role.COVARIATES: "Known future values",
}
_BY_NAME = "files"


class SeveralFiles(forms.ClearableFileInput):
    allow_multiple_selected = True


class FilesField(forms.FileField):
    """Any number of files."""

    widget = SeveralFiles

    def clean(self, data: Any, initial: Any = None) -> list[Any]:
        return [super(FilesField, self).clean(one, initial) for one in data or ()]


class UploadForm(PlainForm):
    """One choice of files by name, and one for each role of the contract."""

    def __init__(self, patterns: dict[Role, str], *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.patterns = patterns
        wanted = ", ".join(f"{ROLE_WORDS[role].lower()} {pattern}" for role, pattern in patterns.items())
        self.fields[_BY_NAME] = FilesField(
            label="Files", required=False, help_text=f"Their names say what they are for: {wanted}. Several at once."
        )
        for role in patterns:
            self.fields[role.value] = FilesField(
                label=f"{ROLE_WORDS[role]}, whatever the file is called", required=False
            )

    def uploads(self) -> list[Upload]:
        """The chosen files; those that were given for a role have it."""
        by_name = [Upload(one.name, one) for one in self.cleaned_data[_BY_NAME]]
        return by_name + [
            Upload(one.name, one, role) for role in self.patterns for one in self.cleaned_data[role.value]
        ]


def upload_view(admin: BaseAdmin, request: HttpRequest, source: Source) -> HttpResponseBase:
    """GET asks for the files, POST receives them and goes to the run."""
    problem, status = refused_upload(request), 413
    form = None
    try:
        patterns = patterns_of(source)
        form = UploadForm(patterns)
        if request.method == "POST" and problem is None:
            status = 422
            form = UploadForm(patterns, request.POST, request.FILES)
            if form.is_valid():
                receipt = receive(source=source, uploads=form.uploads(), via=Via.UPLOAD, actor=request.user)  # type: ignore[arg-type]  # logged in here
                return to_run(request, receipt, f"Received. The files of {source.name} are being read.")
    except DomainError as error:
        problem = str(error)
    return admin.render_page(
        request,
        "forecourt/upload.html",
        title=f"Upload files to {source.name}",
        obj=source,
        status=status if problem and request.method == "POST" else 200,
        form=form,
        problem=problem,
        lead="They are checked under the contract in force and loaded wholly or not at all.",
        lines=["Days that come again replace what was loaded for them; a file that was loaded before changes nothing."],
        submit="Upload",
        back=admin.url("change", source.pk),
    )


_SEEN = {
    True: "These rows are being loaded already.",
    False: "These very rows were read before; this is what became of it.",
}


def to_run(request: HttpRequest, receipt: Receipt, told: str) -> HttpResponseRedirect:
    """Go to the run of a delivery, which shows how far it is."""
    messages.success(request, _SEEN[receipt.run.is_live] if receipt.repeated else told)
    return HttpResponseRedirect(reverse("admin:ledger_run_change", args=[receipt.run.pk]))
