"""What Django reads, filled from the frozen settings of the service."""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import Any

from wattbook import sqlite
from wattbook.db.settings import StoreSettings
from wattbook.process import load_settings_or_exit
from wattbook.settings import setting

_ON_POSTGRES = {"host": "HOST", "port": "PORT", "dbname": "NAME", "user": "USER", "password": "PASSWORD"}
# A whole file is one transaction; who writes meanwhile waits for it.
_WRITE_WAIT_S = 60


@dataclass(frozen=True)
class Settings(StoreSettings):
    """The environment of meter-service."""

    store_url: str = setting(
        "WATTBOOK_METER_STORE_URL",
        "sqlite:///… or postgresql+psycopg://…",
        default="sqlite:///data/stores/meter.db",
        secret=True,
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
                f"PRAGMA journal_size_limit={sqlite.WAL_LIMIT_BYTES}",
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
INSTALLED_APPS = ["meter_service"]
# Market time: UTC+10 all year (the sign of this name is the other way round).
TIME_ZONE = "Etc/GMT-10"
USE_TZ = True
LANGUAGE_CODE = "en-gb"
USE_I18N = False
