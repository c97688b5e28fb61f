"""What every view of the API shares: strict parameters, keyset pages, conditional answers."""

from __future__ import annotations

from typing import Any, ClassVar

from django.db.models import Model, QuerySet
from django.http import HttpRequest
from django.utils.cache import patch_cache_control, patch_vary_headers
from django.utils.decorators import method_decorator
from django.views.decorators.http import conditional_page
from rest_framework.negotiation import DefaultContentNegotiation
from rest_framework.renderers import BaseRenderer
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.serializers import Serializer
from rest_framework.views import APIView

from ledger.api import paging
from ledger.api.errors import InvalidQuery
from ledger.api.params import Query

PAGE_PARAMS = frozenset({"cursor", "page_size", "format"})


class NamedFormats(DefaultContentNegotiation):
    """Says which formats there are where ``?format=`` names another one."""

    def filter_renderers(self, renderers: Any, format: str) -> list[BaseRenderer]:  # DRF's own name
        found = [renderer for renderer in renderers if renderer.format == format]
        if not found:
            allowed = ", ".join(renderer.format for renderer in renderers)
            message = f"format must be one of {allowed}, not {format[:40]!r}."
            raise InvalidQuery([{"parameter": "format", "message": message}])
        return found


class StrictView(APIView):
    """A read-only view whose ``query`` names every parameter it takes; ``self.params`` holds the parsed values."""

    query: ClassVar[Query] = Query()
    content_negotiation_class = NamedFormats
    params: dict[str, Any]

    def initial(self, request: Request, *args: Any, **kwargs: Any) -> None:
        super().initial(request, *args, **kwargs)  # first who calls, then what they ask
        self.params = self.query.parse(request.query_params)

    def finalize_response(self, request: Request, response: Any, *args: Any, **kwargs: Any) -> Any:
        response = super().finalize_response(request, response, *args, **kwargs)
        patch_vary_headers(response, ["Authorization", "Cookie", "Accept"])
        if not response.has_header("Cache-Control"):
            # A client may keep its copy, and must ask whether it still holds; no shared cache may keep it at all.
            patch_cache_control(response, private=True, no_cache=True)
        return response

    def filters(self) -> dict[str, Any]:
        """The parsed parameters that choose rows, for binding a cursor to them."""
        return {name: value for name, value in self.params.items() if name not in PAGE_PARAMS}


@method_decorator(conditional_page, name="dispatch")
class ConditionalView(StrictView):
    """A view of small answers: their ETag is the hash of the answer, and a repeated one is 304 without a body."""

    def dispatch(self, request: HttpRequest, *args: Any, **kwargs: Any) -> Any:
        return super().dispatch(request, *args, **kwargs)


def page_of(
    view: StrictView,
    request: Request,
    rows: QuerySet[Any],
    *,
    key: tuple[str, ...],
    serializer: type[Serializer[Any]],
) -> Response:
    """Answer one page of ``rows`` (filtered, ordered, after the cursor); the next cursor is made of ``key``."""
    size: int = view.params["page_size"]
    found: list[Model] = list(rows[: size + 1])
    shown = found[:size]
    cursor = None
    if len(found) > size:
        last = shown[-1]
        cursor = paging.encode([_plain(getattr(last, name)) for name in key], filters=view.filters())
    return Response({"next": paging.next_url(request, cursor), "results": serializer(shown, many=True).data})


def _plain(value: Any) -> Any:
    return value if isinstance(value, int) else value.isoformat() if hasattr(value, "isoformat") else str(value)
