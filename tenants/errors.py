"""Errors of the tenants' domain."""

from __future__ import annotations

from ledger.errors import DomainError


class TenantRefused(DomainError):
    """A tenant cannot be made or changed as asked; the message says why."""

    code = "tenant_refused"


class UnknownTenant(DomainError):
    code = "unknown_tenant"

    def __init__(self, schema_name: str, known: list[str]) -> None:
        self.schema_name = schema_name
        names = ", ".join(known[:8]) or "none yet: make one with create_tenant"
        super().__init__(f"There is no tenant {schema_name!r}. Tenants: {names}.")


class RoleRequired(DomainError):
    """The person does not hold a role that this act needs."""

    code = "role_required"

    def __init__(self, username: str, roles: tuple[str, ...]) -> None:
        self.username, self.roles = username, roles
        super().__init__(f"{username} needs the role {' or '.join(roles)} for this. A tenant admin can grant it.")


class PlatformOperatorRequired(DomainError):
    """Only the platform's staff with the right permission decide on applications, mails and invitations."""

    code = "platform_operator_required"

    def __init__(self, username: str) -> None:
        self.username = username
        super().__init__(
            f"{username} may look at this, not decide on it. Ask a platform operator with that permission."
        )


class QueueFull(DomainError):
    """So many jobs wait that more would only wait longer."""

    code = "queue_full"

    def __init__(self, waiting: int, limit: int) -> None:
        self.waiting, self.limit = waiting, limit
        super().__init__(
            f"{waiting:,} jobs wait already (the limit is {limit:,}). See that workers run, start more of them, or "
            "dispatch again when the queue is shorter."
        )


class DispatchUnderWay(DomainError):
    """Somebody dispatches the same kind of job at this moment."""

    code = "dispatch_under_way"

    def __init__(self, kind: str) -> None:
        self.kind = kind
        super().__init__(f"A dispatch of {kind} is under way. Look at what it did before you start another one.")


class SimulationNotOffered(DomainError):
    """This incident is not simulated on this tenant."""

    code = "simulation_not_offered"


class AddressRefused(DomainError):
    """An address cannot be had: it breaks a rule, or somebody has it. The message does not say who."""

    code = "address_refused"


class LinkRefused(DomainError):
    """A mailed link does not work: never valid, used, expired, or not for this host."""

    code = "link_refused"


class MailNotSent(DomainError):
    """The mail server did not take a mail; it is kept and tried again."""

    code = "mail_not_sent"


class InvitationRefused(DomainError):
    """This person cannot be invited; the message says why."""

    code = "invitation_refused"


class BlueprintRefused(DomainError):
    """A schema holds what a script of ours would leave out; it is migrated instead of cloned."""

    code = "blueprint_refused"

    def __init__(self, schema_name: str, beyond: list[str]) -> None:
        self.schema_name, self.beyond = schema_name, beyond
        more = f" and {len(beyond) - 3} more" if len(beyond) > 3 else ""
        super().__init__(f"{schema_name} cannot be cloned: it holds {', '.join(beyond[:3])}{more}.")


class TemplateUnfit(DomainError):
    """New tenants cannot be cloned just now; the message says why."""

    code = "template_unfit"


class RolloutRefused(DomainError):
    """The fleet cannot be migrated now; the message says why."""

    code = "rollout_refused"


class BackupRefused(DomainError):
    """A backup cannot be made or restored; the message says what is wrong with it."""

    code = "backup_refused"


class AuditChainBroken(DomainError):
    """An audit chain is not what was recorded; the message names the first row, and how to find the others."""

    code = "audit_chain_broken"
