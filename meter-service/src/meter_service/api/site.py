"""Django's admin site with the house's sign-in; nothing is added, changed or deleted in it."""

from __future__ import annotations

from typing import Any

from django.contrib.admin import AdminSite, ModelAdmin
from django.http import HttpRequest
from django.urls import URLPattern, URLResolver, include, path
from wattbook.errors import Forbidden

from meter_service.api.pages import person_of
from meter_service.api.readings import search_page
from meter_service.api.signin import choose_theme, sign_in, sign_out
from meter_service.models import Reading


class MeterSite(AdminSite):
    """Support, desk and admin users see it."""

    def has_permission(self, request: HttpRequest) -> bool:
        """Whether somebody is signed in; who is leads to the sign-in page.

        Raises:
            Forbidden: meters are not theirs to see.
        """
        person = person_of(request)
        if person is not None and not person.sees_meters:
            raise Forbidden("Only support, desk and admin users see meter readings.")
        return person is not None

    def get_urls(self) -> list[URLResolver | URLPattern]:
        """Those of the models, of signing in, and no others of the admin's own."""
        found: list[URLResolver | URLPattern] = [
            path("sign-in", sign_in, name="login"),
            path("sign-out", sign_out, name="logout"),
            path("theme", choose_theme, name="theme"),
        ]
        for model, admin in self._registry.items():
            if not isinstance(admin, LookedAt):  # people and groups, which are the gateway's
                continue
            found.append(path(f"{admin.folder}/", include(admin.urls)))
            if model is Reading:  # where one begins
                found.append(path("", self.admin_view(search_page), name="index"))
        return found


class LookedAt(ModelAdmin):  # type: ignore[misc]
    """A model whose rows are only looked at, at addresses below ``folder``."""

    folder = ""

    def has_add_permission(self, request: HttpRequest) -> bool:
        """Never."""
        return False

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        """Never."""
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        """Never."""
        return False
