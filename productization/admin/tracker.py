"""The tracker, for the platform's staff: rows with what their evidence says, each piece, and the readiness board."""

from __future__ import annotations

from typing import Any

from django import forms
from django.contrib import admin
from django.contrib.admin import display
from django.core.exceptions import PermissionDenied
from django.db.models import Count, Max, Q, QuerySet
from django.http import HttpRequest, HttpResponseBase, HttpResponseNotAllowed, HttpResponseRedirect
from django.utils.safestring import SafeString

from ledger.admin.base import ReadOnlyAdmin, View, attempt
from ledger.admin.forms import ReasonForm
from ledger.errors import DomainError
from ledger.models import AuditEvent
from ledger.sites import platform_site
from ledger.templatetags.forecourt import badge, moment
from productization.declared import declarations
from productization.models import EvidencePiece, TrackerItem
from productization.proof.evidence import State
from productization.selectors import status_counts
from productization.services import tracking
from productization.services.board import board_now

STATUS_TONES = {"open": "plain", "in_progress": "warn", "blocked": "bad", "done": "good"}
STATE_TONES = {
    "verified": "good", "missing": "warn", "altered": "bad", "stale": "warn", "failed": "bad", "blocked": "bad",
    "unknown": "plain",
}  # fmt: skip
LEVEL_TONES = {"pilot_validated": "good", "implemented": "info", "partial": "warn", "blocked": "bad"}


class OwnerForm(ReasonForm):
    """Who looks after a row."""

    owner = forms.CharField(max_length=150, help_text="A person or a team.")
    field_order = ["owner", "reason"]


@admin.register(TrackerItem, site=platform_site)
class TrackerAdmin(ReadOnlyAdmin):
    """Every row, in the tracker's order."""

    list_display = ["code", "task", "workstream", "status_badge", "pieces", "owner", "checked"]
    list_display_links = ["code", "task"]
    list_filter = ["status", "workstream"]
    search_fields = ["code", "task", "owner", "evidence__ref"]
    search_help_text = "Id, task, owner or evidence"
    page_template = "forecourt/tracker_item.html"
    empty_hint = "manage.py verify_evidence loads the rows and looks at their evidence."

    def get_queryset(self, request: HttpRequest) -> QuerySet[TrackerItem]:
        rows: QuerySet[TrackerItem] = super().get_queryset(request)
        held = Q(evidence__state=State.VERIFIED.value)
        return rows.annotate(n_pieces=Count("evidence", distinct=True), n_held=Count("evidence", held, distinct=True))

    @display(description="Status", ordering="status")
    def status_badge(self, item: TrackerItem) -> SafeString:
        return badge(item.status, tone=STATUS_TONES[item.status])

    @display(description="Evidence that holds")
    def pieces(self, item: Any) -> str:
        return f"{item.n_held} of {item.n_pieces}"

    @display(description="Looked at", ordering="checked_at")
    def checked(self, item: TrackerItem) -> str:
        return moment(item.checked_at)

    def list_actions(self, request: HttpRequest) -> list[tuple[str, str]]:
        return [("Readiness board", self.url("board"))]

    def own_views(self) -> list[tuple[str, str, View]]:
        return [
            ("board/", "board", self.board_view),
            ("verify/", "verify_all", self.verify_all_view),
            ("<path:object_id>/verify/", "verify", self.verify_view),
            ("<path:object_id>/block/", "block", self.block_view),
            ("<path:object_id>/unblock/", "unblock", self.unblock_view),
            ("<path:object_id>/owner/", "owner", self.owner_view),
        ]

    def page_context(self, request: HttpRequest, obj: TrackerItem) -> dict[str, Any]:
        return {
            "item": obj,
            "mark": badge(obj.status, tone=STATUS_TONES[obj.status]),
            "pieces": [_piece(piece) for piece in obj.evidence.all()],
            "may_change": request.user.has_perm(tracking.CHANGE),
            "events": AuditEvent.objects.filter(subject_type=obj._meta.label, subject_id=str(obj.pk))[:10],
        }

    def board_view(self, request: HttpRequest) -> HttpResponseBase:
        """The readiness board as the last verification leaves it."""
        if not self.has_view_permission(request):
            raise PermissionDenied
        board = board_now()
        return self.render_page(
            request,
            "forecourt/readiness_board.html",
            title="Readiness board",
            statement=board["statement"],
            rows=[
                {**one, "badge": badge(one["level"], tone=LEVEL_TONES[one["level"]])} for one in board["capabilities"]
            ],
            counts=[(badge(name, tone=STATUS_TONES[name]), count) for name, count in status_counts().items()],
            checked=TrackerItem.objects.aggregate(at=Max("checked_at"))["at"],
            may_change=request.user.has_perm(tracking.CHANGE),
        )

    def verify_all_view(self, request: HttpRequest) -> HttpResponseBase:
        """Look at all evidence now, by POST."""
        refused = self._not_by_post(request)
        if refused is not None:
            return refused
        attempt(request, lambda: tracking.verify(actor=_person(request)), done="Every row was looked at.")
        return HttpResponseRedirect(self.url("board"))

    def verify_view(self, request: HttpRequest, object_id: str) -> HttpResponseBase:
        """Look at this row's evidence now, by POST."""
        refused = self._not_by_post(request)
        if refused is not None:
            return refused
        item = self._changeable(request, object_id)
        attempt(
            request,
            lambda: tracking.verify(only=item.code, actor=_person(request)),
            done=lambda found: f"{item.code} is {found[0].status.replace('_', ' ')}.",
        )
        return self.to_object(item)

    def block_view(self, request: HttpRequest, object_id: str) -> HttpResponseBase:
        """Block a row: GET asks why, POST does it."""
        return self._ask(
            request, object_id, ReasonForm, tracking.block, "Blocked.", title="Block {}", submit="Block", danger=True,
            lead="No evidence makes it done until somebody lifts the block.",
        )  # fmt: skip

    def unblock_view(self, request: HttpRequest, object_id: str) -> HttpResponseBase:
        """Lift a block: GET asks why, POST does it and looks at the evidence."""
        return self._ask(
            request, object_id, ReasonForm, tracking.unblock, "The block is lifted.", title="Lift the block of {}",
            submit="Lift the block", lead="Its evidence is looked at at once; the row is then what that says.",
        )  # fmt: skip

    def owner_view(self, request: HttpRequest, object_id: str) -> HttpResponseBase:
        """Name the owner: GET shows the form, POST does it."""
        return self._ask(
            request, object_id, OwnerForm, tracking.assign_owner, "Saved.", title="Owner of {}", submit="Save",
            lead="Who looks after this row. The status stays what the evidence says.",
        )  # fmt: skip

    def _ask(
        self, request: HttpRequest, object_id: str, form_class: type[ReasonForm], act: Any, done: str, *, title: str,
        **context: Any,
    ) -> HttpResponseBase:  # fmt: skip
        item = self._changeable(request, object_id)
        form = form_class(request.POST or None, initial={"owner": item.owner})
        if request.method == "POST" and form.is_valid():
            given = {name: form.cleaned_data[name] for name in form.fields}
            try:
                act(code=item.code, actor=_person(request), **given)
            except DomainError as error:
                form.add_error(None, str(error))
            else:
                self.message_user(request, done)
                return self.to_object(item)
        back = self.url("change", item.pk)
        return self.render_page(
            request,
            "forecourt/form_page.html",
            obj=item,
            form=form,
            back=back,
            title=title.format(item.code),
            **context,
        )

    def _changeable(self, request: HttpRequest, object_id: str) -> TrackerItem:
        item: TrackerItem = self.object_or_404(request, object_id)
        if not request.user.has_perm(tracking.CHANGE):
            raise PermissionDenied
        return item

    def _not_by_post(self, request: HttpRequest) -> HttpResponseBase | None:
        if not request.user.has_perm(tracking.CHANGE):
            raise PermissionDenied
        return None if request.method == "POST" else HttpResponseNotAllowed(["POST"])


def _person(request: HttpRequest) -> Any:
    return request.user


def _piece(piece: EvidencePiece) -> dict[str, Any]:
    facts = {key: value for key, value in piece.facts.items() if key not in ("files", "command", "sha256", "path")}
    step = declarations().step_of(piece.ref)
    return {
        "piece": piece,
        "state": badge(piece.state, tone=STATE_TONES[piece.state]),
        "facts": [(key.replace("_", " ").capitalize(), _shown(value)) for key, value in facts.items()],
        "files": sorted(piece.facts.get("files", {}).items()),
        "command": piece.facts.get("command") or (f"manage.py collect_evidence --only {step.name}" if step else ""),
        "sha256": piece.facts.get("sha256", ""),
    }


def _shown(value: Any) -> str:
    return ", ".join(str(one) for one in value) if isinstance(value, list) else str(value)
