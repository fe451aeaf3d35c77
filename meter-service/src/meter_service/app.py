"""How meter-service is put together: Django behind our own server, and gRPC."""

from __future__ import annotations

import logging
import os
import sys
import threading
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn

from wattbook import rpc, service
from wattbook.auth.gateway import Gateway
from wattbook.auth.people import People
from wattbook.auth.revocations import Follower, Revocations
from wattbook.clock import Clock, SystemClock
from wattbook.db.command import EXIT_USAGE
from wattbook.errors import Unavailable, WattbookError
from wattbook.service import Service, ServiceSettings
from wattbook.settings import setting
from wattbook.startup import alive_on_http
from wattbook.web.server import Server
from wattbook.web.settings import HttpSettings, address_of, listen

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "meter_service.settings")
from meter_service.settings import STATIC_ROOT
from meter_service.settings import Settings as DjangoSettings

if TYPE_CHECKING:
    from meter_service.api.front import Front

NAME = "meter-service"
SHORTEST_KEY = 16
_USAGE = "usage: python -m meter_service.app [migrate | restored 2026-11-28T21:00:00Z]"
LOOK_AGAIN_S = 1.0
CATCH_UP_STOP_S = 10.0
GRPC_WORKERS = 32  # each upload holds one for as long as its sender takes
_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Settings(ServiceSettings, HttpSettings, DjangoSettings):
    """The environment of meter-service."""

    listen: str = setting("WATTBOOK_METER_LISTEN", "gRPC, host:port", default="127.0.0.1:8094")
    gateway_url: str = setting(
        "WATTBOOK_GATEWAY_URL", "where people sign in", default="http://127.0.0.1:8080"
    )
    client_secret: str = setting(
        "WATTBOOK_METER_CLIENT_SECRET",
        "the secret of our OAuth client at the gateway",
        default="",
        secret=True,
    )
    report_pages: str = setting(
        "WATTBOOK_REPORT_PAGES",
        "where the pages about trades are: https://host, or :port of the same host",
        default=":8081",
    )
    session_idle_s: int = setting(
        "WATTBOOK_SESSION_IDLE_S", "signed out after so long without a request, s", default=3600
    )
    upload_limit_bytes: int = setting(
        "WATTBOOK_METER_UPLOAD_LIMIT_BYTES", "most that is uploaded at once", default=256 * 1024**2
    )

    demo_files: Path | None = setting(
        "WATTBOOK_METER_DEMO_FILES",
        "a folder of made-up flow files, imported once where none ever came in; unset: none",
        default=None,
    )

    def problems(self) -> list[str]:
        """What is wrong with them, a line each."""
        found = [*super().problems(), *self.http_problems()]
        if len(self.session_key) < SHORTEST_KEY:
            found.append(f"WATTBOOK_SESSION_KEY: its value is shorter than {SHORTEST_KEY} characters")
        for name, address in (("LISTEN", self.listen), ("HTTP_LISTEN", self.http_listen)):
            try:
                address_of(address)
            except ValueError as error:
                found.append(f"WATTBOOK_METER_{name}: {error}")
        return found


def build(settings: Settings, *, stopping: threading.Event | None = None) -> service.App:
    """Everything wired; see :class:`wattbook.service.Build`."""
    import django

    django.setup()
    if not (STATIC_ROOT / "staticfiles.json").exists():
        raise OSError("the pages' style sheets are not collected; run make setup")
    stopping = stopping or threading.Event()
    listening = listen(settings.http_listen)
    probing = listen(settings.probe_listen) if settings.probe_listen else None
    grpc = rpc.Server.of(NAME, settings, settings.listen, workers=GRPC_WORKERS)
    with grpc.alive(), alive_on_http(listening, *([probing] if probing else ())):
        _await_schema(settings, stopping)
    _register(grpc, settings)
    clock, secret = SystemClock(), settings.client_secret
    gateway = Gateway(settings.gateway_url, clock, client=(NAME, secret) if secret else None)
    revocations = Revocations(clock, is_used=bool(secret))
    people = People(
        gateway, clock, idle_s=settings.session_idle_s, longest_s=settings.session_longest_s,
        revocations=revocations,
    )  # fmt: skip
    front = _front(settings, people)
    follower = Follower(revocations, gateway.revocations, then=people.revoke_waiting)
    parts = (follower, _CatchUp(clock, settings.demo_files))

    def serve(stopping: threading.Event) -> None:
        Server(
            front, settings=settings, stopping=stopping, drain_s=settings.drain_s, probes=front.health,
            has_lifespan=False,
        ).serve_on([listening], probing=probing)  # fmt: skip

    return service.App(server=grpc, parts=parts, closing=(front.close, gateway.close), serve=serve)


def _register(server: rpc.Server, settings: Settings) -> None:
    from wattbook_proto.meters_pb2_grpc import add_MetersServicer_to_server

    from meter_service.api.rpc import RULES, MetersServicer

    servicer = MetersServicer(SystemClock(), limit_bytes=settings.upload_limit_bytes)
    server.register(add_MetersServicer_to_server, servicer, rules=RULES)


def _front(settings: Settings, people: People) -> Front:
    from django.core.wsgi import get_wsgi_application

    from meter_service.api.front import Front, Health
    from meter_service.api.pages import SITE, Site

    return Front(
        get_wsgi_application(),
        health=Health(lambda: True),  # Django is put together, and its store was there at the start
        proxies=settings.proxies(),
        longest_body=settings.upload_limit_bytes,
        route_of=_route_of,
        extra={SITE: Site(people, SystemClock(), settings.report_pages)},
    )


@lru_cache(maxsize=2048)
def _route_of(path: str) -> str:
    """The template of a path; ``""`` where there is none."""
    from django.urls import Resolver404, resolve

    try:
        return f"/{resolve(path).route}"
    except Resolver404:
        return ""


def _await_schema(settings: Settings, stopping: threading.Event) -> None:
    """Bring the schema up to date, or wait until somebody did.

    Raises:
        Unavailable: ``stopping`` was set, or an embedded store cannot be used.
    """
    from meter_service.store.connection import is_postgres, prepare

    is_told = False
    while True:
        try:
            prepare(migrate=settings.store_migrate)
            if _is_migrated():
                return
            reason = "its schema is older than this release: run `wattbook migrate`"
        except Unavailable as error:
            if not is_postgres():
                raise
            reason = error.message
        if stopping.is_set():
            raise Unavailable(f"the store meter was not ready: {reason}")
        if not is_told:
            _log.warning("not ready: %s; waiting", reason)
            is_told = True
        stopping.wait(LOOK_AGAIN_S)


def _is_migrated() -> bool:
    from django.db import connection
    from django.db.migrations.executor import MigrationExecutor

    from meter_service.store.connection import explained

    with explained():
        executor = MigrationExecutor(connection)
        return not executor.migration_plan(executor.loader.graph.leaf_nodes())


def _has_file() -> bool:
    """Whether an embedded store is there already; looking would make it."""
    from django.db import connection

    return connection.vendor != "sqlite" or Path(connection.settings_dict["NAME"]).exists()


class _CatchUp:
    """Imports what was kept and not imported before the last stop, and what a sandbox has made up."""

    def __init__(self, clock: Clock, demo_files: Path | None) -> None:
        self._clock = clock
        self._demo_files = demo_files
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name="catch-up", daemon=True)

    def start(self) -> None:
        """Begin."""
        self._thread.start()

    def stop(self) -> None:
        """Wait for the file at hand, for a while; one that is not done is imported at the next start."""
        self._stopping.set()
        self._thread.join(CATCH_UP_STOP_S)

    def _run(self) -> None:
        from django.db import connection

        from meter_service.usecases import catch_up

        try:
            self._import_demo()
            for outcome in catch_up(clock=self._clock):
                _log.info("caught up", extra={"file": outcome.title, "result": outcome.result.value})
        except WattbookError as error:
            _log.warning("waiting flow files are not imported now", extra={"reason": error.message})
        finally:
            connection.close()

    def _import_demo(self) -> None:
        """Never beside what is real: once a file came in, from anybody, nothing made up follows."""
        from meter_service.store.browse import has_flow_files
        from meter_service.usecases import Sender, import_file

        if self._demo_files is None or not self._demo_files.is_dir() or has_flow_files():
            return
        sender = Sender("sandbox", "folder")
        for path in sorted(self._demo_files.iterdir()):
            if self._stopping.is_set():
                return
            with path.open("rb") as file:
                list(import_file(file, name=path.name, sender=sender, clock=self._clock))
        _log.info("imported made-up flow files", extra={"folder": str(self._demo_files)})


def _maintain(arguments: Sequence[str]) -> NoReturn:
    """``migrate``, or ``restored INSTANT``, as every service takes it (see :mod:`wattbook.db.command`)."""
    import django

    django.setup()
    from meter_service.store.connection import prepare

    match list(arguments):
        case ["migrate"]:
            try:
                was = _has_file() and _is_migrated()
                prepare(migrate=True)
            except Unavailable as error:
                sys.exit(f"meter: {error}")
            print(f"meter: the schema {'was already' if was else 'is now'} at its newest migration")
        case ["restored", _]:
            print("meter: nothing to do")
        case _:
            print(_USAGE, file=sys.stderr)
            sys.exit(EXIT_USAGE)
    sys.exit(0)


def main() -> NoReturn:
    """Run until SIGTERM or SIGINT."""
    if len(sys.argv) > 1:
        _maintain(sys.argv[1:])
    Service(NAME, Settings, build).main()


if __name__ == "__main__":
    main()
