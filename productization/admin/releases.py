"""Releases, for the platform's staff: prepare a statement over the frozen board, and sign it off with four eyes."""

from __future__ import annotations

from typing import Any

from django import forms
from django.contrib import admin, messages
from django.contrib.admin import display
from django.core.exceptions import PermissionDenied
from django.http import HttpRequest, HttpResponseBase
from django.utils.safestring import SafeString

from ledger.admin.base import ReadOnlyAdmin, View
from ledger.admin.forms import ReasonForm
from ledger.errors import DomainError
from ledger.sites import platform_site
from ledger.templatetags.forecourt import badge, moment
from productization.admin.tracker import LEVEL_TONES, STATUS_TONES
from productization.models import Release, ReleaseState
from productization.services import releases
from productization.services.board import board_now

_TONES = {ReleaseState.PREPARED: "warn", ReleaseState.SIGNED: "good", ReleaseState.DECLINED: "bad"}


class PrepareForm(ReasonForm):
    """What is to be released."""

    version = forms.CharField(max_length=40, help_text="Such as 1.0; a version is signed off once.")
    field_order = ["version", "reason"]


@admin.register(Release, site=platform_site)
class ReleaseAdmin(ReadOnlyAdmin):
    """Every release, the newest first."""

    list_display = ["version", "state_badge", "prepared", "prepared_by_name", "decided_by_name", "statement"]
    list_filter = ["state"]
    search_fields = ["version", "statement", "prepared_by_name", "decided_by_name"]
    search_help_text = "Version, statement or person"
    date_hierarchy = "prepared_at"
    page_template = "forecourt/release.html"
    empty_hint = "Prepare a release: the board, every row and their hashes are frozen, and another operator signs."

    @display(description="State", ordering="state")
    def state_badge(self, release: Release) -> SafeString:
        return state_badge(release)

    @display(description="Prepared", ordering="prepared_at")
    def prepared(self, release: Release) -> str:
        return moment(release.prepared_at)

    def list_actions(self, request: HttpRequest) -> list[tuple[str, str]]:
        return [("Prepare a release", self.url("prepare"))] if request.user.has_perm(releases.PREPARE) else []

    def own_views(self) -> list[tuple[str, str, View]]:
        return [
            ("prepare/", "prepare", self.prepare_view),
            ("<path:object_id>/sign/", "sign", self.sign_view),
            ("<path:object_id>/decline/", "decline", self.decline_view),
        ]

    def page_context(self, request: HttpRequest, obj: Release) -> dict[str, Any]:
        own = obj.prepared_by_id == request.user.pk
        waits = obj.state == ReleaseState.PREPARED
        return {
            "release": obj,
            "state": state_badge(obj),
            "capabilities": [
                {**one, "badge": badge(one["level"], tone=LEVEL_TONES[one["level"]])}
                for one in obj.snapshot["board"]["capabilities"]
            ],
            "rows": [
                {**one, "badge": badge(one["status"], tone=STATUS_TONES[one["status"]]),
                 "held": sum(piece["state"] == "verified" for piece in one["evidence"]), "of": len(one["evidence"])}
                for one in obj.snapshot["tracker"]["items"]
            ],
            "is_whole": releases.digest(obj.snapshot) == obj.snapshot_sha256,
            "own": own and waits,
            "may_decide": waits and not own and request.user.has_perm(releases.SIGN),
        }  # fmt: skip

    def prepare_view(self, request: HttpRequest) -> HttpResponseBase:
        """Prepare a release: GET says what would be frozen, POST verifies everything and freezes it."""
        if not request.user.has_perm(releases.PREPARE):
            raise PermissionDenied
        form = PrepareForm(request.POST or None)
        if request.method == "POST" and form.is_valid():
            try:
                made = releases.prepare_release(actor=request.user, **form.cleaned_data)  # type: ignore[arg-type]  # logged in
            except DomainError as error:
                form.add_error(None, str(error))
            else:
                messages.success(request, "Prepared. Another operator signs it off.")
                return self.to_object(made)
        return self.render_page(
            request,
            "forecourt/form_page.html",
            title="Prepare a release",
            form=form,
            lead="All evidence is looked at now; the board, every row and their hashes are frozen.",
            lines=[f"As the evidence last stood: {board_now()['statement']}"],
            submit="Verify and prepare",
            back=self.url("changelist"),
        )

    def sign_view(self, request: HttpRequest, object_id: str) -> HttpResponseBase:
        """Sign off: GET shows the statement and asks why, POST does it."""
        return self._decide(
            request, object_id, releases.sign_release, "Signed off.", verb="Sign off", submit="Sign off"
        )

    def decline_view(self, request: HttpRequest, object_id: str) -> HttpResponseBase:
        """Decline: GET asks why, POST does it."""
        return self._decide(
            request, object_id, releases.decline_release, "Declined.", verb="Decline", submit="Decline", danger=True
        )

    def _decide(
        self, request: HttpRequest, object_id: str, act: Any, done: str, *, verb: str, **context: Any
    ) -> HttpResponseBase:
        release: Release = self.object_or_404(request, object_id)
        if not request.user.has_perm(releases.SIGN):
            raise PermissionDenied
        form = ReasonForm(request.POST or None)
        if request.method == "POST" and form.is_valid():
            try:
                act(release_id=release.pk, reason=form.cleaned_data["reason"], actor=request.user)
            except DomainError as error:
                form.add_error(None, str(error))
            else:
                messages.success(request, done)
                return self.to_object(release)
        return self.render_page(
            request,
            "forecourt/form_page.html",
            title=f"{verb} {release.version}",
            obj=release,
            form=form,
            lead=release.statement,
            lines=[
                f"Prepared by {release.prepared_by_name}, {moment(release.prepared_at)}. It cannot change any more."
            ],
            back=self.url("change", release.pk),
            **context,
        )


def state_badge(release: Release) -> SafeString:
    """Its state in words."""
    return badge(release.state, release.get_state_display(), _TONES[ReleaseState(release.state)])
