"""Time-travel replays: start one, watch it, see what it came to, look at a day as it was known then."""

from __future__ import annotations

import hashlib
import json
from typing import Any

from django import forms
from django.contrib import admin, messages
from django.contrib.admin import display
from django.contrib.auth.models import User
from django.core.exceptions import PermissionDenied
from django.core.files.storage import default_storage
from django.db.models import QuerySet
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseBase
from django.utils.safestring import SafeString

from forecasting import selectors
from forecasting.admin.replay_view import day_facts, replay_facts
from forecasting.engine.families import FAMILY_NAMES
from forecasting.engine.replay.artifacts import SUMMARY_MD
from forecasting.engine.replay.config import MOST_DAYS, Cadence, Hitl, Portfolio
from forecasting.errors_replay import RecordedDecisionsUnusable
from forecasting.models import Replay, ReplayState
from forecasting.services.replay_request import (
    DEFAULT_FAMILIES,
    cancel_replay,
    check_replay,
    recorded_of,
    resume_replay,
    start_replay,
)
from ledger.admin.base import ReadOnlyAdmin, View, attempt
from ledger.admin.forms import ReasonForm
from ledger.errors import DomainError
from ledger.sites import tenant_site
from ledger.templatetags.forecourt import badge, day, moment, words
from tenants.roles import Role, roles_of

TONES = {"queued": "plain", "running": "info", "waiting": "warn", "finished": "good", "failed": "bad",
         "cancelled": "plain"}  # fmt: skip
_TYPES = {"json": "application/json", "jsonl": "application/x-ndjson", "md": "text/markdown", "svg": "image/svg+xml"}
_CADENCES = [(Cadence.DAILY, "Daily"), (Cadence.WEEKLY, "Weekly"), (Cadence.MONTHLY, "Monthly")]
_HITL = [
    (Hitl.POLICY, "Named rules, the same every time"),
    (Hitl.INTERACTIVE, "People: it waits under Approvals"),
    (Hitl.RECORDED, "Decisions of an earlier replay"),
]
_PORTFOLIO = [(Portfolio.AUTO, "Where one model misses its limits"), (Portfolio.ON, "Always"), (Portfolio.OFF, "Never")]


class StartForm(ReasonForm):
    """What is replayed, and who decides in it."""

    holdout_days = forms.IntegerField(
        label="Days to replay", min_value=1, max_value=MOST_DAYS, initial=84,
        help_text="The last so many days, walked through one by one. At most 365; weekly demand takes whole weeks.",
    )  # fmt: skip
    cadence = forms.ChoiceField(label="Retrain", choices=_CADENCES, initial=Cadence.WEEKLY)
    hitl = forms.ChoiceField(label="Who decides", choices=_HITL, initial=Hitl.POLICY)
    earlier = forms.IntegerField(
        label="Earlier replay", required=False, min_value=1,
        help_text="Its number, where its decisions are to be taken again.",
    )  # fmt: skip
    families = forms.MultipleChoiceField(
        choices=[(name, words(name)) for name in FAMILY_NAMES],
        initial=list(DEFAULT_FAMILIES),
        widget=forms.CheckboxSelectMultiple,
        label="Families to compare",
        help_text="Each retraining compares them. Seasonal naive, the floor, is always among them.",
    )
    portfolio = forms.ChoiceField(label="Try mixtures", choices=_PORTFOLIO, initial=Portfolio.AUTO)
    pack_size = forms.FloatField(
        label="Units in a pack", min_value=0.001, initial=1, help_text="Orders are whole packs."
    )
    horizon = forms.IntegerField(
        required=False, min_value=1, max_value=366, label="Horizon", help_text="Steps ahead. Empty: the default."
    )
    as_of = forms.DateField(
        required=False, label="Last day", widget=forms.DateInput(attrs={"type": "date"}, format="%Y-%m-%d"),
        help_text="Last day to replay. Empty: the newest.",
    )  # fmt: skip
    field_order = (
        "holdout_days", "cadence", "hitl", "earlier", "families", "portfolio", "pack_size", "horizon", "as_of",
        "reason",
    )  # fmt: skip


@admin.register(Replay, site=tenant_site)
class ReplayAdmin(ReadOnlyAdmin):
    """Every replay, newest first."""

    list_display = ["label", "state_badge", "days", "who_decides", "came_to", "asked_by", "started"]
    list_filter = ["state"]
    search_fields = ["sentence", "created_by_name", "reason"]
    search_help_text = "Words of the outcome, person or reason"
    date_hierarchy = "created_at"
    page_template = "forecourt/replay.html"
    empty_hint = (
        "No replay was made yet. It walks through the last weeks as if each day were today, with only what was known "
        "then, and says what the governance was worth. An analyst starts one here."
    )

    def get_queryset(self, request: HttpRequest) -> QuerySet[Replay]:
        replays: QuerySet[Replay] = super().get_queryset(request)
        if request.resolver_match and request.resolver_match.url_name == "forecasting_replay_changelist":
            return replays.defer("summary", "files", "recorded")
        return replays

    def list_actions(self, request: HttpRequest) -> list[tuple[str, str]]:
        return [("Replay past days", self.url("start"))] if _may_act(request) else []

    @display(description="Replay")
    def label(self, replay: Replay) -> str:
        return f"{replay.pk}: {day(replay.first_day)} to {day(replay.last_day)}"

    @display(description="State", ordering="state")
    def state_badge(self, replay: Replay) -> SafeString:
        return badge(replay.state, replay.get_state_display(), TONES[replay.state])

    @display(description="Steps done")
    def days(self, replay: Replay) -> str:
        return f"{replay.days_done} of {replay.steps}"

    @display(description="Decides")
    def who_decides(self, replay: Replay) -> str:
        return words(replay.config["hitl"])

    @display(description="Came to")
    def came_to(self, replay: Replay) -> str:
        return replay.sentence or replay.error or "–"

    @display(description="Asked for by", ordering="created_by_name")
    def asked_by(self, replay: Replay) -> str:
        return replay.created_by_name

    @display(description="Asked", ordering="created_at")
    def started(self, replay: Replay) -> str:
        return moment(replay.created_at)

    def own_views(self) -> list[tuple[str, str, View]]:
        return [
            ("start/", "start", self.start_view),
            ("<path:object_id>/day/<str:step>/", "day", self.day_view),
            ("<path:object_id>/cancel/", "cancel", self.cancel_view),
            ("<path:object_id>/resume/", "resume", self.resume_view),
            ("<path:object_id>/download/", "download", self.download_view),
        ]

    def page_context(self, request: HttpRequest, obj: Replay) -> dict[str, Any]:
        may = _may_act(request)
        return {
            "replay": obj,
            "tone": TONES[obj.state],
            "can_cancel": may and obj.state in (ReplayState.QUEUED, ReplayState.RUNNING, ReplayState.WAITING),
            "can_resume": may and obj.state in (ReplayState.FAILED, ReplayState.CANCELLED),
            **replay_facts(obj, lambda step: self.url("day", obj.pk, step)),
        }

    def start_view(self, request: HttpRequest) -> HttpResponseBase:
        """Start a replay: GET shows the form, POST queues it."""
        if not _may_act(request):
            raise PermissionDenied
        form = StartForm(request.POST or None, help_text="Why now? Kept with the replay.")
        if request.method == "POST" and form.is_valid():
            try:
                replay = self._started(request, form.cleaned_data)
            except DomainError as error:
                form.add_error(None, str(error))
            else:
                messages.success(request, "Queued. This page shows how far it is; you can close it at any time.")
                return self.to_object(replay)
        newest = selectors.newest_day()
        return self.render_page(
            request,
            "forecourt/form_page.html",
            title="Replay past days",
            form=form,
            lead="Would this governance have served us well? The last days are walked through one by one with the "
            "clock set to each: forecast, order, watch, retrain, judge, decide, with what was known then alone.",
            lines=[
                f"Data goes until {day(newest)}." if newest else "There is no data yet: load some first.",
                "Beside it run worlds with other rules, from never retraining to perfect knowledge, so that the value "
                "of the governance is a figure. What serves is left alone.",
            ],
            submit="Start the replay",
            back=self.url("changelist"),
        )

    def _started(self, request: HttpRequest, chosen: dict[str, Any]) -> Replay:
        names = ("holdout_days", "cadence", "hitl", "families", "portfolio", "pack_size", "horizon", "as_of")
        config = check_replay(**{name: chosen[name] for name in names})
        recorded = None
        if config.hitl == Hitl.RECORDED:
            if chosen["earlier"] is None:
                raise RecordedDecisionsUnusable("no earlier replay was named")
            recorded = recorded_of(chosen["earlier"])
        return start_replay(config=config, actor=_person(request), reason=chosen["reason"], recorded=recorded)

    def day_view(self, request: HttpRequest, object_id: str, step: str) -> HttpResponseBase:
        """One day: what came, what was known, what was decided, and nothing of later days."""
        replay: Replay = self.object_or_404(request, object_id)
        number = int(step) if step.removeprefix("-").isdecimal() and len(step) < 6 else None
        known = replay.days.filter(step=number).first() if number is not None else None
        if known is None:
            raise Http404(f"{replay} has no step {step}.")
        return self.render_page(
            request,
            "forecourt/replay_day.html",
            title=f"{day(known.day)} in {replay}",
            obj=replay,
            replay=replay,
            **day_facts(replay, known),
        )

    def cancel_view(self, request: HttpRequest, object_id: str) -> HttpResponseBase:
        """End a replay (POST)."""
        replay: Replay = self.object_or_404(request, object_id)
        if request.method == "POST":
            attempt(
                request,
                lambda: cancel_replay(replay_id=replay.pk, actor=_person(request)),
                done="It stops after the day that it is at. You can resume it.",
            )
        return self.to_object(replay)

    def resume_view(self, request: HttpRequest, object_id: str) -> HttpResponseBase:
        """Go on with a replay that stopped (POST)."""
        replay: Replay = self.object_or_404(request, object_id)
        if request.method == "POST":
            attempt(
                request,
                lambda: resume_replay(replay_id=replay.pk, actor=_person(request)),
                done="Queued. It goes on from its last checkpoint.",
            )
        return self.to_object(replay)

    def download_view(self, request: HttpRequest, object_id: str) -> HttpResponseBase:
        """One of the files (``?file=NAME``), if it is still what was kept."""
        replay: Replay = self.object_or_404(request, object_id)
        kept = next((file for file in replay.files if file["name"] == request.GET.get("file", SUMMARY_MD)), None)
        if kept is None or not default_storage.exists(kept["path"]):
            raise Http404(f"{replay} has no such file.")
        with default_storage.open(kept["path"], "rb") as stored:
            content = stored.read()
        if hashlib.sha256(content).hexdigest() != kept["sha256"]:
            messages.error(request, f"{kept['name']} is not what was kept (its hash differs), so it is not handed out.")
            return self.to_object(replay)
        kind = _TYPES[kept["name"].rpartition(".")[2]]
        return HttpResponse(
            content,
            content_type=f"{kind}; charset=utf-8",
            headers={
                "Content-Disposition": f"attachment; filename={json.dumps(kept['name'])}",
                "X-Content-Type-Options": "nosniff",
            },
        )


def _person(request: HttpRequest) -> User:
    if not isinstance(request.user, User):
        raise PermissionDenied
    return request.user


def _may_act(request: HttpRequest) -> bool:
    return bool(roles_of(request.user) & {Role.ANALYST, Role.TENANT_ADMIN})
