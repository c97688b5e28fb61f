"""One POST to a stranger's server: bounded in time and size, to the checked address alone."""

from __future__ import annotations

import ipaddress
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from integrations.services import webhook_post
from integrations.services.webhook_post import ANSWER_CHARACTERS, post, target_of
from integrations.tests.webhook_server import Receiver, certificate, serving
from integrations.webhook_errors import WebhookRefused


@pytest.fixture
def receiver(settings: Any) -> Iterator[Receiver]:
    settings.WEBHOOK_PRIVATE_ADDRESSES = True
    with serving() as made:
        yield made


def test_post__taken__says_status_and_the_beginning_of_the_answer(receiver: Receiver) -> None:
    answer = post(receiver.url("/as-told?a=1"), b"{}", {"X-One": "1"})
    assert (answer.ok, answer.status, answer.problem) == (True, 200, "")
    assert answer.body == "as told � <b>&", "a NUL cannot be stored"
    headers, body = receiver.got[0]
    assert (headers["X-One"], headers["Host"], body) == ("1", f"localhost:{receiver.port}", b"{}")


@pytest.mark.parametrize("status", [400, 404, 410, 500, 503])
def test_post__status_of_failure__is_not_ok(receiver: Receiver, status: int) -> None:
    receiver.status = status
    answer = post(receiver.url(), b"{}", {})
    assert (answer.ok, answer.status) == (False, status) and str(status) in answer.problem


def test_post__redirect__is_not_followed(receiver: Receiver) -> None:
    receiver.to = receiver.url("/ok")
    answer = post(receiver.url("/redirect"), b"{}", {})
    assert not answer.ok and answer.status == 302 and "Redirects are not followed" in answer.problem
    assert len(receiver.got) == 1


def test_post__huge_answer__only_its_beginning_is_read(receiver: Receiver) -> None:
    answer = post(receiver.url("/huge"), b"{}", {})
    assert answer.ok and len(answer.body) == ANSWER_CHARACTERS


@pytest.mark.parametrize("path", ["/slow", "/slow-head"])
def test_post__answer_that_trickles__ends_at_the_limit(
    receiver: Receiver, monkeypatch: pytest.MonkeyPatch, path: str
) -> None:
    monkeypatch.setattr(webhook_post, "EXCHANGE_SECONDS", 0.3)
    monkeypatch.setattr(webhook_post, "ANSWER_CHARACTERS", 10_000)
    answer = post(receiver.url(path), b"{}", {})
    assert not answer.ok and "no whole answer" in answer.problem


@pytest.mark.parametrize("path", ["/nonsense", "/drop"])
def test_post__no_http__is_told_and_nothing_raised(receiver: Receiver, path: str) -> None:
    answer = post(receiver.url(path), b"{}", {})
    assert answer.status is None and not answer.ok and "could not be read" in answer.problem


def test_post__nobody_listens__is_told(settings: Any) -> None:
    settings.WEBHOOK_PRIVATE_ADDRESSES = True
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    answer = post(f"http://127.0.0.1:{port}/", b"{}", {})
    assert not answer.ok and "nothing listens there" in answer.problem


@pytest.mark.parametrize(
    "host",
    [
        "localhost", "127.0.0.1", "2130706433", "0x7f000001", "10.1.2.3", "192.168.0.1", "169.254.169.254", "[::1]",
        "[::ffff:10.0.0.1]", "[fd00:ec2::254]", "[fe80::1]", "100.64.0.1", "0.0.0.0",  # noqa: S104
    ],
)  # fmt: skip
def test_post__private_address_in_any_form__is_refused_and_nothing_is_sent(settings: Any, host: str) -> None:
    settings.WEBHOOK_PRIVATE_ADDRESSES = False
    with serving() as receiver:
        answer = post(receiver.url("/ok", host=host), b"{}", {})
        assert not answer.ok and answer.status is None and not receiver.got
        assert "FORECOURT_WEBHOOK_PRIVATE_ADDRESSES" in answer.problem or "no such host" in answer.problem


def test_post__name_that_leads_elsewhere_the_second_time__goes_to_the_checked_address(
    receiver: Receiver, settings: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """DNS rebinding: the name is looked up once, and what was checked is what is connected to."""
    settings.WEBHOOK_PRIVATE_ADDRESSES = False
    asked, tried = [], []

    def lookup(host: str, port: Any, **more: Any) -> list[Any]:
        asked.append(host)
        address = "93.184.216.34" if len(asked) == 1 else "127.0.0.1"
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (address, 0))]

    def connect(address: tuple[str, int], **more: Any) -> socket.socket:
        tried.append(address[0])
        raise ConnectionRefusedError

    monkeypatch.setattr("integrations.services.network.socket.getaddrinfo", lookup)
    monkeypatch.setattr("integrations.services.network.socket.create_connection", connect)
    answer = post(receiver.url("/ok", host="rebinding.example.com"), b"{}", {})
    assert not answer.ok and not receiver.got
    assert (len(asked), tried) == (1, ["93.184.216.34"])
    assert ipaddress.ip_address(tried[0]).is_global


@pytest.mark.parametrize(
    "url",
    [
        "", "example.com/hook", "ftp://example.com/", "https://", "https:///path", "https://user:word@example.com/",
        "https://exa mple.com/", "https://example.com/a\nHost: evil", "https://example.com:0/", "https://example.com:99999/",
        "https://exämple.com/", "javascript:alert(1)", "https://[::1", "https://example.com/" + "a" * 500, "file:///etc/passwd",
    ],
)  # fmt: skip
def test_address__that_cannot_be_used__is_refused(url: str) -> None:
    with pytest.raises(WebhookRefused):
        target_of(url)


def test_address__plain_http__only_outside_of_production(settings: Any) -> None:
    assert target_of("http://example.com/x").authority == "example.com"
    settings.WEBHOOK_PLAIN_HTTP = False
    with pytest.raises(WebhookRefused, match="https"):
        target_of("http://example.com/x")
    assert target_of("https://example.com:8443/x?y=1").authority == "example.com:8443"


def test_post__certificates__the_right_one_is_taken_and_every_other_refused(
    settings: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings.WEBHOOK_PRIVATE_ADDRESSES = True
    good, trusted = certificate(tmp_path, "localhost")
    _, unknown = certificate(tmp_path / ".." / tmp_path.name, "127.0.0.1")
    with serving(trusted) as receiver:
        monkeypatch.delenv("SSL_CERT_FILE", raising=False)
        refused = post(receiver.url("/ok"), b"{}", {})
        assert not refused.ok and "certificate is not valid" in refused.problem and not receiver.got
        monkeypatch.setenv("SSL_CERT_FILE", str(good))
        assert post(receiver.url("/ok"), b"{}", {}).ok
        other_name = post(receiver.url("/ok", host="127.0.0.1"), b"{}", {})
        assert not other_name.ok and "certificate is not valid" in other_name.problem
    with serving(unknown) as receiver:
        assert "certificate is not valid" in post(receiver.url("/ok"), b"{}", {}).problem and not receiver.got
    stale, expired = certificate(tmp_path, "localhost", days=-1)
    monkeypatch.setenv("SSL_CERT_FILE", str(stale))
    with serving(expired) as receiver:
        assert "expired" in post(receiver.url("/ok"), b"{}", {}).problem
    with serving() as receiver:  # no TLS at all
        assert not post(receiver.url("/ok").replace("http:", "https:"), b"{}", {}).ok
