"""report-service put together: a gunicorn master, and one worker that holds the read model and both doors.

The master imports little and starts no thread and no gRPC: those do not survive a fork. Its worker is
put together after the fork by :func:`report_service.app.worker.build`. ``python -m report_service.app``
starts it.
"""

from __future__ import annotations

import os
import socket
import sys
from dataclasses import dataclass
from typing import TYPE_CHECKING

from wattbook.bus.settings import BusSettings
from wattbook.process import load_telemetry_or_exit
from wattbook.service import ServiceSettings, prepared
from wattbook.settings import setting
from wattbook.telemetry import TelemetrySettings, start
from wattbook.web.settings import HttpSettings, address_of, listen

from report_service.app.master import Master

if TYPE_CHECKING:
    from report_service.app.worker import Worker

SERVICE = "report-service"
SHORTEST_KEY = 16


@dataclass(frozen=True)
class Settings(ServiceSettings, BusSettings, HttpSettings):
    """Everything that can differ between two installations."""

    session_key: str = setting(
        "WATTBOOK_SESSION_KEY", "what session cookies are encrypted with, any long random text", secret=True
    )
    listen: str = setting("WATTBOOK_REPORT_LISTEN", "gRPC, host:port", default="127.0.0.1:8091")
    http_listen: str = setting("WATTBOOK_REPORT_HTTP_LISTEN", "pages, host:port", default="127.0.0.1:8081")
    trade_target: str = setting("WATTBOOK_TRADE_TARGET", "trade-service", default="127.0.0.1:8090")
    pricing_target: str = setting(
        "WATTBOOK_PRICING_TARGET", "pricing-service; unset: no reference prices", default=""
    )
    ingest_target: str = setting(
        "WATTBOOK_INGEST_TARGET", "ingest-service; unset: the exchange's feed is not shown", default=""
    )
    cash_target: str = setting(
        "WATTBOOK_CASH_TARGET", "cash-service; unset: company cash is not shown", default=""
    )
    gateway_url: str = setting(
        "WATTBOOK_GATEWAY_URL", "where people sign in", default="http://127.0.0.1:8080"
    )
    meter_pages: str = setting(
        "WATTBOOK_METER_PAGES",
        "the meter pages: https://host, or :port of the same host; unset: no link",
        default="",
    )
    client_secret: str = setting(
        "WATTBOOK_REPORT_CLIENT_SECRET",
        "the secret of our OAuth client at the gateway",
        default="",
        secret=True,
    )
    secure_cookies: bool = setting(
        "WATTBOOK_SECURE_COOKIES",
        "Secure on cookies even over plain HTTP",
        default=False,
    )
    session_idle_s: int = setting(
        "WATTBOOK_SESSION_IDLE_S", "signed out after so long without a request, s", default=3600
    )
    streams_per_user: int = setting(
        "WATTBOOK_STREAMS_PER_USER", "most live pages of one user at once, of 2,000 in all", default=60
    )
    session_longest_s: int = setting(
        "WATTBOOK_SESSION_LONGEST_S", "signed out so long after signing in, s", default=12 * 3600
    )

    def problems(self) -> list[str]:
        """What is wrong with them, a line each."""
        problems = super().problems() + self.http_problems()
        if len(self.session_key) < SHORTEST_KEY:
            problems.append(f"WATTBOOK_SESSION_KEY: its value is shorter than {SHORTEST_KEY} characters")
        for name, address in (("LISTEN", self.listen), ("HTTP_LISTEN", self.http_listen)):
            try:
                address_of(address)
            except ValueError as error:
                problems.append(f"WATTBOOK_REPORT_{name}: {error}")
        return problems


def main() -> None:
    """Run until SIGTERM or SIGINT; exit status 0, or 78 for bad settings, or 1 for a port in use."""
    settings = prepared(SERVICE, Settings, os.environ)
    exported = load_telemetry_or_exit(os.environ)
    try:
        pages = listen(settings.http_listen)
        probing = listen(settings.probe_listen) if settings.probe_listen else None
        listen(settings.listen).close()  # the worker will; said here in one line where it cannot
    except OSError as error:
        print(f"{SERVICE}: {error}", file=sys.stderr)
        sys.exit(1)
    Master(
        pages,
        lambda: _build(settings, exported, probing),
        stop_with_parent=settings.stop_with_parent,
        log_level=settings.log_level,
        drain_s=settings.drain_s,
    ).run()


def _build(settings: Settings, exported: TelemetrySettings, probing: socket.socket | None) -> Worker:
    from report_service.app.worker import build

    exporting = start(SERVICE, exported)  # its threads would not have survived the fork
    return build(settings, exporting, probing=probing)
