"""What every admin page of ours has in common: own pages, history from the audit chain, 404 for what is not there."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

from django.contrib import messages
from django.contrib.admin.utils import unquote
from django.core.exceptions import PermissionDenied
from django.core.paginator import Paginator
from django.db import models
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseBase, HttpResponseRedirect
from django.template.response import TemplateResponse
from django.urls import URLPattern, path, reverse
from unfold.admin import ModelAdmin

from ledger.errors import DomainError
from ledger.models import AuditEvent

Result = TypeVar("Result")
View = Callable[..., HttpResponseBase]


def attempt(request: HttpRequest, act: Callable[[], Result], *, done: str | Callable[[Result], str]) -> Result | None:
    """Call a service and tell the person what came of it; ``None`` where the domain refused."""
    try:
        result = act()
    except DomainError as error:
        messages.error(request, str(error))
        return None
    messages.success(request, done if isinstance(done, str) else done(result))
    return result


class BaseAdmin(ModelAdmin):  # type: ignore[misc]  # the library has no type information
    """Own pages, own history, and 404 for an object that this schema does not have."""

    list_per_page = 50
    list_filter_sheet = True
    list_filter_submit = False
    empty_hint = "Nothing is recorded here yet."
    page_template: str | None = None
    change_list_template = "forecourt/change_list.html"

    def page_context(self, request: HttpRequest, obj: Any) -> dict[str, Any]:
        """What ``page_template`` shows of ``obj``."""
        return {}

    def render_page(
        self, request: HttpRequest, template: str, *, title: str, obj: Any = None, status: int = 200, **context: Any
    ) -> TemplateResponse:
        """Render a page of ours inside the theme."""
        request.current_app = self.admin_site.name
        base = {
            **self.admin_site.each_context(request),
            "opts": self.opts,
            "title": title,
            "subtitle": None,
            "is_popup": False,
            "original": obj,
            "show_history": obj is not None,
        }
        return TemplateResponse(request, template, {**base, **context}, status=status)

    def change_view(
        self, request: HttpRequest, object_id: str, form_url: str = "", extra_context: dict[str, Any] | None = None
    ) -> HttpResponseBase:
        """The object's own page, where it has one; else the theme's form."""
        if self.page_template is None:
            response: HttpResponseBase = super().change_view(request, object_id, form_url, extra_context)
            return response
        obj = self.object_or_404(request, object_id)
        return self.render_page(
            request,
            self.page_template,
            title=str(obj),
            obj=obj,
            **self.page_context(request, obj),
            **(extra_context or {}),
        )

    def object_or_404(self, request: HttpRequest, object_id: str) -> Any:
        """The object that the person may see; 404 where this schema has none of that id."""
        obj = self.get_object(request, unquote(object_id))
        if obj is None:
            raise Http404(f"{self.opts.verbose_name} {object_id} does not exist here.")
        if not self.has_view_permission(request, obj):
            raise PermissionDenied
        return obj

    def history_view(
        self, request: HttpRequest, object_id: str, extra_context: dict[str, Any] | None = None
    ) -> HttpResponseBase:
        """What the audit chain says of this object."""
        obj = self.object_or_404(request, object_id)
        events = AuditEvent.objects.filter(subject_type=self.opts.label, subject_id=str(obj.pk))
        page = Paginator(events, 100).get_page(request.GET.get("page"))
        return self.render_page(request, "forecourt/history.html", title=f"History of {obj}", obj=obj, events=page)

    def _get_obj_does_not_exist_redirect(self, request: HttpRequest, opts: Any, object_id: str) -> HttpResponse:
        raise Http404(f"{opts.verbose_name} {object_id} does not exist here.")

    def lookup_allowed(self, lookup: str, value: Any, request: HttpRequest | None = None) -> bool:
        """As the theme, but no pattern from an address: a malformed one is an error in the database, and a slow one
        keeps it busy."""
        if lookup.endswith(("__regex", "__iregex")):
            return False
        allowed: bool = super().lookup_allowed(lookup, value, request)
        return allowed

    # --- own views -----------------------------------------------------------------------------------------------
    def own_views(self) -> list[tuple[str, str, View]]:
        """Further views of this admin: (route, name, view); the name gets the model's prefix."""
        return []

    def get_urls(self) -> list[URLPattern]:
        prefix = f"{self.opts.app_label}_{self.opts.model_name}_"
        own = [
            path(route, self.admin_site.admin_view(view), name=prefix + name) for route, name, view in self.own_views()
        ]
        urls: list[URLPattern] = own + super().get_urls()
        return urls

    def url(self, name: str, *args: Any) -> str:
        """Address of one of this admin's views."""
        return reverse(f"admin:{self.opts.app_label}_{self.opts.model_name}_{name}", args=args)

    def to_object(self, obj: models.Model) -> HttpResponseRedirect:
        """Redirect to the object's page."""
        return HttpResponseRedirect(self.url("change", obj.pk))

    def changelist_view(self, request: HttpRequest, extra_context: dict[str, Any] | None = None) -> HttpResponseBase:
        context = {"empty_hint": self.empty_hint, "list_actions": self.list_actions(request), **(extra_context or {})}
        response: HttpResponseBase = super().changelist_view(request, context)
        return response

    def list_actions(self, request: HttpRequest) -> list[tuple[str, str]]:
        """Buttons above the list: (title, address)."""
        return []


class ReadOnlyAdmin(BaseAdmin):
    """Shows; changes nothing by itself. What may change goes through a service, by POST."""

    actions = None

    def has_add_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False
