"""Remarks on a request, and whether a person wants mails about requests."""

from __future__ import annotations

from django.contrib.auth.models import AbstractBaseUser, User
from django.db import transaction

from forecasting.errors import RequestNotFound
from forecasting.errors_promotion import CommentRefused
from forecasting.models import MailPreference, PromotionComment, PromotionRequest
from forecasting.services.announcing import COMMENTED, announce_comment
from ledger.services.audit import actor_name, record
from tenants.errors import RoleRequired
from tenants.roles import Role, require_role

COMMENT_CHARACTERS = 4000
COMMENTERS = (Role.REVIEWER, Role.ANALYST, Role.TENANT_ADMIN)


@transaction.atomic
def comment_on_request(*, request_id: int, actor: AbstractBaseUser | None, text: str) -> PromotionComment:
    """Add a remark to a request, decided or not; it is kept as it is.

    Needs reviewer, analyst or tenant_admin. Raises ``CommentRefused``, ``RequestNotFound``, ``RoleRequired``.
    """
    if actor is None:
        raise RoleRequired(actor_name(actor), tuple(role.value for role in COMMENTERS))
    require_role(actor, *COMMENTERS)
    said = text.replace("\x00", "").strip()
    if not any(sign.isalnum() for sign in said):
        raise CommentRefused("Write something: a remark is shown to everyone who looks at this request.")
    if len(said) > COMMENT_CHARACTERS:
        raise CommentRefused(
            f"A remark has up to {COMMENT_CHARACTERS:,} signs; this one has {len(said):,}. Shorten it."
        )
    request = PromotionRequest.objects.select_related("candidate").filter(pk=request_id).first()
    if request is None:
        raise RequestNotFound(request_id)
    comment = PromotionComment.objects.create(
        request=request, text=said, author_id=actor.pk, author_name=actor_name(actor)
    )
    record(event=COMMENTED, actor=actor, subject=request, data={"comment": comment.pk, "text": said})
    announce_comment(comment=comment, actor=actor)
    return comment


@transaction.atomic
def set_mail_preference(*, actor: AbstractBaseUser, wanted: bool) -> MailPreference:
    """Whether this person gets mails about promotions; everybody decides for themselves."""
    person = User.objects.select_for_update().get(pk=actor.pk)
    preference, _ = MailPreference.objects.update_or_create(user=person, defaults={"wanted": wanted})
    record(event="mails.preference_changed", actor=actor, subject=person, data={"wanted": wanted})
    return preference


def wants_mails(user: AbstractBaseUser) -> bool:
    """Whether this person gets mails about promotions."""
    return not MailPreference.objects.filter(user_id=user.pk, wanted=False).exists()
