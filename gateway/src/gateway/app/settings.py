"""What the environment tells the gateway."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from wattbook.db import StoreSettings
from wattbook.service import ServiceSettings
from wattbook.settings import setting
from wattbook.web.settings import HttpSettings


@dataclass(frozen=True)
class Settings(ServiceSettings, StoreSettings, HttpSettings):
    """What the environment says."""

    store_url: str = setting("WATTBOOK_GATEWAY_STORE_URL", "where users are kept", secret=True)
    signing_key_file: Path = setting(  # a field
        "WATTBOOK_SIGNING_KEY_FILE", "PEM file of the EC P-256 key that signs tokens"
    )
    listen: str = setting("WATTBOOK_GATEWAY_LISTEN", "host:port of the REST API", default="127.0.0.1:8080")
    trade_target: str = setting(
        "WATTBOOK_TRADE_TARGET", "host:port of trade-service", default="127.0.0.1:8090"
    )
    report_target: str = setting(
        "WATTBOOK_REPORT_TARGET", "host:port of report-service", default="127.0.0.1:8091"
    )
    pricing_target: str | None = setting(
        "WATTBOOK_PRICING_TARGET", "host:port of pricing-service; unset: there is none", default=None
    )
    ingest_target: str | None = setting(
        "WATTBOOK_INGEST_TARGET", "host:port of ingest-service; unset: there is none", default=None
    )
    meter_target: str | None = setting(
        "WATTBOOK_METER_TARGET", "host:port of meter-service; unset: there is none", default=None
    )
    cash_target: str | None = setting(
        "WATTBOOK_CASH_TARGET", "host:port of cash-service; unset: there is none", default=None
    )
    admin_password: str | None = setting(
        "WATTBOOK_ADMIN_PASSWORD", "password of the user admin, set at every start", default=None, secret=True
    )
    admin_password_if_new: str | None = setting(
        "WATTBOOK_ADMIN_PASSWORD_IF_NEW",
        "password of the user admin where there is none",
        default=None,
        secret=True,
    )
    ingest_client_secret: str | None = setting(
        "WATTBOOK_INGEST_CLIENT_SECRET", "secret of ingest-service's own tokens", default=None, secret=True
    )
    report_client_secret: str | None = setting(
        "WATTBOOK_REPORT_CLIENT_SECRET",
        "secret of report-service's tokens, and of those that it gets for people",
        default=None,
        secret=True,
    )
    pricing_client_secret: str | None = setting(
        "WATTBOOK_PRICING_CLIENT_SECRET", "secret of pricing-service's passes", default=None, secret=True
    )
    meter_client_secret: str | None = setting(
        "WATTBOOK_METER_CLIENT_SECRET",
        "secret of meter-service, which gets tokens for people",
        default=None,
        secret=True,
    )
    body_limit_bytes: int = setting("WATTBOOK_BODY_LIMIT_BYTES", "largest single body", default=64 * 1024)
    batch_limit_bytes: int = setting("WATTBOOK_BATCH_LIMIT_BYTES", "largest batch of lines", default=1024**3)
    batch_array_limit_bytes: int = setting(
        "WATTBOOK_BATCH_ARRAY_LIMIT_BYTES", "largest batch as a JSON array", default=16 * 1024**2
    )
    flow_file_limit_bytes: int = setting(
        "WATTBOOK_FLOW_FILE_LIMIT_BYTES", "largest flow file or zip that is uploaded", default=256 * 1024**2
    )
    book_timeout_s: float = setting("WATTBOOK_BOOK_TIMEOUT_S", "deadline of single bookings", default=10.0)
    report_timeout_s: float = setting("WATTBOOK_REPORT_TIMEOUT_S", "deadline of reports", default=5.0)

    def problems(self) -> list[str]:
        """What is wrong with them, a line each."""
        return super().problems() + self.http_problems()
