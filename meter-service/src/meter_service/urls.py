"""Addresses: everything is below ``/admin``, so that one host can have these pages and those about trades."""

from __future__ import annotations

from django.contrib import admin
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.urls import path

from meter_service.api.pages import HOME


def _home(_request: HttpRequest) -> HttpResponse:
    return HttpResponseRedirect(HOME)


urlpatterns = [path("", _home), path("admin/", admin.site.urls)]
handler400 = "meter_service.api.pages.bad_request"
handler403 = "meter_service.api.pages.permission_denied"
handler404 = "meter_service.api.pages.page_not_found"
handler500 = "meter_service.api.pages.server_error"
