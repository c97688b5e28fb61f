"""One URL says where mail goes."""

from __future__ import annotations

from pathlib import Path

import pytest

from config.conf import ConfigurationError
from config.mail import read_email_url
from config.tests.test_doors import _manage

DATA = Path("/data")


def test_email_url__smtp_with_tls__has_host_port_and_a_decoded_password() -> None:
    found = read_email_url("smtp://me:p%40ss@mail.example.com:2525/?tls=true", data_dir=DATA, production=True)
    assert (found["EMAIL_HOST"], found["EMAIL_PORT"], found["EMAIL_USE_TLS"]) == ("mail.example.com", 2525, True)
    assert (found["EMAIL_HOST_USER"], found["EMAIL_HOST_PASSWORD"]) == ("me", "p@ss")


@pytest.mark.parametrize(
    ("url", "port", "ssl"),
    [("smtps://h", 465, True), ("smtp://h/?tls=true", 587, False), ("smtp://h", 25, False)],
)
def test_email_url__without_a_port__has_the_scheme_s_own(url: str, port: int, ssl: bool) -> None:
    found = read_email_url(url, data_dir=DATA, production=True)
    assert (found["EMAIL_PORT"], found["EMAIL_USE_SSL"]) == (port, ssl)


def test_email_url__none__is_files_in_development_and_nothing_in_production() -> None:
    assert read_email_url(None, data_dir=DATA, production=False)["EMAIL_FILE_PATH"] == "/data/mail"
    assert read_email_url("file:/var/mails", data_dir=DATA, production=True)["EMAIL_FILE_PATH"] == "/var/mails"
    assert read_email_url("", data_dir=DATA, production=True) == {"EMAIL_CONFIGURED": False}


@pytest.mark.parametrize(
    "url",
    [
        "mail.example.com",
        "smtp://me:secret@host:port/",
        "smtp://",
        "smtps://me:secret@h/?tls=true",
        "http://h",
        "smtp://h?tls=1",
    ],
)
def test_email_url__that_is_none__is_refused_without_its_password(url: str) -> None:
    with pytest.raises(ConfigurationError, match="FORECOURT_EMAIL_URL") as caught:
        read_email_url(url, data_dir=DATA, production=True)
    assert "secret" not in str(caught.value)


def test_deploy_check__production_without_a_mail_server__names_the_setting(tmp_path: Path) -> None:
    common = {"FORECOURT_MODE": "production", "FORECOURT_SECRET_KEY": "x1y2z3" * 12, "DATABASE_URL": "postgres://h/n"}
    ended = _manage(tmp_path, "check", "--deploy", FORECOURT_EMAIL_URL="", **common)
    assert ended.returncode == 1
    assert "tenants.E001" in ended.stderr and "FORECOURT_EMAIL_URL" in ended.stderr
    ended = _manage(tmp_path, "check", "--deploy", FORECOURT_EMAIL_URL="smtps://mail.example.com", **common)
    assert "tenants.E001" not in ended.stderr
