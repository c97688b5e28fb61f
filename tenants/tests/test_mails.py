"""Mails that a dead server cannot lose, and that are not sent twice."""

from __future__ import annotations

import socket
import socketserver
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import timedelta
from typing import Any

import pytest
from django.core import mail
from django.core.mail import EmailMessage
from django.core.mail.backends.base import BaseEmailBackend
from django.utils import timezone

from ledger.errors import TransitionRefused
from ledger.models import AuditEvent, Run, RunState
from tenants.errors import PlatformOperatorRequired
from tenants.models import MailState, OutgoingMail, TenantApplication
from tenants.services import applications, mails
from tenants.tests.application_world import FORM, browser, make_operator, make_wish, work_mails

SMTP = "django.core.mail.backends.smtp.EmailBackend"


def _dead_server(settings: Any) -> None:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    settings.EMAIL_BACKEND, settings.EMAIL_HOST, settings.EMAIL_PORT, settings.EMAIL_TIMEOUT = (
        SMTP,
        "127.0.0.1",
        port,
        2,
    )


@contextmanager
def refusing_server() -> Iterator[int]:
    """A mail server that answers every recipient with a refusal which repeats the address; yields its port."""

    class Refusal(socketserver.StreamRequestHandler):
        def handle(self) -> None:
            self.wfile.write(b"220 here\r\n")
            for line in self.rfile:
                word = line[:4].upper()
                answer = (
                    b"550 no mailbox " + line.strip()
                    if word == b"RCPT"
                    else b"221 bye"
                    if word == b"QUIT"
                    else b"250 ok"
                )
                self.wfile.write(answer + b"\r\n")
                if word == b"QUIT":
                    return

    with socketserver.ThreadingTCPServer(("127.0.0.1", 0), Refusal) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
        thread.start()
        try:
            yield server.server_address[1]
        finally:
            server.shutdown()
            thread.join()


def test_mail__server_is_dead__form_works_mail_waits_and_goes_out_later(db: None, settings: Any) -> None:
    working = settings.EMAIL_BACKEND
    _dead_server(settings)
    assert browser().post("/apply/", FORM).status_code == 302
    work_mails()
    owed = OutgoingMail.objects.get()
    assert (owed.state, owed.attempts) == (MailState.WAITING, 1) and "ConnectionRefused" in owed.error
    assert Run.objects.get(kind=mails.SEND).state == RunState.FAILED
    assert mails.send_due() == 0, "not before its pause is over"
    OutgoingMail.objects.update(next_attempt_at=timezone.now() - timedelta(seconds=1))
    settings.EMAIL_BACKEND = working
    assert (mails.send_due(), mails.send_due()) == (1, 0), "queued once"
    work_mails()
    owed.refresh_from_db()
    assert (owed.state, owed.attempts, owed.error, len(mail.outbox)) == (MailState.SENT, 2, "", 1)


def test_mail__server_names_the_recipient_in_its_refusal__chain_and_run_do_not(db: None, settings: Any) -> None:
    with refusing_server() as port:
        settings.EMAIL_BACKEND, settings.EMAIL_HOST, settings.EMAIL_PORT = SMTP, "127.0.0.1", port
        applications.submit(wish=make_wish())
        work_mails()
    assert "ann@example.com" in OutgoingMail.objects.get().error
    kept = str(list(Run.objects.values())) + str(list(AuditEvent.objects.values()))
    assert "run.failed" in kept and "ann@example.com" not in kept


class BrokenBackend(BaseEmailBackend):
    def send_messages(self, email_messages: Sequence[EmailMessage]) -> int:
        raise RuntimeError("a fault of ours")


def test_mail__sending_crashes__waits_its_pause_and_fails_in_the_end(db: None, settings: Any) -> None:
    settings.EMAIL_BACKEND = f"{__name__}.BrokenBackend"
    applications.submit(wish=make_wish())
    work_mails()
    owed = OutgoingMail.objects.get()
    assert (owed.state, owed.attempts, mails.send_due()) == (
        MailState.WAITING,
        1,
        0,
    ) and "a fault of ours" in owed.error
    for _ in mails.PAUSES:
        with pytest.raises(RuntimeError):
            mails.deliver(mail_id=owed.pk)
    owed.refresh_from_db()
    assert owed.state == mails.deliver(mail_id=owed.pk) == MailState.FAILED


def test_mail__every_attempt_failed__is_shown_as_failed_and_sent_again_by_an_operator(db: None, settings: Any) -> None:
    working = settings.EMAIL_BACKEND
    _dead_server(settings)
    applications.submit(wish=make_wish())
    for _ in range(len(mails.PAUSES) + 1):
        OutgoingMail.objects.update(next_attempt_at=timezone.now())
        mails.send_due()
        work_mails()
    owed = OutgoingMail.objects.get()
    assert owed.state == MailState.FAILED and mails.send_due() == 0
    settings.EMAIL_BACKEND = working
    with pytest.raises(PlatformOperatorRequired):
        mails.send_again(mail_id=owed.pk, actor=None)
    mails.send_again(mail_id=owed.pk, actor=make_operator())
    work_mails()
    owed.refresh_from_db()
    assert owed.state == MailState.SENT and len(mail.outbox) == 1


def test_mail__job_delivered_twice__is_sent_once(db: None) -> None:
    applications.submit(wish=make_wish())
    owed = OutgoingMail.objects.get()
    assert [mails.deliver(mail_id=owed.pk) for _ in range(2)] == [MailState.SENT] * 2
    assert len(mail.outbox) == 1
    assert mails.deliver(mail_id=987654) == "gone"


def test_mail__no_server_configured__waits_and_names_the_setting(db: None, settings: Any) -> None:
    settings.EMAIL_CONFIGURED = False
    applications.submit(wish=make_wish())
    work_mails()
    assert "FORECOURT_EMAIL_URL" in OutgoingMail.objects.get().error and not mail.outbox


def test_mail__nobody_needs_it_any_more__is_dropped_and_stays_so(db: None) -> None:
    applications.submit(wish=make_wish())
    TenantApplication.objects.update(link_expires_at=timezone.now())
    work_mails()
    owed = OutgoingMail.objects.get()
    assert owed.state == MailState.DROPPED and not mail.outbox
    with pytest.raises(TransitionRefused):
        mails.send_again(mail_id=owed.pk, actor=make_operator())


def test_mail__text__lies_nowhere_in_the_database(db: None) -> None:
    applications.submit(wish=make_wish())
    work_mails()
    token = str(mail.outbox[0].body).split("/confirm/")[1].split("/")[0]
    kept = str(list(OutgoingMail.objects.values())) + str(list(Run.objects.values("inputs", "outputs")))
    assert token not in kept
