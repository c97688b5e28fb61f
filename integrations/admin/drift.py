"""Changed columns: the inbox of held deliveries, what changed in words, and the two ways to decide."""

from __future__ import annotations

from typing import Any

from django import forms
from django.conf import settings
from django.contrib import admin, messages
from django.contrib.admin import display
from django.core.exceptions import PermissionDenied
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponseBase, HttpResponseRedirect
from django.urls import reverse
from django.utils.safestring import SafeString

from integrations.engine.contract import DataContract, Role
from integrations.engine.drift import DriftChange, DriftKind
from integrations.engine.drift_columns import SWAPPED
from integrations.models import DriftItem
from integrations.models.delivery import DeliveryState
from integrations.models.drift import DriftState
from integrations.services.contracts import contract_of
from integrations.services.drift import approve_drift, discard_drift
from integrations.services.drift_contract import Proposal, changes_of, doubted_signs, free_fields, propose
from integrations.services.drift_look import Guess, Look, look_at
from ledger.admin.base import ReadOnlyAdmin, View
from ledger.admin.forms import ReasonForm
from ledger.errors import DomainError
from ledger.sites import tenant_site
from ledger.templatetags.forecourt import ago, badge, moment

_MANAGE = "integrations.change_source"
_SHOWN_CHANGES = 200
_MAPPED_AT_ONCE = 60
_SIGNS = [(".", "1,234.5 (a point before the decimals)"), (",", "1.234,5 (a comma before the decimals)")]
_SAYS = {".": "a point", ",": "a comma"}
_OTHER = {".": ",", ",": "."}


class ApproveForm(ReasonForm):
    """What each new column is read as, why, and that what breaks is meant."""

    confirmed = forms.CharField(required=False, widget=forms.HiddenInput)
    agree = forms.BooleanField(required=False, label="I have read what breaks, and it is meant.")

    def __init__(
        self, *args: Any, item: DriftItem, contract: DataContract, guesses: dict[str, Guess], **kwargs: Any
    ) -> None:
        super().__init__(*args, **kwargs)
        fields = free_fields(contract, item)
        lost = {change.field: change.column for change in changes_of(item) if change.kind is DriftKind.MISSING}
        options = [("", "Do not read it")]
        options += [(name, f"{name}, in place of {lost[name]}" if name in lost else name) for name in fields]
        self.columns: dict[str, str] = {}
        for number, change in enumerate(askable(item)[:_MAPPED_AT_ONCE]):
            guess = guesses.get(change.column)
            name = f"column_{number}"
            self.columns[name] = change.column
            self.fields[name] = forms.ChoiceField(
                choices=options,
                required=False,
                label=f"The new column {change.column}",
                initial=guess.field if guess is not None and guess.field in fields else "",
                help_text=guess.words if guess is not None else "",
            )
        self.signs: dict[str, str] = {}
        for role, kinds in doubted_signs(item).items():
            name = f"decimal_{role}"
            self.signs[name] = role
            in_force = contract.files.by_role()[Role(role)].decimal
            self.fields[name] = forms.ChoiceField(
                choices=_SIGNS,
                widget=forms.RadioSelect,
                label=f"The numbers of the {role} file are written",
                initial=_OTHER[in_force] if SWAPPED in kinds else None,
                help_text=f"The contract in force says {_SAYS[in_force]}. Look at the first rows before you choose.",
            )
        self.order_fields([*self.columns, *self.signs, "reason", "confirmed", "agree"])

    def mapping(self) -> dict[str, str]:
        """New column to field; empty where it is not read."""
        return {column: self.cleaned_data.get(name, "") for name, column in self.columns.items()}

    def decimals(self) -> dict[str, str]:
        """Role to the chosen sign of decimals, for the roles where it was asked."""
        return {role: self.cleaned_data[name] for name, role in self.signs.items()}

    def column_fields(self) -> list[Any]:
        """The questions about columns and signs, for the template."""
        return [self[name] for name in (*self.columns, *self.signs)]


def askable(item: DriftItem) -> list[DriftChange]:
    """New columns that somebody may map: one with a canonical name is read by it."""
    return [change for change in changes_of(item) if change.kind is DriftKind.NEW and change.field is None]


@admin.register(DriftItem, site=tenant_site)
class DriftItemAdmin(ReadOnlyAdmin):
    """Deliveries that wait because their columns changed."""

    list_display = ["label", "state_badge", "what", "opened", "decided"]
    list_filter = ["state", "source"]
    search_fields = ["source__name", "reason", "decided_by_name"]
    search_help_text = "Source, person or reason"
    date_hierarchy = "opened_at"
    page_template = "forecourt/drift.html"
    empty_hint = "No delivery waits. When a file’s columns change, it is held here until a tenant admin decides."

    def get_queryset(self, request: HttpRequest) -> QuerySet[DriftItem]:
        rows: QuerySet[DriftItem] = super().get_queryset(request).select_related("source", "delivery", "contract")
        return rows

    @display(description="Delivery", ordering="id")
    def label(self, item: DriftItem) -> str:
        return f"{item.source.name}, delivery {item.delivery_id}"

    @display(description="State", ordering="state")
    def state_badge(self, item: DriftItem) -> SafeString:
        return badge_of(item)

    @display(description="What changed")
    def what(self, item: DriftItem) -> str:
        return _short(changes_of(item))

    @display(description="Held", ordering="opened_at")
    def opened(self, item: DriftItem) -> str:
        return ago(item.opened_at)

    @display(description="Decided", ordering="decided_at")
    def decided(self, item: DriftItem) -> str:
        return f"{moment(item.decided_at)}, {item.decided_by_name}" if item.decided_at else "–"

    def own_views(self) -> list[tuple[str, str, View]]:
        return [
            ("<path:object_id>/approve/", "approve", self.approve_view),
            ("<path:object_id>/discard/", "discard", self.discard_view),
        ]

    def page_context(self, request: HttpRequest, obj: DriftItem) -> dict[str, Any]:
        is_open = obj.state == DriftState.OPEN
        changes = changes_of(obj)
        look = look_at(item=obj) if is_open else Look()
        new = {change.column for change in changes if change.kind is DriftKind.NEW}
        behind = obj.source.deliveries.filter(state=DeliveryState.RECEIVED, pk__gt=obj.delivery_id).count()
        return {
            "item": obj,
            "state": badge_of(obj),
            "changes": [change.words() for change in changes[:_SHOWN_CHANGES]],
            "more_changes": max(len(changes) - _SHOWN_CHANGES, 0),
            "guesses": [guess.words for guess in look.guesses.values()],
            "headings": [{"name": name, "is_new": name in new} for name in look.headings],
            "rows": look.rows,
            "files": obj.delivery.files.all(),
            "behind": behind if is_open else 0,
            "can_decide": is_open and request.user.has_perm(_MANAGE),
        }

    def approve_view(self, request: HttpRequest, object_id: str) -> HttpResponseBase:
        """Take the changed columns: GET asks what each new one is, POST puts the changed contract in force."""
        item = self._open(request, object_id)
        if isinstance(item, HttpResponseRedirect):
            return item
        contract = contract_of(item.source.active_contract or item.contract)
        form = ApproveForm(request.POST or None, item=item, contract=contract, guesses=look_at(item=item).guesses)
        proposal: Proposal | None = None
        if request.method == "POST" and form.is_valid():
            try:
                proposal = propose(item=item, mapping=form.mapping(), decimals=form.decimals())
                agreed = form.cleaned_data["agree"] and form.cleaned_data["confirmed"] == proposal.digest
                if proposal.digest is None or agreed:
                    run = approve_drift(
                        item_id=item.pk,
                        mapping=form.mapping(),
                        reason=form.cleaned_data["reason"],
                        actor=request.user,  # type: ignore[arg-type]  # logged in here
                        confirmed=proposal.digest,
                        decimals=form.decimals(),
                    )
                    messages.success(request, "The changed contract is in force, and the delivery is read under it.")
                    return HttpResponseRedirect(reverse("admin:ledger_run_change", args=[run.pk]))
            except DomainError as problem:
                form.add_error(None, str(problem))
        if proposal is not None and proposal.digest is not None:
            asked = request.POST.copy()
            asked["confirmed"] = proposal.digest  # what a second POST agrees to
            asked.pop("agree", None)
            form.data = asked
        return self.render_page(
            request,
            "forecourt/drift_approve.html",
            title=f"Take the changed columns of {item.source.name}",
            obj=item,
            form=form,
            proposal=proposal,
            changes=[change.words() for change in changes_of(item)[:_SHOWN_CHANGES]],
            back=self.url("change", item.pk),
        )

    def discard_view(self, request: HttpRequest, object_id: str) -> HttpResponseBase:
        """Give the delivery up: GET asks for the reason, POST does it."""
        item = self._open(request, object_id)
        if isinstance(item, HttpResponseRedirect):
            return item
        form = ReasonForm(request.POST or None)
        if request.method == "POST" and form.is_valid():
            try:
                discard_drift(item_id=item.pk, reason=form.cleaned_data["reason"], actor=request.user)  # type: ignore[arg-type]  # logged in here
            except DomainError as error:
                form.add_error(None, str(error))
            else:
                messages.success(request, "The delivery is discarded. What waited behind it is read now.")
                return self.to_object(item)
        return self.render_page(
            request,
            "forecourt/form_page.html",
            title=f"Discard delivery {item.delivery_id} of {item.source.name}",
            obj=item,
            form=form,
            lead="Nothing of this delivery is ever loaded. "
            f"Its files are kept for {settings.KEPT_FILES_DAYS} days after they came, then deleted.",
            lines=["The contract in force stays as it is, and what waits behind the delivery is read next."],
            submit="Discard it",
            danger=True,
            back=self.url("change", item.pk),
        )

    def _open(self, request: HttpRequest, object_id: str) -> Any:
        """The item, or the way back to its page where it is decided already."""
        item: DriftItem = self.object_or_404(request, object_id)
        if not request.user.has_perm(_MANAGE):
            raise PermissionDenied
        if item.state != DriftState.OPEN:
            messages.error(request, f"It is {item.get_state_display().lower()} already, by {item.decided_by_name}.")
            return self.to_object(item)
        return item


def badge_of(item: DriftItem) -> SafeString:
    """The item's state."""
    tones = {DriftState.OPEN: "warn", DriftState.APPROVED: "good"}
    return badge(item.state, item.get_state_display(), tones.get(DriftState(item.state), "plain"))


def _short(changes: tuple[DriftChange, ...]) -> str:
    counts = {kind: [change.column for change in changes if change.kind is kind] for kind in DriftKind}
    words = {DriftKind.NEW: "new", DriftKind.MISSING: "gone", DriftKind.TYPE: "other content"}
    return "; ".join(
        f"{words[kind]}: {', '.join(names[:3])}{'…' if len(names) > 3 else ''}"
        for kind, names in counts.items()
        if names
    )
