"""Look and navigation of the two admin sites (django-unfold)."""

from __future__ import annotations

from typing import Any

from django.templatetags.static import static
from django.urls import reverse_lazy

_COLORS = {
    "primary": {
        "50": "240 253 250",
        "100": "204 251 241",
        "200": "153 246 228",
        "300": "94 234 212",
        "400": "45 212 191",
        "500": "13 148 136",
        "600": "15 118 110",
        "700": "17 94 89",
        "800": "19 78 74",
        "900": "17 60 58",
        "950": "4 47 46",
    }
}


def _look(subheader: str, **more: Any) -> dict[str, Any]:
    return {
        "SITE_TITLE": "Forecourt",
        "SITE_HEADER": "Forecourt",
        "SITE_SUBHEADER": subheader,
        "SITE_SYMBOL": "stacked_line_chart",
        "SITE_FAVICONS": [
            {"rel": "icon", "type": "image/svg+xml", "href": lambda request: static("forecourt/favicon.svg")}
        ],
        "STYLES": [lambda request: static("forecourt/forecourt.css")],
        "SHOW_HISTORY": True,
        "SHOW_VIEW_ON_SITE": False,
        "COLORS": _COLORS,
        **more,
    }


def _item(title: str, icon: str, url: str, **more: Any) -> dict[str, Any]:
    return {"title": title, "icon": icon, "link": reverse_lazy(url), **more}


PLATFORM = _look("Platform", SIDEBAR={"show_search": False, "show_all_applications": False, "navigation": []})
TENANT = _look("Tenant", SIDEBAR={"show_search": False, "show_all_applications": False, "navigation": []})
