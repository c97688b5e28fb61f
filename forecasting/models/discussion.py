"""What people say about a request, who is owed a mail about it, and who does not want any."""

from __future__ import annotations

from django.conf import settings
from django.db import models
from django.db.models import Q

from forecasting.models.assignment import ChampionAssignment
from forecasting.models.promotion import PromotionRequest


class PromotionComment(models.Model):
    """A remark on a request; never changed or deleted. The author's name is frozen."""

    request = models.ForeignKey(PromotionRequest, on_delete=models.PROTECT, related_name="comments")
    text = models.TextField()
    author = models.ForeignKey(
        settings.AUTH_USER_MODEL, null=True, blank=True, on_delete=models.SET_NULL, related_name="+"
    )
    author_name = models.CharField(max_length=150)
    at = models.DateTimeField(auto_now_add=True)

    class Meta:
        ordering = ["pk"]
        constraints = [
            models.CheckConstraint(
                condition=~Q(text="") & ~Q(author_name=""), name="forecasting_comment_says_something"
            )
        ]

    def __str__(self) -> str:
        return f"Comment {self.pk} on request {self.request_id}"


class PromotionNotice(models.Model):
    """One person is told of one event: what their mail is written from when it is sent."""

    event = models.CharField(max_length=60)
    request = models.ForeignKey(
        PromotionRequest, null=True, blank=True, on_delete=models.PROTECT, related_name="notices"
    )
    assignment = models.ForeignKey(
        ChampionAssignment, null=True, blank=True, on_delete=models.PROTECT, related_name="notices"
    )
    comment = models.ForeignKey(
        PromotionComment, null=True, blank=True, on_delete=models.PROTECT, related_name="notices"
    )
    recipient = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.CASCADE, related_name="+")
    at = models.DateTimeField(auto_now_add=True)

    class Meta:
        ordering = ["-pk"]
        constraints = [
            models.CheckConstraint(
                condition=Q(request__isnull=False) | Q(assignment__isnull=False),
                name="forecasting_notice_about_something",
            )
        ]

    def __str__(self) -> str:
        return f"Notice {self.pk}: {self.event}"


class MailPreference(models.Model):
    """Whether a person wants mails about promotions; without a row they do."""

    user = models.OneToOneField(settings.AUTH_USER_MODEL, on_delete=models.CASCADE, related_name="+")
    wanted = models.BooleanField(default=True)
    changed_at = models.DateTimeField(auto_now=True)

    def __str__(self) -> str:
        return f"Mails of user {self.user_id}: {'on' if self.wanted else 'off'}"
