"""How gRPC is tuned: sizes, keepalive, and how calls are spread over replicas."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

LIVE = "live"  # the health service's name for "this process takes calls", whatever it depends on
MAX_MESSAGE_BYTES = 32 * 1024 * 1024
_BOTH: Sequence[tuple[str, Any]] = (
    ("grpc.max_receive_message_length", MAX_MESSAGE_BYTES),
    ("grpc.max_send_message_length", MAX_MESSAGE_BYTES),
    ("grpc.so_reuseport", 0),
    ("grpc.http2.min_ping_interval_without_data_ms", 10_000),  # or keepalive would count as abuse
)
# Whoever is connected for long connects again, and finds replicas that came since: one that knows a single
# replica fails all its calls while that one drains. Calls under way get the grace.
SERVER_OPTIONS: Sequence[tuple[str, Any]] = (
    *_BOTH,
    ("grpc.max_connection_age_ms", 30_000),
    ("grpc.max_connection_age_grace_ms", 600_000),
)
_SERVICE_CONFIG = {
    "loadBalancingConfig": [{"round_robin": {}}],
    "healthCheckConfig": {"serviceName": LIVE},
}
CHANNEL_OPTIONS: Sequence[tuple[str, Any]] = (
    *_BOTH,
    # Every address that the name stands for gets its share; one that is gone costs no call, nor one that is
    # about to go: each replica tells when it takes no more, since calls that cross with its end are lost.
    ("grpc.service_config", json.dumps(_SERVICE_CONFIG)),
    ("grpc.dns_min_time_between_resolutions_ms", 2_000),
    ("grpc.enable_http_proxy", 0),
    ("grpc.initial_reconnect_backoff_ms", 100),
    ("grpc.max_reconnect_backoff_ms", 2000),
    ("grpc.keepalive_time_ms", 30_000),
)
