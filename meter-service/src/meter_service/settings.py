"""What Django reads, filled from the frozen settings of the service."""

from __future__ import annotations

import os
import secrets
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from wattbook import pages, sqlite
from wattbook.auth.cookies import derived_key
from wattbook.db.settings import StoreSettings
from wattbook.process import load_settings_or_exit
from wattbook.settings import setting

_ON_POSTGRES = {"host": "HOST", "port": "PORT", "dbname": "NAME", "user": "USER", "password": "PASSWORD"}
# A whole file is one transaction; who writes meanwhile waits for it.
_WRITE_WAIT_S = 60
_CACHE_KIB = -32_768  # negative: in KiB; an import touches the whole index of readings


@dataclass(frozen=True)
class Settings(StoreSettings):
    """The environment of meter-service."""

    store_url: str = setting(
        "WATTBOOK_METER_STORE_URL",
        "sqlite:///… or postgresql+psycopg://…",
        default="sqlite:///data/stores/meter.db",
        secret=True,
    )
    session_key: str = setting(
        "WATTBOOK_SESSION_KEY",
        "what session cookies are encrypted with, any long random text",
        default="",
        secret=True,
    )
    http_listen: str = setting("WATTBOOK_METER_HTTP_LISTEN", "pages, host:port", default="127.0.0.1:8082")
    secure_cookies: bool = setting(
        "WATTBOOK_SECURE_COOKIES", "Secure on cookies even over plain HTTP", default=False
    )
    session_longest_s: int = setting(
        "WATTBOOK_SESSION_LONGEST_S", "signed out so long after signing in, s", default=12 * 3600
    )


def database_of(settings: StoreSettings, url: str) -> dict[str, Any]:
    """What Django must know of the store at ``url``.

    Raises:
        ValueError: no engine knows such an address.
    """
    if url.startswith(sqlite.PREFIX):
        path, _ = sqlite.split_url(url)
        return {
            "ENGINE": "django.db.backends.sqlite3",
            "NAME": str(path),
            "CONN_MAX_AGE": None,
            "OPTIONS": {
                "timeout": _WRITE_WAIT_S,
                "transaction_mode": "IMMEDIATE",
                "init_command": "PRAGMA journal_mode=WAL; PRAGMA synchronous=FULL; "
                f"PRAGMA journal_size_limit={sqlite.WAL_LIMIT_BYTES}; PRAGMA cache_size={_CACHE_KIB:d}",
            },
        }
    from wattbook.db.postgres_engines import arguments_of  # the driver is loaded only where it is used

    arguments = arguments_of(url, name="meter", settings=settings)
    known = {ours: arguments.pop(theirs, "") for theirs, ours in _ON_POSTGRES.items()}
    return {
        "ENGINE": "django.db.backends.postgresql",
        **known,
        "CONN_MAX_AGE": None,
        "CONN_HEALTH_CHECKS": True,
        "OPTIONS": arguments,
    }


CONFIGURED = load_settings_or_exit(Settings, os.environ)

DATABASES = {"default": database_of(CONFIGURED, CONFIGURED.store_url)}
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"
INSTALLED_APPS = [
    "meter_service.apps.MeterAdminConfig",
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "django.contrib.messages",
    "django.contrib.sessions",
    "django.contrib.staticfiles",
    "meter_service",
]
DATABASE_ROUTERS = ["meter_service.apps.NoTables"]
# Market time: UTC+10 all year (the sign of this name is the other way round).
TIME_ZONE = "Etc/GMT-10"
USE_TZ = True
LANGUAGE_CODE = "en-gb"
USE_I18N = False

_HERE = Path(__file__).parent
_PORT = CONFIGURED.http_listen.rpartition(":")[2]  # browsers keep cookies by host, not by port
SECRET_KEY = derived_key(CONFIGURED.session_key or secrets.token_hex(), "meter pages").hex()
ALLOWED_HOSTS = ["*"]  # what stands in front decides; nothing here is made from a host
ROOT_URLCONF = "meter_service.urls"
MIDDLEWARE = [
    "meter_service.api.pages.FrameMiddleware",
    "whitenoise.middleware.WhiteNoiseMiddleware",
    "django.contrib.sessions.middleware.SessionMiddleware",
    "django.middleware.csrf.CsrfViewMiddleware",
    "meter_service.api.signin.SignedInMiddleware",
    "django.contrib.messages.middleware.MessageMiddleware",
]
TEMPLATES = [
    {
        "NAME": "jinja2",
        "BACKEND": "django.template.backends.jinja2.Jinja2",
        "OPTIONS": {"environment": "meter_service.api.pages.environment"},
    },
    {  # the admin wants it there; no page of ours is written by it
        "BACKEND": "django.template.backends.django.DjangoTemplates",
        "OPTIONS": {
            "context_processors": [
                "django.template.context_processors.request",
                "django.contrib.auth.context_processors.auth",
                "django.contrib.messages.context_processors.messages",
            ]
        },
    },
]

SESSION_ENGINE = "meter_service.api.sessions"
SESSION_COOKIE_NAME = f"wattbook_meters_{_PORT}"
CSRF_COOKIE_NAME = f"wattbook_meters_csrf_{_PORT}"
SESSION_COOKIE_AGE = CONFIGURED.session_longest_s
SESSION_COOKIE_PATH = CSRF_COOKIE_PATH = "/admin"
SESSION_COOKIE_SECURE = CSRF_COOKIE_SECURE = CONFIGURED.secure_cookies
SESSION_COOKIE_HTTPONLY = CSRF_COOKIE_HTTPONLY = True
CSRF_FAILURE_VIEW = "meter_service.api.pages.form_refused"
LOGIN_URL = "/admin/sign-in"
MESSAGE_STORAGE = "django.contrib.messages.storage.cookie.CookieStorage"

STATIC_URL = "/admin/static/"
STATIC_ROOT = _HERE / "collected"  # made by `manage.py collectstatic`, which `make setup` runs
STATICFILES_DIRS = [pages.STATIC, _HERE / "static"]
STATICFILES_FINDERS = ["django.contrib.staticfiles.finders.FileSystemFinder"]
STORAGES = {"staticfiles": {"BACKEND": "whitenoise.storage.CompressedManifestStaticFilesStorage"}}
LOGGING_CONFIG = None  # wattbook.service sees to it
