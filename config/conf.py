"""Every setting that comes from the environment, with its type, default and meaning.

``docs/settings.md`` is made from this file (``manage.py settings_table``).
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal
from urllib.parse import urlsplit

import dj_database_url
from pydantic import Field, ValidationError
from pydantic_settings import BaseSettings, SettingsConfigDict

BASE_DIR = Path(__file__).resolve().parent.parent


class ConfigurationError(Exception):
    """A setting has a value that cannot be used; the message names it and says what it takes."""


class Env(BaseSettings):
    """Settings read from environment variables; the variable's name is the alias."""

    model_config = SettingsConfigDict(extra="ignore", populate_by_name=True)

    mode: Literal["development", "production"] = Field(
        "development",
        alias="FORECOURT_MODE",
        description="`production` turns on HTTPS redirects, secure cookies and HSTS, and asks for a secret key.",
    )
    debug: bool = Field(False, alias="FORECOURT_DEBUG", description="Django's debug pages. Never on a reachable host.")
    database_url: str | None = Field(
        None,
        alias="DATABASE_URL",
        repr=False,
        description="`postgresql://…` of a PostgreSQL ≥ 15. Empty: an embedded PostgreSQL under the data folder. "
        "Session pooling only: the tenant's search path is set once per session.",
    )
    data_dir: Path = Field(
        BASE_DIR / ".data",
        alias="FORECOURT_DATA_DIR",
        description="Folder of the embedded PostgreSQL, artifacts, demo files and generated secrets.",
    )
    database_name: str = Field(
        "forecourt", alias="FORECOURT_DATABASE_NAME", description="Database name in the embedded PostgreSQL."
    )
    secret_key: str | None = Field(
        None,
        alias="FORECOURT_SECRET_KEY",
        repr=False,
        description="Signing key, at least 50 characters. In development made up once and kept in the data folder.",
    )
    allowed_hosts: str = Field(
        ".localhost,localhost,127.0.0.1",
        alias="FORECOURT_ALLOWED_HOSTS",
        description="Comma-separated host names; a leading dot admits every tenant's subdomain.",
    )
    platform_host: str = Field(
        "localhost", alias="FORECOURT_PLATFORM_HOST", description="Host of the platform site (public schema)."
    )
    tenant_domain: str = Field(
        "localhost", alias="FORECOURT_TENANT_DOMAIN", description="Tenants live at `<tenant>.<this domain>`."
    )
    port: int = Field(8000, ge=1, le=65535, alias="PORT", description="Port of `make run` and of the web entry point.")
    bind: str = Field(
        "127.0.0.1",
        alias="FORECOURT_BIND",
        description="Address that the web entry point listens on; `0.0.0.0` behind a proxy or in a container.",
    )
    web_threads: int = Field(8, ge=1, alias="FORECOURT_WEB_THREADS", description="Threads of the web process.")
    workers: int = Field(
        2, ge=1, alias="FORECOURT_WORKERS", description="Processes of one worker host that do long jobs."
    )
    short_workers: int = Field(
        1, ge=1, alias="FORECOURT_SHORT_WORKERS", description="Processes of one worker host that do short jobs."
    )
    tenant_jobs: int = Field(
        2,
        ge=1,
        alias="FORECOURT_TENANT_JOBS",
        description="Most jobs of one tenant that are at work at once in one queue, over all hosts.",
    )
    queue_limit: int = Field(
        5000,
        ge=1,
        alias="FORECOURT_QUEUE_LIMIT",
        description="Waiting jobs at which schedules hold off and a dispatch by hand is refused.",
    )
    redis_url: str = Field(
        "",
        alias="FORECOURT_REDIS_URL",
        repr=False,
        description="`redis://user:password@host:6379/0`, or `rediss://…` for TLS, of a Redis (6 or newer) that wakes "
        "idle job processes as soon as there is a job; jobs stay in the database. For web and workers alike. Empty: "
        "each idle process looks into the database every half second.",
    )
    redis_wait_seconds: float = Field(
        5.0,
        ge=0.5,
        le=3600,
        alias="FORECOURT_REDIS_WAIT_SECONDS",
        description="With a Redis: how long an idle job process waits to be woken until it looks by itself.",
    )
    stop_seconds: float = Field(
        20.0,
        gt=0,
        alias="FORECOURT_STOP_SECONDS",
        description="How long a worker that is told to stop lets its jobs finish; then it hands them back.",
    )
    cancel_seconds: float = Field(
        15.0,
        gt=0,
        alias="FORECOURT_CANCEL_SECONDS",
        description="How long a cancelled job may go on until it looks; then its process is ended.",
    )
    train_processes: int = Field(
        2, ge=1, alias="FORECOURT_TRAIN_PROCESSES", description="Processes that one training run may use."
    )
    segment_series: int = Field(
        1000,
        ge=1,
        alias="FORECOURT_SEGMENT_SERIES",
        description="Most series that are fitted together; the memory of a training process follows it.",
    )
    dask_scheduler_address: str = Field(
        "",
        alias="DASK_SCHEDULER_ADDRESS",
        description="`tcp://host:8786` of a Dask scheduler whose workers train. Empty: processes of this machine.",
    )
    job_timeout: int = Field(
        3600, ge=10, alias="FORECOURT_JOB_TIMEOUT", description="Seconds after which a job is stopped."
    )
    job_retry: int = Field(
        3900,
        ge=11,
        alias="FORECOURT_JOB_RETRY",
        description="Seconds after which an unacknowledged job is delivered again; must exceed the timeout.",
    )
    heartbeat_seconds: float = Field(
        5.0, gt=0, alias="FORECOURT_RUN_HEARTBEAT_SECONDS", description="How often a running job signs that it lives."
    )
    lost_after_seconds: float = Field(
        60.0,
        gt=0,
        alias="FORECOURT_RUN_LOST_AFTER_SECONDS",
        description="A running job without a heartbeat for this long is marked lost and retried.",
    )
    schedules: bool = Field(
        True,
        alias="FORECOURT_SCHEDULES",
        description="Whether this host's worker starts what the declared schedules have due in each tenant.",
    )
    trusted_origins: str = Field(
        "",
        alias="FORECOURT_CSRF_TRUSTED_ORIGINS",
        description="Comma-separated origins (`https://*.example.com`) for form posts behind a proxy.",
    )
    upload_max_mb: int = Field(
        512, ge=1, alias="FORECOURT_UPLOAD_MAX_MB", description="Largest file an ingest takes, in MiB."
    )
    credentials_keys: str = Field(
        "",
        alias="FORECOURT_CREDENTIALS_KEYS",
        repr=False,
        description="Comma-separated keys (32 random bytes in URL-safe Base64 each) that encrypt the credentials of "
        "connections; the newest stands first, older ones still decrypt. In development made up once and kept in the "
        "data folder.",
    )
    sftp_private_addresses: bool | None = Field(
        None,
        alias="FORECOURT_SFTP_PRIVATE_ADDRESSES",
        description="Whether a tenant's SFTP server may stand at a private, loopback or link-local address. "
        "Unset: in development yes, in production no.",
    )
    webhook_private_addresses: bool = Field(
        False,
        alias="FORECOURT_WEBHOOK_PRIVATE_ADDRESSES",
        description="Whether a tenant's webhooks may go to private, loopback, link-local or metadata addresses.",
    )
    email_url: str | None = Field(
        None,
        alias="FORECOURT_EMAIL_URL",
        repr=False,
        description="`smtp://user:password@host:587/?tls=true`, `smtps://…`, `file:` (or `file:/folder`), `console:`. "
        "Empty: files in the data folder's `mail/` in development; production cannot send without it.",
    )
    email_from: str = Field(
        "Forecourt <no-reply@localhost>",
        alias="FORECOURT_EMAIL_FROM",
        description="Sender of every mail, such as `Forecourt <no-reply@example.com>`.",
    )
    applications_per_ip: int = Field(
        5, ge=1, alias="FORECOURT_APPLICATIONS_PER_IP", description="Applications that one network may send in an hour."
    )
    applications_per_email: int = Field(
        3,
        ge=1,
        alias="FORECOURT_APPLICATIONS_PER_EMAIL",
        description="Applications with one e-mail address in a day that lead to a mail.",
    )
    address_checks_per_ip: int = Field(
        300,
        ge=1,
        alias="FORECOURT_ADDRESS_CHECKS_PER_IP",
        description="How often one network may ask in an hour whether an address is free.",
    )
    trusted_proxies: int = Field(
        0,
        ge=0,
        alias="FORECOURT_TRUSTED_PROXIES",
        description="Number of own proxies in front that append to `X-Forwarded-For`. 0: the header is not believed.",
    )
    application_confirm_hours: int = Field(
        48,
        ge=1,
        alias="FORECOURT_APPLICATION_CONFIRM_HOURS",
        description="Hours in which an applicant may confirm the e-mail address; afterwards the application expires.",
    )
    invitation_days: int = Field(
        7, ge=1, alias="FORECOURT_INVITATION_DAYS", description="Days for which an invitation's link works."
    )
    application_retention_days: int = Field(
        30,
        ge=0,
        alias="FORECOURT_APPLICATION_RETENTION_DAYS",
        description="Days that an ended application's personal data are kept; `purge_applications` deletes them.",
    )
    kept_files_days: int = Field(
        90,
        ge=1,
        alias="FORECOURT_KEPT_FILES_DAYS",
        description="Days that the originals of a delivery with rejected rows are kept at most.",
    )
    revision: str = Field(
        "",
        alias="FORECOURT_REVISION",
        description="Revision of the code, kept with every trained version. Empty: the commit that is checked out.",
    )
    github_api: str = Field(
        "https://api.github.com",
        alias="FORECOURT_GITHUB_API",
        description="Address of GitHub's REST API (GitHub Enterprise: `https://host/api/v3`).",
    )
    github_repository: str = Field(
        "",
        alias="FORECOURT_GITHUB_REPOSITORY",
        description="`owner/name` of the repository whose rules on `main` the productization tracker checks.",
    )
    github_token: str = Field(
        "",
        alias="FORECOURT_GITHUB_TOKEN",
        repr=False,
        description="Token that may read the repository's metadata. Empty: that row of the tracker is blocked.",
    )
    metrics_token: str = Field(
        "",
        alias="FORECOURT_METRICS_TOKEN",
        repr=False,
        description="Bearer token that `/metrics` asks for. Empty: only this machine may ask, not through a proxy.",
    )
    log_level: Literal["DEBUG", "INFO", "WARNING", "ERROR"] = Field(
        "INFO", alias="FORECOURT_LOG_LEVEL", description="Log level; every record carries its tenant."
    )
    test_database: str = Field(
        "test_forecourt", alias="FORECOURT_TEST_DATABASE", description="Name of the database that the tests make."
    )


def read_env() -> Env:
    """Read the environment; raise ``ConfigurationError`` naming each variable that cannot be used."""
    try:
        return Env()
    except ValidationError as error:
        lines = [f"{'.'.join(str(part) for part in item['loc'])}: {item['msg']}" for item in error.errors()]
        raise ConfigurationError("; ".join(lines) + " (see docs/settings.md)") from error


def read_database_url(url: str) -> dict[str, Any]:
    """Django's settings of the PostgreSQL that ``url`` names; raise ``ConfigurationError`` without repeating the URL,
    which may hold a password."""
    try:
        if urlsplit(url).scheme not in ("postgresql", "postgres"):
            raise ValueError
        return dict(dj_database_url.parse(url, conn_max_age=60, conn_health_checks=True))
    except ValueError:
        raise ConfigurationError(
            "DATABASE_URL cannot be read: write it as postgresql://user:password@host:5432/name, with special signs "
            "of the password as %XX, or unset it for the embedded PostgreSQL (see docs/settings.md)"
        ) from None
