"""One URL says which Redis wakes job processes, and its password is shown nowhere."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from django.views.debug import SafeExceptionReporterFilter

from config.conf import ConfigurationError, Env
from config.redis_url import read_redis_url
from config.tests.test_doors import _manage


@pytest.mark.parametrize(
    ("url", "said"),
    [
        ("redis://redis", {"host": "redis", "port": 6379, "db": 0, "username": None, "password": None, "ssl": False}),
        ("redis://redis:6400/", {"port": 6400, "db": 0}),
        (" rediss://me:p%40s%2Fs@[::1]:1/7 ", {"host": "::1", "db": 7, "password": "p@s/s", "ssl": True}),
        ("redis://:alone@redis", {"username": None, "password": "alone"}),
        ("redis://me:both@redis", {"username": "me", "password": "both"}),
    ],
)
def test_redis_url__that_can_be_read__becomes_a_client_s_options(url: str, said: dict[str, Any]) -> None:
    found = read_redis_url(url)
    assert found is not None and {name: found[name] for name in said} == said


def test_redis_url__empty__is_none() -> None:
    assert read_redis_url("") is None and read_redis_url("  ") is None


@pytest.mark.parametrize(
    "url",
    [
        "redis.example.com:6379",
        "http://:secret@redis",
        "unix:///run/redis.sock",
        "redis://",
        "redis://:secret@",
        "redis://:secret@redis:port",
        "redis://:secret@redis:0",
        "redis://:secret@redis:99999/0",
        "redis://:secret@redis/first",
        "redis://:secret@redis/-1",
        "redis://:secret@redis/1/2",
        "redis://:secret@redis/²",
        "redis://:secret@redis?db=1",
        "redis://:sec#ret@redis",
        "redis://:secret/@redis",
        "redis://[::1",
    ],
)
def test_redis_url__that_is_none__is_refused_without_its_password(url: str) -> None:
    with pytest.raises(ConfigurationError, match="FORECOURT_REDIS_URL cannot be read: write it as") as caught:
        read_redis_url(url)
    assert "secret" not in str(caught.value) and "sec#ret" not in str(caught.value)
    assert caught.value.__suppress_context__ or caught.value.__context__ is None


def test_settings__with_a_password__show_it_neither_on_debug_pages_nor_as_text() -> None:
    url = "redis://me:s3cret@redis"
    shown = SafeExceptionReporterFilter().cleanse_setting("REDIS", read_redis_url(url))
    assert shown["host"] == "redis" and "s3cret" not in str(shown)
    secrets = {
        "FORECOURT_REDIS_URL": url,
        "DATABASE_URL": "postgresql://me:s3cret@database/n",
        "FORECOURT_EMAIL_URL": "smtp://me:s3cret@mail",
        "FORECOURT_SECRET_KEY": "s3cret",
        "FORECOURT_CREDENTIALS_KEYS": "s3cret",
        "FORECOURT_METRICS_TOKEN": "s3cret",
        "FORECOURT_GITHUB_TOKEN": "s3cret",
    }
    env = Env(**secrets)  # type: ignore[arg-type]  # by their aliases
    assert env.redis_url == url and "s3cret" not in repr(env) and "s3cret" not in str(env)


def test_commands__bad_url_or_wait__are_one_line_and_exit_2(tmp_path: Path) -> None:
    bad = {"FORECOURT_REDIS_URL": "https://:s3cret@redis"}
    ended = _manage(tmp_path, "check", **bad)
    assert ended.returncode == 2 and ended.stderr.startswith("Configuration: FORECOURT_REDIS_URL cannot be read")
    assert "s3cret" not in ended.stderr and ended.stderr.count("\n") == 1
    ended = _manage(tmp_path, "check", FORECOURT_REDIS_WAIT_SECONDS="0")
    assert ended.returncode == 2 and "FORECOURT_REDIS_WAIT_SECONDS" in ended.stderr
