"""Public pages: apply and confirm on the platform's host, choose a password on the tenant's.

GET shows, POST does: mail scanners and previews open every link. The address of a page may hold a link's secret, so the
referrer stays on the host (``SECURE_REFERRER_POLICY``); ``no-referrer`` would make browsers post without an origin.
"""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from django.conf import settings
from django.contrib.auth import login
from django.contrib.auth.forms import SetPasswordForm
from django.contrib.auth.models import User
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect, JsonResponse
from django.shortcuts import render
from django.urls import reverse
from django.views.decorators.cache import never_cache
from django.views.decorators.debug import sensitive_post_parameters
from django.views.decorators.http import require_GET, require_http_methods

from ledger.errors import DomainError
from ledger.sites import platform_site, tenant_site
from tenants.errors import AddressRefused, LinkRefused
from tenants.forms import ApplicationForm
from tenants.services import applications, invitations
from tenants.services.addresses import TAKEN, require_free, suggest
from tenants.services.limits import allow, network_of
from tenants.services.provisioning import host_of

_HOUR, _DAY = timedelta(hours=1), timedelta(days=1)
_TOO_MANY = "Too many tries from your network. Wait an hour, then send the form again; it keeps what you wrote."


@never_cache
@require_http_methods(["GET", "HEAD", "POST"])
def apply(request: HttpRequest) -> HttpResponse:
    """The application form. Whatever e-mail address is given, the answer is the same."""
    form = ApplicationForm(request.POST or None)
    status = 200
    if request.method == "POST":
        if form.is_trapped:
            return HttpResponseRedirect(reverse("applied"))
        if form.is_valid():
            status = _submit(request, form)
            if status == 302:
                return HttpResponseRedirect(reverse("applied"))
        else:
            status = 422
    return _page(
        request,
        "tenants/apply.html",
        "Apply for Forecourt",
        status=status,
        form=form,
        domain=settings.TENANT_DOMAIN,
        kept_days=settings.APPLICATION_RETENTION_DAYS,
    )


def _submit(request: HttpRequest, form: ApplicationForm) -> int:
    """Hand a valid form in; returns 302 where the answer is “look into your mail”, else the form page's status."""
    wish = form.wish()
    try:
        if not _may_ask(request):
            return _too_many(form)
        # First: the answer to a taken address must not depend on the e-mail address, and is no application yet.
        require_free(wish.address)
        if not allow("apply-ip", network_of(request), limit=settings.APPLICATIONS_PER_IP, within=_HOUR):
            return _too_many(form)
        if allow("apply-mail", wish.email.casefold(), limit=settings.APPLICATIONS_PER_EMAIL, within=_DAY):
            applications.submit(wish=wish)
    except AddressRefused as error:
        form.add_error("address", str(error))
        return 422
    except DomainError as error:
        form.add_error(None, str(error))
        return 422
    return 302


def _too_many(form: ApplicationForm) -> int:
    form.add_error(None, _TOO_MANY)
    return 429


@never_cache
@require_GET
def applied(request: HttpRequest) -> HttpResponse:
    """What to do next; the same for everybody."""
    return _page(request, "tenants/applied.html", "Look into your mail", hours=settings.APPLICATION_CONFIRM_HOURS)


@never_cache
@require_GET
def check_address(request: HttpRequest) -> JsonResponse:
    """Whether an address may be had, as JSON; also an address from a business's name."""
    if "name" in request.GET:
        return JsonResponse({"address": suggest(request.GET["name"])})
    if not _may_ask(request):
        return JsonResponse(
            {"free": None, "message": "Too many questions; it is checked when you send the form."}, status=429
        )
    address = request.GET.get("address", "").strip()[:100]
    try:
        require_free(address)
    except AddressRefused as error:
        return JsonResponse({"free": False, "taken": str(error) == TAKEN, "message": str(error)})
    return JsonResponse({"free": True, "message": f"{address}.{settings.TENANT_DOMAIN} is free."})


@never_cache
@require_http_methods(["GET", "HEAD", "POST"])
def confirm(request: HttpRequest, token: str) -> HttpResponse:
    """The page that a confirmation mail leads to."""
    try:
        if request.method == "POST":
            application = applications.confirm(token=token)
            return _page(request, "tenants/confirmed.html", "Thank you", host=host_of(application.schema_name))
        application = applications.open_link(token=token)
    except LinkRefused as error:
        return _dead_link(request, error)
    return _page(request, "tenants/confirm.html", "Confirm your e-mail address", host=host_of(application.schema_name))


@sensitive_post_parameters()
@never_cache
@require_http_methods(["GET", "HEAD", "POST"])
def invitation(request: HttpRequest, token: str) -> HttpResponse:
    """The page that an invitation leads to: choose a password, then be signed in."""
    try:
        invited, person = invitations.open_link(token=token)
        form = SetPasswordForm(person, request.POST or None)
        if request.method == "POST" and form.is_valid():
            user = invitations.accept(token=token, password=form.cleaned_data["new_password1"])
            return _enter(request, user)
    except LinkRefused as error:
        return _dead_link(request, error)
    return _page(
        request,
        "tenants/invitation.html",
        "Choose your password",
        status=422 if request.method == "POST" else 200,
        form=form,
        username=invited.username,
        tenant_name=getattr(getattr(request, "tenant", None), "name", ""),
    )


def _enter(request: HttpRequest, user: User) -> HttpResponse:
    login(request, user, backend="django.contrib.auth.backends.ModelBackend")
    return HttpResponseRedirect(reverse("admin:index"))


def _may_ask(request: HttpRequest) -> bool:
    return allow("address", network_of(request), limit=settings.ADDRESS_CHECKS_PER_IP, within=_HOUR)


def _dead_link(request: HttpRequest, error: LinkRefused) -> HttpResponse:
    return _page(request, "tenants/dead_link.html", "This link does not work", status=410, problem=str(error))


def _page(request: HttpRequest, template: str, title: str, *, status: int = 200, **context: Any) -> HttpResponse:
    """Render a page for somebody who is not signed in, in the theme of the host's site."""
    tenant = getattr(request, "tenant", None)
    site = platform_site if tenant is None or tenant.schema_name == "public" else tenant_site
    return render(
        request, template, {**site.each_context(request), "site_url": None, "title": title, **context}, status=status
    )
