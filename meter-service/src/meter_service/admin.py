"""The admin of readings, meter points and flow files: its pages are in ``api``."""

from __future__ import annotations

from django.contrib import admin
from django.urls import URLPattern, path

from meter_service.api import flow_files, points, readings, uploads
from meter_service.api.signin import desk_only
from meter_service.api.site import LookedAt
from meter_service.models import FlowFile, MeterPoint, Reading


@admin.register(Reading)
class ReadingAdmin(LookedAt):
    """The search, and the page of a reading."""

    folder = "readings"

    def get_urls(self) -> list[URLPattern]:
        """Below ``/admin/readings/``."""
        view = self.admin_site.admin_view
        return [
            path("", view(readings.search_page), name="readings"),
            path("csv", view(readings.readings_csv), name="readings_csv"),
            path("<int:reading_id>/", view(points.reading_page), name="reading"),
        ]


@admin.register(MeterPoint)
class MeterPointAdmin(LookedAt):
    """The page of a meter point."""

    folder = "meter-points"

    def get_urls(self) -> list[URLPattern]:
        """Below ``/admin/meter-points/``."""
        return [path("<str:nmi>/", self.admin_site.admin_view(points.point_page), name="meter_point")]


@admin.register(FlowFile)
class FlowFileAdmin(LookedAt):
    """The list of flow files, the page of one, and what desk and admin users do with them."""

    folder = "flow-files"

    def get_urls(self) -> list[URLPattern]:
        """Below ``/admin/flow-files/``."""
        view = self.admin_site.admin_view
        return [
            path("", view(flow_files.files_page), name="flow_files"),
            path("upload", view(desk_only(uploads.upload)), name="upload"),
            path("<int:file_id>/", view(flow_files.file_page), name="flow_file"),
            path("<int:file_id>/original", view(flow_files.original_file), name="flow_file_original"),
            path("<int:file_id>/retry", view(desk_only(flow_files.retry)), name="flow_file_retry"),
            path("<int:file_id>/withdrawal", view(desk_only(flow_files.withdrawal)), name="withdrawal"),
        ]
