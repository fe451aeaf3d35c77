"""The health service of gRPC, which Kubernetes asks and every client's channel watches."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any

import grpc
from grpc_health.v1 import health, health_pb2, health_pb2_grpc

from wattbook.rpc_options import LIVE
from wattbook.tls import Tls

MOST_WATCHERS = 256  # connections that watch one server at once; a further one would wait for its turn


def health_servicer() -> health.HealthServicer:
    """The library's, with a thread for each that watches.

    Without threads of their own (its default) it sends while it holds its lock, and a caller that goes away
    just as it begins to watch freezes the whole server for good (grpcio-health-checking 1.85).
    """
    watching = ThreadPoolExecutor(MOST_WATCHERS, thread_name_prefix="watched")
    return health.HealthServicer(experimental_non_blocking=False, experimental_thread_pool=watching)


class _Health(health_pb2_grpc.HealthServicer):
    """``live`` for whoever asks once (probes); whoever watches (callers' channels) sends no calls here."""

    def Check(self, request: Any, context: Any) -> Any:  # noqa: N802
        status = health_pb2.HealthCheckResponse
        return status(status=status.SERVING if request.service == LIVE else status.NOT_SERVING)

    def Watch(self, request: Any, context: Any) -> Iterator[Any]:  # noqa: N802
        status = health_pb2.HealthCheckResponse
        yield status(status=status.NOT_SERVING)


@contextmanager
def alive_on_grpc(address: str, tls: Tls | None) -> Iterator[None]:
    """Answer probes on the port that the service's own gRPC server takes afterwards."""
    server = grpc.server(
        ThreadPoolExecutor(2, thread_name_prefix="alive"), options=[("grpc.so_reuseport", 0)]
    )
    health_pb2_grpc.add_HealthServicer_to_server(_Health(), server)
    try:
        if tls:
            server.add_secure_port(address, tls.for_server())
        else:
            server.add_insecure_port(address)
    except RuntimeError as error:
        raise OSError(f"cannot listen on {address}") from error
    server.start()
    try:
        yield
    finally:
        server.stop(0.5).wait()
