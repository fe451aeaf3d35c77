"""The health service under callers that come and go: every client's channel watches it."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import grpc
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc
from wattbook import rpc
from wattbook.walls import OPEN

CALLERS = 4
VISITS = 25
OWN_CONNECTION = (("grpc.use_local_subchannel_pool", 1),)


@pytest.fixture
def target() -> Iterator[str]:
    server = rpc.Server("127.0.0.1:0", guard=OPEN, workers=4)
    port = server.start()
    server.set_ready()
    yield f"127.0.0.1:{port}"
    server.stop(0.5)


@pytest.mark.timeout(60)
def test_callers_that_leave_as_they_begin_to_watch_do_not_freeze_the_server(target: str) -> None:
    def come_and_go(_caller: int) -> None:
        for _ in range(VISITS):
            with grpc.insecure_channel(target, options=OWN_CONNECTION) as channel:
                watched = health_pb2_grpc.HealthStub(channel).Watch(
                    health_pb2.HealthCheckRequest(), timeout=20
                )
                assert next(watched).status == health_pb2.HealthCheckResponse.SERVING

    with ThreadPoolExecutor(CALLERS) as callers:
        list(callers.map(come_and_go, range(CALLERS)))

    assert rpc.is_healthy(target, timeout_s=20)
