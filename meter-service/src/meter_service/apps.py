"""What Django is told of the app."""

from __future__ import annotations

from typing import Any

from django.apps import AppConfig
from django.contrib.admin import apps


class MeterServiceConfig(AppConfig):
    """The service."""

    name = "meter_service"
    default = True


class MeterAdminConfig(apps.AdminConfig):
    """The admin, with our site in the place of its own."""

    default = False
    default_site = "meter_service.api.site.MeterSite"


class NoTables:
    """A router: people and what they may do are the gateway's; of Django's own apps nothing is stored."""

    apps = frozenset({"admin", "auth", "contenttypes", "sessions"})

    def allow_migrate(self, db: str, app_label: str, **_hints: Any) -> bool | None:
        """None: as usual."""
        return False if app_label in self.apps else None
