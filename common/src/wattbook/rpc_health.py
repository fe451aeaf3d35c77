"""The health service of gRPC, which Kubernetes asks and every client's channel watches."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

from grpc_health.v1 import health

MOST_WATCHERS = 256  # connections that watch one server at once; a further one would wait for its turn


def health_servicer() -> health.HealthServicer:
    """The library's, with a thread for each that watches.

    Without threads of their own (its default) it sends while it holds its lock, and a caller that goes away
    just as it begins to watch freezes the whole server for good (grpcio-health-checking 1.85).
    """
    watching = ThreadPoolExecutor(MOST_WATCHERS, thread_name_prefix="watched")
    return health.HealthServicer(experimental_non_blocking=False, experimental_thread_pool=watching)
