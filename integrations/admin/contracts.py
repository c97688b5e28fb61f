"""Versions of contracts: shown, compared, activated, taken in and out."""

from __future__ import annotations

import json
from typing import Any

import yaml
from django.contrib import admin, messages
from django.contrib.admin import display
from django.core.exceptions import PermissionDenied
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse, HttpResponseBase
from django.utils.safestring import SafeString

from integrations.admin.contract_forms import ActivateForm, ImportForm
from integrations.engine.changes import ContractChanges
from integrations.engine.findings import Finding, Severity
from integrations.engine.odcs import to_odcs
from integrations.errors import BreakingChangeUnconfirmed, ContractAltered, ContractUnusable
from integrations.models import Contract
from integrations.models.source import CONTRACT_TRANSITIONS, ContractState
from integrations.services.contract_import import import_contract
from integrations.services.contracts import activate_contract, compare_versions, contract_of
from ledger.admin.base import ReadOnlyAdmin, View
from ledger.errors import DomainError
from ledger.sites import tenant_site
from ledger.templatetags.forecourt import badge, moment

_MANAGE = "integrations.change_source"
_STATUS = {ContractState.DRAFT: "draft", ContractState.ACTIVE: "active", ContractState.SUPERSEDED: "deprecated"}
_MAX_MESSAGES = 8


@admin.register(Contract, site=tenant_site)
class ContractAdmin(ReadOnlyAdmin):
    """Versions of data contracts: immutable once active."""

    list_display = ["label", "state_badge", "created", "saved_by", "activated", "in_force_by"]
    list_filter = ["state", "source"]
    list_select_related = ["source"]
    search_fields = ["source__name", "sha256", "created_by_name"]
    search_help_text = "Source, hash or person"
    page_template = "forecourt/contract.html"
    empty_hint = "A contract comes with the first data: bring in data, or import a contract that you have."

    def get_queryset(self, request: HttpRequest) -> QuerySet[Contract]:
        contracts: QuerySet[Contract] = super().get_queryset(request).select_related("source")
        return contracts

    @display(description="Contract", ordering="source__name")
    def label(self, contract: Contract) -> str:
        return str(contract)

    @display(description="State", ordering="state")
    def state_badge(self, contract: Contract) -> SafeString:
        return badge(contract.state)

    @display(description="Saved", ordering="created_at")
    def created(self, contract: Contract) -> str:
        return moment(contract.created_at)

    @display(description="Saved by", ordering="created_by_name")
    def saved_by(self, contract: Contract) -> str:
        return contract.created_by_name

    @display(description="Activated by", ordering="activated_by_name")
    def in_force_by(self, contract: Contract) -> str:
        return contract.activated_by_name or "–"

    @display(description="Activated", ordering="activated_at")
    def activated(self, contract: Contract) -> str:
        return moment(contract.activated_at)

    def own_views(self) -> list[tuple[str, str, View]]:
        return [
            ("import/", "import", self.import_view),
            ("<path:object_id>/activate/", "activate", self.activate_view),
            ("<path:object_id>/compare/", "compare", self.compare_view),
            ("<path:object_id>/download/", "download", self.download_view),
        ]

    def list_actions(self, request: HttpRequest) -> list[tuple[str, str]]:
        return [("Import a contract", self.url("import"))] if request.user.has_perm(_MANAGE) else []

    def page_context(self, request: HttpRequest, obj: Contract) -> dict[str, Any]:
        can_activate = ContractState.ACTIVE in CONTRACT_TRANSITIONS[obj.state] and request.user.has_perm(_MANAGE)
        return {
            "contract": obj,
            "text": _as_yaml(obj.body),
            "can_activate": can_activate,
            "has_others": obj.source.contracts.exclude(pk=obj.pk).exists(),
            "batches": obj.batches.all()[:20],
        }

    # --- into force ----------------------------------------------------------------------------------------------
    def activate_view(self, request: HttpRequest, object_id: str) -> HttpResponseBase:
        """Make this version the one that new files come under: GET shows what it breaks and asks, POST does it."""
        contract: Contract = self.object_or_404(request, object_id)
        if not request.user.has_perm(_MANAGE):
            raise PermissionDenied
        active = contract.source.active_contract
        changes, problem = _compared(active, contract)
        form = ActivateForm(request.POST or None, changes=changes)
        if request.method == "POST" and form.is_valid():
            given = form.cleaned_data
            try:
                activate_contract(
                    contract_id=contract.pk,
                    reason=given["reason"],
                    confirmed=given.get("confirmed"),
                    actor=request.user,  # type: ignore[arg-type]  # logged in here
                )
            except BreakingChangeUnconfirmed as refused:
                return self._ask_again(request, contract, refused)
            except DomainError as error:
                form.add_error(None, str(error))
            else:
                messages.success(
                    request, f"New files of {contract.source.name} come under version {contract.version} now."
                )
                return self.to_object(contract)
        return self._activation_page(request, contract, form, changes, problem)

    def _ask_again(
        self, request: HttpRequest, contract: Contract, refused: BreakingChangeUnconfirmed
    ) -> HttpResponseBase:
        """The list is another one than the person saw: show it, with the reason kept and nothing ticked."""
        kept = {"reason": request.POST.get("reason", ""), "confirmed": refused.changes.digest}
        form = ActivateForm(kept, changes=refused.changes)
        form.is_valid()
        form.add_error(None, "What is in force changed meanwhile. Nothing was activated: read the list below again.")
        return self._activation_page(request, contract, form, refused.changes, "")

    def _activation_page(
        self,
        request: HttpRequest,
        contract: Contract,
        form: ActivateForm,
        changes: ContractChanges | None,
        problem: str,
    ) -> HttpResponseBase:
        lines = ["The version in force so far is superseded; it stays and can be activated again."]
        if changes is None and not problem:
            lines = ["It is the source's first version in force, so there is nothing that it could break."]
        return self.render_page(
            request,
            "forecourt/contract_activate.html",
            title=f"Activate {contract}",
            obj=contract,
            form=form,
            lead=f"New files of {contract.source.name} will be read under version {contract.version}.",
            lines=lines,
            changes=changes,
            problem=problem,
            submit="Activate it",
            danger=changes is not None and changes.breaking,
            back=self.url("change", contract.pk),
        )

    # --- side by side --------------------------------------------------------------------------------------------
    def compare_view(self, request: HttpRequest, object_id: str) -> HttpResponseBase:
        """What differs between this version and another of the same source: the active one, or the one asked for."""
        contract: Contract = self.object_or_404(request, object_id)
        others = list(contract.source.contracts.exclude(pk=contract.pk))
        wanted = request.GET.get("with", "")
        fitting = [other for other in others if str(other.pk) == wanted]
        fitting += [other for other in others if other.state == ContractState.ACTIVE]
        fitting += [other for other in others if other.version < contract.version] + others
        before = fitting[0] if fitting else None
        changes, problem = _compared(before, contract)
        return self.render_page(
            request,
            "forecourt/contract_compare.html",
            title=f"Compare {contract}",
            obj=contract,
            contract=contract,
            before=before,
            others=others,
            changes=changes,
            problem=problem,
        )

    # --- in and out ----------------------------------------------------------------------------------------------
    def import_view(self, request: HttpRequest) -> HttpResponseBase:
        """Take a contract in as a draft version: GET asks for it, POST saves it or says what to mend."""
        if not request.user.has_perm(_MANAGE):
            raise PermissionDenied
        form = ImportForm(request.POST or None, request.FILES or None)
        findings: tuple[Finding, ...] = ()
        if request.method == "POST" and form.is_valid():
            content: bytes = form.cleaned_data["content"]
            try:
                imported = import_contract(text=content, actor=request.user)  # type: ignore[arg-type]  # logged in here
            except ContractUnusable as refused:
                findings = refused.findings
                form = _with_text(content)
            except DomainError as error:
                form = _with_text(content)
                form.add_error(None, str(error))
            else:
                messages.success(request, f"Saved as {imported.row}. Compare it, then activate it.")
                _tell(request, imported.findings)
                return self.to_object(imported.row)
        return self.render_page(
            request,
            "forecourt/contract_import.html",
            title="Import a contract",
            form=form,
            findings=findings,
            back=self.url("changelist"),
        )

    def download_view(self, request: HttpRequest, object_id: str) -> HttpResponseBase:
        """The contract as a file: YAML, or ``?as=json``, or ``?as=odcs`` (Open Data Contract Standard)."""
        contract: Contract = self.object_or_404(request, object_id)
        name, kind = f"{contract.source.name}-v{contract.version}", request.GET.get("as", "yaml")
        if kind == "json":
            text, ending, content = json.dumps(contract.body, indent=2, ensure_ascii=False), "json", "application/json"
        elif kind == "odcs":
            try:
                document = to_odcs(
                    contract_of(contract), version=contract.version, status=_STATUS[ContractState(contract.state)]
                )
            except ContractAltered as error:
                messages.error(request, str(error))
                return self.to_object(contract)
            text, ending, content = _as_yaml(document), "odcs.yaml", "application/yaml"
        else:
            text, ending, content = _as_yaml(contract.body), "yaml", "application/yaml"
        headers = {"Content-Disposition": f'attachment; filename="{name}.{ending}"'}
        return HttpResponse(text, content_type=f"{content}; charset=utf-8", headers=headers)


def _compared(before: Contract | None, after: Contract) -> tuple[ContractChanges | None, str]:
    """The changes, or why there are none to show."""
    if before is None or before.pk == after.pk:
        return None, ""
    try:
        return compare_versions(before=before, after=after), ""
    except ContractAltered as error:
        return None, str(error)


def _with_text(content: bytes) -> ImportForm:
    """The form with the text that was read, to be mended in place."""
    form = ImportForm({"text": content.decode("utf-8-sig", "replace").replace("\x00", "\ufffd")})
    form.is_valid()
    return form


def _tell(request: HttpRequest, findings: tuple[Finding, ...]) -> None:
    """What was left out or assumed, as messages."""
    for found in findings[:_MAX_MESSAGES]:
        level = messages.INFO if found.severity is Severity.INFO else messages.WARNING
        messages.add_message(request, level, f"{found.message} {found.fix}".strip())
    if len(findings) > _MAX_MESSAGES:
        messages.warning(request, f"And {len(findings) - _MAX_MESSAGES} more: compare the contract with the document.")


def _as_yaml(values: Any) -> str:
    text: str = yaml.safe_dump(values, sort_keys=False, allow_unicode=True)
    return text
